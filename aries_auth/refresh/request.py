"""A request for a refresh: what a caller wants, why, and what it saw. A value."""

from __future__ import annotations

import enum
from typing import NamedTuple

from aries_auth.token import Token, is_alive
from aries_auth.token_endpoint.sender import Sender


class Reason(enum.Enum):
    """Why a token is wanted."""

    FIRST = "first use"
    AHEAD = "inside its margin"
    NEEDED = "expired or about to"
    REFUSED = "answered with 401"
    FORCED = "refresh() was called"


class RefreshRequest(NamedTuple):
    """What a caller wants, and what it saw.

    Attributes:
        reason: why.
        now: the caller's reading of the clock. The work uses it, since two clocks can disagree for ever.
        known: the token that the caller found wanting, or None if it had none.
        sender: who sends the token request, if one is sent.
        at: the instant of `now` on the clock that waits are measured with.
        one_attempt: whether a failed attempt is not repeated, because a caller waits for its end.
    """

    reason: Reason
    now: float
    known: Token | None
    sender: Sender
    at: float
    one_attempt: bool = False

    def same_as(self, other: RefreshRequest) -> bool:
        """Whether what fulfils this one fulfils the other."""
        return self.reason is other.reason and self.known == other.known

    @property
    def spares_callers(self) -> bool:
        """Whether the token that was found wanting serves its callers while it lives, if this comes to nothing."""
        if self.reason not in (Reason.AHEAD, Reason.NEEDED):
            return False
        return self.known is not None and is_alive(self.known, self.now)

    @property
    def seconds_left(self) -> float | None:
        """What the token that was found wanting had to live; None is not known."""
        expires_at = None if self.known is None else self.known.expires_at
        return None if expires_at is None else expires_at - self.now

    def wall_time(self, instant: float) -> float:
        """The Unix time, by the caller's clock, of an instant on the clock of waits."""
        return self.now + (instant - self.at)
