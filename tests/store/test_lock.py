"""The lock of a file store, on real files."""

from __future__ import annotations

import errno
import gc
import io
import math
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import filelock
import pytest

from aries_auth import LockTimeout, StoreError
from aries_auth.store import lock as lock_module
from aries_auth.store.lock import ExclusiveLock
from tests.conftest import IN_WINE
from tests.store.conftest import IS_ROOT, NOBODY, as_ordinary_user, descriptors, mode_of, umask

if sys.platform != "win32":
    import fcntl


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t.json.lock"


def is_free(path: Path) -> bool:
    try:
        with ExclusiveLock(str(path), 0):
            return True
    except LockTimeout:
        return False


# Holding it


def test_it_is_held_in_the_block_and_free_after_it(path: Path) -> None:
    with ExclusiveLock(str(path), 1):
        assert not is_free(path)
    assert is_free(path)


def test_it_is_free_after_an_exception(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), ExclusiveLock(str(path), 1):
        raise ZeroDivisionError
    assert is_free(path)


def test_the_lock_file_stays_when_the_lock_is_released(path: Path) -> None:
    with ExclusiveLock(str(path), 1):
        before = path.stat().st_ino
    assert path.stat().st_ino == before
    with ExclusiveLock(str(path), 1):
        assert path.stat().st_ino == before


@pytest.mark.posix("permission bits")
@pytest.mark.parametrize("bits", [0, 0o022, 0o777])
def test_the_lock_file_is_0600_from_creation_on_whatever_the_umask(path: Path, bits: int) -> None:
    with umask(bits), ExclusiveLock(str(path), 1):
        assert mode_of(path) == 0o600


@pytest.mark.posix("permission bits")
def test_a_lock_file_that_is_there_keeps_its_mode(path: Path) -> None:
    path.touch()
    path.chmod(0o640)
    with ExclusiveLock(str(path), 1):
        assert mode_of(path) == 0o640


def held_files(path: Path) -> list[io.FileIO]:
    """The lock files of that name that are open; a refresh of an earlier test may still hold its own."""
    return [file for file in lock_module._open_files if not file.closed and file.name == str(path)]


def test_no_descriptor_is_left(path: Path) -> None:
    before = descriptors()
    for _ in range(3):
        with ExclusiveLock(str(path), 1), pytest.raises(LockTimeout), ExclusiveLock(str(path), 0.02):
            pass
    assert descriptors() == before
    assert not held_files(path)


@pytest.mark.posix("flock")
def test_no_program_that_is_started_inherits_it(path: Path) -> None:
    with ExclusiveLock(str(path), 1):
        held = held_files(path)
        assert [os.get_inheritable(file.fileno()) for file in held] == [False]


@pytest.mark.posix("flock")
def test_who_has_a_copy_of_its_descriptor_does_not_keep_it(path: Path) -> None:
    with ExclusiveLock(str(path), 1):
        (held,) = held_files(path)
        copy = os.dup(held.fileno())
    assert is_free(path)
    os.close(copy)


@pytest.mark.posix("flock")
def test_a_descriptor_that_cannot_be_closed_changes_no_message(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn(io.FileIO):
        def close(self) -> None:
            super().close()
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    os.mkfifo(path)
    monkeypatch.setattr(io, "FileIO", Stubborn)
    with pytest.raises(StoreError, match="no regular file"), ExclusiveLock(str(path), 0):
        pass


def test_twenty_threads_hold_it_one_at_a_time(path: Path) -> None:
    inside, most, rounds = [0], [0], [0]

    def work() -> None:
        for _ in range(5):
            with ExclusiveLock(str(path), 10):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                rounds[0] += 1
                time.sleep(0)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, rounds) == ([1], [100])


# Waiting for it


def test_a_timeout_of_zero_tries_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module.time, "sleep", lambda _seconds: pytest.fail("it waited"))
    with ExclusiveLock(str(path), 0), pytest.raises(LockTimeout, match="locked by another"), ExclusiveLock(
        str(path), 0
    ):
        pass


def test_a_timeout_of_zero_tries_once_on_a_clock_that_stands_still(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module.time, "sleep", lambda _seconds: pytest.fail("it waited"))
    with ExclusiveLock(str(path), 0), pytest.raises(LockTimeout), ExclusiveLock(str(path), 0, monotonic=lambda: 5.0):
        pass


def test_a_lock_that_is_not_had_in_time_is_a_lock_timeout_after_that_time(path: Path) -> None:
    with ExclusiveLock(str(path), 0):
        start = time.monotonic()
        with pytest.raises(LockTimeout, match=r"within 0\.2 s") as caught, ExclusiveLock(str(path), 0.2):
            pass
        assert 0.2 <= time.monotonic() - start < 1
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("timeout", [math.nan, -1])
def test_a_timeout_that_is_no_time_does_not_wait_for_ever(path: Path, timeout: float) -> None:
    with ExclusiveLock(str(path), 0), pytest.raises(LockTimeout), ExclusiveLock(str(path), timeout):
        pass


def test_who_waits_has_it_soon_after_its_release(path: Path) -> None:
    had_at = []

    def wait() -> None:
        with ExclusiveLock(str(path), 10):
            had_at.append(time.monotonic())

    with ExclusiveLock(str(path), 0):
        waiter = threading.Thread(target=wait)
        waiter.start()
        time.sleep(0.05)
        assert not had_at
    released_at = time.monotonic()
    waiter.join()
    assert had_at[0] - released_at < 1


# filelock


def test_an_outside_filelock_excludes_ours(path: Path) -> None:
    with filelock.FileLock(path):
        assert not is_free(path)
    assert is_free(path)


def test_ours_excludes_an_outside_filelock(path: Path) -> None:
    outside = filelock.FileLock(path)
    with ExclusiveLock(str(path), 0), pytest.raises(filelock.Timeout):
        outside.acquire(timeout=0)
    with outside.acquire(timeout=0):
        pass


# What may stand under its name


@pytest.mark.posix("symbolic links without a privilege")
@pytest.mark.parametrize("exists", [True, False])
def test_a_symlink_planted_at_the_locks_name_is_refused_and_not_followed(path: Path, exists: bool) -> None:
    victim = path.with_name("victim")
    if exists:
        victim.write_text("keep")
    path.symlink_to(victim)
    with pytest.raises(StoreError, match="symbolic link; remove it"), ExclusiveLock(str(path), 0):
        pass
    assert victim.exists() is exists
    assert not exists or victim.read_text() == "keep"


@pytest.mark.posix("link counts")
def test_a_hard_link_planted_at_the_locks_name_is_refused_and_not_touched(path: Path) -> None:
    victim = path.with_name("victim")
    victim.write_text("keep")
    victim.chmod(0o640)
    os.link(victim, path)
    with pytest.raises(StoreError, match="hard link"), ExclusiveLock(str(path), 0):
        pass
    assert (victim.read_text(), mode_of(victim)) == ("keep", 0o640)


def test_a_directory_at_the_locks_name_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError, match=r"Is a directory|Permission denied"), ExclusiveLock(str(path), 0):
        pass


@pytest.mark.posix("named pipes in folders")
def test_a_fifo_at_the_locks_name_is_refused_without_waiting(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(StoreError, match="no regular file"), ExclusiveLock(str(path), 0):
        pass


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
def test_a_lock_file_of_somebody_else_is_refused(path: Path) -> None:
    path.touch()
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(StoreError, match=f"belongs to user {NOBODY}"), ExclusiveLock(str(path), 0):
        pass


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_what_somebody_else_planted_in_a_world_writable_folder_is_refused(open_folder: Path, mode: int) -> None:
    path = open_folder / "t.json.lock"
    path.touch()
    path.chmod(0o666)
    os.chown(path, 1, 1)
    open_folder.chmod(mode)

    def try_it() -> None:
        with pytest.raises(StoreError), ExclusiveLock(str(path), 0):
            pass

    as_ordinary_user(try_it)


@pytest.mark.posix("permission bits")
def test_a_lock_file_that_may_not_be_opened_is_a_store_error(open_folder: Path) -> None:
    def try_it() -> None:
        path = open_folder / "t.json.lock"
        path.touch(0o000)
        with pytest.raises(StoreError, match="in a folder of your own"), ExclusiveLock(str(path), 0):
            pass

    as_ordinary_user(try_it)


def test_a_missing_folder_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"), ExclusiveLock(str(tmp_path / "gone" / "x.lock"), 0):
        pass


# What the system may say


@pytest.mark.posix("flock")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_filesystem_without_locks_is_a_clear_store_error_and_never_silent_unlocked_use(
    path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(_descriptor: int, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    before = descriptors()
    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreError, match="gives no lock") as caught, ExclusiveLock(str(path), 5):
        pytest.fail("the block ran without the lock")
    assert os.strerror(number) in str(caught.value)
    assert not isinstance(caught.value, LockTimeout)
    del caught
    assert descriptors() == before


@pytest.mark.posix("flock")
@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.EACCES])
def test_both_ways_of_saying_held_elsewhere_are_waited_for(
    path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(_descriptor: int, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(LockTimeout), ExclusiveLock(str(path), 0):
        pass


@pytest.mark.posix("flock")
def test_a_lock_file_unlinked_between_open_and_lock_is_opened_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, tries = fcntl.flock, []

    def flock(descriptor: int, operation: int) -> None:
        real(descriptor, operation)
        if not tries:
            path.unlink()
        tries.append(operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with ExclusiveLock(str(path), 1):
        monkeypatch.undo()
        assert path.exists()
        assert not is_free(path)


@pytest.mark.posix("flock")
def test_a_lock_file_replaced_between_open_and_lock_is_opened_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    replaced = []

    def flock(descriptor: int, operation: int) -> None:
        real(descriptor, operation)
        if not replaced:
            replaced.append(True)
            path.unlink()
            path.touch(0o600)

    monkeypatch.setattr(fcntl, "flock", flock)
    with ExclusiveLock(str(path), 1):
        monkeypatch.undo()
        assert not is_free(path)


@pytest.mark.posix("flock")
def test_a_symlink_to_the_lock_file_planted_between_open_and_lock_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        real(descriptor, operation)
        if not path.is_symlink():
            path.rename(path.with_name("moved"))
            path.symlink_to("moved")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreError, match="symbolic link; remove it"), ExclusiveLock(str(path), 1):
        pass


@pytest.mark.posix("removes a file that is open")
def test_a_lock_file_unlinked_while_it_is_opened_is_opened_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, opened = os.open, []

    def open_and_lose(name: Any, *arguments: Any) -> int:
        descriptor = real(name, *arguments)
        if not opened:
            path.unlink()
        opened.append(name)
        return descriptor

    monkeypatch.setattr(os, "open", open_and_lose)
    before = descriptors()
    with ExclusiveLock(str(path), 1):
        monkeypatch.undo()
        assert not is_free(path)
    assert len(opened) == 2
    assert descriptors() == before


@pytest.mark.posix("fchmod")
@pytest.mark.parametrize("call", ["fstat", "fchmod"])
def test_a_lock_file_whose_state_is_not_to_be_had_is_a_store_error(
    path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    before = descriptors()
    monkeypatch.setattr(os, call, fail)
    with umask(0o777), pytest.raises(StoreError, match="its permissions can't be set"), ExclusiveLock(str(path), 0):
        pass
    monkeypatch.undo()
    assert descriptors() == before


# Ctrl-C


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_at_any_line_leaves_the_lock_free(path: Path) -> None:
    """A KeyboardInterrupt at every line that waiting, holding and releasing run, one after the other."""
    line = 0
    for line in range(1, 500):
        interrupted_in = _interrupted_at(line, path)
        if not interrupted_in:
            break
        if interrupted_in == "__exit__":
            gc.collect()  # nothing of ours runs before its first line: PyPy closes the file when it collects
        assert is_free(path), f"the lock stayed held after a KeyboardInterrupt at line event {line}"
    assert line > 20


def _interrupted_at(number: int, path: Path) -> str:
    """The name of the function that was interrupted, "" if it came to its end."""
    left = [number]
    where = [""]

    def trace(frame: Any, event: str, _argument: Any) -> Any:
        if frame.f_code.co_filename != lock_module.__file__:
            return trace if frame.f_code.co_filename.endswith("contextlib.py") else None
        if event == "line":
            left[0] -= 1
            if left[0] == 0:
                sys.settrace(None)
                where[0] = frame.f_code.co_name
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    try:
        sys.settrace(trace)
        with ExclusiveLock(str(path), 1):
            pass
    except KeyboardInterrupt:
        return where[0]
    finally:
        sys.settrace(before)
    return ""


# Older filelocks


@pytest.fixture
def old_filelock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A filelock without `lock_descriptor`, which is all that Python 3.8 and 3.9 can have."""
    monkeypatch.delattr(filelock, "lock_descriptor", raising=False)
    lock_module._primitive.cache_clear()
    yield
    lock_module._primitive.cache_clear()


@pytest.mark.skipif(IN_WINE, reason="Wine's _locking does not say that somebody else holds the lock")
def test_with_an_older_filelock_the_lock_is_the_same(path: Path, old_filelock: Any) -> None:
    outside = filelock.FileLock(path)
    with ExclusiveLock(str(path), 0):
        assert not is_free(path)
        with pytest.raises(filelock.Timeout):
            outside.acquire(timeout=0)
    with outside.acquire(timeout=0):
        assert not is_free(path)
    assert is_free(path)


@pytest.mark.posix("flock")
def test_with_an_older_filelock_a_filesystem_without_locks_is_told(
    path: Path, old_filelock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreError, match="gives no lock"), ExclusiveLock(str(path), 5):
        pass


def test_filelock_takes_the_lock_where_it_can(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(filelock, "lock_descriptor"):
        pytest.skip("this filelock can't")
    taken: list[int] = []
    real = filelock.lock_descriptor

    def lock(descriptor: int, *, blocking: bool) -> bool:
        taken.append(descriptor)
        return real(descriptor, blocking=blocking)

    monkeypatch.setattr(filelock, "lock_descriptor", lock)
    lock_module._primitive.cache_clear()
    try:
        with ExclusiveLock(str(path), 0):
            assert taken
    finally:
        lock_module._primitive.cache_clear()


def test_an_interrupted_wait_leaves_no_lock_to_the_collector(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyPy collects later: what the wait has taken is released by it, and not by its end."""
    real = lock_module._same_file

    def interrupted(*arguments: Any) -> bool:
        real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(lock_module, "_same_file", interrupted)
    lock = ExclusiveLock(str(path), 1)
    with pytest.raises(KeyboardInterrupt):
        lock.__enter__()
    monkeypatch.undo()
    assert is_free(path)  # while `lock` still lives
