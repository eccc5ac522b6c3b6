"""The temporary file that becomes the token file: reserved before it is needed, then written and put in place."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress

from aries_auth.errors import StoreError
from aries_auth.token import Secret

_FLAGS = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT"))
)
_NOT_SUPPORTED = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS})


def reason(exc: OSError) -> str:
    """What the system says, in its own words."""
    return exc.strerror or type(exc).__name__


def make_folder(folder: str) -> None:
    """Make a folder, and those above it, private where they are missing.

    Raises:
        StoreError: it can't be made.
    """
    if os.path.isdir(folder):
        return
    above = os.path.dirname(folder)
    if above != folder:
        make_folder(above)
    try:
        os.mkdir(folder, 0o700)
        if os.stat(folder).st_mode & 0o700 != 0o700:
            os.chmod(folder, 0o700)  # a umask that takes the owner's own bits
    except FileExistsError:
        if not os.path.isdir(folder):  # else somebody else was faster
            raise StoreError(f"The folder {folder} can't be made: there is a file of that name.") from None
    except OSError as exc:
        raise StoreError(f"The folder {folder} can't be made: {reason(exc)}.") from exc


class TemporaryFile:
    """A file beside `target`, under a fixed name: used under the lock, what stands there was left by a crash."""

    def __init__(self, target: str, mode: int) -> None:
        self._target = target
        self._mode = mode
        self._descriptor: int | None = None
        self._allocated = 0
        self._owner = os.getpid()
        folder, name = os.path.split(target)
        self.path: str = os.path.join(folder, f".{name}.tmp")

    def create(self, size: int) -> None:
        """Create the file and allocate `size` bytes; nothing happens where that was done.

        Raises:
            StoreError: it can't be created or sized, or the target can't be replaced.
        """
        if os.getpid() != self._owner:
            raise StoreError(f"{self._target} was locked by the process that forked this one. Lock it again here.")
        if self._descriptor is not None:
            return
        if os.path.isdir(self._target):
            raise StoreError(f"The token file {self._target} can't be replaced: it is a directory.")
        try:
            self._descriptor = descriptor = self._open()
            if sys.platform != "win32" and os.fstat(descriptor).st_mode & 0o600 != self._mode & 0o600:
                os.fchmod(descriptor, self._mode)  # a umask that takes the owner's own bits
            _allocate(descriptor, size)
            self._allocated = size
        except OSError as exc:
            self.discard()
            raise StoreError(
                f"The token file {self._target} can't be replaced, since {self.path} can't be made: {reason(exc)}. "
                "Nothing was changed."
            ) from exc

    def _open(self) -> int:
        try:
            return os.open(self.path, _FLAGS, self._mode)
        except FileExistsError:
            os.unlink(self.path)
            return os.open(self.path, _FLAGS, self._mode)

    def replace_target(self, document: Secret) -> None:
        """Write the document, fsync, replace the target, fsync the folder.

        Raises:
            StoreError: a step failed. After a failed fsync the target is replaced all the same: others must find
                the new token there rather than the spent one.
        """
        folder = os.path.dirname(self._target)
        try:
            try:
                fault = self._put(document)
            except FileNotFoundError:
                # The folder was removed after the file was made in it.
                make_folder(folder)
                fault = self._put(document)
        except OSError as exc:
            with suppress(OSError):
                os.unlink(self.path)
            raise StoreError(f"The token file {self._target} could not be replaced: {reason(exc)}.") from exc
        fault = fault or sync_folder(folder)
        if fault:
            raise StoreError(f"The token file {self._target} was replaced, but may not outlive a power cut: {fault}.")

    def _put(self, document: Secret) -> str:
        self.create(len(document.reveal()))
        descriptor, self._descriptor = self._descriptor, None
        assert descriptor is not None  # noqa: S101 - create() has set it
        fault = _write(descriptor, document, self._allocated)
        os.replace(self.path, self._target)
        return fault

    def discard(self) -> None:
        """Remove the file, unless it has become the target."""
        descriptor, self._descriptor = self._descriptor, None
        # A forked child drops its copy of this object, not the file that its parent is about to put in place.
        if descriptor is not None and os.getpid() == self._owner:
            with suppress(OSError):
                os.close(descriptor)
            with suppress(OSError):
                os.unlink(self.path)


def _allocate(descriptor: int, size: int) -> None:
    allocate = getattr(os, "posix_fallocate", None)
    if allocate is not None:
        try:
            allocate(descriptor, 0, size)
            return
        except OSError as exc:
            if exc.errno not in _NOT_SUPPORTED:
                raise
    _write_whole(descriptor, b"\0" * size)
    os.lseek(descriptor, 0, os.SEEK_SET)


def _write(descriptor: int, document: Secret, allocated: int) -> str:
    """Write the whole document and close; returns what fsync or close said where it failed: that must not stop us."""
    try:
        size = _write_whole(descriptor, document.reveal().encode("ascii"))
        if size != allocated:
            os.ftruncate(descriptor, size)
    except OSError:
        with suppress(OSError):
            os.close(descriptor)
        raise
    fault = ""
    for step in (os.fsync, os.close):
        try:
            step(descriptor)
        except OSError as exc:
            fault = fault or f"{step.__name__} said {reason(exc)}"
    return fault


def _write_whole(descriptor: int, data: bytes) -> int:
    left, size = memoryview(data), len(data)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    finally:
        del data, left  # a frame that raises must not show them
    return size


def sync_folder(folder: str) -> str:
    """Make what was put in place or removed there outlive a power cut; returns what fsync said where it failed."""
    if sys.platform == "win32":
        return ""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as exc:
        return "" if exc.errno in _NOT_SUPPORTED else f"fsync of its folder said {reason(exc)}"
    return ""
