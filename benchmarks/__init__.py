"""aries-auth beside what a user would pick instead, in one run.

``python -m benchmarks`` needs the extra ``bench`` and Python 3.9 or later, on POSIX.
"""
