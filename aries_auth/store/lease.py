"""Lease: the lock of a store, as an object that says who has it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import ContextManager

from aries_auth.store.protocol import StoreEntry

# What a forked child must neither release nor collect: the parent holds it, and a store of the caller's own may not
# compare process ids.
_inherited: list[ContextManager[StoreEntry]] = []


class Lease:
    """The lock of a store while this object has it.

    Used as a context manager, it releases the lock at the end of the block, unless `hand_on` gave it to another
    lease meanwhile: a save that failed keeps the lock beyond the refresh.

    Args:
        lock: what the store's ``locked()`` returned; it is entered here.
    """

    def __init__(self, lock: ContextManager[StoreEntry]) -> None:
        self.entry: StoreEntry = lock.__enter__()
        self._lock: ContextManager[StoreEntry] | None = lock
        self._owner = os.getpid()

    def hand_on(self) -> Lease:
        """Another lease, which has the lock from now on."""
        other: Lease = Lease.__new__(Lease)
        other.entry, other._lock, other._owner = self.entry, self._lock, self._owner
        self._lock = None
        return other

    def release(self) -> None:
        """Give the lock back, if this lease has it; an error of the store's keeps nobody from going on."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        if os.getpid() != self._owner:
            _inherited.append(lock)
            return
        with suppress(Exception):
            lock.__exit__(None, None, None)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()
