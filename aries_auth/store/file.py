"""FileTokenStore: one grant in one file, replaced atomically, private from creation on."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import Any, Generator, Mapping

from aries_auth.errors import ConfigurationError, StoreError
from aries_auth.store.document import Cipher, decode, encode
from aries_auth.store.lock import exclusive_lock
from aries_auth.store.profile import check_profile
from aries_auth.store.protocol import LOCK_TIMEOUT
from aries_auth.store.temporary import TemporaryFile, make_folder, reason, sync_folder
from aries_auth.token import Token

_POSIX = os.name == "posix"
_LARGEST_FILE = 4 * 1024 * 1024
# What a reservation leaves for the tokens to come, above the keys that are kept; base64 and encryption included.
_LONGEST_TOKENS = 16 * 1024
_READ_FLAGS = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT")
)


def profile_path(profile: str) -> str:
    """The token file of a profile, in the user's data folder of this platform."""
    import platformdirs  # noqa: PLC0415 - only who uses a profile pays for it

    return os.path.join(platformdirs.user_data_dir("aries-auth"), f"{profile}.json")


class FileTokenStore:
    """One grant in one JSON file, with its lock beside it.

    Args:
        path: the file. A symbolic link is followed, and its target is what gets replaced.
        mode: the permission bits that the file is created with. A file with more of them is refused (POSIX).
        lock_timeout: seconds to wait for the lock where a call names no time-out of its own.
        cipher: encrypts what is stored; anything with ``encrypt(bytes)`` and ``decrypt(bytes)``.
    """

    __module__ = "aries_auth"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        mode: int = 0o600,
        lock_timeout: float = LOCK_TIMEOUT,
        cipher: Cipher | None = None,
    ) -> None:
        name = os.fsdecode(path)
        if not name or "\0" in name:
            raise ConfigurationError("The path of a token file must not be empty, and can't have a NUL in it.")
        self.path = os.path.abspath(os.path.expanduser(name))
        self.mode = mode
        self.lock_timeout = lock_timeout
        self.cipher = cipher

    @classmethod
    def for_profile(cls, profile: str, cipher: Cipher | None = None) -> FileTokenStore:
        """The store of a profile, in the user's data folder.

        Raises:
            ConfigurationError: it is no profile name.
        """
        return cls(profile_path(check_profile(profile)), cipher=cipher)

    def load(self) -> Token | None:
        """The stored token, or None where there is no file. Takes no lock, since files are replaced whole.

        Raises:
            StoreError: the file can't be read, is not private, or holds no usable token; it is left as it is.
        """
        return _load(self._target(), self)

    def save(self, token: Token) -> None:
        """Replace the stored token durably.

        Raises:
            LockTimeout: the lock was not had within `lock_timeout` seconds.
            StoreError: the file that is there is unreadable, or the new one could not be made durable.
        """
        with self.locked() as entry:
            entry.save(token)

    def delete(self) -> None:
        """Remove the file, readable or not; nothing happens where there is none.

        Raises:
            LockTimeout: the lock was not had within `lock_timeout` seconds.
            StoreError: the file can't be removed.
        """
        if os.path.isdir(os.path.dirname(self._target())):
            with self.locked() as entry:
                entry.delete()

    @contextmanager
    def locked(self, timeout: float | None = None) -> Generator[FileEntry, None, None]:
        """Hold the exclusive lock and work on the entry.

        Args:
            timeout: seconds to wait for the lock; None waits `lock_timeout`, 0 tries once.

        Raises:
            LockTimeout: the lock was not had in time.
            StoreError: the folder or the lock file can't be made or used.
        """
        target = self._target()
        make_folder(os.path.dirname(target))
        with exclusive_lock(f"{target}.lock", self.lock_timeout if timeout is None else timeout):
            entry = FileEntry(self, target)
            try:
                yield entry
            finally:
                entry.discard()

    def _target(self) -> str:
        if not os.path.islink(self.path):
            return self.path
        target = os.path.realpath(self.path)
        if not os.path.lexists(target):
            raise StoreError(f"{self.path} is a symbolic link to {target}, which does not exist. Remove the link.")
        return target

    def __repr__(self) -> str:
        return f"FileTokenStore({self.path!r})"


class FileEntry:
    """The file of a `FileTokenStore` while its lock is held."""

    def __init__(self, store: FileTokenStore, target: str) -> None:
        self._store = store
        self._target = target
        self._temporary = TemporaryFile(target, store.mode)
        self._stored_extra: Mapping[str, Any] | None = None

    def load(self) -> Token | None:
        """The stored token, or None. Raises StoreError."""
        token = _load(self._target, self._store)
        self._stored_extra = {} if token is None else token.extra
        return token

    def reserve(self) -> None:
        """Create the temporary file, private and with its blocks allocated, so that a save will succeed.

        Raises:
            StoreError: a save would fail: no space, no permission, an unreadable file in the way, a cipher that fails.
        """
        if self._stored_extra is None:
            self.load()
        probe = encode(Token("probe"), stored_extra=self._stored_extra or {}, cipher=self._store.cipher)
        self._temporary.create(len(probe.reveal()) + _LONGEST_TOKENS)

    def save(self, token: Token) -> None:
        """Write, fsync, replace, fsync the folder.

        Raises:
            StoreError: one of them failed. The file holds the old token or the new one, whole.
        """
        if self._stored_extra is None:
            self.load()
        document = encode(token, stored_extra=self._stored_extra or {}, cipher=self._store.cipher)
        self._temporary.replace_target(document)

    def delete(self) -> None:
        """Remove the file and what a crash may have left beside it. Raises StoreError."""
        self._temporary.discard()
        for path in (self._target, self._temporary.path):
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
            except OSError as exc:
                raise StoreError(f"{path} can't be removed: {reason(exc)}.") from exc
        sync_folder(os.path.dirname(self._target))  # or a power cut could bring a logged-out token back
        self._stored_extra = {}

    def discard(self) -> None:
        """Drop a reservation that was not used."""
        self._temporary.discard()


def _load(target: str, store: FileTokenStore) -> Token | None:
    token, fault = _read(target, store)
    if fault:
        raise StoreError(f"The token file {target} can't be used: {fault}. It was left as it is.")
    return token


def _read(target: str, store: FileTokenStore) -> tuple[Token | None, str]:
    try:
        descriptor = os.open(target, _READ_FLAGS)
    except FileNotFoundError:
        return None, ""
    except OSError as exc:
        return None, reason(exc)
    try:
        status = os.fstat(descriptor)
        fault = _not_private(status, store.mode, target)
        if fault:
            return None, fault
        if status.st_size > _LARGEST_FILE:
            return None, f"it is larger than {_LARGEST_FILE} bytes"
        # It never grows: whoever writes makes another file and puts it in place.
        raw = b"".join(iter(lambda: os.read(descriptor, status.st_size + 1), b""))
    except OSError as exc:
        return None, reason(exc)
    finally:
        with suppress(OSError):  # what was read was read
            os.close(descriptor)
    return decode(raw, cipher=store.cipher)


def _not_private(status: os.stat_result, mode: int, target: str) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "it is no regular file"
    if not _POSIX:
        return ""
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}, not to you (chown it, or log in again with a file of your own)"
    if stat.S_IMODE(status.st_mode) & ~mode:
        return (
            f"others may have access to it (mode {stat.S_IMODE(status.st_mode):04o}); "
            f"run: chmod {mode:o} {target!r}, and log in again if somebody may have read it"
        )
    return ""
