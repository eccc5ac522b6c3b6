"""What keeps a token file from being replaced is found out by `reserve`, before a refresh token is spent."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Iterator

import pytest

from aries_auth import FileTokenStore, StoreError
from aries_auth.store import replaceable
from tests.store.conftest import IS_ROOT, NOBODY, as_ordinary_user, mode_of, some_token

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root may mount, and protect files")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# A mount point


def in_mounts_of_its_own(script: str) -> None:
    """Run a shell script in a mount namespace of its own; `$PYTHON` is ours."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a namespace of mounts can't be made here")  # a chroot
    done = subprocess.run(
        ["unshare", "-m", "sh", "-euc", textwrap.dedent(script)],
        env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


TRY = """
import sys
from aries_auth import FileTokenStore, StoreError
store = FileTokenStore(sys.argv[1])
before = store.load()
assert before is not None
with store.locked() as entry:
    try:
        entry.reserve()
    except StoreError as exc:
        assert "itself a mount point" in str(exc) and "Mount the folder" in str(exc), exc
    else:
        sys.exit("the reservation did not find the mount")
assert store.load() == before
"""


@needs_root
@pytest.mark.parametrize("within_one_filesystem", [True, False])
@pytest.mark.parametrize("name", ["t.json", "a token \\of mine.json"])
def test_a_token_file_that_is_a_mount_point_is_refused(tmp_path: Path, within_one_filesystem: bool, name: str) -> None:
    (tmp_path / "try.py").write_text(TRY)
    there, source = tmp_path / name, tmp_path / "source" / "t.json"
    FileTokenStore(source).save(some_token())
    FileTokenStore(there).save(some_token("below"))
    elsewhere = (
        ""
        if within_one_filesystem
        else f"cp -p '{source}' s; mount -t tmpfs none '{source.parent}'; cp -p s '{source}'"
    )
    in_mounts_of_its_own(f"""
        cd '{tmp_path}'
        {elsewhere}
        mount --bind '{source}' '{there}'
        "$PYTHON" try.py '{there}'
    """)  # fmt: skip


@needs_root
def test_a_folder_that_is_a_mount_point_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "try.py").write_text(
        "import sys\nfrom aries_auth import FileTokenStore, Token\nstore = FileTokenStore(sys.argv[1])\n"
        "for name in 'ab':\n  with store.locked() as entry:\n    entry.reserve()\n    entry.save(Token(name))\n"
    )
    in_mounts_of_its_own(f"""
        mount --bind '{tmp_path}/folder' '{tmp_path}/folder'
        "$PYTHON" '{tmp_path}/try.py' '{tmp_path}/folder/t.json'
    """)


@pytest.mark.parametrize("missing", [["_DESCRIPTORS"], ["_DESCRIPTORS", "_MOUNTS"]], ids=["their ids", "any of them"])
def test_where_the_system_does_not_tell_of_mounts_other_ways_serve(
    tmp_path: Path, missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.json").touch()
    for name in missing:
        monkeypatch.setattr(replaceable, name, str(tmp_path / "none"))
    assert not replaceable.replace_fault(str(tmp_path / "t.json"))
    assert not replaceable.replace_fault(str(tmp_path / "gone"))
    assert "mount point" in replaceable.replace_fault("/proc")


# Protected by its filesystem


@pytest.fixture
def protect() -> Iterator[object]:
    done: list[Path] = []

    def chattr(path: Path, flag: str) -> None:
        if shutil.which("chattr") is None:
            pytest.skip("chattr is not installed")
        said = subprocess.run(["chattr", f"+{flag}", str(path)], check=False, capture_output=True)
        if said.returncode:
            pytest.skip("this filesystem has no such flags")
        done.append(path)

    yield chattr
    for path in done:
        subprocess.run(["chattr", "-ia", str(path)], check=True)


@needs_root
@pytest.mark.parametrize("flag, said", [("i", "immutable"), ("a", "append-only")])
def test_a_protected_file_is_refused_with_the_command_that_frees_it(
    tmp_path: Path, protect: object, flag: str, said: str
) -> None:
    store = FileTokenStore(tmp_path / "t.json")
    store.save(some_token())
    protect(tmp_path / "t.json", flag)  # type: ignore[operator]
    with store.locked() as entry, pytest.raises(StoreError, match=f"it is {said}.* Run: chattr -{flag} .*t.json'"):
        entry.reserve()
    assert (store.load(), names(tmp_path)) == (some_token(), ["t.json", "t.json.lock"])


@needs_root
def test_a_folder_that_may_only_grow_is_refused(tmp_path: Path, protect: object) -> None:
    folder = tmp_path / "folder"
    store = FileTokenStore(folder / "t.json")
    store.save(some_token())
    protect(folder, "a")  # type: ignore[operator]
    with store.locked() as entry, pytest.raises(StoreError, match=r"its folder is append-only.* chattr -a"):
        entry.reserve()
    assert names(folder) == ["t.json", "t.json.lock"]


# A filesystem that keeps no permissions


@pytest.fixture
def ntfs(tmp_path: Path) -> Iterator[Path]:
    """A real one: NTFS as Linux mounts it by default."""
    if not (IS_ROOT and shutil.which("mkntfs") and shutil.which("ntfs-3g") and Path("/dev/fuse").exists()):
        pytest.skip("needs root, FUSE and ntfs-3g")
    image, folder = tmp_path / "image", tmp_path / "ntfs"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(8 * 1024 * 1024)
    subprocess.run(["mkntfs", "-F", "-Q", str(image)], check=True, capture_output=True)
    subprocess.run(["ntfs-3g", str(image), str(folder)], check=True, capture_output=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_filesystem_without_permissions_is_refused_with_what_to_set(ntfs: Path) -> None:
    store = FileTokenStore(ntfs / "t.json")
    with store.locked() as entry, pytest.raises(
        StoreError, match=r"keeps no permissions.* mode 0600 has 0777"
    ) as caught:
        entry.reserve()
    assert "mode=0o777 for FileTokenStore, or $ARIES_TOKEN_FILE_MODE=0777" in str(caught.value)
    with pytest.raises(StoreError, match="keeps no permissions"):
        store.save(some_token())
    assert not (ntfs / "t.json").exists()
    assert not (ntfs / ".t.json.tmp").exists()


def test_what_it_says_to_set_works(ntfs: Path) -> None:
    store = FileTokenStore(ntfs / "t.json", mode=0o777)
    for number in range(2):
        with store.locked() as entry:
            entry.reserve()
            entry.save(some_token(f"t{number}"))
    assert store.load() == some_token("t1")


def test_a_filesystem_that_gives_files_to_somebody_else_is_refused(open_folder: Path) -> None:
    if not (IS_ROOT and shutil.which("bindfs")):
        pytest.skip("needs root and bindfs")
    below, mounted = open_folder / "below", open_folder / "mounted"
    for folder in (below, mounted):
        folder.mkdir()
        folder.chmod(0o777)
    mount = [
        "bindfs",
        "--force-user=1",
        "--force-group=1",
        "-p",
        "a+rwX",
        "-o",
        "allow_other",
        str(below),
        str(mounted),
    ]
    subprocess.run(mount, check=True)
    try:

        def try_it() -> None:
            store = FileTokenStore(mounted / "t.json")
            with pytest.raises(
                StoreError, match=r"belongs to user 1|gives new files to user 1"
            ), store.locked() as entry:
                entry.reserve()

        as_ordinary_user(try_it)
        status = os.stat_result((0o100600, 1, 1, 1, NOBODY + 1, 0, 0, 0, 0, 0))
        assert f"gives new files to user {NOBODY + 1}" in replaceable.permission_fault(status, 0o600)
    finally:
        subprocess.run(["umount", "-l", str(mounted)], check=True)


@pytest.mark.posix("permission bits")
def test_a_file_that_became_readable_for_a_group_says_what_to_set(store: FileTokenStore, path: Path) -> None:
    store.save(some_token())
    path.chmod(0o660)  # as Kubernetes does with fsGroup at each start
    with pytest.raises(StoreError, match=r"chmod 600 .*\$ARIES_TOKEN_FILE_MODE=0660"):
        store.load()
    assert FileTokenStore(path, mode=0o660).load() == some_token()
    FileTokenStore(path, mode=0o660).save(some_token("x"))
    assert mode_of(path) & 0o007 == 0
