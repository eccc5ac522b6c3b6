"""Waiting for a store's lock in slices: any store's, for as long as it says, until somebody says stop."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import Any, Iterator

import pytest

from aries_auth import FileTokenStore, LockTimeout, StoreError
from aries_auth.store import locked_in_slices, store_command_options, store_lock_timeout, store_name
from tests.store.conftest import some_token


def going_on() -> bool:
    return False


def test_the_block_holds_the_lock_and_ends_with_it(store: FileTokenStore) -> None:
    with locked_in_slices(store, should_stop=going_on) as entry:
        entry.save(some_token())
        with pytest.raises(LockTimeout), store.locked(0):
            pass
    with store.locked(0):
        assert store.load() == some_token()


def test_a_wait_of_many_slices_has_the_lock_in_the_end(store: FileTokenStore) -> None:
    has_it = threading.Event()

    def hold() -> None:
        with store.locked():
            has_it.set()
            time.sleep(0.7)

    holder = threading.Thread(target=hold)
    holder.start()
    has_it.wait()
    with locked_in_slices(store, should_stop=going_on):
        assert not holder.is_alive() or holder.join(5.0) is None
    holder.join()


def test_the_stores_own_time_out_is_waited_and_the_message_says_that_nothing_was_sent(path: Any) -> None:
    store = FileTokenStore(path, lock_timeout=0.4)
    begun = time.monotonic()
    said = pytest.raises(LockTimeout, match=r"stayed locked for 0\.4 s .*nothing was sent")
    with store.locked(), said, locked_in_slices(store, should_stop=going_on):
        pass
    assert 0.4 <= time.monotonic() - begun < 2


def test_whoever_says_stop_is_obeyed_between_two_slices(store: FileTokenStore) -> None:
    begun = time.monotonic()
    said = pytest.raises(LockTimeout, match="Python is exiting")
    with store.locked(), said, locked_in_slices(store, should_stop=lambda: True):
        pass
    assert time.monotonic() - begun < 2


def test_a_time_out_that_is_no_time_does_not_wait_for_ever(store: FileTokenStore) -> None:
    store.lock_timeout = float("nan")
    with store.locked(1.0), pytest.raises(LockTimeout), locked_in_slices(store, should_stop=going_on):
        pass


def test_who_waits_for_more_than_two_seconds_is_told_once_what_for(path: Any) -> None:
    store = FileTokenStore(path, lock_timeout=3.0)
    told: list[tuple[str, float]] = []
    begun = time.monotonic()
    with store.locked(), pytest.raises(LockTimeout), locked_in_slices(
        store, on_wait=lambda text: told.append((text, time.monotonic() - begun))
    ):
        pass
    ((text, after),) = told
    assert text.startswith(f"Waiting for the lock of {path}")
    assert 2.0 <= after < 3.0


def test_who_waits_for_less_is_told_nothing(path: Any) -> None:
    store = FileTokenStore(path, lock_timeout=0.5)
    with store.locked(), pytest.raises(LockTimeout), locked_in_slices(store, on_wait=pytest.fail):
        pass


class Own:
    """A store of the caller's, with nothing but the four methods."""

    def __init__(self) -> None:
        self.asked: list[float | None] = []

    @contextmanager
    def locked(self, timeout: float | None = None) -> Iterator[str]:
        self.asked.append(timeout)
        yield "entry"

    def __str__(self) -> str:
        return "my store"


def test_a_store_with_no_attributes_gets_the_defaults() -> None:
    own: Any = Own()
    assert (store_name(own), store_lock_timeout(own), store_command_options(own)) == ("my store", 45.0, None)
    with locked_in_slices(own, should_stop=going_on) as entry:
        assert (entry, own.asked) == ("entry", [0.25])


def test_what_a_store_raises_comes_through() -> None:
    class Broken(Own):
        def locked(self, timeout: float | None = None) -> Any:
            raise StoreError("no lock here")

    broken: Any = Broken()
    with pytest.raises(StoreError, match="no lock here"), locked_in_slices(broken, should_stop=going_on):
        pass
