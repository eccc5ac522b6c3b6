"""What a refresh does next: a pure function of what memory has, what the store shows, what is asked, what was refused.

Instants of `Restraints` are on the clock of waits; all others are Unix time. Nothing here reads a clock.
"""

from __future__ import annotations

import enum
import hashlib
import math
from typing import NamedTuple

from aries_auth.errors import TokenRequestError
from aries_auth.refresh import policy
from aries_auth.refresh.request import Reason, RefreshRequest
from aries_auth.token import Token, is_alive, is_refresh_token_alive


class Restraints(NamedTuple):
    """What keeps a refresh from being asked for again, and until when.

    Attributes:
        spent: the digests of the refresh tokens that this object saw spent. None is ever sent again.
        dead: the digest of the refresh token that the endpoint refused.
        failure: a failure that is sure to come again until `failure_until`.
        no_calls_until: a refresh that callers could do without has failed; until then they do without the next.
        no_ahead_until: no refresh ahead begins before.
        failures: how many refreshes that callers could do without have failed in a row.
    """

    spent: frozenset[bytes] = frozenset()
    dead: bytes | None = None
    failure: TokenRequestError | None = None
    failure_until: float = -math.inf
    no_calls_until: float = -math.inf
    no_ahead_until: float = -math.inf
    failures: int = 0

    def for_child(self) -> Restraints:
        """What a forked child keeps: what is known of refresh tokens, and of no wait of its parent's."""
        return Restraints(spent=self.spent, dead=self.dead)

    def after_token(self) -> Restraints:
        """Once there is another token: the failure was the old one's."""
        return self if self.failure is None else self._replace(failure=None, failure_until=-math.inf)

    def after_refresh(self, spent: Token, token: Token) -> Restraints:
        """Once `spent` has become `token`."""
        if spent.refresh_token == token.refresh_token:
            return self
        return self._replace(spent=self.spent | {digest(spent)})

    def after_success(self) -> Restraints:
        """Once a refresh has brought a token, or found one."""
        return self._replace(failures=0)

    def after_failure(self, at: float, chance: float) -> Restraints:
        """Once a refresh that callers could do without has failed."""
        until = at + policy.ahead_back_off(self.failures, chance)
        return self._replace(no_calls_until=until, failures=self.failures + 1)


class Step(enum.Enum):
    """What a refresh does next."""

    SERVE = "the token in memory fulfils the request"
    SEND = "send its refresh token"
    NO_TOKEN = "There is no token in {store}"
    NO_REFRESH_TOKEN = "The refresh token in {store} is missing"
    EXPIRED = "The refresh token in {store} has expired"
    DEAD = "The refresh token in {store} is no longer valid"
    SPENT = "The refresh token in {store} was used before"
    REMEMBERED = "a failure that is sure to come again"


class Decision(NamedTuple):
    """The newest token, whether it comes from the store, and what to do."""

    token: Token | None
    from_store: bool
    step: Step


def decide(
    request: RefreshRequest,
    memory: Token | None,
    stored: Token | None,
    *,
    unsaved: bool,
    restraints: Restraints,
    at: float,
) -> Decision:
    """What to do for a request.

    Args:
        request: what is asked.
        memory: the token in memory.
        stored: the token that the store shows.
        unsaved: whether memory's token is newer than the store, because it could not be saved yet.
        restraints: what was refused before.
        at: now, on the clock of waits.
    """
    from_store = not unsaved and _replaces(stored, memory, request.now, restraints)
    token = stored if from_store else memory
    if token is not None and fulfils(token, request):
        return Decision(token, from_store, Step.SERVE)
    if from_store:
        restraints = restraints.after_token()
    logged_out = stored is None and not unsaved
    return Decision(token, from_store, _way_to_the_next(token, request, restraints, at, logged_out=logged_out))


def _replaces(stored: Token | None, memory: Token | None, now: float, restraints: Restraints) -> bool:
    if stored is None or memory is None:
        return stored is not None
    # A restored backup brings back what this object saw spent: memory's is used.
    return policy.is_newer(stored, memory, now=now) and digest(stored) not in restraints.spent


def fulfils(token: Token, request: RefreshRequest) -> bool:
    """Whether a token is what a request asks for."""
    reason, known = request.reason, request.known
    if reason is Reason.FIRST:
        return True
    if reason is Reason.REFUSED and known is not None and token.access_token == known.access_token:
        return policy.is_young(token, request.now)
    if known is None or token == known:
        return False
    return reason is Reason.AHEAD or is_alive(token, request.now)


def _way_to_the_next(
    token: Token | None, request: RefreshRequest, restraints: Restraints, at: float, *, logged_out: bool
) -> Step:
    if token is None or logged_out:
        return Step.NO_TOKEN
    if not is_refresh_token_alive(token, request.now):
        return Step.EXPIRED if token.refresh_token else Step.NO_REFRESH_TOKEN
    mark = digest(token)
    if mark == restraints.dead:
        return Step.DEAD
    if mark in restraints.spent:
        return Step.SPENT
    if restraints.failure is not None and request.reason is not Reason.FORCED and at < restraints.failure_until:
        return Step.REMEMBERED
    return Step.SEND


def digest(token: Token) -> bytes:
    """What a refresh token is remembered by, once it must not be sent again."""
    return hashlib.sha256((token.refresh_token or "").encode()).digest()
