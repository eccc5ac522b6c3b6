"""The file of a `FileTokenStore` while its lock is held: what is read, reserved, saved and removed there."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Mapping

from aries_auth.errors import StoreError
from aries_auth.store.document import encode
from aries_auth.store.folder import make_folder_of, remove
from aries_auth.store.lock import ExclusiveLock
from aries_auth.store.path import Place
from aries_auth.store.protocol import block_has_ended
from aries_auth.store.reading import load_token, read_token
from aries_auth.store.temporary import NotDurable, TemporaryFile
from aries_auth.token import Token

if TYPE_CHECKING:
    from aries_auth.store.file import FileTokenStore

# What a reservation leaves for the tokens to come, above the keys that are kept; base64 and encryption included.
_LONGEST_TOKENS = 16 * 1024
_PROBE = Token("probe")


class LockedFile:
    """The block of `FileTokenStore.locked`. A class, so that Ctrl-C in `__enter__` leaves nothing locked."""

    def __init__(self, store: FileTokenStore, timeout: float) -> None:
        self._store = store
        self._timeout = timeout
        self._lock: ExclusiveLock | None = None
        self._entry: FileEntry | None = None

    def __enter__(self) -> FileEntry:
        place = self._store._place()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        if not place.has_folder:
            make_folder_of(place.path)
        self._entry = FileEntry(self._store, place)
        self._lock = ExclusiveLock(f"{place.path}.lock", self._timeout)
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
                self._entry.end()
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
        self._ended = False

    def load(self) -> Token | None:
        """The stored token, or None. Raises StoreError, also after the block; so do the others."""
        self._check_block()
        token = load_token(self._target, self._store)
        self._stored_extra = {} if token is None else token.extra
        return token

    def reserve(self) -> None:
        """Create the temporary file, private and with its blocks allocated, so that a save will succeed.

        Raises:
            StoreError: a save would fail: no space, no permission, an unreadable file in the way, a cipher that fails,
                a file that can't be replaced, a filesystem that keeps no permissions.
        """
        self._check_block()
        if self._stored_extra is None:
            self.load()
        probe = encode(_PROBE, stored_extra=self._stored_extra or {}, cipher=self._store.cipher)
        self._temporary.prove()
        self._temporary.create(len(probe.reveal()) + _LONGEST_TOKENS)

    def save(self, token: Token) -> None:
        """Write, fsync, replace, fsync the folder. If only the last of them fails, that is logged as a warning.

        Raises:
            StoreError: one of the others failed. The file holds the old token or the new one, whole.
        """
        self._check_block()
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
        self._check_block()
        if self._linked:
            self._check_readable()
        self._temporary.check_process()
        self._temporary.discard()
        remove(self._target, self._temporary.path)
        self._stored_extra = {}

    def _check_readable(self) -> None:
        """Whoever planted a link must not make this remove a file that is no token."""
        _, fault = read_token(self._target, self._store)
        if fault:
            raise StoreError(
                f"{self._store.path} leads through a symbolic link to {self._target}, which is no token file that can "
                f"be read ({fault}). Nothing was removed. If it is yours, remove {self._target} by that name."
            )

    def _check_block(self) -> None:
        if self._ended:
            raise block_has_ended(self._store.path)

    def end(self) -> None:
        """Drop a reservation that was not used; whoever keeps this entry can do nothing with it any more."""
        self._ended = True
        self._temporary.discard()
