"""The exclusive lock of a file store: one lock file, held by one descriptor.

On POSIX this is the `flock` that filelock takes, so that the two exclude each other, on a descriptor of our own:
filelock 3.16, the last for Python 3.8, truncates what a planted link points to, unlocks the parent's lock from a
forked child's destructor, and later ones fall back to a lock file that outlives a crash. Elsewhere it is filelock.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from contextlib import contextmanager, suppress
from typing import Callable, Iterator

from aries_auth.errors import LockTimeout, StoreError

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.01
_HELD_ELSEWHERE = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})
# Descriptors that a forked child must close: they share their lock with the parent's.
_open_descriptors: set[int] = set()


@contextmanager
def exclusive_lock(path: str, timeout: float, *, monotonic: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Hold the lock file `path`, waiting at most `timeout` seconds for it (0: one try).

    The lock file stays when the lock is released: unlinking it would let two holders lock two files of one name.

    Raises:
        LockTimeout: somebody else held it all that time.
        StoreError: the file can't be opened safely, or its filesystem has no locks.
    """
    deadline = monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        release = _try_lock(path)
        if release is not None:
            break
        left = deadline - monotonic()
        if left <= 0:
            raise LockTimeout(
                f"{path} is locked by another process or thread, and was not released within {timeout:g} s. "
                "Try again; if it stays so, look for a hung process that uses this store."
            )
        time.sleep(min(pause, left))
        pause = min(_LONGEST_PAUSE, pause * 2)
    owner = os.getpid()
    try:
        yield
    finally:
        # A child that was forked inside the block shares the lock: releasing it there would release the parent's.
        if os.getpid() == owner:
            release()


if sys.platform == "win32":  # pragma: no cover - the interpreters at hand prove Linux

    def _try_lock(path: str) -> Callable[[], None] | None:
        import filelock  # noqa: PLC0415 - needed on this platform alone

        lock = filelock.FileLock(path, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return None
        except OSError as exc:
            raise StoreError(f"The lock file {path} can't be used: {exc.strerror}.") from exc
        return lock.release

else:
    import fcntl

    def _try_lock(path: str) -> Callable[[], None] | None:
        descriptor = _open(path)
        if descriptor is None:
            return None
        _open_descriptors.add(descriptor)
        locked = False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever unlinked the file between our open and our lock left us a lock on no name.
            locked = _same_file(path, descriptor)
        except OSError as exc:
            if exc.errno not in _HELD_ELSEWHERE:
                raise StoreError(
                    f"The filesystem of {path} gives no lock ({os.strerror(exc.errno or 0)}), and without one two "
                    "processes could spend the same refresh token. Keep the token file on a local filesystem."
                ) from exc
        finally:
            if not locked:
                _close(descriptor)

        def release() -> None:
            # Closing unlocks, too; by itself it would not while a forked child has the descriptor.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            with suppress(OSError):
                _close(descriptor)

        return release if locked else None

    def _open(path: str) -> int | None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o600)
        except OSError as exc:
            what = "it is a symbolic link; remove it" if exc.errno == errno.ELOOP else os.strerror(exc.errno or 0)
            raise StoreError(f"The lock file {path} can't be opened: {what}.") from exc
        try:
            status = os.fstat(descriptor)
            fault = _fault(status)
            if not fault and status.st_mode & 0o600 != 0o600 and status.st_nlink:
                os.fchmod(descriptor, 0o600)  # a umask that takes the owner's own bits
        except OSError:
            fault = "its permissions can't be set"
        if not fault and status.st_nlink:
            return descriptor
        os.close(descriptor)
        if not fault:
            return None
        raise StoreError(f"The lock file {path} can't be trusted: {fault}. Remove it, or use a folder of your own.")

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

    def _close(descriptor: int) -> None:
        _open_descriptors.discard(descriptor)
        os.close(descriptor)

    def _close_inherited() -> None:
        while _open_descriptors:
            descriptor = _open_descriptors.pop()
            with suppress(OSError):
                os.close(descriptor)

    os.register_at_fork(after_in_child=_close_inherited)
