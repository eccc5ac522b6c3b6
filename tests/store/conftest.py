"""What the tests of the store share: files, forked children, an ordinary user, and a disk that is full."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from aries_auth import FileTokenStore, Token

if sys.platform != "win32":
    import resource

ACCESS, REFRESH = "ACCESS-planted-1", "REFRESH-planted-2"
NOBODY = 65534
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def some_token(access_token: str = ACCESS, **fields: Any) -> Token:
    return Token(
        access_token,
        fields.pop("refresh_token", REFRESH),
        scope="user:information",
        obtained_at=1764000000.0,
        expires_at=1764003600.0,
        refresh_token_expires_at=1766592000.0,
        client_id="client-1",
        redirect_uri="http://localhost:8000/callback",
        **fields,
    )


def fernet() -> Any:
    """Fernet; a skip where cryptography has no wheel (PyPy, free-threaded builds)."""
    return pytest.importorskip("cryptography.fernet", reason="there is no wheel of cryptography for this Python").Fernet


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "t.json"


@pytest.fixture
def store(path: Path) -> FileTokenStore:
    return FileTokenStore(path)


@contextmanager
def umask(bits: int) -> Iterator[None]:
    before = os.umask(bits)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: Path) -> int:
    return path.lstat().st_mode & 0o7777


def descriptors() -> int:
    folder = next((folder for folder in ("/proc/self/fd", "/dev/fd") if Path(folder).is_dir()), None)
    if folder is None:
        pytest.skip("this system does not list a process's descriptors")
    return len(os.listdir(folder))  # noqa: PTH208


class Child:
    """A forked child of the tests, which ends with 0 where `work` returned."""

    def __init__(self, work: Callable[[], Any]) -> None:
        if not hasattr(os, "fork"):
            pytest.skip("needs fork")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: threads of other tests may be alive
            self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                work()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)

    def wait(self) -> int:
        """The exit status, or minus the signal that ended it."""
        _, status = os.waitpid(self.pid, 0)
        return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def kill(self, signal_number: int) -> None:
        os.kill(self.pid, signal_number)


def in_child(work: Callable[[], Any]) -> None:
    """Run `work` in a forked child, and fail where it fails."""
    assert Child(work).wait() == 0, "the child failed; see its traceback above"


def as_ordinary_user(work: Callable[[], Any]) -> None:
    """Run `work` where permission bits hold: root ignores them, so it becomes nobody in a child."""

    def drop_and_work() -> None:
        if IS_ROOT:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        work()

    in_child(drop_and_work)


def as_user(uid: int) -> list[str]:
    """What to put before a program to run it as another user; skips if our own Python can't be run by one."""
    command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    if subprocess.run(
        [*command, sys.executable, "-c", "import aries_auth"],
        capture_output=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"},
    ).returncode:
        pytest.skip("another user can't run this Python")
    return command


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder of the ordinary user; pytest's own can't be entered by nobody."""
    if os.name != "posix":
        pytest.skip("needs permission bits")
    folder = Path(tempfile.mkdtemp(prefix="aries-auth-test-"))
    if IS_ROOT:
        os.chown(folder, NOBODY, NOBODY)
    yield folder
    subprocess.run(["chmod", "-R", "u+rwx", str(folder)], check=True)
    shutil.rmtree(folder)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 64 KiB."""
    if sys.platform != "linux":
        pytest.skip("mounts a tmpfs")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small file system; the limit on file sizes is tested without")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all space that is left; unlink what is returned to give it back."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    return filler


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may become larger: what a quota does, for everybody."""
    if sys.platform == "win32":
        pytest.skip("Windows has no limit on a file's size")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
