"""The clock of waits, and which waits can be asked for."""

from __future__ import annotations

import math
import threading
import time
from typing import Any, Callable

from aries_auth.errors import ConfigurationError, printable

# What every wait of threading, asyncio and trio takes, on every platform.
_LONGEST_WAIT = threading.TIMEOUT_MAX / 2


def monotonic(clock: Callable[[], float] = time.monotonic) -> float:
    """The clock that waits are measured with.

    Bound when this is defined: freezegun replaces `time.monotonic`, and what stands still is no measure of a wait.
    """
    return clock()


def check_seconds(name: str, value: Any, *, zero: bool = False) -> float:
    """A parameter in seconds: a finite number above zero, or from zero on."""
    # No NaN and no infinity, and an int of any length compares where float() would overflow.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -math.inf < value < math.inf:
        raise ConfigurationError(f"{name} must be a number of seconds, not {printable(repr(value))}.")
    if value < 0 or (value == 0 and not zero):
        raise ConfigurationError(f"{name} must be {'zero or more' if zero else 'more than zero'} seconds, not {value}.")
    return float(min(value, _LONGEST_WAIT))
