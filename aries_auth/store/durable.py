"""Bytes that outlive a power cut: space allocated before it is needed, whole writes, fsync of files and folders."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress

from aries_auth.store.system import os_error_text
from aries_auth.token import Secret

_NOT_SUPPORTED = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})


def allocate(descriptor: int, size: int) -> None:
    """Allocate the blocks of a new file, so that writing them can't fail for want of space. Raises OSError."""
    allocate_blocks = getattr(os, "posix_fallocate", None)
    if allocate_blocks is not None:
        try:
            # CPython raises; PyPy returns the error (seen with 3.11-v8.0), which must not pass for success.
            number = allocate_blocks(descriptor, 0, size)
        except OSError as exc:
            number = exc.errno
        if not number:
            return
        if number not in _NOT_SUPPORTED:
            raise OSError(number, os.strerror(number))
    write_whole(descriptor, b"\0" * size)
    os.lseek(descriptor, 0, os.SEEK_SET)


def write_and_close(descriptor: int, document: Secret, allocated: int) -> str:
    """Write the whole document, fsync and close. Raises OSError if it can't be written.

    Returns:
        What fsync or close said if one failed: that must not stop the replace.
    """
    try:
        size = write_whole(descriptor, document.reveal().encode("ascii"))
        if size != allocated:
            os.ftruncate(descriptor, size)
    except OSError:
        with suppress(OSError):
            os.close(descriptor)
        raise
    fault = ""
    for name, step in (("fsync", sync), ("close", os.close)):
        try:
            step(descriptor)
        except OSError as exc:
            fault = fault or f"{name} said {os_error_text(exc)}"
    return fault


def write_whole(descriptor: int, data: bytes) -> int:
    """Write all of it; returns how much that was. Raises OSError."""
    size = len(data)
    left = memoryview(data)  # alone: Nuitka 4.3 can't compile it in an assignment of two
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    finally:
        del data, left  # a frame that raises must not show them
    return size


def sync(descriptor: int) -> None:
    """Flush a file or a folder to the medium itself. Raises OSError."""
    if sys.platform == "darwin":
        # There fsync stops at the drive's own cache, which a power cut empties.
        import fcntl  # noqa: PLC0415

        with suppress(OSError):  # not every filesystem has it
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_folder(folder: str) -> str:
    """Make what was put in place or removed there outlive a power cut; returns what fsync said if it failed."""
    if sys.platform == "win32":
        return ""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as exc:
        return "" if exc.errno in _NOT_SUPPORTED else f"fsync of its folder said {os_error_text(exc)}"
    return ""
