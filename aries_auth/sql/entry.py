"""SQLEntry: what may be done with the row of a `SQLTokenStore` while it is locked."""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping

from aries_auth.errors import LockTimeout
from aries_auth.singleflight.clock import monotonic
from aries_auth.sql.connecting import connecting_until
from aries_auth.sql.fault import PATIENCE, POLL, DatabaseFault, FaultKind
from aries_auth.sql.grant_row import GrantRow
from aries_auth.sql.row import RowLock
from aries_auth.store.protocol import block_has_ended
from aries_auth.token import Secret, Token

_SLICE = 0.25


class SQLEntry:
    """The row of a `SQLTokenStore` while it is locked."""

    __module__ = "aries_auth.sql"

    def __init__(self, grant: GrantRow, row: RowLock, lock_timeout: float) -> None:
        self._grant = grant
        self._lock_timeout = lock_timeout
        self._row = row
        self._seen: Secret | None = None
        self._stored_extra: Mapping[str, Any] | None = None
        self._saved = False
        self._ended = False

    def load(self) -> Token | None:
        """The stored token, or None; after a save it is read without the lock, which went with the commit.

        Raises:
            StoreError: the row can't be read or used, the lock was lost, or the block has ended.
        """
        self._check_block()
        if self._saved and not self._row.held:
            self._seen = self._grant.read()
        else:
            found, fault = self._row.read()
            if fault is not None:
                raise self._grant.error("read", fault)
            self._seen = found
        token = self._grant.decoded(self._seen)
        self._stored_extra = {} if token is None else token.extra
        return token

    def reserve(self) -> None:
        """Write the row as it is, committed with a note that its refresh token is about to be spent; try the cipher.

        Raises:
            LockTimeout: somebody else took the lock in between.
            StoreError: a save would fail: no permission, no space, an unreadable row, a cipher that fails.
        """
        self._check_block()
        if self._stored_extra is None:
            self.load()
        self._grant.encoded(Token("probe"), self._stored_extra or {})
        fault = self._row.reserve()
        if fault is not None and fault.kind is FaultKind.LOST:
            fault = self._anew(self._row.reserve, None)  # nothing is spent yet
        if fault is not None and fault.kind is FaultKind.BUSY:
            raise LockTimeout(f"{self._grant} was locked by another process or thread in between. Try again.")
        if fault is not None:
            raise self._grant.error("replaced", fault)

    def save(self, token: Token) -> None:
        """Write and commit. If the connection was lost, lock again, and save if the row is as it was seen last.

        Raises:
            StoreError: it could not be committed, or somebody else has saved since the lock was lost.
        """
        self._check_block()
        if self._stored_extra is None:
            self.load()
        document = self._grant.encoded(token, self._stored_extra or {})
        secrets = (document, Secret(token.access_token), Secret(token.refresh_token or ""))
        lost, fault = not self._row.held, None
        if not lost:
            fault = self._row.write(document, *secrets)
            lost = fault is not None and fault.kind is FaultKind.LOST
        if lost:
            fault = self._anew(lambda: self._row.write(document, *secrets), document)
        self._saved = fault is None
        if fault is not None:
            raise self._grant.error("replaced", fault)
        self._seen = document

    def _anew(self, act: Callable[[], DatabaseFault | None], written: Secret | None) -> DatabaseFault | None:
        """Lock again, and act if the row is as it was seen last, or holds already what the act would write."""
        # In a hurry: until this has the lock again others can have it, and would send the refresh token again.
        deadline = monotonic() + PATIENCE
        while True:
            with connecting_until(deadline):
                fault = self._row.acquire(_SLICE) or self._act_if_as_seen(act, written)
            if fault is None or fault.kind in (FaultKind.OTHER, FaultKind.MISSING) or monotonic() >= deadline:
                return fault
            time.sleep(POLL)

    def _act_if_as_seen(self, act: Callable[[], DatabaseFault | None], written: Secret | None) -> DatabaseFault | None:
        found, fault = self._row.read()
        if fault is None and written is not None and found == written:
            self._row.release()  # the commit whose confirmation was lost
            return None
        if fault is None and found != self._seen:
            self._row.release()
            return DatabaseFault(FaultKind.OTHER, "the lock was lost, and somebody else has saved a token meanwhile")
        return fault or act()

    def delete(self) -> None:
        """Delete the row and commit.

        Raises:
            StoreError: the database refused.
        """
        self._check_block()
        fault = None if self._row.held else self._row.acquire(self._lock_timeout)
        fault = fault or self._row.delete()
        if fault is not None:
            raise self._grant.error("deleted", fault)
        self._saved, self._seen = True, None
        self._stored_extra = {}

    def _check_block(self) -> None:
        if self._ended:
            raise block_has_ended(f"{self._grant}")

    def end(self) -> None:
        """The block has ended: whoever keeps this entry can do nothing with it any more."""
        self._ended = True
