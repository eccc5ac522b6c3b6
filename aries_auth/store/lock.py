"""The exclusive lock of a file store: one lock file, held by one descriptor.

filelock takes the lock, so that its `FileLock` and ours exclude each other. The descriptor is our own: we open it
without following a planted link, check whose it is, and let a forked child close it without unlocking its parent's.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
import time
import weakref
from contextlib import suppress
from functools import lru_cache
from types import TracebackType
from typing import Callable, Tuple

from aries_auth.errors import LockTimeout, StoreError
from aries_auth.store.holder import holder_note
from aries_auth.store.system import effective_user, open_flags, os_error_text

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.01
_FLAGS = open_flags("O_RDWR", "O_CREAT", "O_NOFOLLOW", "O_NONBLOCK")
# Files that a forked child must close: they share their lock with the parent's.
_open_files: weakref.WeakSet[io.FileIO] = weakref.WeakSet()


class ExclusiveLock:
    """The lock file `path`, held in a ``with`` block; waits at most `timeout` seconds for it (0: one try).

    The file stays when the lock is released: unlinking it would let two holders lock two files of one name.

    A class rather than a generator: a Ctrl-C in `__enter__` releases what was taken at once, and not when PyPy collects
    a generator.

    Raises:
        LockTimeout: somebody else held it all that time.
        StoreError: the file can't be opened safely, or its filesystem has no locks.
    """

    def __init__(self, path: str, timeout: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._timeout = timeout
        self._monotonic = monotonic
        self._owner = os.getpid()
        self._file: io.FileIO | None = None

    def __enter__(self) -> None:
        try:
            self._wait()
        except BaseException:
            self.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.release()
        except BaseException:
            self.release()  # Ctrl-C came first
            raise

    def _wait(self) -> None:
        deadline = self._monotonic() + self._timeout
        pause = _FIRST_PAUSE
        while not self._try_once():
            left = deadline - self._monotonic()
            if not left > 0:  # a NaN must not wait for ever
                # Not for a glance: a background refresh makes one whenever another process refreshes.
                holder = holder_note(self._path) if self._timeout >= 1 else ""
                raise LockTimeout(
                    f"{self._path} is locked by another process or thread{holder}, and was not released within "
                    f"{self._timeout:g} s. Try again; if it stays so, look for a hung process that uses this store."
                )
            time.sleep(min(pause, left))
            pause = min(_LONGEST_PAUSE, pause * 2)

    def _try_once(self) -> bool:
        """One try. What it leaves open is closed by the next one, or by the release."""
        self.release()
        self._file = file = _open(self._path)
        lock, _ = _primitive()
        try:
            # Whoever unlinked the file before we had the lock left us a lock on no name.
            return lock(file.fileno()) and _same_file(self._path, file.fileno())
        except OSError as exc:
            raise StoreError(
                f"The filesystem of {self._path} gives no lock ({os_error_text(exc)}), and without one two processes "
                "could spend the same refresh token. Keep the token file on a local filesystem."
            ) from exc

    def release(self) -> None:
        """Unlock and close; nothing happens if that was done."""
        # A child that was forked inside the block shares the lock: releasing it would release the parent's.
        if self._file is None or os.getpid() != self._owner:
            return
        # Closing unlocks, too; by itself it would not while a forked child has the descriptor.
        _, unlock = _primitive()
        with suppress(OSError, ValueError):
            unlock(self._file.fileno())
        with suppress(OSError):
            self._file.close()
        self._file = None


_Primitive = Tuple[Callable[[int], bool], Callable[[int], None]]


def load_locking() -> None:
    """Load filelock now, in this thread: it has fork hooks, and a fork must not come while another thread loads it."""
    _primitive()


@lru_cache(maxsize=1)
def _primitive() -> _Primitive:
    """How a descriptor is locked, once, and unlocked: by filelock, loaded when the first lock is taken."""
    try:
        from filelock import lock_descriptor, unlock_descriptor  # noqa: PLC0415 - 20 ms that a look does not need
    except (ImportError, RuntimeError):  # the latter: Python 3.10 is ending, and refuses what filelock imports
        return _primitive_of_old()
    return lambda descriptor: lock_descriptor(descriptor, blocking=False), unlock_descriptor


def _primitive_of_old() -> _Primitive:
    """What `FileLock` takes before filelock 3.30, which brought `lock_descriptor`: Python 3.8 and 3.9 have no newer.

    Both exclude each other.
    """
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415

        def lock(descriptor: int) -> bool:
            return _unless_held(lambda: msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1))

        return lock, lambda descriptor: msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
    import fcntl  # noqa: PLC0415

    def flock(descriptor: int) -> bool:
        return _unless_held(lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB))

    return flock, lambda descriptor: fcntl.flock(descriptor, fcntl.LOCK_UN)


def _unless_held(take: Callable[[], None]) -> bool:
    try:
        take()
    except OSError as exc:
        if exc.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _open(path: str) -> io.FileIO:
    try:
        file = io.FileIO(path, "r+", opener=_opener)
    except OSError as exc:
        what = "it is a symbolic link; remove it" if exc.errno == errno.ELOOP else os_error_text(exc)
        cure = " Use a store in a folder of your own." if exc.errno == errno.EACCES else ""
        raise StoreError(f"The lock file {path} can't be opened: {what}.{cure}") from exc
    _open_files.add(file)
    try:
        status = os.fstat(file.fileno())
        fault = _fault(status)
        if not fault:
            if sys.platform != "win32" and status.st_mode & 0o600 != 0o600:
                os.fchmod(file.fileno(), 0o600)  # a umask that takes the owner's own bits
            return file
    except OSError:
        fault = "its permissions can't be set"
    with suppress(OSError):
        file.close()
    raise StoreError(f"The lock file {path} can't be trusted: {fault}. Remove it, or use a folder of your own.")


def _opener(path: str, _flags: int) -> int:
    return os.open(path, _FLAGS, 0o600)


def _fault(status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "it is no regular file"
    user = effective_user()
    if user is not None and status.st_uid != user:
        return f"it belongs to user {status.st_uid}"
    return "it has a second name (a hard link)" if status.st_nlink > 1 else ""


def _same_file(path: str, descriptor: int) -> bool:
    if sys.platform == "win32":
        return True  # what is open there can't be unlinked
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _close_inherited() -> None:
    for file in list(_open_files):
        with suppress(OSError):
            file.close()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_close_inherited)
