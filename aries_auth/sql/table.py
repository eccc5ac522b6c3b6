"""The table and its statements, each as PostgreSQL, MySQL, MariaDB and SQLite have it. Rows know no tokens."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Float,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    func,
    literal_column,
    null,
    select,
    text,
)
from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into
from sqlalchemy import update as update_of
from sqlalchemy.dialects import mysql, postgresql, sqlite

from aries_auth.errors import ConfigurationError, printable
from aries_auth.token import Secret

TABLE = "aries_tokens"
# Longer than any holder is idle: a host that lost its power, whose connection the server would otherwise keep for
# hours (TCP's keep-alive), gives the row free after it.
HOLDER_IDLE = 120.0
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?\Z")
_MYSQL = ("mysql", "mariadb")
_BUSY_TIMEOUT = "aries_auth_busy_timeout"

# The database's clock in Unix seconds: hosts disagree.
_CLOCK = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS double precision)",
    "mysql": "UNIX_TIMESTAMP(NOW(6))",
    "mariadb": "UNIX_TIMESTAMP(NOW(6))",
}

# All of them end with the transaction, so that PgBouncer may give the server connection to somebody else after it.
# Once the answer of a save is believed it has to be on the disk: a role that says `off` does so for its own writes.
_POSTGRESQL_SETTINGS = text(
    "SELECT set_config('lock_timeout', :wait, true),"
    " set_config('idle_in_transaction_session_timeout', :idle, true),"
    " CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', true) END"
)


class _Unshown(str):
    """Text whose repr, which is what SQLAlchemy logs of a parameter, hides it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "[hidden]"


class Document(TypeDecorator[Secret]):
    """The document as a `Secret` on our side: in no log of statements or rows."""

    impl: Any = Text
    cache_ok: bool | None = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        """TEXT, which in MySQL ends at 64 KB."""
        return dialect.type_descriptor(mysql.MEDIUMTEXT()) if dialect.name in _MYSQL else self.impl_instance

    def process_bind_param(self, value: Secret | None, dialect: Any) -> str | None:  # noqa: ARG002
        """What goes to the driver."""
        return None if value is None else _Unshown(value.reveal())

    def process_result_value(self, value: Any, dialect: Any) -> Secret | None:  # noqa: ARG002
        """What comes from it."""
        # A column of another type (json) gives something else; the document is then not readable, and not ours.
        return None if value is None else Secret(value if isinstance(value, str) else "not text")


class Reservation(NamedTuple):
    """A holder of the lock was about to spend the refresh token: when, by the database's clock, and how long ago."""

    at: float
    age: float


class LockedRow(NamedTuple):
    """What a lock found. `foreign`: the column takes another's key for ours, whose row is not ours to touch."""

    empty: bool
    reservation: Reservation | None
    foreign: bool


# To the letter: keys that differ in case or in an accent are different people.
_TO_THE_LETTER = {
    "mysql": "ALTER TABLE {table} MODIFY `key` VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL",
    "sqlite": 'make the table anew, with the column "key" TEXT NOT NULL PRIMARY KEY and no COLLATE',
    "postgresql": 'ALTER TABLE {table} ALTER COLUMN key TYPE text COLLATE "C"',
}
_UNTRUSTED_OWNER = text(
    "SELECT CASE WHEN r.rolname = current_user OR r.rolsuper OR c.relowner = d.datdba"
    " OR (:schema_is_named AND c.relowner = n.nspowner)"
    # A grant by the role itself, which PostgreSQL up to 15 lets anybody make, says nothing for it.
    " OR EXISTS (SELECT 1 FROM pg_auth_members m JOIN pg_roles u ON u.oid = m.member"
    " WHERE m.roleid = c.relowner AND u.rolname = current_user AND m.grantor <> m.roleid)"
    " THEN '' ELSE r.rolname END"
    " FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner JOIN pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_database d ON d.datname = current_database() WHERE c.oid = to_regclass(:name)"
)


class GrantTable:
    """The table of the grants: one row each, its document empty while the row is there only to be locked."""

    def __init__(self, name: str) -> None:
        self.name = name
        schema, _, plain = name.rpartition(".")
        in_mysql = mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin")
        self._table = Table(
            plain,
            MetaData(),
            Column("key", Text().with_variant(in_mysql, *_MYSQL), primary_key=True),
            Column("document", Document(), nullable=False),
            Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.current_timestamp()),
            Column("reserved_at", Float(53)),
            schema=schema or None,
        )

    def create(self, connection: Connection) -> None:
        """Make the table if it is missing."""
        self._table.create(connection, checkfirst=True)
        connection.commit()

    def keys(self, connection: Connection) -> list[str]:
        """The keys of all grants, sorted."""
        table = self._table
        found = connection.execute(
            select(table.c.key).where(table.c.document != Secret("")).order_by(table.c.key)
        ).scalars()
        return [_text_of(key) for key in found]

    def read(self, connection: Connection, key: str) -> Secret | None:
        """The document of a grant; None if there is none."""
        table = self._table
        found = connection.execute(select(table.c.key, table.c.document).where(table.c.key == key)).all()
        document: Secret | None = next((document for theirs, document in found if _text_of(theirs) == key), None)
        return document if document is not None and document.reveal() else None

    def untrusted_owner(self, connection: Connection) -> str | None:
        """The role that the table belongs to if it is none to be trusted, else ""; None if there is no table."""
        schema, _, plain = self.name.rpartition(".")
        named = f'"{schema}"."{plain}"' if schema else f'"{plain}"'
        owner: str | None = connection.execute(
            _UNTRUSTED_OWNER, {"schema_is_named": bool(schema), "name": named}
        ).scalar_one_or_none()
        return owner

    def column_fault(self, backend: str) -> str:
        """What to say if the column takes another's key for ours."""
        cure = _TO_THE_LETTER.get("mysql" if backend in _MYSQL else backend, "").format(table=self.name)
        return (
            f"the column key of {self.name} compares without case or accents, and takes another key's row for this "
            f"one's. Make it compare exactly: {cure}"
        )

    def lock(self, connection: Connection, key: str, wait: float) -> LockedRow:
        """Lock the row of a grant until the transaction ends, and make it if it is missing.

        Args:
            connection: one that has begun nothing.
            key: the grant's.
            wait: seconds to wait for the lock; MySQL and MariaDB, which can't wait for parts of a second, try once.

        Returns:
            Whether the row is empty, the reservation that was left in it, and whether it is another's.
        """
        backend = connection.dialect.name
        if backend == "postgresql":
            milliseconds = f"{max(1, int(wait * 1000))}ms"
            idle = f"{int(HOLDER_IDLE * 1000)}ms"
            connection.execute(_POSTGRESQL_SETTINGS, {"wait": milliseconds, "idle": idle})
        elif backend == "sqlite":
            _begin_immediate(connection, wait)
        table = self._table
        now: ColumnElement[float] = literal_column(_CLOCK.get(backend, "0.0"), Float(53))
        locked = select(table.c.key, table.c.document == Secret(""), table.c.reserved_at, now).where(table.c.key == key)
        locked = locked.with_for_update(nowait=backend in _MYSQL or wait <= 0)
        while True:
            found = connection.execute(locked).all()
            if found:
                theirs, empty, at, now_there = found[0]
                if len(found) > 1 or _text_of(theirs) != key:
                    return LockedRow(empty=False, reservation=None, foreign=True)
                reservation = None if at is None else Reservation(float(at), float(now_there) - float(at))
                return LockedRow(bool(empty), reservation, foreign=False)
            # Somebody else may be about to insert it, too, or have deleted it just now: then look again.
            connection.execute(self._insert_if_missing(backend, key))

    def _insert_if_missing(self, backend: str, key: str) -> Any:
        row = {"key": key, "document": Secret("")}
        if backend == "postgresql":
            return postgresql.insert(self._table).values(row).on_conflict_do_nothing()
        if backend == "sqlite":
            return sqlite.insert(self._table).values(row).on_conflict_do_nothing()
        return insert_into(self._table).prefix_with("IGNORE").values(row)

    def touch(self, connection: Connection, key: str) -> int:
        """Write the row as it is; returns how many rows that were."""
        return self._update(connection, key, document=self._table.c.document)

    def reserve(self, connection: Connection, key: str) -> float | None:
        """Write the row as it is, with a reservation; returns when by the database's clock, None if no row was."""
        table = self._table
        clock: ColumnElement[float] = literal_column(_CLOCK[connection.dialect.name], Float(53))
        if self._update(connection, key, document=table.c.document, reserved_at=clock) != 1:
            return None
        return float(connection.execute(select(table.c.reserved_at).where(table.c.key == key)).scalar_one())

    def unreserve(self, connection: Connection, key: str) -> int:
        """Take the reservation back; returns how many rows that were."""
        return self._update(connection, key, reserved_at=null())

    def write(self, connection: Connection, key: str, document: Secret) -> int:
        """Write the document into the row; returns how many rows that were."""
        return self._update(connection, key, document=document, updated_at=func.current_timestamp(), reserved_at=null())

    def _update(self, connection: Connection, key: str, **values: Any) -> int:
        return connection.execute(update_of(self._table).where(self._table.c.key == key).values(values)).rowcount

    def delete(self, connection: Connection, key: str) -> int:
        """Delete the row; returns how many rows that were."""
        return connection.execute(delete_from(self._table).where(self._table.c.key == key)).rowcount


def _text_of(key: object) -> str:
    """A key as the driver gives it: bytes for a binary column."""
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)


def isolation(backend: str) -> str | None:
    """The isolation level of our transactions, whatever the engine's own is; None leaves it be.

    An engine in AUTOCOMMIT would hold no lock. After a wait, SERIALIZABLE and REPEATABLE READ fail on PostgreSQL, and
    lock gaps between rows on MySQL. A driver that has the level sent with BEGIN (psycopg) leaves no session state.
    """
    return None if backend == "sqlite" else "READ COMMITTED"


def _begin_immediate(connection: Connection, wait: float) -> None:
    """Take SQLite's write lock: Python's driver begins nothing for a SELECT, and a deferred transaction for more."""
    before = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    connection.info[_BUSY_TIMEOUT] = before
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {max(0, int(wait * 1000))}")
    if getattr(connection.connection.driver_connection, "in_transaction", False):
        connection.exec_driver_sql("ROLLBACK")  # begun by a listener of the caller's, or by autocommit=False
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def restore(connection: Connection) -> None:
    """End the transaction and give SQLite's time-out back as it was: the connection is the caller's."""
    before = connection.info.pop(_BUSY_TIMEOUT, None)
    if before is not None:
        connection.rollback()
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(before)}")


def grant_table(name: object) -> GrantTable:
    """The table of that name; one object for all stores, since SQLAlchemy caches its statements by it.

    Raises:
        ConfigurationError: it is no name.
    """
    if isinstance(name, str) and _NAME.match(name):
        return _shared_table(name)
    raise ConfigurationError(f"{printable(repr(name))} is no table name: use letters, digits, _ and one dot.")


@lru_cache(maxsize=64)
def _shared_table(name: str) -> GrantTable:
    return GrantTable(name)
