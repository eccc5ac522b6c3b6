"""What runs in the processes of the runners. Each program finds its jobs in the file that $JOBS names."""
