"""The temporary file that becomes the token file: reserved before it is needed, then written and put in place."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from aries_auth.errors import StoreError
from aries_auth.store.durable import allocate, sync_folder, write_and_close
from aries_auth.store.folder import make_folder
from aries_auth.store.replaceable import permission_fault, replace_fault
from aries_auth.store.system import open_flags, os_error_text
from aries_auth.store.windows import REPLACE_PATIENCE, patiently
from aries_auth.token import Secret

_FLAGS = open_flags("O_WRONLY", "O_CREAT", "O_EXCL", "O_NOFOLLOW")


class NotDurable(StoreError):
    """The token is saved and everybody sees it, but a power cut now could bring the old one back."""


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

    def check_process(self) -> None:
        """Raise StoreError in a forked child: the lock is its parent's."""
        if os.getpid() != self._owner:
            raise StoreError(f"{self._target} was locked by the process that forked this one. Lock it again here.")

    def prove(self) -> None:
        """Prove that the target can be replaced, as far as that shows before it is done. Changes nothing.

        Raises:
            StoreError: it can't be: a mount point, an immutable file.
        """
        fault = replace_fault(self._target)
        if fault:
            raise StoreError(f"The token file {self._target} can't be replaced: {fault}. Nothing was changed.")

    def create(self, size: int) -> None:
        """Create the file and allocate `size` bytes; nothing happens if that was done.

        Raises:
            StoreError: it can't be created, sized or kept private, or the target can't be replaced.
        """
        self.check_process()
        if self._descriptor is not None:
            return
        if os.path.isdir(self._target):
            raise StoreError(
                f"The token file {self._target} can't be replaced: it is a directory. Choose another path, or remove "
                "the directory yourself."
            )
        try:
            fault = self._create(size)
        except OSError as exc:
            self.discard()
            raise StoreError(
                f"The token file {self._target} can't be replaced, since {self.path} can't be made: "
                f"{os_error_text(exc)}. Nothing was changed."
            ) from exc
        if fault:
            self.discard()
            raise StoreError(f"The token file {self._target} can't be kept there: {fault}. Nothing was changed.")

    def _create(self, size: int) -> str:
        self._descriptor = descriptor = self._open()
        status = os.fstat(descriptor)
        if sys.platform != "win32" and status.st_mode & 0o600 != self._mode & 0o600:
            os.fchmod(descriptor, self._mode)  # a umask that takes the owner's own bits
            status = os.fstat(descriptor)
        fault = permission_fault(status, self._mode)
        if not fault:
            allocate(descriptor, size)
            self._allocated = size
        return fault

    def _open(self) -> int:
        try:
            return os.open(self.path, _FLAGS, self._mode)
        except FileExistsError:
            patiently(lambda: os.unlink(self.path), REPLACE_PATIENCE)
            return os.open(self.path, _FLAGS, self._mode)

    def replace_target(self, document: Secret) -> None:
        """Write the document, fsync, replace the target, fsync the folder.

        Raises:
            NotDurable: the target is replaced, but the fsync of its folder failed.
            StoreError: another step failed. After a failed fsync of the file the target is replaced all the same:
                others must find the new token there rather than the spent one.
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
            raise StoreError(f"The token file {self._target} could not be replaced: {os_error_text(exc)}.") from exc
        if fault:
            raise StoreError(f"The token file {self._target} was replaced, but may not outlive a power cut: {fault}.")
        fault = sync_folder(folder)
        if fault:
            raise NotDurable(f"The token file {self._target} is saved, but may not outlive a power cut: {fault}.")

    def _put(self, document: Secret) -> str:
        self.create(len(document.reveal()))
        descriptor, self._descriptor = self._descriptor, None
        assert descriptor is not None  # noqa: S101 - create() has set it
        fault = write_and_close(descriptor, document, self._allocated)
        patiently(lambda: os.replace(self.path, self._target), REPLACE_PATIENCE)
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
