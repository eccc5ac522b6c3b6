"""RowLock: one row, locked for as long as one transaction lasts. It knows documents, not tokens."""

from __future__ import annotations

import os
import time
from typing import Callable

from sqlalchemy import Connection

from aries_auth.singleflight.clock import monotonic
from aries_auth.sql.database import Database, give_back, hold
from aries_auth.sql.fault import DatabaseFault, FaultKind, attempt
from aries_auth.sql.table import GrantTable, Reservation, isolation, restore
from aries_auth.token import Secret

_SAVEPOINT = "aries_auth"
_POLL = 0.02
_RELOCK = 5.0
# Seconds for which a row is left alone that is free, but reserved: its holder has lost its connection, and may be alive
# with a token that it is about to save. Who only looks (a refresh ahead of time, which tries once) has time; who needs
# a token now can't wait for a holder that is dead.
_GRACE_OF_WHO_LOOKS = 60.0
_GRACE = 0.3


class RowLock:
    """The lock of one row; a connection is held only while the lock is.

    Everything returns what went wrong rather than raise it, since the frames here hold documents.
    """

    def __init__(self, database: Database, table: GrantTable, key: str) -> None:
        self._database = database
        self._table = table
        self._key = key
        self._connection: Connection | None = None
        self._empty = False
        self._reserved_at: float | None = None
        self._savepoint = False
        self._owner = os.getpid()

    @property
    def held(self) -> bool:
        """Whether the transaction is open, as far as anybody knows."""
        return self._connection is not None

    def acquire(self, wait: float) -> DatabaseFault | None:
        """Lock the row, waiting for it at most so many seconds; not, where another holder's reservation is young."""
        connection, trouble = self._database.connect_at_once()
        if connection is None:
            return trouble
        hold(connection)
        self._connection = connection
        level = isolation(self._database.backend)
        if level is not None:
            _, trouble = attempt(lambda: connection.execution_options(isolation_level=level))
        reservation: Reservation | None = None
        if trouble is None:
            reservation, trouble = self._lock(connection, wait)
        if trouble is None and reservation is not None and reservation.at != self._reserved_at:
            grace = _GRACE if wait > 0 else _GRACE_OF_WHO_LOOKS
            if abs(reservation.age) < grace:
                trouble = DatabaseFault(
                    FaultKind.BUSY, "another holder may still save what it has reserved the row for"
                )
        if trouble is not None:
            self._let_go(lost=trouble.kind is FaultKind.LOST)
        return trouble

    def _lock(self, connection: Connection, wait: float) -> tuple[Reservation | None, DatabaseFault | None]:
        self._savepoint = False
        locked, trouble = attempt(lambda: self._table.lock(connection, self._key, wait))
        self._empty, reservation = locked or (False, None)
        return reservation, trouble

    def read(self) -> tuple[Secret | None, DatabaseFault | None]:
        """The document in the row, read under the lock."""
        connection = self._connection
        if connection is None:
            return None, _GONE
        document, trouble = attempt(lambda: self._table.read(connection, self._key))
        if trouble is not None:
            # A statement that failed has ended a transaction of PostgreSQL; none is tried in it again.
            self._let_go(lost=trouble.kind is FaultKind.LOST)
        return document, trouble

    def reserve(self) -> DatabaseFault | None:
        """Prove that the row can be written, and leave a note in it that its refresh token is about to be spent.

        The note is committed, and the row locked again at once. Others that come in between leave it alone, as
        they do after this lock is lost: else the first of them would send the same refresh token again.
        """
        connection = self._connection
        if connection is None:
            return _GONE
        if self._savepoint:
            return None
        # An empty row, made for the lock, holds nothing to be spent, and SQLite's lock can't be lost by the living.
        if self._empty or self._database.backend == "sqlite":
            return self._changed(self._table.touch) or self._set_savepoint()
        reserved_at, trouble = attempt(lambda: self._table.reserve(connection, self._key))
        if trouble is None and reserved_at is None:
            trouble = _NO_ROW
        if trouble is not None:
            self._let_go(lost=trouble.kind is FaultKind.LOST)
            return trouble
        self._reserved_at = reserved_at
        _, trouble = attempt(connection.commit)
        if trouble is not None:
            self._let_go(lost=True)
            return trouble
        return self._lock_again(connection) or self._set_savepoint()

    def _lock_again(self, connection: Connection) -> DatabaseFault | None:
        deadline = monotonic() + _RELOCK
        while True:
            reservation, trouble = self._lock(connection, max(_POLL, deadline - monotonic()))
            if trouble is None and (reservation is None or reservation.at != self._reserved_at):
                trouble = DatabaseFault(FaultKind.BUSY, "somebody else took the lock meanwhile")
            elif trouble is not None and trouble.kind is FaultKind.BUSY and monotonic() < deadline:
                attempt(connection.rollback)
                time.sleep(_POLL)
                continue
            if trouble is not None:
                self._let_go(lost=trouble.kind is FaultKind.LOST)
            return trouble

    def write(self, document: Secret, *secrets: Secret) -> DatabaseFault | None:
        """Write and commit, which ends the lock.

        Returns:
            What went wrong. The lock is still held where the row could not be written, and lost where the connection
            was or the commit failed; the row may then have either document.
        """
        return (
            (None if self._savepoint else self._set_savepoint())
            or self._changed(lambda connection, key: self._table.write(connection, key, document), *secrets)
            or self._commit(*secrets)
        )

    def delete(self) -> DatabaseFault | None:
        """Delete the row and commit, which ends the lock."""
        return self._changed(self._table.delete) or self._commit()

    def _set_savepoint(self) -> DatabaseFault | None:
        """What fails after this leaves the lock as it is."""
        connection = self._connection
        if connection is None:
            return _GONE
        _, trouble = attempt(lambda: connection.exec_driver_sql(f"SAVEPOINT {_SAVEPOINT}"))
        self._savepoint = trouble is None
        if trouble is not None:
            self._let_go(lost=trouble.kind is FaultKind.LOST)
        return trouble

    def _changed(self, change: Callable[[Connection, str], int], *secrets: Secret) -> DatabaseFault | None:
        connection = self._connection
        if connection is None:
            return _GONE
        rows, trouble = attempt(lambda: change(connection, self._key), *secrets)
        if trouble is None:
            return None if rows == 1 else _NO_ROW
        # MySQL ends the whole transaction in a deadlock.
        if self._savepoint and trouble.kind not in (FaultKind.LOST, FaultKind.AGAIN):
            _, again = attempt(lambda: connection.exec_driver_sql(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}"))
            if again is None:
                return trouble
        self._let_go(lost=trouble.kind is FaultKind.LOST)
        return trouble

    def _commit(self, *secrets: Secret) -> DatabaseFault | None:
        connection = self._connection
        if connection is None:
            return _GONE
        _, trouble = attempt(connection.commit, *secrets)  # a deferred constraint speaks up only now
        if trouble is None:
            self._reserved_at = None
        self._let_go(lost=trouble is not None)
        return trouble

    def release(self) -> None:
        """End the transaction: what was not committed is undone, an empty row and a reservation of ours too."""
        # A forked child that leaves the block drops its copy, not the lock of its parent.
        if os.getpid() != self._owner:
            return
        # Nothing came of the reservation, and whoever comes next need not wait.
        if self.held and self._reserved_at is not None and self._changed(self._table.unreserve) is None:
            self._commit()
        self._let_go(lost=False)

    def _let_go(self, *, lost: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            if not lost:
                attempt(lambda: restore(connection))
            give_back(connection, lost=lost)


_GONE = DatabaseFault(FaultKind.LOST, "the lock went with its connection or its transaction")
_NO_ROW = DatabaseFault(FaultKind.OTHER, "the database wrote no row")
