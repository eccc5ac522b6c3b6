"""docs/architecture.md, "Nothing is lost" and "Store": a save that fails, and its token."""

from __future__ import annotations

import errno
import logging
import os
import textwrap
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from aries_auth import AriesAuth, FileTokenStore, LockTimeout, LoginRequired, StoreError, Token
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED, FRESH, Background, Program, our_threads, wait_until
from tests.inside import pending_save_of, source_of

Stored = Callable[..., Token]
MakeAuth = Callable[..., AriesAuth]


class FullDisk(FileTokenStore):
    """A file store on a disk that is full from the reservation on, until it is mended."""

    full = True
    saves = 0

    @property
    def is_locked(self) -> bool:
        try:
            with super().locked(0):
                return False
        except LockTimeout:
            return True

    @contextmanager
    def locked(self, timeout: Any = None) -> Iterator[Any]:
        with super().locked(timeout) as entry:
            save = entry.save

            def fail(token: Token) -> None:
                self.saves += 1
                if self.full:
                    raise StoreError(os.strerror(errno.ENOSPC))
                save(token)

            entry.save = fail  # type: ignore[method-assign]
            yield entry


class Breaking(FullDisk):
    """A database that goes away when it has refused so many saves, and its lock with it."""

    refusals = 1

    @contextmanager
    def locked(self, timeout: Any = None) -> Iterator[Any]:
        first = self.saves == 0
        with super().locked(timeout) as entry:
            load = entry.load

            def lose() -> Any:
                if first and self.saves >= self.refusals:
                    raise StoreError("the connection is lost")
                return load()

            entry.load = lose  # type: ignore[method-assign]
            yield entry
        if first:
            raise StoreError("the connection is lost")


def saved(store: FileTokenStore) -> str:
    return (store.load() or Token("none")).access_token


@pytest.fixture
def disk(store_path: Path, stored: Stored) -> FullDisk:
    stored(age=EXPIRED)
    return FullDisk(store_path)


def test_a_save_that_fails_keeps_the_token_in_memory_warns_once_and_is_repeated(
    make_auth: MakeAuth, disk: FullDisk, store: FileTokenStore, aries: AriesSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    auth = make_auth(store=disk)
    begun = time.monotonic()
    token = auth.get_token()
    assert time.monotonic() - begun < 0.9, "the call does not wait for it"
    wait_until(lambda: disk.saves >= 2)
    assert time.monotonic() - begun > 0.9, "at most once a second"
    for _ in range(100):
        assert auth.get_token() == token
    assert disk.saves <= 4
    disk.full = False
    wait_until(lambda: saved(store) == token)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].getMessage().startswith("The new token could not be saved; ")
    assert warnings[0].getMessage().endswith(": No space left on device")
    assert aries.refresh_count == 1


def test_when_it_is_saved_the_thread_ends_and_the_log_says_so(
    make_auth: MakeAuth, disk: FullDisk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "aries_auth")
    monkeypatch.setattr("aries_auth.refresh.pending_save._SAVE_INTERVAL", 0.1)
    before = our_threads()
    make_auth(store=disk).get_token()
    wait_until(lambda: "The token could still not be saved: No space left on device" in caplog.text)
    with pytest.raises(LockTimeout), disk.locked(0):
        pass
    disk.full = False
    wait_until(lambda: f"The token that could not be saved is in {disk.path} now" in caplog.text)
    wait_until(lambda: our_threads() <= before, timeout=5.0)


def test_it_is_repeated_for_as_long_as_the_lock_is_kept_with_no_use_of_the_object(
    make_auth: MakeAuth, disk: FullDisk, store: FileTokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aries_auth.refresh.pending_save._SAVE_INTERVAL", 0.05)
    monkeypatch.setattr("aries_auth.refresh.pending_save._SAVING_AGAIN", 0.0)
    token = make_auth(store=disk).get_token()
    wait_until(lambda: disk.saves >= 8)
    disk.full = False
    wait_until(lambda: saved(store) == token)


def test_a_lock_that_cannot_be_given_back_keeps_no_token_from_the_hot_path(
    make_auth: MakeAuth, disk: FullDisk, store: FileTokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unclosable(FullDisk):
        """A database whose connection is lost while its lock is kept."""

        @contextmanager
        def locked(self, timeout: Any = None) -> Iterator[Any]:
            with super().locked(timeout) as entry:
                yield entry
            raise StoreError("the connection is lost")

    monkeypatch.setattr("aries_auth.refresh.pending_save._SAVE_INTERVAL", 0.1)
    unclosable = Unclosable(store.path)
    auth = make_auth(store=unclosable)
    token = auth.get_token()
    unclosable.full = False
    wait_until(lambda: saved(store) == token)
    slot = source_of(auth).slot
    wait_until(lambda: slot.cached.token.access_token == token)


def test_a_save_that_succeeds_as_somebody_asks_about_it_stays_done(
    make_auth: MakeAuth, disk: FullDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aries_auth.refresh.pending_save._SAVE_INTERVAL", 0.1)
    asking = threading.current_thread()

    def saved_meanwhile() -> float:
        if threading.current_thread() is asking:
            disk.full = False
            wait_until(lambda: not disk.is_locked)
        return time.monotonic()

    auth = make_auth(store=disk)
    auth.get_token()
    wait_until(lambda: disk.saves >= 2)
    monkeypatch.setattr("aries_auth.refresh.pending_save.monotonic", saved_meanwhile)
    assert auth.wait(0.0), "it came back"


def test_the_lock_is_kept_so_that_nobody_sends_the_spent_token(
    make_auth: MakeAuth, disk: FullDisk, store: FileTokenStore, aries: AriesSandbox
) -> None:
    token = make_auth(store=disk).get_token()
    other = make_auth(timeout=0.2)
    with pytest.raises(LockTimeout), store.locked(0):
        pass
    with pytest.raises(Exception, match="time-out"):
        other.get_token()
    disk.full = False
    wait_until(lambda: other.token is not None and other.token.access_token == token)
    assert other.get_token() == token
    with store.locked(1.0):
        pass
    assert aries.reused_refresh_tokens == 0


def test_a_later_refresh_runs_while_a_save_is_repeated(
    make_auth: MakeAuth, disk: FullDisk, store: FileTokenStore, aries: AriesSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    auth = make_auth(store=disk)
    auth.get_token()
    auth.refresh()
    newest = auth.refresh()
    assert aries.refresh_count == 3
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    disk.full = False
    wait_until(lambda: store.load() == newest)
    assert aries.reused_refresh_tokens == 0


def test_where_the_lock_was_lost_meanwhile_the_newest_token_is_saved_all_the_same(
    make_auth: MakeAuth, disk: FullDisk, store: FileTokenStore, aries: AriesSandbox
) -> None:
    class LostConnection(FullDisk):
        """A database that restarts: the row is free, and what was open is of no use any more."""

        @contextmanager
        def locked(self, timeout: Any = None) -> Iterator[Any]:
            waits.append(timeout)
            with super().locked(timeout) as entry:
                load, before = entry.load, self.saves

                def lose() -> Any:
                    if before == 0 and self.saves == 2:
                        raise StoreError("the connection is lost")
                    return load()

                entry.load = lose  # type: ignore[method-assign]
                yield entry

    waits: list[float] = []
    lost = LostConnection(store.path)
    auth = make_auth(store=lost)
    auth.get_token()
    newest = auth.refresh()
    lost.full = False
    wait_until(lambda: store.load() == newest)
    assert aries.refresh_count == 2
    assert waits == [0.25, 0.25], "short, since a refresh may come"


@pytest.mark.parametrize("refusals", [1, 3], ids=["at once", "in the repetition"])
def test_where_the_lock_is_lost_it_is_let_go_and_the_token_saved_under_another(
    make_auth: MakeAuth, disk: FullDisk, store: FileTokenStore, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    monkeypatch.setattr("aries_auth.refresh.pending_save._SAVE_INTERVAL", 0.1)
    breaking = Breaking(store.path)
    breaking.refusals = refusals
    token = make_auth(store=breaking).get_token()
    with store.locked(5.0):
        assert breaking.saves >= refusals
    breaking.full = False
    wait_until(lambda: saved(store) == token)


def test_where_the_lock_is_lost_a_login_by_somebody_else_is_not_overwritten(
    make_auth: MakeAuth,
    disk: FullDisk,
    stored: Stored,
    store: FileTokenStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "aries_auth")
    monkeypatch.setattr("aries_auth.refresh.pending_save._SAVE_INTERVAL", 0.1)
    breaking = Breaking(store.path)
    auth = make_auth(store=breaking)
    auth.get_token()
    newer = stored(age=FRESH)
    breaking.full = False
    pending = pending_save_of(auth)
    wait_until(lambda: pending.idle)
    assert store.load() == newer
    assert f"{store.path} was changed by somebody else; the token that could not be saved is given up" in caplog.text


def test_where_no_thread_is_to_be_had_the_next_uses_save_it(
    make_auth: MakeAuth, disk: FullDisk, store: FileTokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in Python 3.12, once the main thread has ended."""
    start = threading.Thread.start

    def start_others(thread: threading.Thread) -> None:
        if thread.name.startswith("aries-auth"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_others)
    monkeypatch.setattr("aries_auth.refresh.pending_save._SAVE_INTERVAL", 0.1)
    auth = make_auth(store=disk)
    token = auth.get_token()
    saves = disk.saves
    for _ in range(100):
        assert auth.get_token() == token
    assert disk.saves <= saves + 5
    disk.full = False
    wait_until(lambda: auth.get_token() == saved(store))


def test_an_fsync_that_fails_does_not_stop_the_replace_and_the_save_is_repeated(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    caplog.set_level(logging.INFO, "aries_auth")
    stored(age=EXPIRED)
    fsync = os.fsync
    calls = []

    def fails(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fails)
    auth = make_auth()
    token = auth.get_token()
    assert saved(store) == token, "others see the new token rather than the spent one"
    with store.locked(1.0):
        pass
    assert "could not be saved" in caplog.text
    again = auth.refresh()
    assert store.load() == again
    monkeypatch.setattr(os, "fsync", fsync)
    pending = pending_save_of(auth)
    wait_until(lambda: pending.idle)
    assert "changed by somebody else" not in caplog.text


def test_a_directory_in_the_files_place_is_outlived(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, aries: AriesSandbox
) -> None:
    stored(age=EXPIRED)
    aries.fail(delay=0.2)
    auth = make_auth()
    waiting = Background(auth.get_token)
    aries.wait_for_requests(1)
    Path(store.path).unlink()
    Path(store.path).mkdir()
    token = waiting.outcome()
    assert auth.get_token() == token
    Path(store.path).rmdir()
    wait_until(lambda: saved(store) == token)


def test_a_folder_that_was_removed_is_made_again(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, aries: AriesSandbox
) -> None:
    stored(age=EXPIRED)
    aries.fail(delay=0.2)
    waiting = Background(make_auth().get_token)
    aries.wait_for_requests(1)
    folder = Path(store.path).parent
    folder.rename(f"{folder}.gone")
    token = waiting.outcome()
    assert saved(store) == token


def test_a_store_that_cannot_be_written_keeps_the_refresh_token_from_being_spent(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, aries: AriesSandbox
) -> None:
    stored(age=EXPIRED)

    class ReadOnly(FileTokenStore):
        @contextmanager
        def locked(self, timeout: Any = None) -> Iterator[Any]:
            with super().locked(timeout) as entry:

                def refuse() -> None:
                    raise StoreError(os.strerror(errno.EROFS))

                entry.reserve = refuse  # type: ignore[method-assign]
                yield entry

    with pytest.raises(StoreError, match="Read-only"):
        make_auth(store=ReadOnly(store.path)).get_token()
    assert aries.token_requests == ()


def test_a_login_by_somebody_else_ends_the_repetition(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, aries: AriesSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(age=EXPIRED)
    monkeypatch.setattr(os, "fsync", lambda _descriptor: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
    auth = make_auth()
    auth.get_token()  # replaced, but not durable: the lock is free
    monkeypatch.undo()
    newer = stored()
    pending = pending_save_of(auth)
    wait_until(lambda: pending.idle)
    assert store.load() == newer
    assert auth.refresh() == newer


def test_a_logout_ends_the_repetition(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(age=EXPIRED)
    monkeypatch.setattr(os, "fsync", lambda _descriptor: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
    auth = make_auth()
    token = auth.get_token()
    monkeypatch.undo()
    store.delete()
    pending = pending_save_of(auth)
    wait_until(lambda: pending.idle)
    assert auth.get_token() == token, "it serves until it expires"
    with pytest.raises(LoginRequired):
        auth.refresh()
    assert store.load() is None


def test_at_the_interpreters_end_it_is_tried_again(stored: Stored, store: FileTokenStore, program: Program) -> None:
    stored(age=EXPIRED)
    output = program("""
        import errno
        failures, replace = [], os.replace
        def fails_twice(*names):
            failures.append(1)
            if len(failures) < 3:
                raise OSError(errno.ENOSPC, "full")
            replace(*names)
        os.replace = fails_twice
        print(make_auth().get_token())
    """)
    assert saved(store) == output.strip()


# A process whose new token is nowhere but in its memory, until `os.replace` is mended.
UNSAVED = """
import errno
replace = os.replace
def fails(*names):
    raise OSError(errno.ENOSPC, "full")
os.replace = fails
auth = make_auth()
token = auth.get_token()
"""


def test_a_forked_child_has_the_token_that_its_parent_could_not_save(
    stored: Stored, store: FileTokenStore, aries: AriesSandbox, program: Program
) -> None:
    stored(age=EXPIRED)
    output = program(
        UNSAVED
        + textwrap.dedent("""
        child = os.fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
            os.replace = replace
            print(token)
        else:
            assert auth.get_token() == token, "the child has it, too"
            os._exit(0)
    """)
    )
    assert saved(store) == output.strip()
    assert aries.reused_refresh_tokens == 0


def test_a_forked_child_refreshes_the_token_that_its_parent_could_not_save(
    stored: Stored, store: FileTokenStore, aries: AriesSandbox, program: Program
) -> None:
    stored(age=EXPIRED)
    output = program(
        UNSAVED
        + textwrap.dedent("""
        child = os.fork()
        os.replace = replace
        if child:
            assert os.waitpid(child, 0)[1] == 0
        else:
            print(auth.refresh().access_token, flush=True)
            os._exit(0)
    """)
    )
    assert saved(store) == output.strip()
    assert aries.refresh_count == 2
    assert aries.reused_refresh_tokens == 0


def test_a_forked_child_refreshes_ahead_the_token_that_its_parent_could_not_save(
    stored: Stored, store: FileTokenStore, aries: AriesSandbox, program: Program
) -> None:
    stored(age=EXPIRED)
    aries.rules.access_token_lifetime = 2.0  # the margin is its last half second
    output = program(
        UNSAVED
        + textwrap.dedent("""
        time.sleep(1.55)
        child = os.fork()
        os.replace = replace
        if child:
            assert os.waitpid(child, 0)[1] == 0
        else:
            while auth.get_token() == token:  # the parent has the lock until it has saved
                time.sleep(0.01)
            print(auth.token.access_token, flush=True)
            os._exit(0)
    """)
    )
    assert saved(store) == output.strip()
    assert aries.refresh_count == 2
    assert aries.reused_refresh_tokens == 0
