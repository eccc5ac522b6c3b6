"""Bytes that outlive a power cut, as each system gives them: what Linux can't show is played here."""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from aries_auth import FileTokenStore, StoreError
from aries_auth.store import durable, windows
from aries_auth.store.temporary import TemporaryFile
from tests.store.conftest import some_token

if sys.platform != "win32":
    import fcntl

# A folder that can't be flushed


def fail_for_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.posix("flushes folders")
def test_a_folder_that_cannot_be_flushed_is_a_warning_since_the_token_is_saved(
    store: FileTokenStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fail_for_folders(monkeypatch)
    caplog.set_level(logging.DEBUG, "aries_auth")
    store.save(some_token())
    assert store.load() == some_token()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "is saved, but may not outlive a power cut: fsync of its folder said Input/output" in record.getMessage()


def test_a_file_that_cannot_be_flushed_is_an_error_and_everybody_sees_it(
    store: FileTokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StoreError, match="was replaced, but may not outlive a power cut: fsync said"):
        store.save(some_token())
    assert store.load() == some_token()


def test_enotsup_means_not_supported_here_too(store: FileTokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    monkeypatch.setattr(durable, "_NOT_SUPPORTED", frozenset({errno.ENOTSUP}))
    monkeypatch.setattr(durable, "sync", lambda _descriptor: (_ for _ in ()).throw(OSError(errno.ENOTSUP, "no")))
    assert durable.sync_folder(str(Path.cwd())) == ""
    assert errno.ENOTSUP in (errno.EOPNOTSUPP, errno.ENOTSUP)


# macOS


@pytest.fixture
def macos(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What is asked of a system that has F_FULLFSYNC."""
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda _descriptor, what: asked.append(("fcntl", what)))
    monkeypatch.setattr(os, "fsync", lambda _descriptor: asked.append(("fsync", 0)))
    return asked


@pytest.mark.posix("fcntl")
def test_on_macos_the_drive_itself_is_flushed(macos: list[tuple[str, int]]) -> None:
    durable.sync(3)
    assert macos == [("fcntl", 51)]


@pytest.mark.posix("fcntl")
def test_where_a_filesystem_has_no_such_flush_fsync_is_used(
    macos: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(_descriptor: int, _what: int) -> None:
        raise OSError(errno.ENOTSUP, "not here")

    monkeypatch.setattr(fcntl, "fcntl", no)
    durable.sync(3)
    assert macos == [("fsync", 0)]


# PyPy


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_reservation_whose_error_is_returned_proves_nothing(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", lambda *_arguments: number, raising=False)
    file = TemporaryFile(str(tmp_path / "t.json"), 0o600)
    with pytest.raises(StoreError, match=os.strerror(number)):
        file.create(20_000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.posix("block counts")
def test_a_returned_not_supported_has_the_blocks_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "posix_fallocate", lambda *_arguments: errno.EOPNOTSUPP)
    file = TemporaryFile(str(tmp_path / "t.json"), 0o600)
    file.create(20_000)
    assert Path(file.path).stat().st_blocks * 512 >= 20_000
    file.discard()


# Windows


class HeldOpen:
    """A call that is denied so many times, as while an indexer has the file open."""

    def __init__(self, times: int) -> None:
        self.left, self.calls = times, 0

    def __call__(self) -> str:
        self.calls += 1
        self.left -= 1
        if self.left >= 0:
            raise PermissionError(errno.EACCES, "Access is denied")
        return "done"


def test_on_windows_what_is_denied_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    held = HeldOpen(20)
    assert windows.patiently(held, 2.0) == "done"
    assert held.calls == 21


def test_on_windows_it_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(PermissionError):
        windows.patiently(HeldOpen(10**6), 0.05)


def test_elsewhere_denied_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    held = HeldOpen(1)
    with pytest.raises(PermissionError):
        windows.patiently(held, 2.0)
    assert held.calls == 1


def test_another_error_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")

    def gone() -> Any:
        raise FileNotFoundError

    with pytest.raises(FileNotFoundError):
        windows.patiently(gone, 2.0)
