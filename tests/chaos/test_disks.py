"""Disks that are full, read-only, gone or broken, before and in the middle of a token request.

Before: the refresh token is not spent. After: the new token is kept in memory, calls go on, it is saved when that can
be done again, and meanwhile no other process sends the spent one.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Iterator

import pytest

from .conftest import EXPIRED, IN_MARGIN, Bench, wait_until
from .zygote import Victim, Zygote

if sys.platform != "win32":
    import resource

NOBODY = 65534
SAVED_AGAIN = 6.0  # seconds; it is tried once a second
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0

pytestmark = [
    pytest.mark.ci,
    pytest.mark.noisy,
    pytest.mark.chaos,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not IS_ROOT, reason="only root can mount, and become another user"),
]


class Disk:
    """A fault of a disk, switched on and off while processes use a store there."""

    user: int | None = None
    first_error = "StoreError"

    def __init__(self, bench: Bench, zygote: Zygote) -> None:
        self.bench = bench
        self.zygote = zygote
        self.victims: list[Victim] = []

    @property
    def folder(self) -> Path:
        return self.bench.path.parent

    def log_in(self, age: float) -> str:
        token = self.bench.log_in(age)
        if self.user is not None:
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, self.user, self.user)
        assert token.refresh_token is not None
        return token.refresh_token

    def caller(self) -> Victim:
        victim = self.zygote.start("caller", **self.bench.options, user=self.user)
        self.victims.append(victim)
        return victim

    def stored(self) -> str | None:
        """The refresh token that anybody would find, or None where nobody would find one."""
        try:
            return json.loads(self.bench.path.read_text())["refresh_token"]
        except OSError:
            return None

    def break_it(self) -> None:
        raise NotImplementedError

    def mend(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


class FullDisk(Disk):
    """A tmpfs of 128 KiB, in a mount namespace that only the processes under test share."""

    def __init__(self, bench: Bench, zygote: Zygote) -> None:
        folder = bench.path.parent
        folder.mkdir(0o700)
        mount = f'mount -t tmpfs -o size=128k,mode=700 tmpfs {folder} && exec "$@"'
        self.own_zygote = Zygote(["unshare", "-m", "--propagation", "private", "sh", "-c", mount, "sh"])
        super().__init__(bench, self.own_zygote)
        # Seen from outside of the namespace. (FileTokenStore would resolve it to what lies outside.)
        self.inside = Path(f"/proc/{self.own_zygote.pid}/root{folder}")
        self.filler = self.own_zygote.start("fill", folder=str(folder))

    def log_in(self, age: float) -> str:
        token = self.bench.aries.issue_token(age=age)
        path = self.inside / "t.json"
        path.touch(0o600)
        path.write_text(json.dumps(token.to_dict()))
        assert token.refresh_token is not None
        return token.refresh_token

    def stored(self) -> str | None:
        return json.loads((self.inside / "t.json").read_text())["refresh_token"]

    def break_it(self) -> None:
        self.filler.ask("fill")

    def mend(self) -> None:
        self.filler.ask("make room")

    def close(self) -> None:
        self.filler.say("end")
        self.own_zygote.__exit__()


class Quota(Disk):
    """No process may write beyond byte 0 of any file any more (RLIMIT_FSIZE), whatever is reserved."""

    def _limit(self, size: int) -> None:
        for victim in self.victims:
            resource.prlimit(victim.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def break_it(self) -> None:
        self._limit(0)

    def mend(self) -> None:
        self._limit(resource.RLIM_INFINITY)


class ReadOnlyFolder(Disk):
    user = NOBODY

    def __init__(self, bench: Bench, zygote: Zygote) -> None:
        # Not in pytest's tmp_path: whenever any pytest starts, it takes from other users the right to look into it.
        self._outside = tempfile.TemporaryDirectory(prefix="aries-auth-disk-")
        Path(self._outside.name).chmod(0o711)
        super().__init__(Bench(bench.aries, Path(self._outside.name) / "store" / "t.json"), zygote)

    def close(self) -> None:
        super().close()
        for victim in self.victims:  # they may still have a temporary file there
            victim.kill()
            victim.wait_gone()
        self._outside.cleanup()

    def break_it(self) -> None:
        self.folder.chmod(0o500)

    def mend(self) -> None:
        self.folder.chmod(0o700)


class NoFolder(Disk):
    """The folder is moved away, with all that is in it."""

    first_error = "LoginRequired"

    def break_it(self) -> None:
        self.folder.rename(self.folder.with_name("elsewhere"))
        self.folder.parent.joinpath("store").touch()  # and nobody can make it again

    def mend(self) -> None:
        self.folder.unlink()
        self.folder.with_name("elsewhere").rename(self.folder)


class DirectoryInstead(Disk):
    def break_it(self) -> None:
        self.bench.path.rename(self.bench.path.with_name("aside"))
        self.bench.path.mkdir()

    def mend(self) -> None:
        self.bench.path.rmdir()
        self.bench.path.with_name("aside").rename(self.bench.path)


DISKS = [FullDisk, Quota, ReadOnlyFolder, NoFolder, DirectoryInstead]


@pytest.fixture
def disk(request: Any, bench: Bench, zygote: Zygote) -> Iterator[Disk]:
    disk: Disk = request.param(bench, zygote)
    yield disk
    disk.close()


def _wait_stored(disk: Disk, refresh_token: str) -> None:
    end = time.monotonic() + SAVED_AGAIN
    while disk.stored() != refresh_token:
        assert time.monotonic() < end, "the new token was not saved when that could be done again"
        time.sleep(0.01)


@pytest.mark.parametrize("disk", DISKS, indirect=True)
def test_a_disk_that_fails_before_the_token_request_keeps_the_refresh_token_from_being_spent(disk: Disk) -> None:
    aries = disk.bench.aries
    spent = disk.log_in(EXPIRED)
    first = disk.caller()
    assert first.ask("stored") == spent
    disk.break_it()
    said = first.ask("call")
    assert said["error"] in ("StoreError", "LoginRequired"), said
    assert said["message"]
    assert said["took"] < 5.0
    assert not aries.token_requests
    disk.mend()
    assert disk.stored() == spent
    said = first.ask("call")
    assert said["error"] is None, said
    assert aries.refresh_count == 1
    assert disk.stored() == first.ask("token") != spent
    first.say(None)


@pytest.mark.parametrize("disk", [FullDisk, Quota, ReadOnlyFolder], indirect=True)
def test_a_disk_that_fails_hurts_no_call_while_the_token_lives(disk: Disk) -> None:
    aries = disk.bench.aries
    disk.log_in(IN_MARGIN)
    first = disk.caller()
    first.ask("stored")
    disk.break_it()
    for _ in range(20):
        said = first.ask("call")
        assert said["error"] is None, said
        time.sleep(0.01)
    assert not aries.token_requests
    disk.mend()
    end = time.monotonic() + SAVED_AGAIN
    while not aries.refresh_count:
        assert first.ask("call")["error"] is None
        assert time.monotonic() < end, "the token was not refreshed when that could be done again"
        time.sleep(0.01)
    first.say(None)


@pytest.mark.parametrize("disk", DISKS, indirect=True)
def test_a_disk_that_fails_in_a_token_request_costs_nothing(disk: Disk) -> None:
    aries = disk.bench.aries
    spent = disk.log_in(EXPIRED)
    first, second = disk.caller(), disk.caller()
    aries.fail("token", hang=True)
    first.say("call")
    aries.wait_for_requests()
    assert aries.refresh_count == 1
    answer: list[Any] = []
    disk.break_it()
    aries.heal()
    said = first.hear()
    assert said["error"] is None, f"the new token is there, saved or not: {said}"
    new = first.ask("token")
    assert new != spent

    # Another process, which may find the spent token: it must not send it.
    second.say("call")
    listener = threading.Thread(target=lambda: answer.append(second.hear()))
    listener.start()
    for _ in range(10):
        assert first.ask("call")["error"] is None
        time.sleep(0.05)
    assert not aries.reused_refresh_tokens
    shown = disk.stored()
    disk.mend()
    _wait_stored(disk, new)
    listener.join(20)
    assert not listener.is_alive()
    if answer[0]["error"] is not None:
        assert shown != spent, "the spent token could be seen, and nobody waited for the new one"
        assert answer[0]["error"] in ("StoreError", "LoginRequired")
    assert second.ask("call")["error"] is None
    assert second.ask("token") == new
    assert aries.refresh_count == len(aries.token_requests) == 1
    assert not aries.reused_refresh_tokens
    for victim in (first, second):
        victim.say(None)


def test_an_fsync_that_fails_keeps_the_new_token_visible_and_is_repeated(bench: Bench, zygote: Zygote) -> None:
    aries = bench.aries
    bench.log_in(EXPIRED)
    first, second = (zygote.start("caller", **bench.options) for _ in range(2))
    first.ask("fsync fails")
    assert first.ask("call")["error"] is None
    assert bench.is_newest, "others must find the new token rather than the spent one"
    assert second.ask("call")["error"] is None
    assert not first.ask("idle")
    assert first.ask("refresh")["error"] is None, "an unsaved token keeps no later refresh from running"
    first.ask("fsync works")
    wait_until(lambda: bool(first.ask("idle")), SAVED_AGAIN, "the save was not repeated")
    assert bench.is_newest
    assert second.ask("call")["error"] is None
    assert aries.refresh_count == len(aries.token_requests) == 2
    for victim in (first, second):
        victim.say(None)
