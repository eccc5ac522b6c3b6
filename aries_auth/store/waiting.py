"""Waiting for a store's lock, in slices, so that the wait can end when Python does."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import Callable, Generator

from aries_auth.errors import LockTimeout
from aries_auth.singleflight.clock import monotonic
from aries_auth.store.holder import holder_note, holder_text, lock_path
from aries_auth.store.protocol import StoreEntry, TokenStore, store_lock_timeout, store_name

NOTICE_AFTER = 2.0  # seconds
_SLICE = 0.25


@contextmanager
def locked_in_slices(
    store: TokenStore,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    on_wait: Callable[[str], object] | None = None,
) -> Generator[StoreEntry, None, None]:
    """Hold the lock of a store, whoever wrote it, and yield its entry; waits the store's own `lock_timeout` for it.

    Args:
        store: the store.
        should_stop: asked between two slices of the wait, four times per second. True ends the wait.
        on_wait: told what is waited for, once, if that takes more than two seconds.

    Raises:
        LockTimeout: somebody else held the lock all that time, or `should_stop` said so.
        Exception: whatever the store raises.
    """
    with ExitStack() as lock:
        yield _enter(lock, store, should_stop, on_wait)


def _enter(
    lock: ExitStack, store: TokenStore, should_stop: Callable[[], bool], on_wait: Callable[[str], object] | None
) -> StoreEntry:
    longest, begun = store_lock_timeout(store), monotonic()
    while True:
        try:
            return lock.enter_context(store.locked(min(_SLICE, longest)))
        except LockTimeout:
            if should_stop():
                raise LockTimeout(f"Gave up waiting for the lock of {store_name(store)}: Python is exiting.") from None
            waited = monotonic() - begun
            if not waited < longest:  # a NaN must not wait for ever
                break
        if on_wait is not None and waited >= NOTICE_AFTER:
            on_wait(f"Waiting for the lock of {store_name(store)}{holder_text(store)}.")
            on_wait = None
    path = lock_path(store)
    holder = "" if path is None else holder_note(path)
    raise LockTimeout(
        f"{store_name(store)} stayed locked for {longest:g} s by another process or thread{holder}; nothing was sent. "
        "Try again; if it stays so, look for a hung process that uses this store."
    )
