"""Windows' own trouble: no file can be replaced, removed or opened while somebody else has it open in their way."""

from __future__ import annotations

import sys
import time
from typing import Callable, TypeVar

from aries_auth.singleflight.clock import monotonic

R = TypeVar("R")

# An indexer or a virus scanner holds a new file for a second or so, a reader of this package for milliseconds.
REPLACE_PATIENCE = 2.0
OPEN_PATIENCE = 0.5
_PAUSE = 0.001  # readers that come one after the other leave only moments


def patiently(act: Callable[[], R], seconds: float) -> R:
    """Do it. On Windows, and there alone, again for so many seconds while access is denied."""
    if sys.platform != "win32":
        return act()
    deadline = monotonic() + seconds
    while True:
        try:
            return act()
        except PermissionError:
            if monotonic() >= deadline:
                raise
        time.sleep(_PAUSE)
