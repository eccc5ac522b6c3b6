"""What a database does to its clients: each fault once, retried where nothing was spent, and never a lost token."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from sqlalchemy import create_engine

from aries_auth import LockTimeout, StoreError, Token
from aries_auth.sql import SQLTokenStore
from aries_auth.sql.row import RowLock
from tests.inside import engine_of
from tests.leaks import assert_no_secret
from tests.sql.proxy import Proxy

OLD = Token("access-old", "refresh-old", expires_at=2e9, obtained_at=1e9)
NEW = Token("access-new", "refresh-new", expires_at=2e9, obtained_at=1e9)
OTHER = Token("access-other", "refresh-other", expires_at=2e9, obtained_at=1e9)


class Server:
    """The cluster and one database in it."""

    def __init__(self, cluster: Any, url: str) -> None:
        self.cluster, self.url = cluster, url
        self.database = url.rpartition("/")[2]

    def execute(self, statement: str, *parameters: Any) -> list[Any]:
        return self.cluster.execute(statement, *parameters, database=self.database)

    def kill_connections(self) -> None:
        """Those of everybody but ourselves, as a restart or a dropped network does; waits until they are gone."""
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        self.execute(f"SELECT pg_terminate_backend(pid) {others}")
        while self.execute(f"SELECT pid {others}"):
            time.sleep(0.01)

    def role(self, name: str, *grants: str) -> str:
        self.execute(f"DROP ROLE IF EXISTS {name}")
        self.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'pw'")
        for grant in grants:
            self.execute(grant.format(role=name))
        return self.cluster.url(self.database, user=name, password="pw")


@pytest.fixture
def server(cluster, postgresql):
    return Server(cluster, postgresql)


@pytest.fixture
def store(server):
    store = SQLTokenStore(server.url, "default")
    store.save(OLD)
    return store


@pytest.fixture
def pooled(server):
    """A store on an engine whose pool holds connections."""
    engine = create_engine(server.url.replace("postgresql:", "postgresql+psycopg:"), pool_size=3)
    store = SQLTokenStore(engine, "default")
    store.save(OLD)
    connections = [engine.connect() for _ in range(3)]
    for connection in connections:
        connection.close()
    yield store
    engine.dispose()


# Connections that are dead, die, or come back


def test_dead_connections_in_the_pool_are_not_seen(server, pooled):
    for act in (pooled.load, lambda: pooled.save(OLD), lambda: pooled.save(OLD), pooled.keys):
        server.kill_connections()
        act()
    server.kill_connections()
    with pooled.locked(0) as entry:
        assert entry.load() == OLD


def test_a_server_that_restarts_is_waited_for(server, store, patient):
    server.cluster.stop()
    starting = threading.Timer(0.5, server.cluster.start)
    starting.start()
    assert store.load() == OLD
    starting.join()
    server.cluster.stop()
    starting = threading.Timer(0.5, server.cluster.start)
    starting.start()
    store.save(NEW)
    starting.join()
    assert store.load() == NEW


def test_a_lock_is_lost_with_its_connection_and_reads_say_so(server, store):
    with store.locked() as entry:
        entry.load()
        server.kill_connections()
        for _ in range(2):
            with pytest.raises(StoreError):
                entry.load()
        with store.locked(0) as other:
            assert other.load() == OLD


def test_a_connection_lost_before_the_save_is_replaced_and_the_token_saved(server, store):
    with store.locked() as entry:
        entry.reserve()
        server.kill_connections()
        entry.save(NEW)
    assert store.load() == NEW


def test_a_server_that_restarts_before_the_save_does_not_lose_the_token(server, store, patient):
    with store.locked() as entry:
        entry.reserve()
        server.cluster.stop()
        starting = threading.Timer(0.4, server.cluster.start)
        starting.start()
        entry.save(NEW)
        starting.join()
    assert store.load() == NEW


def reserve_and_lose(server, store):
    """A holder that has reserved, and has lost its connection; it may be dead or not."""
    lock = store.locked()
    entry = lock.__enter__()
    entry.reserve()
    server.kill_connections()
    return entry, lock


def test_who_only_looks_leaves_a_reserved_row_alone_whose_holder_may_live(server, store):
    entry, _lock = reserve_and_lose(server, store)
    with pytest.raises(LockTimeout), store.locked(0):
        pass
    entry.save(NEW)
    with store.locked(0) as other:
        assert other.load() == NEW


def test_who_only_looks_takes_over_from_a_holder_that_stays_away(server, store, monkeypatch):
    _holder = reserve_and_lose(server, store)
    monkeypatch.setattr("aries_auth.sql.row._GRACE_OF_WHO_LOOKS", 0.2)
    time.sleep(0.3)
    with store.locked(0) as other:
        other.save(OTHER)


def test_who_needs_a_token_takes_over_in_a_moment(server, store):
    _holder = reserve_and_lose(server, store)
    begun = time.monotonic()
    with store.locked(5) as other:
        assert time.monotonic() - begun < 1
        other.reserve()
        other.save(OTHER)
    assert store.load() == OTHER


def test_a_reservation_that_came_to_nothing_is_taken_back(server, store):
    with store.locked() as entry:
        entry.reserve()
        assert server.execute("SELECT reserved_at IS NULL FROM aries_tokens") == [(False,)]
    assert server.execute("SELECT reserved_at IS NULL FROM aries_tokens") == [(True,)]
    with store.locked(0):
        pass


def test_a_reservation_does_not_let_go_of_the_lock(server, store):
    # It is committed and the row locked again; others who wait get the lock in between, and give it back.
    stop = threading.Event()
    entered = []

    def wait() -> None:
        other = SQLTokenStore(server.url, "default")
        while not stop.is_set():
            try:
                with other.locked(0.25) as entry:
                    entered.append(entry.load())
            except LockTimeout:
                pass

    threads = [threading.Thread(target=wait) for _ in range(4)]
    with store.locked() as entry:
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        for _ in range(3):
            entry.reserve()
            time.sleep(0.4)
        assert entered == []
        stop.set()
        entry.save(NEW)
    for thread in threads:
        thread.join(10)


def test_a_lock_that_somebody_got_in_the_middle_of_a_reservation_spends_nothing(server, store, monkeypatch):
    lock_again = RowLock._lock_again

    def late(row: RowLock, connection: Any) -> Any:
        server.execute("UPDATE aries_tokens SET reserved_at = reserved_at + 1")
        return lock_again(row, connection)

    monkeypatch.setattr(RowLock, "_lock_again", late)
    with pytest.raises(LockTimeout, match="in between"), store.locked() as entry:
        entry.reserve()
    assert store.load() == OLD


def test_a_lock_that_a_look_found_lost_is_taken_anew(server, store):
    with store.locked() as entry:
        assert entry.load() == OLD
        server.kill_connections()
        with pytest.raises(StoreError):
            entry.load()
        entry.reserve()
        entry.save(NEW)
    assert store.load() == NEW


def test_what_somebody_else_saved_since_the_lock_was_lost_stays(server, store):
    with store.locked() as entry:
        entry.reserve()
        server.kill_connections()
        store.save(OTHER)
        with pytest.raises(StoreError, match="somebody else has saved"):
            entry.save(NEW)
        with pytest.raises(StoreError):
            entry.load()
    assert store.load() == OTHER


def test_a_save_while_the_server_is_gone_fails_in_time_and_can_be_repeated(server, store, impatient):
    with store.locked() as entry:
        entry.reserve()
        server.cluster.stop()
        try:
            with pytest.raises(StoreError, match="can't be replaced") as caught:
                entry.save(NEW)
        finally:
            server.cluster.start()
        entry.save(NEW)
    assert store.load() == NEW
    assert_no_secret(caught.value, "refresh-new")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("statement", ["SAVEPOINT", "UPDATE aries_tokens SET document", "COMMIT"])
def test_a_connection_that_breaks_at_any_statement_of_a_save(server, store, statement, when):
    proxy = Proxy(server.cluster.port)
    through = SQLTokenStore(server.url.replace(f":{server.cluster.port}/", f":{proxy.port}/"), "default")
    for token in (NEW, OTHER):
        with through.locked() as entry:
            entry.load()
            proxy.arm(statement, when)
            entry.save(token)
        assert store.load() == token
    proxy.close()
    assert proxy.broken == 2


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("statement", ["reserved_at=", "COMMIT", "set_config", "SAVEPOINT"])
def test_a_connection_that_breaks_at_any_statement_of_a_reservation(server, store, statement, when):
    proxy = Proxy(server.cluster.port)
    through = SQLTokenStore(server.url.replace(f":{server.cluster.port}/", f":{proxy.port}/"), "default")
    with through.locked() as entry:
        entry.load()
        proxy.arm(statement, when)
        entry.reserve()
        assert proxy.broken == 1
        with pytest.raises(LockTimeout), store.locked(0):
            pass
        entry.save(NEW)
    assert store.load() == NEW
    proxy.close()


def test_a_reservation_that_cannot_be_committed_spends_nothing(server, store):
    server.execute(
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$"
    )
    server.execute(
        "CREATE CONSTRAINT TRIGGER no_room AFTER UPDATE ON aries_tokens DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION no_room()"
    )
    with pytest.raises(StoreError, match="no room"), store.locked() as entry:
        entry.reserve()
    assert store.load() == OLD


def test_a_commit_whose_confirmation_is_lost_is_not_made_twice(server, store):
    proxy = Proxy(server.cluster.port)
    through = SQLTokenStore(server.url.replace(f":{server.cluster.port}/", f":{proxy.port}/"), "default")
    server.execute("CREATE TABLE log (document text)")
    server.execute(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO log VALUES (NEW.document); RETURN NEW; END'"
    )
    server.execute("CREATE TRIGGER note AFTER UPDATE OF document ON aries_tokens FOR EACH ROW EXECUTE FUNCTION note()")
    with through.locked() as entry:
        entry.reserve()
        proxy.arm("COMMIT", "after")
        entry.save(NEW)
    proxy.close()
    assert proxy.broken == 1
    (times,) = server.execute("SELECT count(*) FROM log WHERE document LIKE '%%access-new%%'")[0]
    assert times == 1
    assert store.load() == NEW


def test_a_serialization_failure_before_anything_is_spent_is_retried(server, store):
    server.execute("CREATE SEQUENCE tries")
    server.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('tries') < 3 THEN RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'try again'; END IF;"
        " RETURN NEW; END $$"
    )
    server.execute("CREATE TRIGGER fail BEFORE INSERT ON aries_tokens FOR EACH ROW EXECUTE FUNCTION fail()")
    SQLTokenStore(server.url, "new").save(NEW)
    assert server.execute("SELECT last_value FROM tries") == [(3,)]


def test_a_deadlock_or_an_end_that_goes_on_is_an_error_in_time(server, store, impatient):
    server.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION USING ERRCODE = '40P01', MESSAGE = 'deadlock detected'; END $$"
    )
    server.execute("CREATE TRIGGER fail BEFORE INSERT ON aries_tokens FOR EACH ROW EXECUTE FUNCTION fail()")
    with pytest.raises(StoreError, match="deadlock detected"):
        SQLTokenStore(server.url, "new").save(NEW)


# Writes that fail


def refuse(server: Server, when: str = "BEFORE", condition: str = "NEW.document LIKE '%%access-new%%'") -> None:
    """Have the database refuse a document, in words that repeat it."""
    server.execute(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF {condition} THEN RAISE EXCEPTION 'no room for %%', NEW.document USING ERRCODE = '53100',"
        " DETAIL = NEW.document, HINT = NEW.document; END IF; RETURN NEW; END $$".replace("%%", "%")
    )
    kind = "CONSTRAINT TRIGGER refuse AFTER" if when == "AT COMMIT" else f"TRIGGER refuse {when}"
    deferred = "DEFERRABLE INITIALLY DEFERRED" if when == "AT COMMIT" else ""
    server.execute(f"CREATE {kind} UPDATE ON aries_tokens {deferred} FOR EACH ROW EXECUTE FUNCTION refuse()")


def test_a_write_that_fails_keeps_the_lock_and_can_be_repeated(server, store):
    with store.locked() as entry:
        entry.reserve()
        refuse_later = "CREATE TABLE full_disk ()"
        server.execute(refuse_later)
    refuse(server, condition="NEW.document LIKE '%%access-new%%' AND to_regclass('full_disk') IS NOT NULL")
    with store.locked() as entry:
        entry.reserve()
        for _ in range(2):
            with pytest.raises(StoreError, match="no room for") as caught:
                entry.save(NEW)
            assert entry.load() == OLD
            with pytest.raises(LockTimeout), store.locked(0):
                pass
        server.execute("DROP TABLE full_disk")
        entry.save(NEW)
    assert store.load() == NEW
    for secret in ("access-new", "refresh-new", "access-old"):
        assert_no_secret(caught.value, secret)


def test_a_commit_that_fails_has_lost_the_lock_and_shows_nothing(server, store):
    refuse(server, "AT COMMIT")
    with store.locked() as entry:
        entry.reserve()
        with pytest.raises(StoreError, match="DiskFull 53100") as caught:
            entry.save(NEW)
        with pytest.raises(StoreError):
            entry.load()
    assert store.load() == OLD
    for secret in ("access-new", "refresh-new"):
        assert_no_secret(caught.value, secret)


def test_a_constraint_that_repeats_the_row_shows_nothing(server, store):
    server.execute("ALTER TABLE aries_tokens ADD CHECK (document NOT LIKE '%%access-new%%')")
    with store.locked() as entry:
        entry.reserve()
        with pytest.raises(StoreError, match="CheckViolation 23514") as caught:
            entry.save(NEW)
        assert entry.load() == OLD
    assert_no_secret(caught.value, "refresh-new")


def test_a_token_that_the_database_cannot_store_shows_nothing(store):
    # PostgreSQL has no NUL in a text; JSON escapes it, so that it takes a column of another type to be refused.
    token = Token("access-new", "refresh-\0new")
    store.save(token)
    assert store.load() == token


@pytest.mark.parametrize("column", ["varchar(20)", "json"])
def test_a_table_that_does_not_fit_is_an_error_that_shows_nothing(server, column):
    server.execute(
        f"CREATE TABLE aries_tokens (key text PRIMARY KEY, document {column} NOT NULL, updated_at timestamptz)"
    )
    with pytest.raises(StoreError) as caught:
        SQLTokenStore(server.url, "default").save(NEW)
    assert_no_secret(caught.value, "refresh-new")


def test_a_row_that_is_not_written_is_an_error(server, store):
    server.execute("CREATE RULE ignore AS ON UPDATE TO aries_tokens DO INSTEAD NOTHING")
    with pytest.raises(StoreError, match="wrote no row"), store.locked() as entry:
        entry.reserve()


# Roles and their settings


TABLE_RIGHTS = "GRANT SELECT, INSERT, UPDATE, DELETE ON aries_tokens TO {role}"


def test_a_role_without_create_is_enough_where_the_table_is(server, store):
    server.execute("REVOKE CREATE ON SCHEMA public FROM public")
    other = SQLTokenStore(server.role("worker", TABLE_RIGHTS), "default")
    other.save(NEW)
    assert other.load() == NEW
    other.delete()


def test_a_role_without_create_gets_an_error_where_it_is_not(server):
    server.execute("REVOKE CREATE ON SCHEMA public FROM public")
    other = SQLTokenStore(server.role("worker2"), "default")
    assert other.load() is None
    assert other.keys() == []
    with pytest.raises(StoreError, match=r"permission denied for schema public.*create_table"):
        other.save(NEW)


@pytest.mark.parametrize("rights", ["SELECT", "SELECT, INSERT", "SELECT, INSERT, UPDATE (key, updated_at)"])
def test_a_role_that_may_not_write_is_found_before_the_refresh_token_is_spent(server, store, rights):
    other = SQLTokenStore(server.role("reader", f"GRANT {rights} ON aries_tokens TO {{role}}"), "default")
    assert other.load() == OLD
    with pytest.raises(StoreError, match="permission denied"), other.locked() as entry:
        entry.reserve()


def test_a_role_that_may_not_delete_gets_an_error(server, store):
    other = SQLTokenStore(server.role("writer", "GRANT SELECT, INSERT, UPDATE ON aries_tokens TO {role}"), "default")
    with pytest.raises(StoreError, match=r"deleted.*permission denied"):
        other.delete()
    assert store.load() == OLD


def test_a_server_that_only_reads_is_found_before_the_refresh_token_is_spent(server, store):
    url = server.role("standby", TABLE_RIGHTS, "ALTER ROLE {role} SET default_transaction_read_only = on")
    other = SQLTokenStore(url, "default")
    assert other.load() == OLD
    with pytest.raises(StoreError, match="read-only"), other.locked() as entry:
        entry.reserve()


def test_time_outs_of_the_role_do_not_end_a_refresh(server, store):
    url = server.role("hasty", TABLE_RIGHTS, "ALTER ROLE {role} SET idle_in_transaction_session_timeout = '100ms'",
                      "ALTER ROLE {role} SET lock_timeout = '50ms'")  # fmt: skip
    other = SQLTokenStore(url, "default")
    with other.locked() as entry:
        entry.reserve()
        time.sleep(0.4)
        waiting = threading.Thread(target=other.save, args=(OTHER,))
        waiting.start()
        time.sleep(0.3)
        assert entry.load() == OLD
        entry.save(NEW)
    waiting.join(10)
    assert store.load() == OTHER


def test_a_statement_time_out_of_the_role_is_a_lock_time_out_while_waiting(server, store):
    url = server.role("brief", TABLE_RIGHTS, "ALTER ROLE {role} SET statement_timeout = '100ms'")
    other = SQLTokenStore(url, "default")
    with store.locked(), pytest.raises(LockTimeout), other.locked(0.5):
        pass


def test_a_host_that_is_gone_without_a_word_frees_the_lock(server, store, monkeypatch):
    monkeypatch.setattr("aries_auth.sql.table.HOLDER_IDLE", 0.3)
    with store.locked() as entry:
        entry.reserve()
        begun = time.monotonic()
        with store.locked(5) as other:
            assert time.monotonic() - begun < 2
            other.save(OTHER)
        with pytest.raises(StoreError, match="somebody else has saved"):
            entry.save(NEW)


def test_a_commit_is_on_the_disk_whatever_the_role_says(server, store):
    url = server.role("careless", TABLE_RIGHTS, "ALTER ROLE {role} SET synchronous_commit = off")
    other = SQLTokenStore(url, "default")
    with other.locked() as entry:
        connection = entry._row._connection
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
        entry.save(NEW)
    with engine_of(other).connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "off"


def test_nothing_stays_set_in_the_session(server):
    engine = create_engine(server.url.replace("postgresql:", "postgresql+psycopg:"), pool_size=1, max_overflow=0)
    names = "SELECT name, setting FROM pg_settings ORDER BY name"
    with engine.connect() as connection:
        before = connection.exec_driver_sql(names).all()
    store = SQLTokenStore(engine, "default")
    store.save(OLD)
    with store.locked(0) as entry:
        entry.reserve()
    with engine.connect() as connection:
        assert connection.exec_driver_sql(names).all() == before
        assert connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar_one() <= 3
    engine.dispose()


def test_a_table_in_a_schema_of_its_own(server):
    server.execute("CREATE SCHEMA vault")
    store = SQLTokenStore(server.url, "default", table="vault.aries_tokens")
    store.save(NEW)
    assert store.load() == NEW
    assert server.execute("SELECT key FROM vault.aries_tokens") == [("default",)]
