"""How long to wait before a token request is sent again, and what an answer's Retry-After says: pure, no clock."""

from __future__ import annotations

from datetime import timezone
from email.utils import parsedate_to_datetime

SENDING_TIME = 30.0
LONGEST_REMEMBERED = 60.0
FINAL_REMEMBERED = 1.0
_FIRST_BACK_OFF = 0.5
_LONGEST_BACK_OFF = 8.0
_ABSURD_WAIT = 1e9


def back_off(attempt: int, chance: float) -> float:
    """Seconds before the next attempt of one token request: exponential, jittered by `chance` (0 to 1)."""
    return min(_LONGEST_BACK_OFF, _FIRST_BACK_OFF * 2.0 ** min(attempt, 10)) * (0.5 + chance / 2)


def retry_after(value: str | None, now: float) -> float | None:
    """The seconds of a ``Retry-After`` (RFC 9110 section 10.2.3: seconds or a date), or None if it says nothing."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _ABSURD_WAIT)
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:  # without a zone, or with "-0000": HTTP's dates are UTC, not this machine's time
        date = date.replace(tzinfo=timezone.utc)
    return min(max(0.0, date.timestamp() - now), _ABSURD_WAIT)
