"""What is said of processes: real ones share a file, its lock frees itself with its holder, a fork leaves it alone."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any, Callable

import filelock
import pytest

from aries_auth import FileTokenStore, LockTimeout, StoreError, Token
from tests.store.conftest import Child, some_token


def count(store: FileTokenStore) -> int:
    token = store.load()
    return 0 if token is None else int(token.access_token)


def increment(store: FileTokenStore, times: int) -> None:
    for _ in range(times):
        with store.locked() as entry:
            before = entry.load()
            entry.reserve()
            entry.save(Token(str((0 if before is None else int(before.access_token)) + 1)))


class Signal:
    """Says something from one process to the other, once."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def give(self) -> None:
        os.write(self._write, b"x")

    def wait(self) -> None:
        assert os.read(self._read, 1) == b"x"

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


@pytest.fixture
def signals() -> Any:
    made: list[Signal] = []

    def make() -> Signal:
        made.append(Signal())
        return made[-1]

    yield make
    for one in made:
        one.close()


def forked() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: threads of other tests may be alive
        return os.fork()


def holding(store: FileTokenStore, has_it: Signal, work: Callable[[Any], Any] = lambda _entry: time.sleep(60)) -> Child:
    """A child that holds the lock, and works in it."""

    def hold() -> None:
        with store.locked() as entry:
            has_it.give()
            work(entry)

    child = Child(hold)
    has_it.wait()
    return child


@pytest.mark.posix("fork")
def test_eight_processes_that_increment_through_locked_lose_nothing(store: FileTokenStore) -> None:
    children = [Child(lambda: increment(store, 10)) for _ in range(8)]
    assert [child.wait() for child in children] == [0] * 8
    assert count(store) == 80


@pytest.mark.posix("fork")
def test_readers_without_the_lock_see_the_old_or_the_new_token_whole(store: FileTokenStore) -> None:
    store.save(Token("0"))
    writer = Child(lambda: increment(store, 50))
    seen = [0]
    while seen[-1] < 50:
        seen.append(count(store))
    assert seen == sorted(seen)
    assert writer.wait() == 0


@pytest.mark.posix("fork")
def test_a_lock_that_another_process_holds_is_a_lock_timeout(store: FileTokenStore, signals: Any) -> None:
    child = holding(store, signals())
    start = time.monotonic()
    with pytest.raises(LockTimeout), store.locked(0):
        pass
    assert time.monotonic() - start < 1
    with pytest.raises(LockTimeout), store.locked(0.2):
        pass
    assert 0.2 <= time.monotonic() - start < 2
    child.kill(signal.SIGKILL)
    child.wait()


@pytest.mark.posix("fork")
def test_a_holder_that_is_killed_frees_the_lock_at_once_and_its_reservation_is_cleaned_up(
    store: FileTokenStore, path: Path, signals: Any
) -> None:
    store.save(some_token())
    child = holding(store, signals(), lambda entry: (entry.reserve(), time.sleep(60)))
    while not path.with_name(".t.json.tmp").exists():
        time.sleep(0.001)
    child.kill(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    with store.locked(0) as entry:
        assert path.with_name(".t.json.tmp").exists()
        assert entry.load() == some_token()
        entry.save(some_token("x"))
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["t.json", "t.json.lock"]


@pytest.mark.posix("fork")
def test_a_holder_that_is_stopped_keeps_the_lock_and_who_waits_gives_up_in_time(
    store: FileTokenStore, signals: Any
) -> None:
    has_it, go_on = signals(), signals()
    child = holding(store, has_it, lambda _entry: go_on.wait())
    child.kill(signal.SIGSTOP)
    with pytest.raises(LockTimeout), store.locked(0.05):
        pass
    child.kill(signal.SIGCONT)
    go_on.give()
    assert child.wait() == 0
    with store.locked(0):
        pass


@pytest.mark.posix("fork")
def test_who_waits_gets_the_lock_when_its_holder_is_killed(store: FileTokenStore, signals: Any) -> None:
    child = holding(store, signals())
    killer = threading.Timer(0.05, lambda: child.kill(signal.SIGKILL))
    killer.start()
    start = time.monotonic()
    with store.locked(10):
        assert time.monotonic() - start < 2
    killer.join()
    child.wait()


@pytest.mark.posix("fork")
def test_a_crash_at_any_instant_leaves_the_old_or_the_new_token_whole(store: FileTokenStore) -> None:
    store.save(Token("0"))
    chance = random.Random(4)
    for _ in range(40):
        before = count(store)
        child = Child(lambda: increment(store, 10_000))
        time.sleep(chance.random() * 0.01)
        child.kill(signal.SIGKILL)
        child.wait()
        assert count(store) >= before
        with store.locked(0):
            pass
    increment(store, 1)
    assert not list(Path(store.path).parent.glob("*.tmp")) + list(Path(store.path).parent.glob(".*.tmp"))


# A child that is forked inside the block


@pytest.mark.posix("fork")
def test_a_child_forked_in_the_block_does_not_release_its_parents_lock_where_it_leaves_it(
    store: FileTokenStore, signals: Any
) -> None:
    left = signals()
    pid = -1
    try:
        with store.locked() as entry:
            entry.reserve()
            pid = forked()
            if pid:
                left.wait()
                with pytest.raises(LockTimeout), store.locked(0):
                    pass
                entry.save(some_token())
        if not pid:
            left.give()
    finally:
        if not pid:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert store.load() == some_token()


@pytest.mark.posix("fork")
def test_a_child_forked_in_the_block_does_not_keep_its_parents_lock(store: FileTokenStore, signals: Any) -> None:
    checked = signals()
    with store.locked():
        child = Child(checked.wait)
    with store.locked(0):
        pass
    checked.give()
    assert child.wait() == 0


@pytest.mark.posix("fork")
def test_a_child_forked_in_the_block_does_not_keep_the_lock_of_a_parent_that_is_killed(
    store: FileTokenStore, signals: Any
) -> None:
    has_it, end = signals(), signals()

    def hold_and_fork() -> None:
        with store.locked():
            if forked() == 0:
                has_it.give()
                end.wait()
                os._exit(0)
            time.sleep(60)

    parent = Child(hold_and_fork)
    has_it.wait()
    parent.kill(signal.SIGKILL)
    parent.wait()
    try:
        with store.locked(0):
            pass
    finally:
        end.give()


@pytest.mark.posix("fork")
def test_a_child_forked_in_the_block_cannot_take_the_entry_for_its_own(store: FileTokenStore) -> None:
    store.save(some_token())
    with store.locked() as entry:

        def use_it() -> None:
            for act in (entry.reserve, lambda: entry.save(some_token("of-the-child"))):
                with pytest.raises(StoreError, match="forked"):
                    act()

        assert Child(use_it).wait() == 0
        assert store.load() == some_token()
        entry.save(some_token("x"))
    assert store.load() == some_token("x")


@pytest.mark.posix("fork")
def test_a_child_forked_in_the_block_can_wait_for_the_lock_itself(store: FileTokenStore) -> None:
    with store.locked():
        child = Child(lambda: increment(store, 1))
        time.sleep(0.02)
        assert count(store) == 0
    assert child.wait() == 0
    assert count(store) == 1


@pytest.mark.posix("fork")
def test_a_child_forked_while_a_thread_holds_the_lock_is_not_in_its_way(store: FileTokenStore) -> None:
    held, end = threading.Event(), threading.Event()

    def hold() -> None:
        with store.locked():
            held.set()
            end.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = Child(lambda: increment(store, 1))
    end.set()
    thread.join()
    assert child.wait() == 0
    assert count(store) == 1


# Other programs


@pytest.mark.posix("fork")
def test_an_outside_filelock_in_another_process_and_ours_exclude_each_other(
    store: FileTokenStore, path: Path, signals: Any
) -> None:
    store.save(some_token())
    has_it, end = signals(), signals()

    def hold_with_filelock() -> None:
        with filelock.FileLock(f"{path}.lock"):
            has_it.give()
            end.wait()

    child = Child(hold_with_filelock)
    has_it.wait()
    with pytest.raises(LockTimeout), store.locked(0):
        pass
    end.give()
    assert child.wait() == 0

    def try_with_filelock() -> None:
        with pytest.raises(filelock.Timeout):
            filelock.FileLock(f"{path}.lock").acquire(timeout=0)

    with store.locked(0):
        assert Child(try_with_filelock).wait() == 0


def test_a_program_that_is_started_in_the_block_does_not_keep_the_lock(store: FileTokenStore) -> None:
    with store.locked():
        program = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    with store.locked(0):
        pass
    program.communicate(b"\n")


def test_a_process_that_ends_while_it_holds_the_lock_says_nothing_and_frees_it(path: Path) -> None:
    program = (
        "import sys; from aries_auth import FileTokenStore\n"
        f"held = FileTokenStore({str(path)!r}).locked(); entry = held.__enter__(); entry.reserve()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert ended.stderr == b""
    with FileTokenStore(path).locked(0):
        pass


def test_a_store_that_was_pickled_to_another_process_shares_file_and_lock(store: FileTokenStore) -> None:
    worker = multiprocessing.get_context("spawn").Process(target=increment, args=(store, 3))
    worker.start()
    increment(store, 3)
    worker.join()
    assert worker.exitcode == 0
    assert count(store) == 6
    assert json.loads(Path(store.path).read_text())["access_token"] == "6"
