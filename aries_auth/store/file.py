"""FileTokenStore: one grant in one file, replaced atomically, private from creation on."""

from __future__ import annotations

import os
from typing import Any

from aries_auth.errors import ConfigurationError
from aries_auth.singleflight.clock import check_seconds
from aries_auth.store.checks import check_cipher, check_mode, path_fault
from aries_auth.store.document import Accept
from aries_auth.store.locked_file import LockedFile
from aries_auth.store.path import Place, absolute, resolve
from aries_auth.store.profile import check_case, check_profile, profile_path
from aries_auth.store.protocol import LOCK_TIMEOUT, Cipher
from aries_auth.store.reading import load_token
from aries_auth.token import Token

_MODE = 0o600


class FileTokenStore:
    """One grant in one JSON file, with its lock beside it.

    Making one does no I/O. A relative path or a ``~`` is therefore made absolute when the store is first used, its
    `path` read or the store pickled, and keeps that meaning from then on. A profile means the file of the computer that
    unpickles it.

    A store pickles, and its `cipher` travels with it: a Fernet cipher takes its raw keys along. Send such a pickle (or
    that of an `AriesAuth` with such a store) only where the keys may go; else make the store where it is used.

    Args:
        path: the file. A symbolic link is followed if it belongs to this user or to root; its target gets replaced.
        mode: the permission bits that the file is created with, less those of the umask. A file with more of them is
            refused (POSIX). Give more than 0600 for a volume that can't keep that (Kubernetes' ``fsGroup``), and for
            other programs that read the file. A file of another user is refused with any mode.
        lock_timeout: seconds to wait for the lock if a call names no time-out of its own.
        cipher: encrypts what is stored; anything with ``encrypt(bytes)`` and ``decrypt(bytes)``.

    Raises:
        ConfigurationError: a parameter is malformed: a path that is empty or has a NUL in it, a mode that keeps the
            owner out, a cipher without its methods.
    """

    __module__ = "aries_auth"

    accept: Accept = Accept.NOTHING  # `rekey` sets it on a copy of its own

    # What is shown of one that could not be made, in a traceback that prints locals.
    _given: str = "?"
    _path: str | None = None
    _profile: str | None = None

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        mode: int = _MODE,
        lock_timeout: float = LOCK_TIMEOUT,
        cipher: Cipher | None = None,
    ) -> None:
        fault = path_fault(path)
        if fault:
            path = ""  # it may be a URL with a password
            raise ConfigurationError(fault)
        self._given = name = os.fsdecode(path)
        self._profile = None
        self._path = os.path.normpath(name) if os.path.isabs(name) else None
        self.mode = mode
        if mode is not _MODE:
            check_mode(mode)
        self.lock_timeout: float = lock_timeout
        if lock_timeout is not LOCK_TIMEOUT:
            self.lock_timeout = check_seconds("lock_timeout", lock_timeout, zero=True)
        self.cipher: Cipher | None = cipher
        cipher = None
        check_cipher(self)

    @classmethod
    def for_profile(
        cls,
        profile: str = "default",
        *,
        mode: int = _MODE,
        lock_timeout: float = LOCK_TIMEOUT,
        cipher: Cipher | None = None,
    ) -> FileTokenStore:
        """The store of a profile: a file of its name in the user's data folder.

        Args:
            profile: 1 to 64 of the characters A-Z a-z 0-9 . _ - with no dot at the start.
            mode: see the class.
            lock_timeout: see the class.
            cipher: see the class.

        Raises:
            ConfigurationError: this is no profile name, or as for the class. At the first use: this user has no home
                folder, or the file is that of another profile, whose name differs in capital letters alone.
        """
        store = cls(check_profile(profile), mode=mode, lock_timeout=lock_timeout)
        store._profile = profile
        store.cipher, cipher = cipher, None
        check_cipher(store)
        return store

    @property
    def path(self) -> str:
        """The absolute path of the file, links in it not followed."""
        if self._path is None:
            self._path = absolute(self._given) if self._profile is None else profile_path(self._profile)
        return self._path

    @property
    def command_options(self) -> str | None:
        """The options that make ``aries-auth`` use this profile; None for the default one, and for a path."""
        return None if self._profile in (None, "default") else f"--profile {self._profile}"

    def load(self) -> Token | None:
        """The stored token, or None if there is no file. Takes no lock, since files are replaced whole.

        Raises:
            StoreError: the file can't be read, is not private, or holds no usable token; it is left as it is.
        """
        return load_token(self._place().path, self)

    def save(self, token: Token) -> None:
        """Replace the stored token durably.

        Raises:
            LockTimeout: somebody else held the lock for `lock_timeout` seconds.
            StoreError: the file that is there is unreadable, or the new one could not be made durable.
        """
        with self.locked() as entry:
            entry.save(token)

    def delete(self) -> None:
        """Remove the file, readable or not; nothing happens if there is none.

        Raises:
            LockTimeout: somebody else held the lock for `lock_timeout` seconds.
            StoreError: the file can't be removed, or a link led to a file that is no readable token.
        """
        if self._place().has_folder:
            with self.locked() as entry:
                entry.delete()

    def locked(self, timeout: float | None = None) -> LockedFile:
        """Hold the exclusive lock in a ``with`` block and work on the entry that it yields.

        Args:
            timeout: seconds to wait for the lock; None waits `lock_timeout`, 0 tries once.

        Raises:
            LockTimeout: somebody else held the lock all that time.
            StoreError: the folder or the lock file can't be made or used.
        """
        return LockedFile(self, self.lock_timeout if timeout is None else timeout)

    def _place(self) -> Place:
        if self._profile is not None:
            check_case(self.path)
        return resolve(self.path)

    def __getstate__(self) -> dict[str, Any]:
        # A path travels as it is here, since the reader's working folder may be another; a profile is found there.
        return {**self.__dict__, "_path": self.path if self._profile is None else None}

    def __repr__(self) -> str:
        if self._profile is not None:
            return f"FileTokenStore.for_profile({self._profile!r})"
        return f"FileTokenStore({self._given if self._path is None else self._path!r})"
