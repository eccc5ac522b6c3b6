"""Saver: saves a new token, and saves it again where that failed, for as long as it is nowhere but in memory."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from threading import Lock
from typing import Callable, NamedTuple

from aries_auth.log import logger
from aries_auth.refresh import policy
from aries_auth.singleflight.clock import monotonic
from aries_auth.singleflight.flight import Flight
from aries_auth.store import StoreEntry, TokenStore, store_name
from aries_auth.token import Token

_LOCK_WAIT = 0.25
_SAVING_AGAIN = 30.0
_LAST_TRIES = 3


class _Unsaved(NamedTuple):
    """A token that could not be saved, and the tokens that were spent since the last that could.

    `entry` and `lock` are there while the lock is kept: the store still shows the spent refresh token, and another
    process that got the lock would send it. `unreadable`: it showed nothing, because it could not be read.
    """

    token: Token
    spent: tuple[Token, ...]
    entry: StoreEntry | None
    lock: ExitStack
    unreadable: bool = False


class Saver:
    """Saves the tokens of one grant.

    Args:
        store: where to.
        changed: called when the last token has become saved, or is of no use any more.
    """

    def __init__(self, store: TokenStore, changed: Callable[[], None]) -> None:
        self._store = store
        self._changed = changed
        self._unsaved: _Unsaved | None = None
        self.start_over(Lock())

    def start_over(self, working: Lock) -> None:
        """Forget what a forked child must not inherit; `working` keeps a repetition out of a refresh's way."""
        self._working = working
        self._flight: Flight[None] | None = None
        self._due_at = 0.0
        unsaved = self._unsaved
        if unsaved is not None:
            self._unsaved = unsaved._replace(entry=None, lock=ExitStack())

    @property
    def idle(self) -> bool:
        """Whether everything is saved."""
        return self._unsaved is None

    @property
    def entry(self) -> StoreEntry | None:
        """The store's entry while the lock is kept."""
        return None if self._unsaved is None else self._unsaved.entry

    def outranks(self, stored: Token | None) -> bool:
        """Whether the token that is not saved yet is newer than what the store shows.

        It is not where somebody logged in or out meanwhile; then it is given up.
        """
        unsaved = self._unsaved
        if unsaved is None:
            return False
        if unsaved.entry is not None or stored in (unsaved.token, *unsaved.spent):
            return True
        if unsaved.unreadable and stored is None:
            return True  # what could not be read was removed, which is no logout
        logger.info("%s was changed by somebody else; the token that could not be saved is given up", self._name)
        self._settle()
        return False

    def save(self, token: Token, spent: Token, entry: StoreEntry, lock: ExitStack) -> None:
        """Save a token under the lock; never raises, since the token is good whether it is saved or not."""
        before = self._unsaved
        try:
            entry.save(token)
        except Exception as exc:  # noqa: BLE001 - a store of the caller's may raise anything
            if before is None:
                logger.warning("The new token could not be saved; it is kept in memory and saved again soon: %s", exc)
            kept = lock.pop_all() if before is None or before.entry is None else before.lock
            since = (spent,) if before is None else (*before.spent, before.token)
            self._unsaved = _still_unsaved(token, since, entry, kept)
            if not self._start():
                self._last_tries()
        else:
            self._settle()

    def save_again_if_due(self) -> None:
        """Start to save again what could not be saved, at most once a second."""
        if self._unsaved is None or monotonic() < self._due_at:
            return
        if not self._start() and self._working.acquire(blocking=False):
            try:
                self._try_again()
            finally:
                self._working.release()

    @property
    def _name(self) -> str:
        return store_name(self._store)

    def _start(self) -> bool:
        """Whether a thread saves again; in Python 3.12, none can be had once the main thread has ended."""
        self._due_at = monotonic() + policy.SAVE_INTERVAL
        if self._flight is None or self._flight.done:
            self._flight = Flight(self._save_again)
        self._flight.start_in_background()
        return not self._flight.done

    def _save_again(self, flight: Flight[None]) -> None:
        end = monotonic() + _SAVING_AGAIN
        # While the lock is kept, everybody else waits for us: no use of this object may come to save it then.
        while self._unsaved is not None and (monotonic() < end or self._unsaved.entry is not None):
            going_on = flight.pause(policy.SAVE_INTERVAL)
            with self._working:
                self._due_at = monotonic() + policy.SAVE_INTERVAL
                if not going_on:
                    self._last_tries()
                    return
                self._try_again()

    def _last_tries(self) -> None:
        """The interpreter is ending, and with it the only copy of the token."""
        for left in reversed(range(_LAST_TRIES)):
            self._try_again()
            if self._unsaved is None or not left:
                return
            time.sleep(policy.SAVE_INTERVAL)

    def _try_again(self) -> None:
        unsaved = self._unsaved
        if unsaved is None:
            return
        try:
            if unsaved.entry is not None:
                unsaved.entry.save(unsaved.token)
            else:
                with self._store.locked(_LOCK_WAIT) as entry:
                    if not self.outranks(entry.load()):
                        return
                    entry.save(unsaved.token)
        except Exception as exc:  # noqa: BLE001 - tried again
            logger.debug("The token could still not be saved: %s", exc)
            if unsaved.entry is not None:
                self._unsaved = _still_unsaved(unsaved.token, unsaved.spent, unsaved.entry, unsaved.lock)
            return
        logger.info("The token that could not be saved is in %s now", self._name)
        self._settle()

    def _settle(self) -> None:
        unsaved, self._unsaved = self._unsaved, None
        if unsaved is not None:
            with suppress(Exception):
                unsaved.lock.close()
        self._changed()


def _still_unsaved(token: Token, spent: tuple[Token, ...], entry: StoreEntry, lock: ExitStack) -> _Unsaved:
    """Keep the lock while the store shows the spent token; not where the new one is there, or nothing is to be read."""
    try:
        kept = entry.load() != token
        unreadable = False
    except Exception:  # noqa: BLE001 - a lost connection has lost the lock, and a broken file shows nobody a token
        kept, unreadable = False, True
    if kept:
        return _Unsaved(token, spent, entry, lock)
    with suppress(Exception):
        lock.close()
    return _Unsaved(token, spent, None, ExitStack(), unreadable)
