"""TokenSource: hands out a token that can be used, from memory, else the store, else the token endpoint.

What to do is decided here once, as steps that yield what to wait for; `flight.drive` and `flight.drive_async` carry
them out. Nothing here knows requests or httpx. The work that a flight does is in `renewal`.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import weakref
from functools import partial
from typing import Any

from aries_auth.errors import LockTimeout, LoginRequired, TokenRequestError
from aries_auth.refresh import policy
from aries_auth.refresh.policy import CachedToken, CacheSlot, Use
from aries_auth.refresh.refresher import Refresher
from aries_auth.refresh.request import Reason, RefreshRequest
from aries_auth.settings import ClientCredentials
from aries_auth.singleflight.clock import monotonic
from aries_auth.singleflight.flight import Flight, Steps
from aries_auth.store import TokenStore
from aries_auth.token import Secret, Token

# Sources that a forked child has to reset: an inherited lock may be cached by a thread that is not there.
_sources: weakref.WeakSet[TokenSource] = weakref.WeakSet()


class TokenSource:
    """One grant as this object sees it.

    Args:
        store: where the grant is kept.
        client: the credentials as the caller gave them.
        token_url: the token endpoint.
        refresh_margin: seconds before expiry at which a refresh starts.
        timeout: seconds that a call waits for a refresh, lock included.
        token_client: the caller's own client for token requests, or None.
        login_command: what a person has to run when the grant is gone.
    """

    def __init__(
        self,
        *,
        store: TokenStore,
        client: ClientCredentials,
        token_url: str,
        refresh_margin: float,
        timeout: float,
        token_client: Any,
        login_command: str,
    ) -> None:
        self._timeout = timeout
        self._renewal = Refresher(
            store=store,
            client=client,
            token_url=token_url,
            refresh_margin=refresh_margin,
            token_client=token_client,
            login_command=login_command,
        )
        self.slot: CacheSlot = self._renewal.slot
        self._start_over()
        _sources.add(self)

    def _start_over(self) -> None:
        self._lock = threading.Lock()
        # One attribute, so that a Ctrl-C can't come between the flight and what it is for.
        self._under_way: tuple[Flight[CachedToken], RefreshRequest] | None = None
        self._ahead_at = 0.0
        self._failed_until = 0.0
        self._failures = 0
        self._renewal.start_over()

    @property
    def token(self) -> Token | None:
        """The token in memory; no I/O."""
        cached = self._renewal.memory
        return None if cached is None else cached.token

    def get(self, now: float, library: str) -> Steps[CachedToken]:
        """Steps to a token that can be used for a call at `now`."""
        self._renewal.saver.save_again_if_due()
        at = monotonic()
        cached = yield from self._first_look(now, at, library)
        use = cached.use(now)
        if use is Use.AHEAD:
            self._refresh_ahead(cached, now, library)
        if use is not Use.WAIT or (cached.is_alive(now) and monotonic() < self._failed_until):
            return cached  # the latter: a refresh has just failed, and the token lives
        return (yield from self._obtain(RefreshRequest(Reason.NEEDED, now, cached.token, library, at), cached))

    def renew(self, refused: Secret, now: float, library: str) -> Steps[CachedToken]:
        """Steps to the token to resend a call with that was answered 401; the one refused means: hand it back.

        Args:
            refused: the access token that was sent.
            now: when the 401 came.
            library: the library of the call.
        """
        cached = yield from self._first_look(now, monotonic(), library)
        if Secret(cached.token.access_token) == refused:
            return (yield from self._obtain(RefreshRequest(Reason.REFUSED, now, cached.token, library), None))
        if cached.is_alive(now):
            return cached
        return (yield from self.get(now, library))

    def refresh(self, now: float, library: str) -> Steps[CachedToken]:
        """Steps to the next token, whatever the life of this one."""
        return (yield from self._obtain(RefreshRequest(Reason.FORCED, now, self.token, library), None))

    def _first_look(self, now: float, at: float, library: str) -> Steps[CachedToken]:
        """Steps to the token in memory, which is read from the store where there is none."""
        cached = self._renewal.memory
        return cached or (yield from self._obtain(RefreshRequest(Reason.FIRST, now, None, library, at), None))

    def _obtain(self, wish: RefreshRequest, fallback: CachedToken | None) -> Steps[CachedToken]:
        """Wait for a flight that fulfils the wish; `fallback` is used while it lives, when that fails or takes long."""
        alive = fallback if fallback is not None and fallback.is_alive(wish.now) else None
        deadline = wish.at + policy.patience(fallback, now=wish.now, timeout=self._timeout)
        may_be_stale = True
        while True:
            cached = self._renewal.memory
            if cached is not None and wish.known not in (None, cached.token):
                return cached  # somebody was faster between the caller's look and ours
            left = deadline - monotonic()
            if left <= 0:
                break
            flight, theirs = self._join_or_begin(wish)
            yield flight, left
            if not flight.done or not theirs.same_as(wish):
                continue
            try:
                return _landed(flight, alive)
            except LoginRequired:
                # One that was under way before may have looked at the store before somebody logged in: look once more.
                if theirs is wish or not may_be_stale:
                    raise
                may_be_stale = False
        if alive is not None:
            return alive
        raise TokenRequestError(
            f"No new token within the call's time-out of {self._timeout:g} s; the refresh goes on, and the next call "
            "can have its token.",
            retryable=True,
        )

    def _join_or_begin(self, wish: RefreshRequest) -> tuple[Flight[CachedToken], RefreshRequest]:
        with self._lock:
            under_way = self._under_way
            if under_way is None or under_way[0].done:
                under_way = self._under_way = (Flight(partial(self._work, wish)), wish)
            return under_way

    def _refresh_ahead(self, cached: CachedToken, now: float, library: str) -> None:
        with self._lock:
            flight = None if self._under_way is None else self._under_way[0]
            if flight is None or flight.done:
                if monotonic() < max(self._ahead_at, self._failed_until):
                    return
                wish = RefreshRequest(Reason.AHEAD, now, cached.token, library)
                flight = Flight(partial(self._work, wish))
                self._under_way = (flight, wish)
                self._ahead_at = monotonic() + policy.look_again(cached, now)
        flight.start_in_background()

    def _work(self, wish: RefreshRequest, flight: Flight[CachedToken]) -> CachedToken:
        """What a flight does. Its failures are counted here, once, however many callers wait for it."""
        try:
            cached = self._renewal.work(wish, flight)
        except Exception as exc:
            is_busy = wish.why is Reason.AHEAD and isinstance(exc, LockTimeout)
            if wish.spares_callers and not is_busy:
                self._failed_until = monotonic() + policy.ahead_back_off(self._failures, random.random())  # noqa: S311
                self._failures += 1
            raise
        self._failures = 0
        return cached


def _landed(flight: Flight[CachedToken], alive: CachedToken | None) -> CachedToken:
    try:
        return flight.result()
    except Exception:  # whatever a store of the caller's raises: it hurts no call while the token lives
        if alive is None:
            raise
        return alive


def _start_over_in_child() -> None:
    for source in list(_sources):
        source._start_over()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_start_over_in_child)
