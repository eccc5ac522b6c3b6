"""TokenSource: hands out a token that can be used, from memory, else the store, else the token endpoint.

What to do is decided here once, as steps that yield what to wait for; `flight.drive` and `flight.drive_async` carry
them out. Nothing here knows requests or httpx. The work that a flight does is in `refresher`. A forked child starts
over here.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import weakref
from functools import partial
from typing import Any, Callable, NamedTuple

from aries_auth.errors import LoginRequired, TokenRequestError
from aries_auth.refresh import policy
from aries_auth.refresh.grant import Grant
from aries_auth.refresh.memory import Memory
from aries_auth.refresh.pending_save import PendingSave
from aries_auth.refresh.policy import CachedToken, CacheSlot, Use
from aries_auth.refresh.process import is_looked_at, may_end_without_notice
from aries_auth.refresh.refresher import Refresher
from aries_auth.refresh.request import Reason, RefreshRequest
from aries_auth.singleflight.clock import monotonic
from aries_auth.singleflight.flight import Flight, Steps
from aries_auth.store.lock import load_locking
from aries_auth.token import Secret, Token
from aries_auth.token_endpoint.sender import Sender

_LONGEST_LOOK = 1.0

# Sources that a forked child has to reset: an inherited lock may be held by a thread that is not there.
_sources: weakref.WeakSet[TokenSource] = weakref.WeakSet()


class Beside(NamedTuple):
    """A refresh that must not outlive a call, since the process may end without notice.

    Attributes:
        flight: the refresh.
        seconds: how long the call still waits for its end.
    """

    flight: Flight[CachedToken]
    seconds: float

    def wait(self) -> None:
        """Wait in a thread."""
        self.flight.wait(self.seconds)

    async def wait_async(self) -> None:
        """Wait in a task."""
        await self.flight.wait_async(self.seconds)

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _elsewhere, ()  # a prepared request that travels leaves it behind


def _elsewhere() -> None:
    """What a refresh beside a call is in another process."""


class Handout(NamedTuple):
    """A token for one call, and a refresh beside it that must not outlive it, or None."""

    cached: CachedToken
    beside: Beside | None = None


class _UnderWay(NamedTuple):
    """A flight and what it is for: one value, so that a Ctrl-C can't come between the two."""

    flight: Flight[CachedToken]
    request: RefreshRequest


class TokenSource:
    """One grant as one object sees it."""

    def __init__(self, grant: Grant) -> None:
        self._grant = grant
        self._memory = Memory(grant.refresh_margin)
        self._pending = PendingSave(grant, self._memory)
        self._refresher = Refresher(grant, self._memory, self._pending)
        self.slot: CacheSlot = self._memory.slot
        self.timeout: float = grant.timeout
        self._start_over()
        _sources.add(self)

    def _start_over(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._under_way: _UnderWay | None = None
        self._pending.start_over()
        self._memory.start_over(keep_token=not self._pending.idle)

    def _own_process(self) -> None:
        """Start over in a child whose fork ran none of Python's hooks, as uWSGI's does not."""
        if self._process != os.getpid():
            self._start_over()

    @property
    def token(self) -> Token | None:
        """The token in memory; no I/O."""
        return self._memory.token

    def get(self, now: float, sender: Sender) -> Steps[Handout]:
        """Steps to a token that can be used for a call at `now`."""
        self._own_process()
        self._pending.save_again_if_due()
        at = monotonic()
        cached = yield from self._first_look(now, at, sender)
        use = cached.use(now)
        if use is not Use.NOW and self._grant.background is None and not is_looked_at():
            yield Flight(lambda _: may_end_without_notice()), _LONGEST_LOOK
        if use is Use.AHEAD:
            return Handout(cached, self._refresh_ahead(cached, now, sender))
        alive = cached if cached.is_alive(now) else None
        if use is Use.NOW or (alive is not None and at < self._memory.restraints.no_calls_until):
            return Handout(cached)  # the latter: a refresh has just failed, and the token lives
        # One that is not in time for this call must not outlive it any more than a refresh ahead.
        one_attempt = alive is not None and self._waits()
        request = RefreshRequest(Reason.NEEDED, now, cached.token, sender, at, one_attempt)
        obtained = yield from self._obtain(request, alive)
        return Handout(obtained, self._beside(request))

    def get_settled(self, now: float, sender: Sender) -> Steps[CachedToken]:
        """`get` for a caller whose call we don't see: a refresh beside it ends before the token is handed out."""
        cached, beside = yield from self.get(now, sender)
        if beside is None:
            return cached
        yield beside
        newest = self._memory.cached
        return newest if newest is not None and newest.is_alive(now) else cached

    def after_401(self, refused: Secret, now: float, sender: Sender) -> Steps[CachedToken]:
        """Steps to the token to resend a call with that was answered 401; the one refused means: hand it back.

        Args:
            refused: the access token that was sent.
            now: when the 401 came.
            sender: who sends a token request, if one has to be sent.
        """
        self._own_process()
        at = monotonic()
        cached = yield from self._first_look(now, at, sender)
        if Secret(cached.token.access_token) == refused:
            return (yield from self._obtain(RefreshRequest(Reason.REFUSED, now, cached.token, sender, at)))
        if cached.is_alive(now):
            return cached
        return (yield from self.get_settled(now, sender))

    def refresh(self, now: float, sender: Sender) -> Steps[CachedToken]:
        """Steps to the next token, whatever the life of this one."""
        self._own_process()
        return (yield from self._obtain(RefreshRequest(Reason.FORCED, now, self.token, sender, monotonic())))

    def wait(self, timeout: float | None) -> Steps[bool]:
        """Steps to the end of the refresh under way and of the save that is still to be done; none is begun.

        Args:
            timeout: seconds; None waits as long as it takes.

        Returns:
            Whether nothing is under way any more.
        """
        self._own_process()
        deadline = math.inf if timeout is None else monotonic() + timeout
        while True:
            flight = self._unfinished()
            if flight is None:
                return self._pending.idle
            left = deadline - monotonic()
            if left <= 0:
                return False
            yield flight, left

    def _unfinished(self) -> Flight[Any] | None:
        running = self._running()
        return self._pending.start() if running is None else running.flight

    def _first_look(self, now: float, at: float, sender: Sender) -> Steps[CachedToken]:
        """Steps to the token in memory, else to the one in the store, refreshed if it has expired.

        A token that came since `now` has not expired by it, however short its life: it starts no second refresh.
        """
        if self._memory.cached is not None:
            return self._memory.cached
        return (yield from self._obtain(RefreshRequest(Reason.FIRST, now, None, sender, at)))

    def _obtain(self, request: RefreshRequest, alive: CachedToken | None = None) -> Steps[CachedToken]:
        """Wait for a flight that fulfils the request; if it fails or is slow, a token that is `alive` serves."""
        deadline = request.at + policy.patience(alive, now=request.now, timeout=self.timeout)
        looked_again = False
        while True:
            cached = self._memory.cached
            if cached is not None and (request.reason is Reason.FIRST or request.known not in (None, cached.token)):
                return cached  # somebody was faster between the caller's look and ours
            left = deadline - monotonic()
            if left <= 0:
                break
            flight, theirs = self._join_or_begin(request)
            yield flight, left
            if not flight.done or not theirs.same_as(request):
                continue
            try:
                return flight.result()
            except Exception as exc:  # whatever a store of the caller's raises: it hurts no call while the token lives
                if alive is not None:
                    return alive
                # One that was under way before may have looked at the store before somebody logged in: look once more.
                if theirs is request or looked_again or not isinstance(exc, LoginRequired):
                    raise
                looked_again = True
        if alive is not None:
            return alive
        held = yield from self._held_elsewhere()
        raise TokenRequestError(
            f"No new token within the call's time-out of {self.timeout:g} s{held}; the refresh at "
            f"{self._grant.token_url} goes on, and the next call can have its token.",
            retryable=True,
        )

    def _held_elsewhere(self) -> Steps[str]:
        """Steps to who else holds the store's lock, as part of a message: a look that is not for an event loop."""
        look: Flight[str] = Flight(lambda _: self._grant.held_elsewhere)
        yield look, _LONGEST_LOOK
        return look.result() if look.done else ""

    def _join_or_begin(self, request: RefreshRequest) -> _UnderWay:
        if request.reason is not Reason.FIRST:  # most looks find a living token, and take no lock
            load_locking()  # not under our own: an import can switch to another greenlet
        with self._lock:
            return self._running() or self._begin(request)

    def _running(self) -> _UnderWay | None:
        under_way = self._under_way
        return None if under_way is None or under_way.flight.done else under_way

    def _begin(self, request: RefreshRequest) -> _UnderWay:
        self._under_way = begun = _UnderWay(Flight(partial(self._refresher.work, request)), request)
        return begun

    def _refresh_ahead(self, cached: CachedToken, now: float, sender: Sender) -> Beside | None:
        """Refresh beside a call."""
        request = RefreshRequest(Reason.AHEAD, now, cached.token, sender, monotonic(), self._waits())
        load_locking()  # as above
        with self._lock:
            running = self._running()
            if running is None:
                restraints = self._memory.restraints
                if request.at < max(restraints.no_ahead_until, restraints.no_calls_until):
                    return None
                no_ahead_until = request.at + policy.look_again(cached, now)
                self._memory.restraints = restraints._replace(no_ahead_until=no_ahead_until)
                running = self._begin(request)  # only now: `wait` starts what is under way, which replaces them, too
        running.flight.start_in_background()
        return self._beside(request)

    def _beside(self, request: RefreshRequest) -> Beside | None:
        """The flight that this very request has begun, if it goes on and must not outlive the call."""
        running = self._running()
        if running is None or running.request is not request or not request.one_attempt:
            return None
        # Less what the call has waited for it already.
        return Beside(running.flight, max(0.0, request.at + self.timeout - monotonic()))

    def _waits(self) -> bool:
        """Whether a refresh must not outlive the call that started it, if that goes out with a token that lives."""
        background = self._grant.background
        return may_end_without_notice() if background is None else not background


def _start_over_in_child() -> None:
    for source in list(_sources):
        source._start_over()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_start_over_in_child)
