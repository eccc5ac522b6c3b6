"""The temporary file that becomes the token file: every step of a save, and every way in which it can fail."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any, Callable

import pytest

from aries_auth import StoreError
from aries_auth.store.system import os_error_text
from aries_auth.store.temporary import TemporaryFile
from aries_auth.token import Secret
from tests.leaks import assert_no_secret
from tests.store.conftest import IS_ROOT, Child, as_ordinary_user, descriptors, fill, largest_file, mode_of, umask

OLD, NEW = "old document", "new document with REFRESH-planted-2"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    target = tmp_path / "store" / "t.json"
    target.parent.mkdir(0o700)
    target.write_text(OLD)
    return target


@pytest.fixture
def file(target: Path) -> TemporaryFile:
    return TemporaryFile(str(target), 0o600)


def names(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def failing(number: int, *, times: int = 10**6) -> Callable[..., Any]:
    left = [times]

    def fail(*_arguments: Any, **_options: Any) -> None:
        left[0] -= 1
        raise OSError(number, os.strerror(number))

    return fail


# Reserving


@pytest.mark.posix("permission bits")
@pytest.mark.parametrize("bits", [0, 0o022, 0o777])
def test_the_temporary_file_is_created_sized_and_private_first(target: Path, file: TemporaryFile, bits: int) -> None:
    with umask(bits):
        file.create(20_000)
    made = Path(file.path)
    assert made.parent == target.parent
    assert mode_of(made) == 0o600
    assert made.stat().st_size == 20_000
    assert made.stat().st_blocks * 512 >= 20_000
    file.discard()
    assert names(target) == ["t.json"]


@pytest.mark.posix("permission bits")
def test_it_is_never_open_to_others_not_even_for_an_instant(
    file: TemporaryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fchmod", failing(errno.EPERM))
    monkeypatch.setattr(os, "chmod", failing(errno.EPERM))
    with umask(0):
        file.create(1)
    assert mode_of(Path(file.path)) == 0o600


@pytest.mark.posix("permission bits")
def test_a_umask_takes_from_a_mode_what_it_takes_from_others(target: Path) -> None:
    with umask(0o077):
        file = TemporaryFile(str(target), 0o640)
        file.create(1)
    assert mode_of(Path(file.path)) == 0o600


def test_a_second_reservation_changes_nothing(file: TemporaryFile) -> None:
    file.create(10)
    before = Path(file.path).stat().st_ino
    file.create(10)
    assert Path(file.path).stat().st_ino == before


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, None])
def test_where_blocks_cannot_be_allocated_they_are_written(
    target: Path, file: TemporaryFile, number: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if number is None:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    else:
        monkeypatch.setattr(os, "posix_fallocate", failing(number), raising=False)
    file.create(20_000)
    if os.name == "posix":  # Windows counts no blocks
        assert Path(file.path).stat().st_blocks * 512 >= 20_000
    assert Path(file.path).stat().st_size == 20_000
    file.replace_target(Secret(NEW))
    assert target.read_text() == NEW


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
def test_no_space_is_a_store_error_with_nothing_changed_and_nothing_left(
    target: Path, file: TemporaryFile, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    monkeypatch.setattr(os, "posix_fallocate", failing(number), raising=False)
    with pytest.raises(StoreError, match="Nothing was changed") as caught:
        file.create(20_000)
    assert os.strerror(number) in str(caught.value)
    assert (target.read_text(), names(target)) == (OLD, ["t.json"])
    assert descriptors() == before


@pytest.mark.parametrize("has_fallocate", [True, False])
def test_a_full_disk_is_found_out_by_the_reservation(
    full_disk: Path, has_fallocate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_fallocate:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    target = full_disk / "t.json"
    target.write_text(OLD)
    filler = fill(full_disk)
    file = TemporaryFile(str(target), 0o600)
    with pytest.raises(StoreError, match="No space left on device"):
        file.create(20_000)
    assert (target.read_text(), names(target)) == (OLD, ["filler", "t.json"])
    filler.unlink()
    file.create(20_000)
    fill(full_disk)
    file.replace_target(Secret("x" * 20_000))
    assert target.read_text() == "x" * 20_000


@pytest.mark.parametrize("has_fallocate", [True, False])
def test_a_limit_on_file_sizes_is_found_out_by_the_reservation(
    target: Path, has_fallocate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_fallocate:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)

    def try_it() -> None:
        with largest_file(8192), pytest.raises(StoreError, match="File too large"):
            TemporaryFile(str(target), 0o600).create(20_000)

    assert Child(try_it).wait() == 0
    assert (target.read_text(), names(target)) == (OLD, ["t.json"])


def test_a_folder_that_may_not_be_written_is_a_store_error(open_folder: Path) -> None:
    def try_it() -> None:
        open_folder.chmod(0o500)
        with pytest.raises(StoreError, match="Permission denied") as caught:
            TemporaryFile(str(open_folder / "t.json"), 0o600).create(1)
        assert ".t.json.tmp" in str(caught.value)

    as_ordinary_user(try_it)


def test_a_directory_in_place_of_the_target_is_found_out_by_the_reservation(target: Path, file: TemporaryFile) -> None:
    target.unlink()
    target.mkdir()
    with pytest.raises(StoreError, match="it is a directory"):
        file.create(1)
    assert names(target) == ["t.json"]


@pytest.mark.posix("permission bits")
def test_permissions_that_cannot_be_set_leave_nothing(
    target: Path, file: TemporaryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    monkeypatch.setattr(os, "fchmod", failing(errno.EIO))
    with umask(0o777), pytest.raises(StoreError):
        file.create(1)
    assert names(target) == ["t.json"]
    assert descriptors() == before


# What may stand under its name


def test_what_a_crash_left_is_cleaned_up_by_the_next_writer(target: Path, file: TemporaryFile) -> None:
    Path(file.path).write_text("left by a crash" * 10_000)
    with umask(0):
        file.create(1)
    file.replace_target(Secret(NEW))
    assert (target.read_text(), names(target)) == (NEW, ["t.json"])
    assert os.name != "posix" or mode_of(target) == 0o600


@pytest.mark.posix("removes a file that is open")
def test_a_reservation_that_somebody_else_removed_needs_no_removal(target: Path, file: TemporaryFile) -> None:
    file.create(1)
    Path(file.path).unlink()
    file.discard()
    assert names(target) == ["t.json"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_symlink_planted_at_its_name_is_not_followed(target: Path, file: TemporaryFile, exists: bool) -> None:
    victim = target.with_name("victim")
    if exists:
        victim.write_text("keep")
    Path(file.path).symlink_to(victim)
    file.create(1)
    file.replace_target(Secret(NEW))
    assert (target.read_text(), target.is_symlink()) == (NEW, False)
    assert (victim.read_text() == "keep") if exists else not victim.exists()


def test_a_hard_link_planted_at_its_name_is_not_written_through(target: Path, file: TemporaryFile) -> None:
    victim = target.with_name("victim")
    victim.write_text("keep")
    os.link(victim, file.path)
    file.create(1)
    file.replace_target(Secret(NEW))
    assert (victim.read_text(), victim.stat().st_nlink, target.read_text()) == ("keep", 1, NEW)


def test_a_directory_at_its_name_is_a_store_error_that_names_it(target: Path, file: TemporaryFile) -> None:
    Path(file.path).mkdir()
    with pytest.raises(StoreError, match=r"\.t\.json\.tmp"):
        file.create(1)
    assert target.read_text() == OLD


def test_who_plants_faster_than_we_unlink_gets_a_store_error(
    target: Path, file: TemporaryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = target.with_name("victim")
    victim.write_text("keep")
    os.link(victim, file.path)
    monkeypatch.setattr(os, "unlink", lambda _path: None)
    with pytest.raises(StoreError, match="File exists"):
        file.create(1)
    assert (victim.read_text(), target.read_text()) == ("keep", OLD)


# Putting it in place


@pytest.mark.posix("flushes folders")
def test_a_save_is_write_fsync_atomic_replace_fsync_of_the_folder(
    target: Path, file: TemporaryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    for name in ("write", "ftruncate", "fsync", "close", "replace"):
        real = getattr(os, name)

        def step(*arguments: Any, _name: str = name, _real: Any = real) -> Any:
            folder = _name == "fsync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode)
            done.append("fsync folder" if folder else _name)
            return _real(*arguments)

        monkeypatch.setattr(os, name, step)
    file.create(1000)
    file.replace_target(Secret(NEW))
    monkeypatch.undo()
    assert done == ["write", "ftruncate", "fsync", "close", "replace", "fsync folder", "close"]
    assert target.read_text() == NEW


def test_a_reservation_is_used_and_its_size_leaves_no_trace(target: Path, file: TemporaryFile) -> None:
    file.create(50_000)
    reserved = Path(file.path).stat().st_ino
    file.replace_target(Secret(NEW))
    assert (target.stat().st_ino, target.stat().st_size) == (reserved, len(NEW))
    assert os.name != "posix" or mode_of(target) == 0o600
    assert names(target) == ["t.json"]


def test_a_save_without_a_reservation_makes_its_own(target: Path, file: TemporaryFile) -> None:
    file.replace_target(Secret(NEW))
    file.replace_target(Secret("again"))
    assert target.read_text() == "again"


def test_short_writes_are_continued(target: Path, file: TemporaryFile, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    file.replace_target(Secret(NEW))
    assert target.read_text() == NEW


@pytest.mark.parametrize("call", ["write", "ftruncate", "replace"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EACCES])
def test_a_step_that_fails_leaves_the_old_document_whole(
    target: Path, file: TemporaryFile, call: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    file.create(100)
    monkeypatch.setattr(os, call, failing(number))
    with pytest.raises(StoreError, match="could not be replaced") as caught:
        file.replace_target(Secret(NEW))
    assert (target.read_text(), names(target)) == (OLD, ["t.json"])
    assert os.strerror(number) in str(caught.value)
    assert_no_secret(caught.value, NEW, "REFRESH-planted-2")
    assert descriptors() == before
    monkeypatch.undo()
    file.replace_target(Secret(NEW))
    assert target.read_text() == NEW


def test_an_fsync_that_fails_does_not_stop_the_replace_and_the_save_counts_as_failed(
    target: Path, file: TemporaryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(StoreError, match=r"was replaced, but may not outlive a power cut: .*Input/output error"):
        file.replace_target(Secret(NEW))
    assert (target.read_text(), names(target)) == (NEW, ["t.json"])
    assert descriptors() == before


def closing_and_failing(real: Callable[[int], None]) -> Callable[[int], None]:
    def close(descriptor: int) -> None:
        real(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    return close


def test_a_close_that_fails_does_not_stop_the_replace_either(
    target: Path, file: TemporaryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.create(1)
    monkeypatch.setattr(os, "close", closing_and_failing(os.close))
    with pytest.raises(StoreError, match="was replaced, but may not outlive a power cut: close said"):
        file.replace_target(Secret(NEW))
    monkeypatch.undo()
    assert (target.read_text(), names(target)) == (NEW, ["t.json"])


def test_a_close_that_fails_changes_no_message_and_keeps_no_reservation(
    target: Path, file: TemporaryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.create(1)
    real = os.write
    monkeypatch.setattr(os, "close", closing_and_failing(os.close))
    monkeypatch.setattr(os, "write", failing(errno.ENOSPC))
    with pytest.raises(StoreError, match="No space left on device"):
        file.replace_target(Secret(NEW))
    monkeypatch.setattr(os, "write", real)
    file.create(1)
    file.discard()
    monkeypatch.undo()
    assert (target.read_text(), names(target)) == (OLD, ["t.json"])


def _fails_for_folders(number: int) -> Callable[[int], None]:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    return fsync


@pytest.mark.posix("flushes folders")
def test_an_fsync_of_the_folder_that_fails_counts_as_failed(
    target: Path, file: TemporaryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    monkeypatch.setattr(os, "fsync", _fails_for_folders(errno.EIO))
    with pytest.raises(StoreError, match="fsync of its folder said Input/output error"):
        file.replace_target(Secret(NEW))
    assert target.read_text() == NEW
    assert descriptors() == before


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_filesystem_that_cannot_fsync_a_folder_is_no_failure(
    target: Path, file: TemporaryFile, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", _fails_for_folders(number))
    file.replace_target(Secret(NEW))
    assert target.read_text() == NEW


@pytest.mark.posix("removes a file that is open")
def test_a_folder_removed_between_reservation_and_save_is_made_again(target: Path, file: TemporaryFile) -> None:
    file.create(1)
    Path(file.path).unlink()
    target.unlink()
    target.parent.rmdir()
    file.replace_target(Secret(NEW))
    assert (target.read_text(), mode_of(target.parent)) == (NEW, 0o700)


def test_a_folder_that_vanishes_again_and_again_is_a_store_error(
    target: Path, file: TemporaryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "replace", failing(errno.ENOENT))
    with pytest.raises(StoreError, match="No such file"):
        file.replace_target(Secret(NEW))
    assert (target.read_text(), names(target)) == (OLD, ["t.json"])


def test_a_directory_put_in_place_of_the_target_meanwhile_is_a_store_error(target: Path, file: TemporaryFile) -> None:
    file.create(1)
    target.unlink()
    target.mkdir()
    with pytest.raises(StoreError, match="could not be replaced"):
        file.replace_target(Secret(NEW))
    assert names(target) == ["t.json"]


# A forked child


def test_a_forked_child_neither_removes_nor_uses_its_parents_file(target: Path, file: TemporaryFile) -> None:
    file.create(1)

    def try_it() -> None:
        file.discard()
        with pytest.raises(StoreError, match="forked"):
            file.replace_target(Secret("of the child"))
        with pytest.raises(StoreError, match="forked"):
            file.create(1)

    assert Child(try_it).wait() == 0
    assert names(target) == [".t.json.tmp", "t.json"]
    file.replace_target(Secret(NEW))
    assert target.read_text() == NEW


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a folder away")
def test_a_file_planted_by_somebody_else_in_a_sticky_world_writable_folder_is_a_store_error(open_folder: Path) -> None:
    os.chown(open_folder, 0, 0)
    open_folder.chmod(0o1777)
    planted = open_folder / ".t.json.tmp"
    planted.write_text("keep")
    os.chown(planted, 1, 1)

    def try_it() -> None:
        with pytest.raises(StoreError, match="not permitted"):
            TemporaryFile(str(open_folder / "t.json"), 0o600).create(1)

    as_ordinary_user(try_it)
    assert planted.read_text() == "keep"


def test_what_the_system_says_is_what_is_shown() -> None:
    assert os_error_text(OSError(errno.EIO, "Input/output error")) == "Input/output error"
    assert os_error_text(OSError("x")) == "OSError"
