"""What the machine took: the time that our threads stood in line for a processor, as Linux counts it."""

from __future__ import annotations

import contextlib
import os

_TASKS = "/proc/self/task"


def in_line() -> dict[str, int]:
    """Nanoseconds that each thread of this process was ready to run and had no processor; empty where not known."""
    waited = {}
    with contextlib.suppress(OSError):
        for task in os.listdir(_TASKS):  # noqa: PTH208 - read at each tick
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"{_TASKS}/{task}/schedstat") as file:  # noqa: PTH123
                waited[task] = int(file.read().split()[1])
    return waited


def taken(before: dict[str, int], after: dict[str, int]) -> float:
    """Seconds that the machine took from this process between two readings, the threads' together."""
    return sum(max(0, waited - before.get(task, 0)) for task, waited in after.items()) / 1e9
