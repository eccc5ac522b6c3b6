"""FileTokenStore: one grant in one file, replaced atomically, private from creation on."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Mapping

from aries_auth.errors import ConfigurationError, StoreError
from aries_auth.store.document import Accept, Cipher, decode, encode
from aries_auth.store.durable import sync_folder
from aries_auth.store.lock import ExclusiveLock, exclusive_lock
from aries_auth.store.path import Place, absolute, reason, resolve
from aries_auth.store.private import read_private
from aries_auth.store.profile import check_case, check_profile, profile_path
from aries_auth.store.protocol import LOCK_TIMEOUT
from aries_auth.store.temporary import NotDurable, TemporaryFile, make_folder, remove
from aries_auth.terminal import quoted
from aries_auth.token import Token

# What a reservation leaves for the tokens to come, above the keys that are kept; base64 and encryption included.
_LONGEST_TOKENS = 16 * 1024


class FileTokenStore:
    """One grant in one JSON file, with its lock beside it.

    Making one does no I/O. A relative path or a ``~`` is therefore made absolute when the store is first used, its
    `path` read or the store pickled, and keeps that meaning from then on. A profile means the file of the computer that
    unpickles it.

    A store pickles, and its `cipher` travels with it: a Fernet cipher takes its raw keys along. Send such a pickle (or
    that of an `AriesAuth` with such a store) only where the keys may go; else make the store where it is used.

    Args:
        path: the file. A symbolic link is followed if it belongs to this user or to root; its target gets replaced.
        mode: the permission bits that the file is created with. A file with more of them is refused (POSIX).
        lock_timeout: seconds to wait for the lock if a call names no time-out of its own.
        cipher: encrypts what is stored; anything with ``encrypt(bytes)`` and ``decrypt(bytes)``.

    Raises:
        ConfigurationError: the path is empty or has a NUL in it.
    """

    __module__ = "aries_auth"

    accept: Accept = Accept.NOTHING  # `rekey` sets it on a copy of its own

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
        self._given = name
        self._profile: str | None = None
        self._path = os.path.normpath(name) if os.path.isabs(name) else None
        self.mode = mode
        self.lock_timeout = lock_timeout
        self.cipher = cipher

    @classmethod
    def for_profile(
        cls,
        profile: str = "default",
        *,
        mode: int = 0o600,
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
            ConfigurationError: this is no profile name. At the first use: this user has no home folder, or the file is
                that of another profile, whose name differs in capital letters alone.
        """
        store = cls(check_profile(profile), mode=mode, lock_timeout=lock_timeout, cipher=cipher)
        store._profile = profile
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
        return _load(self._place().path, self)

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
        if os.path.isdir(os.path.dirname(self._place().path)):
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


class LockedFile:
    """The block of `FileTokenStore.locked`. A class, so that Ctrl-C in `__enter__` leaves nothing locked."""

    def __init__(self, store: FileTokenStore, timeout: float) -> None:
        self._store = store
        self._timeout = timeout
        self._lock: ExclusiveLock | None = None
        self._entry: FileEntry | None = None

    def __enter__(self) -> FileEntry:
        place = self._store._place()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        make_folder(os.path.dirname(place.path))
        if resolve(place.path).path != place.path:
            raise StoreError(
                f"{place.path} became a symbolic link while its folder was made. Use a folder of your own."
            )
        self._entry = FileEntry(self._store, place)
        self._lock = exclusive_lock(f"{place.path}.lock", self._timeout)
        try:
            self._lock.__enter__()
            return self._entry
        except BaseException:
            self._lock.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._entry is not None:
                self._entry.discard()
        finally:
            if self._lock is not None:
                self._lock.__exit__(kind, exc, traceback)


class FileEntry:
    """The file of a `FileTokenStore` while its lock is held."""

    def __init__(self, store: FileTokenStore, place: Place) -> None:
        self._store = store
        self._target = place.path
        self._linked = place.linked
        self._temporary = TemporaryFile(place.path, store.mode)
        self._stored_extra: Mapping[str, Any] | None = None

    def load(self) -> Token | None:
        """The stored token, or None. Raises StoreError."""
        token = _load(self._target, self._store)
        self._stored_extra = {} if token is None else token.extra
        return token

    def reserve(self) -> None:
        """Create the temporary file, private and with its blocks allocated, so that a save will succeed.

        Raises:
            StoreError: a save would fail: no space, no permission, an unreadable file in the way, a cipher that fails,
                a file that can't be replaced, a filesystem that keeps no permissions.
        """
        if self._stored_extra is None:
            self.load()
        probe = encode(Token("probe"), stored_extra=self._stored_extra or {}, cipher=self._store.cipher)
        self._temporary.prove()
        self._temporary.create(len(probe.reveal()) + _LONGEST_TOKENS)

    def save(self, token: Token) -> None:
        """Write, fsync, replace, fsync the folder. If only the last of them fails, that is logged as a warning.

        Raises:
            StoreError: one of the others failed. The file holds the old token or the new one, whole.
        """
        if self._stored_extra is None:
            self.load()
        document = encode(token, stored_extra=self._stored_extra or {}, cipher=self._store.cipher)
        try:
            self._temporary.replace_target(document)
        except NotDurable as exc:
            from aries_auth.log import logger  # noqa: PLC0415 - a look at the store needs no logging

            # Saved: everybody sees it. To save it again would change nothing but the age of the folder's entry.
            logger.warning("%s", exc, extra={"event": "save", "store": self._store.path, "error": "NotDurable"})

    def delete(self) -> None:
        """Remove the file and what a crash may have left beside it.

        Raises:
            StoreError: the file can't be removed, or a link led to a file that is no readable token.
        """
        if self._linked:
            self._check_readable()
        self._temporary.check_process()
        self._temporary.discard()
        for path in (self._target, self._temporary.path):
            try:
                remove(path)
            except OSError as exc:
                raise StoreError(f"{path} can't be removed: {reason(exc)}.") from exc
        sync_folder(os.path.dirname(self._target))  # or a power cut could bring a logged-out token back
        self._stored_extra = {}

    def _check_readable(self) -> None:
        """Whoever planted a link must not make this remove a file that is no token."""
        _, fault = _read(self._target, self._store)
        if fault:
            raise StoreError(
                f"{self._store.path} leads through a symbolic link to {self._target}, which is no token file that can "
                f"be read ({fault}). Nothing was removed. If it is yours, remove {self._target} by that name."
            )

    def discard(self) -> None:
        """Drop a reservation that was not used."""
        self._temporary.discard()


def _load(target: str, store: FileTokenStore) -> Token | None:
    token, fault = _read(target, store)
    if fault:
        raise StoreError(f"The token file {target} can't be used: {fault}. It was left as it is.{_cure(target, fault)}")
    return token


def _cure(target: str, fault: str) -> str:
    """How to start over from a damaged file; what else is wrong with one has its own cure in the text."""
    if any(word in fault for word in ("chmod", "chown", "key", "cipher")):
        return ""
    argument = quoted(target)
    options = "" if argument is None else f" --store {argument}"
    return f" To start over, run: aries-auth logout{options} and log in again."


def _read(target: str, store: FileTokenStore) -> tuple[Token | None, str]:
    raw, fault = read_private(target, store.mode)
    return (None, fault) if raw is None else decode(raw, cipher=store.cipher, accept=store.accept)
