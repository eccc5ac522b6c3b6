"""What other programs load: plugins of HTTPie and the like. Nothing else in the package imports these modules."""
