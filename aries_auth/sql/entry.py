"""SQLEntry: what may be done with the row of a `SQLTokenStore` while it is locked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Callable, Mapping

from aries_auth.errors import LockTimeout
from aries_auth.singleflight.clock import monotonic
from aries_auth.sql.fault import PATIENCE, DatabaseFault, FaultKind
from aries_auth.sql.row import RowLock
from aries_auth.store.document import encode
from aries_auth.token import Secret, Token

if TYPE_CHECKING:
    from aries_auth.sql.store import SQLTokenStore

_SLICE = 0.25
_POLL = 0.02


class SQLEntry:
    """The row of a `SQLTokenStore` while it is locked."""

    __module__ = "aries_auth.sql"

    def __init__(self, store: SQLTokenStore, row: RowLock) -> None:
        self._store = store
        self._row = row
        self._seen: Secret | None = None
        self._stored_extra: Mapping[str, Any] | None = None
        self._saved = False

    def load(self) -> Token | None:
        """The stored token, or None; after a save it is read without the lock, which went with the commit.

        Raises:
            StoreError: the row can't be read or used, or the lock was lost.
        """
        if self._saved and not self._row.held:
            self._seen = self._store.read()
        else:
            found, trouble = self._row.read()
            if trouble is not None:
                raise self._store.error("read", trouble)
            self._seen = found
        token = self._store.decoded(self._seen)
        self._stored_extra = {} if token is None else token.extra
        return token

    def reserve(self) -> None:
        """Write the row as it is, committed with a note that its refresh token is about to be spent; try the cipher.

        Raises:
            LockTimeout: somebody else took the lock in between.
            StoreError: a save would fail: no permission, no space, an unreadable row, a cipher that fails.
        """
        if self._stored_extra is None:
            self.load()
        encode(Token("probe"), stored_extra=self._stored_extra or {}, cipher=self._store.cipher)
        trouble = self._row.reserve()
        if trouble is not None and trouble.kind is FaultKind.LOST:
            trouble = self._anew(self._row.reserve, None)  # nothing is spent yet
        if trouble is not None and trouble.kind is FaultKind.BUSY:
            raise LockTimeout(f"{self._store} was locked by another process or thread in between. Try again.")
        if trouble is not None:
            raise self._store.error("replaced", trouble)

    def save(self, token: Token) -> None:
        """Write and commit. Where the connection was lost, lock again and save if the row is as it was seen last.

        Raises:
            StoreError: it could not be committed, or somebody else has saved since the lock was lost.
        """
        if self._stored_extra is None:
            self.load()
        document = encode(token, stored_extra=self._stored_extra or {}, cipher=self._store.cipher)
        secrets = (document, Secret(token.access_token), Secret(token.refresh_token or ""))
        lost, trouble = not self._row.held, None
        if not lost:
            trouble = self._row.write(document, *secrets)
            lost = trouble is not None and trouble.kind is FaultKind.LOST
        if lost:
            trouble = self._anew(lambda: self._row.write(document, *secrets), document)
        self._saved = trouble is None
        if trouble is not None:
            raise self._store.error("replaced", trouble)
        self._seen = document

    def _anew(self, act: Callable[[], DatabaseFault | None], written: Secret | None) -> DatabaseFault | None:
        """Lock again and act, where the row is as it was seen last; or holds already what the act would write."""
        # In a hurry: until this has the lock again others can have it, and would send the refresh token again.
        deadline = monotonic() + PATIENCE
        while True:
            trouble = self._row.acquire(_SLICE) or self._act_if_as_seen(act, written)
            if trouble is None or trouble.kind in (FaultKind.OTHER, FaultKind.MISSING) or monotonic() >= deadline:
                return trouble
            time.sleep(_POLL)

    def _act_if_as_seen(self, act: Callable[[], DatabaseFault | None], written: Secret | None) -> DatabaseFault | None:
        found, trouble = self._row.read()
        if trouble is None and written is not None and found == written:
            self._row.release()  # the commit whose confirmation was lost
            return None
        if trouble is None and found != self._seen:
            self._row.release()
            return DatabaseFault(FaultKind.OTHER, "the lock was lost, and somebody else has saved a token meanwhile")
        return trouble or act()

    def delete(self) -> None:
        """Delete the row and commit.

        Raises:
            StoreError: the database refused.
        """
        trouble = None if self._row.held else self._row.acquire(self._store.lock_timeout)
        trouble = trouble or self._row.delete()
        if trouble is not None:
            raise self._store.error("deleted", trouble)
        self._saved, self._seen = True, None
        self._stored_extra = {}
