"""What a token store and a cipher are, as protocols: you can pass whatever has these methods."""

from __future__ import annotations

from typing import ContextManager, Protocol

from aries_auth.errors import StoreError
from aries_auth.token import Token

LOCK_TIMEOUT = 45.0  # seconds: longer than a refresh takes at its slowest


class StoreEntry(Protocol):
    """One grant's place in a store while you hold its exclusive lock."""

    def load(self) -> Token | None:
        """The stored token, or None if there is none.

        Raises:
            StoreError: what is stored can't be read or used.
        """
        ...

    def save(self, token: Token) -> None:
        """Store the token durably: once this returns, the new token survives a power cut.

        Raises:
            StoreError: it could not be made durable. The store holds the old token or the new one, whole.
        """
        ...

    def delete(self) -> None:
        """Remove what is stored, whatever it is. Does nothing if nothing is stored."""
        ...

    def reserve(self) -> None:
        """Prove that a save will succeed, before a refresh token is spent for what it would save.

        Raises:
            StoreError: a save would fail.
        """
        ...


class TokenStore(Protocol):
    """Keeps one grant's token, and lets one holder at a time replace it.

    These four methods are all that a store must have. It may also have the attributes `path`, `lock_timeout` and
    `command_options` (see `StoreAttributes`); a store without them is complete.

    **Forks.** A process may fork while it holds the lock. While the child runs, the package never releases, closes or
    collects in it what the parent holds: not the block of `locked`, not the entry, whoever wrote the store. When the
    child ends, Python may still finalize them. So a store notes `os.getpid` when it takes the lock, compares it before
    it releases, and does nothing if they differ: else the child's end would free its parent's lock.

    **Errors.** Raise `StoreError` and `LockTimeout` with messages fit to be logged. Of any other exception the package
    logs the type alone, since its text may quote what it was given.
    """

    def load(self) -> Token | None:
        """The stored token, or None. Takes no lock. Raises StoreError."""
        ...

    def save(self, token: Token) -> None:
        """Store the token under the lock. Raises StoreError, LockTimeout."""
        ...

    def delete(self) -> None:
        """Remove what is stored, under the lock. Raises StoreError, LockTimeout."""
        ...

    def locked(self, timeout: float | None = None) -> ContextManager[StoreEntry]:
        """Hold the exclusive lock and work on the entry.

        Args:
            timeout: seconds to wait for the lock. None waits the store's own time-out, 0 tries once.

        Raises:
            LockTimeout: somebody else held the lock all that time.
            StoreError: there can be no lock.
        """
        ...


class StoreAttributes(Protocol):
    """What a `TokenStore` may have besides its methods. Each attribute is optional.

    They stand in a protocol of their own, because a type checker demands every member of a protocol. A plain attribute
    will do as well as a property.
    """

    @property
    def path(self) -> str:
        """What messages and ``repr`` call the store. Without it they use ``str(store)``."""
        ...

    @property
    def lock_timeout(self) -> float:
        """Seconds that a refresh and a login wait for the lock. Without it they wait 45."""
        ...

    @property
    def command_options(self) -> str | None:
        """The options that tell ``aries-auth`` of this store, quoted for a shell.

        `LoginRequired` shows them in the command that it names. Without them that command says ``--store`` and the
        store's name.
        """
        ...


class Cipher(Protocol):
    """Encrypts tokens at rest, e.g. ``cryptography.fernet.MultiFernet``."""

    def encrypt(self, data: bytes, /) -> bytes:
        """The data, encrypted and authenticated."""
        ...

    def decrypt(self, token: bytes, /) -> bytes:
        """What `encrypt` was given; raises whatever it likes if key or data is wrong."""
        ...


def block_has_ended(name: str) -> StoreError:
    """What an entry says once its lock is gone: a save now could replace what the next holder has saved."""
    return StoreError(
        f"The locked() block of {name} has ended, and with it the lock that this entry works under. Nothing was done. "
        "Call locked() again, and use the entry that it yields."
    )


def store_name(store: TokenStore) -> str:
    """What messages call a store: its path if it has one."""
    return str(getattr(store, "path", store))


def store_lock_timeout(store: TokenStore) -> float:
    """Seconds to wait for a store's lock."""
    seconds: float = getattr(store, "lock_timeout", LOCK_TIMEOUT)
    return seconds


def store_command_options(store: TokenStore) -> str | None:
    """How the command is told of a store, if the store says so."""
    options = getattr(store, "command_options", None)
    return options if isinstance(options, str) else None
