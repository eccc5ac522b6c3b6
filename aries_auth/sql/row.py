"""RowLock: one row, locked for as long as one transaction lasts. It knows documents, not tokens."""

from __future__ import annotations

import os
import time
from typing import Callable

from sqlalchemy import Connection

from aries_auth.singleflight.clock import monotonic
from aries_auth.sql.database import Database, give_back, hold
from aries_auth.sql.fault import POLL, DatabaseFault, FaultKind, attempt
from aries_auth.sql.table import GrantTable, Reservation, isolation, restore
from aries_auth.token import Secret

_SAVEPOINT = "aries_auth"
_RELOCK = 5.0
# How many seconds to honour a reservation whose lock is gone: its owner has lost its connection, and may still save. A
# refresh ahead of time, which tries once, can wait; a caller that needs a token now can't wait for a dead owner.
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
        self._empty = self._foreign = False
        self._reserved_at: float | None = None
        self._savepoint = False
        self._owner = os.getpid()

    @property
    def held(self) -> bool:
        """Whether the transaction is open, as far as anybody knows."""
        return self._connection is not None

    def acquire(self, wait: float) -> DatabaseFault | None:
        """Lock the row, waiting for it at most so many seconds. Not if another holder's reservation is young."""
        connection, fault = self._database.connect_at_once()
        if connection is None:
            return fault
        hold(connection)
        self._connection = connection
        level = isolation(self._database.backend)
        if level is not None:
            _, fault = attempt(lambda: connection.execution_options(isolation_level=level))
        reservation: Reservation | None = None
        if fault is None:
            reservation, fault = self._lock(connection, wait)
        if fault is None and reservation is not None and reservation.at != self._reserved_at:
            grace = _GRACE if wait > 0 else _GRACE_OF_WHO_LOOKS
            if abs(reservation.age) < grace:
                fault = DatabaseFault(FaultKind.BUSY, "another holder may still save what it has reserved the row for")
        if fault is not None:
            self._let_go(lost=fault.kind is FaultKind.LOST)
        return fault

    def _lock(self, connection: Connection, wait: float) -> tuple[Reservation | None, DatabaseFault | None]:
        self._savepoint = False
        locked, fault = attempt(lambda: self._table.lock(connection, self._key, wait))
        self._empty = locked is not None and locked.empty
        self._foreign = locked is not None and locked.foreign
        return None if locked is None else locked.reservation, fault

    def read(self) -> tuple[Secret | None, DatabaseFault | None]:
        """The document in the row, read under the lock."""
        connection = self._connection
        if connection is None:
            return None, _GONE
        document, fault = attempt(lambda: self._table.read(connection, self._key))
        if fault is not None:
            # A statement that failed has ended a transaction of PostgreSQL; none is tried in it again.
            self._let_go(lost=fault.kind is FaultKind.LOST)
        return document, fault

    def reserve(self) -> DatabaseFault | None:
        """Prove that the row can be written, and leave a note in it that its refresh token is about to be spent.

        The note is committed, and the row locked again at once. Others that come in between leave it alone, as
        they do after this lock is lost: else the first of them would send the same refresh token again.
        """
        connection = self._connection
        if connection is None:
            return _GONE
        if self._foreign:
            return self._not_ours()
        if self._savepoint:
            return None
        # An empty row, made for the lock, holds nothing to be spent, and SQLite's lock can't be lost by the living.
        if self._empty or self._database.backend == "sqlite":
            return self._changed(self._table.touch) or self._set_savepoint()
        reserved_at, fault = attempt(lambda: self._table.reserve(connection, self._key))
        if fault is None and reserved_at is None:
            fault = _NO_ROW
        if fault is not None:
            self._let_go(lost=fault.kind is FaultKind.LOST)
            return fault
        self._reserved_at = reserved_at
        _, fault = attempt(connection.commit)
        if fault is not None:
            self._let_go(lost=True)
            return fault
        return self._lock_again(connection) or self._set_savepoint()

    def _lock_again(self, connection: Connection) -> DatabaseFault | None:
        deadline = monotonic() + _RELOCK
        while True:
            reservation, fault = self._lock(connection, max(POLL, deadline - monotonic()))
            if fault is None and (reservation is None or reservation.at != self._reserved_at):
                fault = DatabaseFault(FaultKind.BUSY, "somebody else took the lock meanwhile")
            elif fault is not None and fault.kind is FaultKind.BUSY and monotonic() < deadline:
                attempt(connection.rollback)
                time.sleep(POLL)
                continue
            if fault is not None:
                self._let_go(lost=fault.kind is FaultKind.LOST)
            return fault

    def write(self, document: Secret, *secrets: Secret) -> DatabaseFault | None:
        """Write and commit, which ends the lock.

        Returns:
            What went wrong. The lock is still held if the row could not be written, and lost if the connection was or
            the commit failed; the row may then have either document.
        """
        return (
            (self._not_ours() if self._foreign else None)
            or (None if self._savepoint else self._set_savepoint())
            or self._changed(lambda connection, key: self._table.write(connection, key, document), *secrets)
            or self._commit(*secrets)
        )

    def delete(self) -> DatabaseFault | None:
        """Delete the row and commit, which ends the lock. Nothing of another's is deleted."""
        if self._foreign:
            self._let_go(lost=False)
            return None
        return self._changed(self._table.delete) or self._commit()

    def _not_ours(self) -> DatabaseFault:
        return DatabaseFault(FaultKind.OTHER, self._table.column_fault(self._database.backend))

    def _set_savepoint(self) -> DatabaseFault | None:
        """What fails after this leaves the lock as it is."""
        connection = self._connection
        if connection is None:
            return _GONE
        _, fault = attempt(lambda: connection.exec_driver_sql(f"SAVEPOINT {_SAVEPOINT}"))
        self._savepoint = fault is None
        if fault is not None:
            self._let_go(lost=fault.kind is FaultKind.LOST)
        return fault

    def _changed(self, change: Callable[[Connection, str], int], *secrets: Secret) -> DatabaseFault | None:
        connection = self._connection
        if connection is None:
            return _GONE
        rows, fault = attempt(lambda: change(connection, self._key), *secrets)
        if fault is None:
            return None if rows == 1 else _NO_ROW
        # MySQL ends the whole transaction in a deadlock.
        if self._savepoint and fault.kind not in (FaultKind.LOST, FaultKind.AGAIN):
            _, again = attempt(lambda: connection.exec_driver_sql(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}"))
            if again is None:
                return fault
        self._let_go(lost=fault.kind is FaultKind.LOST)
        return fault

    def _commit(self, *secrets: Secret) -> DatabaseFault | None:
        connection = self._connection
        if connection is None:
            return _GONE
        _, fault = attempt(connection.commit, *secrets)  # a deferred constraint speaks up only now
        if fault is None:
            self._reserved_at = None
        self._let_go(lost=fault is not None)
        return fault

    def release(self) -> None:
        """End the transaction. What was not committed is undone, our empty row and our reservation, too."""
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
