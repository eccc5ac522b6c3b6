"""The jobs that people really run: the real runners, servers and schedulers, and what is left of a grant after them."""
