"""The exclusive lock of a file store: one lock file, held by one descriptor.

On POSIX this is the `flock` that filelock takes, so that the two exclude each other, on a descriptor of our own:
filelock 3.16, the last for Python 3.8, truncates what a planted link points to, unlocks the parent's lock from a
forked child's destructor, and later ones fall back to a lock file that outlives a crash. Elsewhere it is filelock.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
import time
import weakref
from contextlib import contextmanager, suppress
from typing import Callable, Generator

from aries_auth.errors import LockTimeout, StoreError

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.01
_HELD_ELSEWHERE = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})
# Files that a forked child must close: they share their lock with the parent's.
_open_files: weakref.WeakSet[io.FileIO] = weakref.WeakSet()


@contextmanager
def exclusive_lock(
    path: str, timeout: float, *, monotonic: Callable[[], float] = time.monotonic
) -> Generator[None, None, None]:
    """Hold the lock file `path`, waiting at most `timeout` seconds for it (0: one try).

    The lock file stays when the lock is released: unlinking it would let two holders lock two files of one name.

    Raises:
        LockTimeout: somebody else held it all that time.
        StoreError: the file can't be opened safely, or its filesystem has no locks.
    """
    lock = _Lock(path)
    # Wherever Ctrl-C falls in here, a lock that is held goes with `lock`: by its release, else by its end.
    try:
        _wait(lock, path, timeout, monotonic)
        yield
    finally:
        lock.release()


def _wait(lock: _Lock, path: str, timeout: float, monotonic: Callable[[], float]) -> None:
    deadline = monotonic() + timeout
    pause = _FIRST_PAUSE
    while not lock.acquire():
        left = deadline - monotonic()
        if not left > 0:  # a NaN must not wait for ever
            raise LockTimeout(
                f"{path} is locked by another process or thread, and was not released within {timeout:g} s. "
                "Try again; if it stays so, look for a hung process that uses this store."
            )
        time.sleep(min(pause, left))
        pause = min(_LONGEST_PAUSE, pause * 2)


if sys.platform == "win32":  # pragma: no cover - the interpreters at hand prove Linux

    class _Lock:
        """The lock of filelock."""

        def __init__(self, path: str) -> None:
            import filelock  # noqa: PLC0415 - needed on this platform alone

            self._path = path
            self._timed_out = filelock.Timeout
            self._lock = filelock.FileLock(path, thread_local=False)

        def acquire(self) -> bool:
            try:
                self._lock.acquire(timeout=0)  # pyright: ignore[reportUnknownMemberType]
            except self._timed_out:
                return False
            except OSError as exc:
                raise StoreError(f"The lock file {self._path} can't be used: {exc.strerror}.") from exc
            return True

        def release(self) -> None:
            self._lock.release()

else:
    import fcntl

    class _Lock:
        """The lock file, opened for as long as the lock is tried or held."""

        def __init__(self, path: str) -> None:
            self._path = path
            self._owner = os.getpid()
            self._file: io.FileIO | None = None

        def acquire(self) -> bool:
            """One try; what it leaves open is closed by the next one, or by the release."""
            self.release()
            self._file = _open(self._path)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever unlinked the file before we had the lock left us a lock on no name.
                return _same_file(self._path, self._file.fileno())
            except OSError as exc:
                if exc.errno in _HELD_ELSEWHERE:
                    return False
                raise StoreError(
                    f"The filesystem of {self._path} gives no lock ({os.strerror(exc.errno or 0)}), and without one "
                    "two processes could spend the same refresh token. Keep the token file on a local filesystem."
                ) from exc

        def release(self) -> None:
            # A child that was forked inside the block shares the lock: releasing it would release the parent's.
            if self._file is None or os.getpid() != self._owner:
                return
            # Closing unlocks, too; by itself it would not while a forked child has the descriptor.
            with suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _open(path: str) -> io.FileIO:
        try:
            file = io.FileIO(path, "r+", opener=_opener)
        except OSError as exc:
            what = "it is a symbolic link; remove it" if exc.errno == errno.ELOOP else os.strerror(exc.errno or 0)
            raise StoreError(f"The lock file {path} can't be opened: {what}.") from exc
        _open_files.add(file)
        try:
            status = os.fstat(file.fileno())
            fault = _fault(status)
            if not fault:
                if status.st_mode & 0o600 != 0o600:
                    os.fchmod(file.fileno(), 0o600)  # a umask that takes the owner's own bits
                return file
        except OSError:
            fault = "its permissions can't be set"
        with suppress(OSError):
            file.close()
        raise StoreError(f"The lock file {path} can't be trusted: {fault}. Remove it, or use a folder of your own.")

    def _opener(path: str, _flags: int) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)

    def _fault(status: os.stat_result) -> str:
        if not stat.S_ISREG(status.st_mode):
            return "it is no regular file"
        if status.st_uid != os.geteuid():
            return f"it belongs to user {status.st_uid}"
        return "it has a second name (a hard link)" if status.st_nlink > 1 else ""

    def _same_file(path: str, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _close_inherited() -> None:
        for file in list(_open_files):
            with suppress(OSError):
                file.close()

    os.register_at_fork(after_in_child=_close_inherited)
