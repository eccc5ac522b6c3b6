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
from aries_auth.sql.fault import DatabaseFault, FaultKind, R, attempt, patiently
from aries_auth.sql.table import GrantTable
from aries_auth.token import Secret

_DIALECTS = ("postgresql", "mysql", "mariadb", "sqlite")
_USABLE = "it is for postgresql, mysql, mariadb and sqlite"
_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
_PSYCOPG: dict[str, Any] = {
    # PgBouncer in transaction mode: a prepared statement would be another server connection's.
    "prepare_threshold": None,
    "application_name": "aries-auth",
    # A database host that is gone without a word must not hang a refresh: libpq waits minutes by itself.
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

# What a forked child must not use: the pools of these engines, and these connections, are its parent's.
_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_held: set[Connection] = set()


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
            parsed, fault = _parse(engine_or_url)
            if parsed is None:
                raise ConfigurationError(fault)
            url = parsed
            self._url = Secret(url.render_as_string(hide_password=False))
            self._engine = None
        self.backend: str = url.get_backend_name()
        self.shown: str = _shown(url)
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
        return attempt(engine.connect, self._password)

    def connect_at_once(self) -> tuple[Connection | None, DatabaseFault | None]:
        """The same, and does not wait for the pool."""
        if _is_exhausted(self.engine):
            return None, DatabaseFault(FaultKind.EXHAUSTED, FaultKind.EXHAUSTED.value)
        return self.connect()

    def ask(self, question: Callable[[Connection], R]) -> tuple[R | None, DatabaseFault | None]:
        """What the question returned of a connection that is given back at once, or what went wrong."""
        connection, trouble = self.connect()
        if connection is None:
            return None, trouble
        answer, trouble = attempt(lambda: question(connection))
        give_back(connection, lost=trouble is not None and trouble.kind is FaultKind.LOST)
        return answer, trouble

    def create(self, rows: GrantTable, table: str) -> None:
        """Make the table where it is missing.

        Raises:
            StoreError: the database refused.
        """
        _, trouble = patiently(lambda: self.ask(rows.create))
        if trouble is not None:
            _, trouble = self.ask(rows.create)  # of two that make it at once, one fails; it finds it on a second look
        if trouble is not None:
            raise StoreError(
                f"The table {table} in {self.shown} is missing and can't be made: {trouble.text}. Have a role that may "
                "make it run SQLTokenStore.create_table(engine), or the SQL in docs/several-hosts.md."
            )


def _parse(given: Secret) -> tuple[URL | None, str]:
    """The URL, or None and what is wrong with it: it is a tuple, whose password a printed frame would show."""
    url, _ = attempt(lambda: make_url(given.reveal()))
    if url is None:
        return None, (
            "The store's URL can't be read. It looks like postgresql://user:password@host:5432/database, and special "
            "characters of the password have to be percent-encoded."
        )
    if url.get_backend_name() not in (*_DIALECTS, *_DRIVERS):
        return None, f"A token store can't be kept in {printable(url.drivername)}: {_USABLE}."
    if url.get_backend_name() == "sqlite" and (url.database or ":memory:") == ":memory:":
        return None, "A token store in SQLite needs a file: a database in memory is one connection's alone."
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername)), ""


def _shown(url: URL) -> str:
    """The URL with its password hidden, and without its query, which can hold another."""
    hidden = url.set(drivername=url.get_backend_name(), query={}, password="***" if url.password else None)
    return printable(hidden.render_as_string(hide_password=True))


@lru_cache(maxsize=64)
def _engine_of(url: Secret) -> Engine:
    """An engine without a pool: an idle grant has no connection, and one is refreshed once an hour."""
    engine, fault = _make_engine(make_url(url.reveal()))
    if engine is None:
        raise ConfigurationError(fault)
    return _checked(engine)


def _make_engine(url: URL) -> tuple[Engine | None, str]:
    if url.get_backend_name() == "sqlite":
        _make_private(str(url.database))
    options = _PSYCOPG if url.get_driver_name() == "psycopg" else {}
    connect_args = {name: value for name, value in options.items() if name not in url.query}
    engine, trouble = attempt(
        lambda: create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=connect_args),
        Secret(str(url.password or "")),
    )
    if trouble is None:
        return engine, ""
    return None, (
        f"There is no driver for {printable(url.drivername)} ({trouble.text}). Install one, for PostgreSQL with: "
        'pip install "aries-auth[sql]"'
    )


def _make_private(path: str) -> None:
    """Create the file of a new SQLite database for its owner alone, since SQLite goes by the umask."""
    if not path.startswith("file:"):
        with suppress(OSError):  # there already, or what SQLite will say better
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _checked(engine: Engine) -> Engine:
    if engine.dialect.name not in _DIALECTS:
        raise ConfigurationError(f"A token store can't be kept in {engine.dialect.name}: {_USABLE}.")
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
