"""Memory: the token that one object has, the slot that every request reads, and what is remembered of failures."""

from __future__ import annotations

import math
import random
import threading

from aries_auth.refresh import policy
from aries_auth.refresh.decision import Restraints
from aries_auth.refresh.policy import CachedToken, CacheSlot
from aries_auth.token import Token

# Never fresh, so that a request that finds it in the slot takes the slow path.
_EXPIRED = CachedToken(Token("none"), policy.HeaderValue(), -math.inf, -math.inf, -math.inf)


class Memory:
    """What one object knows of its grant.

    Attributes:
        lock: held by whoever works on memory and store: one refresh, or one repeated save.
        cached: the newest token, or None before the first look.
        slot: what every request reads.
        restraints: what keeps a refresh from being asked for again. It is replaced by the refresh under way, or by the
            source while there is none.
    """

    def __init__(self, refresh_margin: float) -> None:
        self._refresh_margin = refresh_margin
        self.cached: CachedToken | None = None
        self.slot: CacheSlot = CacheSlot(_EXPIRED)
        self.restraints: Restraints = Restraints()
        self.start_over(keep_token=False)

    def start_over(self, *, keep_token: bool) -> None:
        """Forget what a forked child must not inherit; a token that is nowhere but in memory stays."""
        self.lock: threading.Lock = threading.Lock()
        self._spread = random.random()  # noqa: S311 - spreads load, guards nothing; forked workers must not line up
        self.restraints = self.restraints.for_child()
        if not keep_token:
            self.cached = None
            self.empty_slot()

    @property
    def token(self) -> Token | None:
        """The newest token, or None."""
        return None if self.cached is None else self.cached.token

    def install(self, token: Token, now: float) -> CachedToken:
        """Put another token into memory; the caller fills the slot."""
        self.cached = policy.cache(
            token, now=now, refresh_margin=self._refresh_margin, spread=self._spread, predecessor=self.token
        )
        self.restraints = self.restraints.after_token()
        return self.cached

    def fill_slot(self) -> None:
        """Let requests use the token without asking."""
        self.slot.cached = self.cached or _EXPIRED

    def empty_slot(self) -> None:
        """Make every request ask: there is no token, or a save that is still to be done."""
        self.slot.cached = _EXPIRED
