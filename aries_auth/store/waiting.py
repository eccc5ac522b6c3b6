"""Waiting for a store's lock, in slices, so that the wait can end when Python does."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import Callable, Generator

from aries_auth.errors import LockTimeout
from aries_auth.singleflight.clock import monotonic
from aries_auth.store.holder import holder_note, lock_path
from aries_auth.store.protocol import StoreEntry, TokenStore, store_lock_timeout, store_name

_SLICE = 0.25


@contextmanager
def locked_in_slices(
    store: TokenStore, timeout: float | None = None, *, should_stop: Callable[[], bool]
) -> Generator[StoreEntry, None, None]:
    """Hold the lock of a store, whoever wrote it, and yield its entry.

    Args:
        store: the store.
        timeout: seconds to wait for the lock; None waits the store's own `lock_timeout`.
        should_stop: asked between two slices of the wait, four times per second. True ends the wait.

    Raises:
        LockTimeout: somebody else held the lock all that time, or `should_stop` said so.
        Exception: whatever the store raises.
    """
    longest = store_lock_timeout(store) if timeout is None else timeout
    with ExitStack() as lock:
        yield _enter(lock, store, longest, should_stop)


def _enter(lock: ExitStack, store: TokenStore, longest: float, should_stop: Callable[[], bool]) -> StoreEntry:
    deadline = monotonic() + longest
    while True:
        try:
            return lock.enter_context(store.locked(min(_SLICE, longest)))
        except LockTimeout:
            if should_stop():
                raise LockTimeout(f"Gave up waiting for the lock of {store_name(store)}: Python is exiting.") from None
            if not monotonic() < deadline:  # a NaN must not wait for ever
                break
    path = lock_path(store)
    holder = "" if path is None else holder_note(path)
    raise LockTimeout(
        f"{store_name(store)} stayed locked for {longest:g} s by another process or thread{holder}; nothing was sent. "
        "Try again; if it stays so, look for a hung process that uses this store."
    )
