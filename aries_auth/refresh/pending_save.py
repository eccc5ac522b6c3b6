"""PendingSave: saves a new token, and saves it again if that fails, for as long as it is nowhere but in memory."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

from aries_auth.errors import loggable
from aries_auth.log import logger
from aries_auth.refresh.grant import Grant
from aries_auth.refresh.memory import Memory
from aries_auth.singleflight.clock import monotonic
from aries_auth.singleflight.flight import Flight
from aries_auth.store.lease import Lease
from aries_auth.token import Token

_SAVE_INTERVAL = 1.0
_LOCK_WAIT = 0.25
_SAVING_AGAIN = 30.0
_LAST_TRIES = 3


class _Unsaved(NamedTuple):
    """A token that could not be saved, and the tokens that were spent since the last that could.

    `lease` is there while the lock is kept: the store still shows the spent refresh token, and another process that
    got the lock would send it. `unreadable`: the store showed nothing, because it could not be read.
    """

    token: Token
    spent: tuple[Token, ...]
    lease: Lease | None = None
    unreadable: bool = False


class PendingSave:
    """The save of one grant that is still to be done, if there is one.

    Args:
        grant: the token is saved in its store.
        memory: its slot is kept empty as long as a save is pending.
    """

    def __init__(self, grant: Grant, memory: Memory) -> None:
        self._grant = grant
        self._memory = memory
        self._unsaved: _Unsaved | None = None
        self._flight: Flight[None] | None = None
        self._due_at = -math.inf  # the next try, on the clock of waits

    def start_over(self) -> None:
        """Forget what a forked child must not inherit: the parent's lock, and its flight."""
        self._flight, self._due_at = None, -math.inf
        unsaved = self._unsaved
        if unsaved is not None and unsaved.lease is not None:
            unsaved.lease.release()  # in a child that keeps it out of the reach of a collection
            self._unsaved = unsaved._replace(lease=None)

    @property
    def idle(self) -> bool:
        """Whether everything is saved."""
        return self._unsaved is None

    @property
    def lease(self) -> Lease | None:
        """The store's lock, while a save that failed keeps it."""
        return None if self._unsaved is None else self._unsaved.lease

    def outlasts(self, stored: Token | None) -> bool:
        """Compare the token that is not saved yet, if there is one, with what the store shows: whether it is newer.

        It is not if somebody logged in or out meanwhile; then it is given up.
        """
        unsaved = self._unsaved
        if unsaved is None:
            return False
        if unsaved.lease is not None or stored in (unsaved.token, *unsaved.spent):
            return True
        if unsaved.unreadable and stored is None:
            return True  # what could not be read was removed, which is no logout
        logger.info("%s was changed by somebody else; the token that could not be saved is given up", self._grant.name)
        self._settle()
        return False

    def save(self, token: Token, spent: Token, lease: Lease) -> None:
        """Save a token under the lock; never raises, since the token is good whether it is saved or not."""
        before = self._unsaved
        try:
            lease.entry.save(token)
        except Exception as exc:  # noqa: BLE001 - a store of the caller's may raise anything
            if before is None:
                logger.warning(
                    "The new token could not be saved; it is kept in memory and saved again soon: %s", loggable(exc)
                )
            since = (spent,) if before is None else (*before.spent, before.token)
            self._memory.empty_slot()
            self._unsaved = _still_unsaved(token, since, lease)
            if self.start() is None:
                self._last_tries()
        else:
            self._settle()

    def save_again_if_due(self) -> None:
        """Start to save again what could not be saved, at most once a second."""
        if self._unsaved is None or monotonic() < self._due_at:
            return
        if self.start() is None and self._memory.lock.acquire(blocking=False):
            try:
                self._try_again()
            finally:
                self._memory.lock.release()

    def start(self) -> Flight[None] | None:
        """The flight that saves again, begun unless it is under way; None if there is nothing, or no thread, for it.

        In Python 3.12 no thread starts once the main thread has ended.
        """
        self._postpone()
        if self._unsaved is None:
            return None
        flight = self._flight
        if flight is None or flight.done:
            flight = self._flight = Flight(self._save_again)
        flight.start_in_background()
        return None if flight.done else flight

    def _postpone(self) -> None:
        self._due_at = monotonic() + _SAVE_INTERVAL

    def _save_again(self, flight: Flight[None]) -> None:
        end = monotonic() + _SAVING_AGAIN
        unsaved = self._unsaved
        # While the lock is kept, everybody else waits for us: no use of this object may come to save it then.
        while unsaved is not None and (unsaved.lease is not None or monotonic() < end):
            going_on = flight.pause(_SAVE_INTERVAL)
            with self._memory.lock:
                if not going_on:
                    self._last_tries()
                    return
                self._try_again()
            unsaved = self._unsaved

    def _last_tries(self) -> None:
        """Python is exiting, and with it the only copy of the token."""
        for left in reversed(range(_LAST_TRIES)):
            self._try_again()
            if self._unsaved is None or not left:
                return
            time.sleep(_SAVE_INTERVAL)

    def _try_again(self) -> None:
        self._postpone()
        unsaved = self._unsaved
        if unsaved is None:
            return
        try:
            if unsaved.lease is not None:
                unsaved.lease.entry.save(unsaved.token)
            else:
                with self._grant.store.locked(_LOCK_WAIT) as entry:
                    if not self.outlasts(entry.load()):
                        return
                    entry.save(unsaved.token)
        except Exception as exc:  # noqa: BLE001 - tried again
            logger.debug("The token could still not be saved: %s", loggable(exc))
            if unsaved.lease is not None:
                self._unsaved = _still_unsaved(unsaved.token, unsaved.spent, unsaved.lease)
            return
        logger.info("The token that could not be saved is in %s now", self._grant.name)
        self._settle()

    def _settle(self) -> None:
        unsaved, self._unsaved = self._unsaved, None
        if unsaved is None:
            return
        if unsaved.lease is not None:
            unsaved.lease.release()
        self._memory.fill_slot()


def _still_unsaved(token: Token, spent: tuple[Token, ...], lease: Lease) -> _Unsaved:
    """Keep the lock while the store shows the spent token; not if the new one is there, or nothing is to be read."""
    try:
        kept = lease.entry.load() != token
        unreadable = False
    except Exception:  # noqa: BLE001 - a lost connection has lost the lock, and a broken file shows nobody a token
        kept, unreadable = False, True
    held = lease.hand_on()
    if kept:
        return _Unsaved(token, spent, held)
    held.release()
    return _Unsaved(token, spent, None, unreadable)
