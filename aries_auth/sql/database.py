"""The database: the caller's engine, or one of our own for a URL, what it is called in messages, and forks."""

from __future__ import annotations

import os
import sys
import weakref
from contextlib import suppress
from functools import lru_cache
from typing import Any, Callable

from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy import exc as sqlalchemy_errors
from sqlalchemy.pool import AssertionPool, NullPool, QueuePool, SingletonThreadPool, StaticPool

from aries_auth.errors import ConfigurationError, StoreError, printable
from aries_auth.singleflight.clock import monotonic
from aries_auth.sql.connecting import connecting_until, watch
from aries_auth.sql.fault import PATIENCE, DatabaseFault, FaultKind, R, attempt, patiently
from aries_auth.sql.sqlite_file import sqlite_fault
from aries_auth.sql.table import GrantTable
from aries_auth.sql.url import DIALECTS, USABLE, clear_text_fault, parse, shown
from aries_auth.token import Secret

_PSYCOPG: dict[str, Any] = {
    # PgBouncer in transaction mode: a prepared statement would be another server connection's.
    "prepare_threshold": None,
    "application_name": "aries-auth",
    # A database host that is gone without a word must not hang a refresh: libpq waits minutes by itself.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

# What a forked child must not use: the pools of these engines, and these connections, are its parent's.
_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_held: set[Connection] = set()
# The tables whose owner was found to be trusted.
_trusted: weakref.WeakKeyDictionary[Engine, set[str]] = weakref.WeakKeyDictionary()


class Database:
    """An engine of the caller's, or a URL whose engine is made when it is needed first.

    Raises:
        ConfigurationError: it is neither, or not one that can hold a lock.
    """

    def __init__(self, engine_or_url: Engine | Secret) -> None:
        if isinstance(engine_or_url, Engine):
            self._url: Secret | None = None
            self._engine: Engine | None = _checked(engine_or_url)
            url = engine_or_url.url
        else:
            parsed, fault = parse(engine_or_url)
            if parsed is None:
                raise ConfigurationError(fault)
            url = parsed
            self._url = Secret(url.render_as_string(hide_password=False))
            self._engine = None
        self._file = url if url.get_backend_name() == "sqlite" else None
        self.backend: str = url.get_backend_name()
        self.shown: str = shown(url)
        self._password = Secret(str(url.password or ""))

    @property
    def picklable(self) -> bool:
        """Whether it was made from a URL."""
        return self._url is not None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_engine": None}

    @property
    def engine(self) -> Engine:
        """The engine. Raises ConfigurationError."""
        if self._engine is None:
            self._engine = _engine_of(self._url or Secret(""))
            _engines.add(self._engine)
        return self._engine

    def connect(self) -> tuple[Connection | None, DatabaseFault | None]:
        """A connection, or what went wrong; waits for one of the pool as long as the pool says."""
        engine = self.engine
        fault = sqlite_fault(self._file) if self._file is not None else ""
        if fault:
            return None, DatabaseFault(FaultKind.OTHER, fault)
        with connecting_until(monotonic() + PATIENCE):
            return attempt(engine.connect, self._password)

    def connect_at_once(self) -> tuple[Connection | None, DatabaseFault | None]:
        """The same, and does not wait for the pool."""
        if _is_exhausted(self.engine):
            return None, DatabaseFault(FaultKind.EXHAUSTED, FaultKind.EXHAUSTED.value)
        return self.connect()

    def ask(
        self, question: Callable[[Connection], R], *, at_once: bool = False
    ) -> tuple[R | None, DatabaseFault | None]:
        """What the question returned of a connection that is given back at once, or what went wrong."""
        connection, fault = self.connect_at_once() if at_once else self.connect()
        if connection is None:
            return None, fault
        answer, fault = attempt(lambda: question(connection))
        give_back(connection, lost=fault is not None and fault.kind is FaultKind.LOST)
        return answer, fault

    def check_owner(self, rows: GrantTable, *, at_once: bool = False) -> DatabaseFault | None:
        """What keeps the table's owner from being trusted with every token in it; asked once per engine and table.

        Whoever may make tables in a schema can make ours before us: the default of PostgreSQL up to 14 lets everybody.
        """
        trusted = _trusted.setdefault(self.engine, set())
        if self.backend != "postgresql" or rows.name in trusted:
            return None
        owner, fault = self.ask(rows.untrusted_owner, at_once=at_once)
        if fault is None and owner == "":
            trusted.add(rows.name)
        if fault is not None or not owner:
            return fault
        return DatabaseFault(
            FaultKind.OTHER,
            f"the table {rows.name} belongs to the role {printable(owner)}, who can read every token in it and is "
            "neither yours, the database's owner nor a superuser. Have an administrator drop it and run "
            "SQLTokenStore.create_table(engine); or, if you trust that role, grant it to yours",
        )

    def create(self, rows: GrantTable, table: str) -> None:
        """Make the table if it is missing.

        Raises:
            StoreError: the database refused.
        """
        _, fault = patiently(lambda: self.ask(rows.create))
        if fault is not None:
            _, fault = self.ask(rows.create)  # of two that make it at once, one fails; it finds it on a second look
        if fault is not None:
            raise StoreError(
                f"The table {table} in {self.shown} is missing and can't be made: {fault.text}. Have a role that may "
                "make it run SQLTokenStore.create_table(engine), or the SQL in docs/several-hosts.md."
            )


@lru_cache(maxsize=64)
def _engine_of(url: Secret) -> Engine:
    """An engine without a pool: an idle grant has no connection, and one is refreshed once an hour."""
    engine, fault = _make_engine(make_url(url.reveal()))
    fault = fault or clear_text_fault(make_url(url.reveal()))
    if engine is None or fault:
        raise ConfigurationError(fault)
    return _checked(engine)


def _make_engine(url: URL) -> tuple[Engine | None, str]:
    options = _PSYCOPG if url.get_driver_name() == "psycopg" else {}
    connect_args = {name: value for name, value in options.items() if name not in url.query}
    engine, fault = attempt(
        lambda: create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=connect_args),
        Secret(str(url.password or "")),
    )
    if fault is None:
        return engine, ""
    return None, (
        f"There is no driver for {printable(url.drivername)} ({fault.text}). Install one, for PostgreSQL with: "
        'pip install "aries-auth[sql]"'
    )


def _checked(engine: Engine) -> Engine:
    if engine.dialect.name not in DIALECTS:
        raise ConfigurationError(f"A token store can't be kept in {engine.dialect.name}: {USABLE}.")
    if engine.dialect.is_async:
        raise ConfigurationError(
            "A token store works in threads of its own and can't use an async engine or driver. Give it the URL with a "
            "synchronous driver, such as postgresql+psycopg://, or a sync engine."
        )
    if isinstance(engine.pool, (AssertionPool, SingletonThreadPool, StaticPool)):
        raise ConfigurationError(
            "A token store needs an engine with more than one connection (a database in memory has one): while one "
            "holds a lock, others look."
        )
    _engines.add(engine)
    watch(engine)
    return engine


def _is_exhausted(engine: Engine) -> bool:
    """Whether a check-out would wait now. Between this look and the check-out somebody else may take the last one;
    then the wait is the pool's own time-out.
    """
    pool = engine.pool
    limit = getattr(pool, "_max_overflow", -1)
    if not isinstance(pool, QueuePool) or limit < 0:
        return False
    return pool.checkedin() == 0 and pool.overflow() >= limit


def hold(connection: Connection) -> None:
    """Note a connection that holds a lock."""
    _held.add(connection)


def give_back(connection: Connection, *, lost: bool) -> None:
    """Return a connection to its pool, ending its transaction; one that is lost is thrown away."""
    _held.discard(connection)
    with suppress(Exception):  # a connection that broke meanwhile has ended its transaction, too
        if lost:
            connection.invalidate()
        connection.close()


def _start_over_in_child() -> None:
    for engine in list(_engines):
        with suppress(sqlalchemy_errors.SQLAlchemyError):
            engine.dispose(close=False)
    # Those that hold a lock stay in `_held`, since dropping one would send its ROLLBACK down the parent's socket, and
    # what the interpreter's end may drop all the same goes nowhere.
    for connection in _held:
        with suppress(Exception):
            driver_connection: Any = connection.connection.driver_connection
            socket = driver_connection.fileno()
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, socket)
            os.close(nowhere)


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_start_over_in_child)
