"""SQLTokenStore: one grant in one row of a database, locked by a transaction."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Any, Generator

from sqlalchemy import URL, Engine

from aries_auth.errors import ConfigurationError, LockTimeout, StoreError, printable
from aries_auth.singleflight.clock import check_seconds, monotonic
from aries_auth.sql.connecting import connecting_until
from aries_auth.sql.database import Database
from aries_auth.sql.entry import SQLEntry
from aries_auth.sql.fault import GOES_BY, PATIENCE, POLL, DatabaseFault, FaultKind, longer_pause, patiently
from aries_auth.sql.grant_row import GrantRow
from aries_auth.sql.row import RowLock
from aries_auth.sql.table import TABLE, GrantTable, grant_table
from aries_auth.store.checks import check_cipher
from aries_auth.store.document import Accept
from aries_auth.store.protocol import LOCK_TIMEOUT, Cipher
from aries_auth.terminal import quoted
from aries_auth.token import Secret, Token


class SQLTokenStore:
    """One grant in one row of a table, for several hosts: PostgreSQL, MySQL, MariaDB, and SQLite on one host.

    The lock is that of the row, taken by a transaction: the server frees it when a holder's connection ends, however
    it ends. The constructor does no I/O, and a store holds no connection but while it holds the lock.

    A store made from a URL pickles. Its password and its `cipher` travel with it: a Fernet cipher takes its raw keys
    along. Send such a pickle (or that of an `AriesAuth` with such a store) only where both may go; else make the store
    where it is used.

    Args:
        engine_or_url: a synchronous SQLAlchemy engine, or a database URL, for which connections are made when they
            are needed. ``postgresql://`` means psycopg 3. A URL of PostgreSQL on another host has to say ``sslmode=``.
        key: names the grant, e.g. a profile or the id of a user; up to 255 characters.
        table: the table, with its schema before a dot if it has one. Made when it is needed and missing.
        cipher: encrypts what is stored, together with the key; anything with ``encrypt(bytes)`` and
            ``decrypt(bytes)``.
        lock_timeout: seconds to wait for the lock if a call names no time-out of its own.

    Raises:
        ConfigurationError: a parameter is malformed, or the engine can hold no lock (asynchronous, in memory).
    """

    __module__ = "aries_auth.sql"

    # What is shown of one that could not be made, in a traceback that prints locals.
    key: str = ""
    table: str = ""
    _shown: str = "?"
    # `rekey` sets it on a copy of its own.
    accept: Accept = Accept.NOTHING

    def __init__(
        self,
        engine_or_url: Engine | URL | str,
        key: str,
        *,
        table: str = TABLE,
        cipher: Cipher | None = None,
        lock_timeout: float = LOCK_TIMEOUT,
    ) -> None:
        # What is refused below is raised from a frame that no longer holds the URL, and its password.
        given, engine_or_url = _hidden(engine_or_url), ""
        self._database = Database(given)
        self._shown = self._database.shown
        self.key = _checked_key(key)
        self.table = table
        _ = self._rows  # refuses a malformed name
        self.cipher: Cipher | None = cipher
        cipher = None
        check_cipher(self)
        self.lock_timeout: float = check_seconds("lock_timeout", lock_timeout, zero=True)

    @staticmethod
    def create_table(engine_or_url: Engine | URL | str, *, table: str = TABLE) -> None:
        """Make the table, for a role that may; nothing happens if it is there. Stores can then do without CREATE.

        Raises:
            ConfigurationError: see the constructor.
            StoreError: the database refused.
        """
        given, engine_or_url = _hidden(engine_or_url), ""
        Database(given).create(grant_table(table), table)

    def load(self) -> Token | None:
        """The stored token, or None if there is no row or no table. Takes no lock.

        Raises:
            StoreError: the database can't be asked, or the row holds no usable token; it is left as it is.
        """
        grant = self._grant
        return grant.decoded(grant.read())

    def save(self, token: Token) -> None:
        """Replace the stored token; it is committed when this returns.

        Raises:
            LockTimeout: somebody else held the lock for `lock_timeout` seconds.
            StoreError: what is there can't be read, or the new token could not be committed.
        """
        with self.locked() as entry:
            entry.save(token)

    def delete(self) -> None:
        """Delete the row, readable or not; nothing happens if there is none.

        Raises:
            LockTimeout: somebody else held the lock for `lock_timeout` seconds.
            StoreError: the database refused.
        """
        with self.locked() as entry:
            entry.delete()

    @contextmanager
    def locked(self, timeout: float | None = None) -> Generator[SQLEntry, None, None]:
        """Lock the row in a transaction and work on it. A save or a delete commits, and ends the lock with that.

        Args:
            timeout: seconds to wait for the lock; None waits `lock_timeout`, 0 tries once.

        Raises:
            LockTimeout: somebody else held the lock all that time, or the pool had no connection.
            StoreError: the database can't be asked.
        """
        row = RowLock(self._database, self._rows, self.key)
        entry = SQLEntry(self._grant, row, self.lock_timeout)
        try:
            # Inside, so that Ctrl-C while it waits gives the connection back at once.
            self._acquire(row, self.lock_timeout if timeout is None else timeout)
            yield entry
        finally:
            row.release()
            entry.end()

    def keys(self) -> list[str]:
        """The keys of every grant in the table, sorted.

        Raises:
            StoreError: the database can't be asked.
        """
        keys, fault = patiently(lambda: self._database.ask(self._rows.keys))
        if fault is not None and fault.kind is not FaultKind.MISSING:
            raise StoreError(f"The table {self.table} in {self._shown} can't be read: {fault.text}.")
        return keys or []

    def read(self) -> Secret | None:
        """The stored document as it stands; `load` is what callers want. Raises StoreError."""
        return self._grant.read()

    def _acquire(self, row: RowLock, timeout: float) -> None:
        deadline = monotonic() + timeout
        patience = monotonic() + PATIENCE
        pause = 0.0
        while True:
            with connecting_until(patience):
                fault = self._database.check_owner(self._rows, at_once=True)
                fault = fault or row.acquire(max(0.0, deadline - monotonic()))
            if fault is None:
                return
            if fault.kind is FaultKind.MISSING:
                self._database.create(self._rows, self.table)
            elif fault.kind in (FaultKind.BUSY, FaultKind.EXHAUSTED):
                if monotonic() >= deadline:
                    raise self._lock_timeout(timeout, fault)
                time.sleep(min(POLL, max(0.0, deadline - monotonic())))
            elif fault.kind in GOES_BY and monotonic() < patience:
                time.sleep(pause)
                pause = longer_pause(pause)
            else:
                raise self._grant.error("locked", fault)

    def _lock_timeout(self, timeout: float, fault: DatabaseFault) -> LockTimeout:
        if fault.kind is FaultKind.EXHAUSTED:
            return LockTimeout(
                f"{fault.text[0].upper()}{fault.text[1:]}, and none came free within {timeout:g} s to lock {self}. "
                "Give the store a URL or an engine of its own, or the pool more connections."
            )
        return LockTimeout(
            f"{self} is locked by another process or thread, and was not released within {timeout:g} s. Try again; if "
            "it stays so, look for a hung process that uses this store."
        )

    @property
    def _grant(self) -> GrantRow:
        return GrantRow(self._database, self._rows, self.key, self.cipher, self.accept)

    @property
    def _rows(self) -> GrantTable:
        return grant_table(self.table)

    @property
    def command_options(self) -> str:
        """How the command is told of this store; the password is for the caller to fill in."""
        url, key = quoted(self._shown), quoted(self.key)
        return f"--store {url or self._shown} --profile {key or self.key}"

    def __str__(self) -> str:
        return f"{self._shown} (table {self.table}, key {printable(self.key)})"

    def __repr__(self) -> str:
        return f"SQLTokenStore({self._shown!r}, {self.key!r}, table={self.table!r})"

    def __getstate__(self) -> dict[str, Any]:
        if not self._database.picklable:
            raise TypeError(
                "A SQLTokenStore made from an engine can't be pickled, since the engine can't. Make it from a URL, or "
                "where it is used."
            )
        return self.__dict__

    def __copy__(self) -> SQLTokenStore:
        # The engine is shared: within a process that is what it is for.
        copied = SQLTokenStore.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self, memo: Any) -> SQLTokenStore:
        return self.__copy__()


def _hidden(engine_or_url: object) -> Engine | Secret:
    if isinstance(engine_or_url, Engine):
        return engine_or_url
    if isinstance(engine_or_url, URL):
        return Secret(engine_or_url.render_as_string(hide_password=False))
    if isinstance(engine_or_url, str):
        return Secret(engine_or_url)
    kind = type(engine_or_url).__name__
    engine_or_url = None
    raise ConfigurationError(f"A SQLTokenStore needs a synchronous SQLAlchemy Engine or a database URL, not {kind}.")


def _checked_key(key: object) -> str:
    # MySQL drops white space at the end when it compares, and takes no more than 255 characters into an index.
    if isinstance(key, str) and 0 < len(key) <= 255 and key.isprintable() and key == key.strip():
        return key
    raise ConfigurationError(
        f"{printable(repr(key))} is no key of a grant: use 1 to 255 printable characters, with no space at either end."
    )
