"""Waiting for a store's lock while a person looks on: after a moment they are told what is waited for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Callable, Generator

from aries_auth.singleflight.clock import monotonic
from aries_auth.store import StoreEntry, TokenStore, locked_in_slices, store_name
from aries_auth.store.holder import holder_text

NOTICE_AFTER = 2.0


@contextmanager
def locked_with_notice(store: TokenStore, say: Callable[[str], object]) -> Generator[StoreEntry, None, None]:
    """Hold the lock of a store, and say so if that takes more than two seconds to get.

    Raises:
        LockTimeout: somebody else held it for the store's own time-out.
    """
    begun = monotonic()
    told = False

    def look_on() -> bool:
        nonlocal told
        if not told and monotonic() - begun >= NOTICE_AFTER:
            told = True
            say(f"Waiting for the lock of {store_name(store)}{holder_text(store)}.")
        return False

    with locked_in_slices(store, should_stop=look_on) as entry:
        yield entry
