"""The rules of one token, pure: its margin and last call, whether it is young, how long to wait, and back-off.

Instants are Unix time in seconds and are passed in; nothing here reads a clock. What a refresh does with what memory
and store show is in `decision`.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING

from aries_auth.token import Token, is_alive, is_bearer

if TYPE_CHECKING:
    from typing import SupportsIndex

REFRESH_MARGIN = 300.0
TIMEOUT = 30.0
SPREAD = 0.1

_LONGEST_LAST_CALL = 10.0
_LONGEST_YOUTH = 30.0
_FIRST_AHEAD_BACK_OFF = 1.0
_LONGEST_AHEAD_BACK_OFF = 60.0


class Use(enum.Enum):
    """What to do with a token that a call could carry."""

    NOW = "use it"
    AHEAD = "use it, and refresh it in the background"
    WAIT = "wait for the next one"


class CachedToken:
    """A token in memory with the instants at which what to do with it changes; never altered.

    The header value is made once, so that the hot path compares one float and sets one header.
    """

    __slots__ = ("authorization", "expires_at", "fresh_until", "last_call_at", "token")

    def __init__(
        self, token: Token, authorization: str, fresh_until: float, last_call_at: float, expires_at: float
    ) -> None:
        self.token: Token = token
        self.authorization: str = authorization
        self.fresh_until: float = fresh_until
        self.last_call_at: float = last_call_at
        self.expires_at: float = expires_at

    def use(self, now: float) -> Use:
        """What to do with the token at `now`."""
        if now < self.fresh_until:
            return Use.NOW
        return Use.AHEAD if now < self.last_call_at else Use.WAIT

    def is_alive(self, now: float) -> bool:
        """Whether the token can still be used at `now`; one whose expiry is not known always can."""
        return now < self.expires_at

    def __repr__(self) -> str:
        return f"CachedToken({self.token!r}, fresh_until={self.fresh_until!r})"


class HeaderValue(str):
    """The value of an Authorization header. Its repr is hidden: frames of an HTTP library show what they hold."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'Bearer [hidden]'"

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        """A part hides itself, too: rich cuts long text before it shows it."""
        return HeaderValue(str.__getitem__(self, key))


class CacheSlot:
    """What every request reads. While a save is pending it holds an expired sentinel: that forces the slow path."""

    __slots__ = ("cached",)

    def __init__(self, cached: CachedToken) -> None:
        self.cached: CachedToken = cached


def cache(
    token: Token, *, now: float, refresh_margin: float, spread: float, predecessor: Token | None = None
) -> CachedToken:
    """The token with its windows (docs/architecture.md, "Refresh ahead").

    Args:
        token: the token.
        now: when it came into memory.
        refresh_margin: seconds before expiry at which a refresh starts, at the most.
        spread: 0 to 1, this object's own share of the 10 % by which margins are shortened.
        predecessor: the token that it replaces, if any. One that brings the same access token again, or is already
            inside its margin, must not start another refresh before half of what is left has passed.
    """
    authorization = HeaderValue(f"Bearer {token.access_token}")
    expires_at = token.expires_at
    if not is_bearer(token):  # saved, but never sent
        return CachedToken(token, authorization, -math.inf, -math.inf, -math.inf)
    if expires_at is None:
        return CachedToken(token, authorization, math.inf, math.inf, math.inf)
    lifetime = None if token.obtained_at is None else max(0.0, expires_at - token.obtained_at)
    margin = refresh_margin if lifetime is None else min(refresh_margin, lifetime / 4)
    last_call = _LONGEST_LAST_CALL if lifetime is None else min(_LONGEST_LAST_CALL, lifetime / 10)
    fresh_until = expires_at - margin * (1 - SPREAD * spread)
    last_call_at = max(fresh_until, expires_at - last_call)
    if predecessor is not None and (predecessor.access_token == token.access_token or now >= fresh_until):
        fresh_until = min(last_call_at, max(fresh_until, now + (expires_at - now) / 2))
    return CachedToken(token, authorization, fresh_until, last_call_at, expires_at)


def is_young(token: Token, now: float) -> bool:
    """Whether a token is too young to be refreshed on a 401, so that a permanent 401 can't become a storm."""
    if token.obtained_at is None:
        return False
    youth = _LONGEST_YOUTH
    if token.expires_at is not None:
        youth = min(youth, max(0.0, token.expires_at - token.obtained_at) / 4)
    return 0 <= now - token.obtained_at <= youth


def is_newer(stored: Token, memory: Token, *, now: float) -> bool:
    """Whether a stored token that differs replaces the one in memory, whatever two hosts' clocks say."""
    if stored == memory:
        return False
    return is_alive(stored, now) or not is_alive(memory, now)


def patience(cached: CachedToken | None, *, now: float, timeout: float) -> float:
    """How long a call waits for a refresh, in seconds: `timeout`, but never longer than a living token can be used."""
    if cached is None or not cached.is_alive(now):
        return timeout
    left = cached.expires_at - now
    return max(0.0, min(timeout, left - min(0.25, left / 4)))


def ahead_back_off(failures: int, chance: float) -> float:
    """Seconds before the next background refresh after so many failed ones, jittered by `chance` (0 to 1)."""
    longest = min(_LONGEST_AHEAD_BACK_OFF, _FIRST_AHEAD_BACK_OFF * 2.0 ** min(failures, 10))
    return longest * (0.5 + chance / 2)


def look_again(cached: CachedToken, now: float) -> float:
    """Seconds after which to look at the store again while another process refreshes."""
    return min(1.0, max(0.05, (cached.last_call_at - now) / 4))
