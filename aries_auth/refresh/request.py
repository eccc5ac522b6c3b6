"""A request for a refresh: what a caller wants, why, and what it saw. A value."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from aries_auth.refresh import policy
from aries_auth.singleflight.clock import monotonic
from aries_auth.token import Token


class Reason(enum.Enum):
    """Reason a token is wanted."""

    FIRST = "first use"
    AHEAD = "inside its margin"
    NEEDED = "expired or about to"
    REFUSED = "answered with 401"
    FORCED = "refresh() was called"


@dataclass(frozen=True)
class RefreshRequest:
    """What a caller wants, and what it saw.

    Attributes:
        why: the reason.
        now: the caller's reading of the clock; the work goes by it, since the two clocks may disagree for ever.
        known: the token that the caller found wanting, or None where it had none.
        library: the library of the call.
        at: the same instant on the clock that waits are measured with.
    """

    why: Reason
    now: float
    known: Token | None
    library: str
    at: float = field(default_factory=monotonic)

    def same_as(self, other: RefreshRequest) -> bool:
        """Whether what fulfils this one fulfils the other."""
        return self.why is other.why and self.known == other.known

    @property
    def spares_callers(self) -> bool:
        """Whether the token that was found wanting serves its callers while it lives, should this come to nothing."""
        if self.why not in (Reason.AHEAD, Reason.NEEDED):
            return False
        return self.known is not None and policy.is_alive(self.known, self.now)

    @property
    def seconds_left(self) -> float | None:
        """What the token that was found wanting had to live; None is not known."""
        expires_at = None if self.known is None else self.known.expires_at
        return None if expires_at is None else expires_at - self.now
