"""What a token store is, as protocols: whatever has these methods can be passed as ``store=``."""

from __future__ import annotations

from typing import ContextManager, Protocol

from aries_auth.token import Token


class StoreEntry(Protocol):
    """One grant's place in a store while its exclusive lock is held."""

    def load(self) -> Token | None:
        """The stored token, or None where there is none.

        Raises:
            StoreError: what is stored can't be read or used.
        """
        ...

    def save(self, token: Token) -> None:
        """Store the token durably: when this returns, a power cut leaves the new token.

        Raises:
            StoreError: it could not be made durable. What is stored is the old token or the new one, whole.
        """
        ...

    def delete(self) -> None:
        """Remove what is stored, whatever it is; nothing happens where nothing is stored."""
        ...

    def reserve(self) -> None:
        """Prove that a save will succeed, before a refresh token is spent for what it would save.

        Raises:
            StoreError: a save would fail.
        """
        ...


class TokenStore(Protocol):
    """Keeps one grant's token, and lets one holder at a time replace it."""

    def load(self) -> Token | None:
        """The stored token, or None; takes no lock. Raises StoreError."""
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
            timeout: seconds to wait for the lock; None waits the store's own time-out, 0 tries once.

        Raises:
            LockTimeout: the lock was not had in time.
            StoreError: there can be no lock.
        """
        ...


def store_name(store: TokenStore) -> str:
    """How messages name a store: its path where it has one."""
    return str(getattr(store, "path", store))
