"""SQLTokenStore: what every store promises, on every database."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from aries_auth import ConfigurationError, LockTimeout, StoreError, Token
from aries_auth.sql import SQLTokenStore
from aries_auth.sql.fault import attempt
from aries_auth.token import Secret
from tests.leaks import assert_no_secret

OLD = Token("access-old", "refresh-old", expires_at=2e9, obtained_at=1e9, client_id="c", scope="a b")
NEW = Token("access-new", "refresh-new", expires_at=2e9, obtained_at=1e9, client_id="c", scope="a b")
OTHER = Token("access-other", "refresh-other", expires_at=2e9, obtained_at=1e9, client_id="c", scope="a b")


@pytest.fixture
def engine(url):
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    yield engine
    engine.dispose()


def rows(engine: Any) -> list[Any]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT * FROM aries_tokens"))]


def put(engine: Any, document: str, key: str = "default") -> None:
    SQLTokenStore.create_table(engine)
    key_column = "`key`" if engine.dialect.name == "mysql" else "key"
    statement = text(f"INSERT INTO aries_tokens ({key_column}, document) VALUES (:key, :document)")
    with engine.begin() as connection:
        connection.execute(statement, {"key": key, "document": document})


def test_what_is_saved_is_loaded(store):
    assert store.load() is None
    store.save(OLD)
    assert store.load() == OLD
    store.save(NEW)
    assert store.load() == NEW
    store.delete()
    assert store.load() is None
    store.delete()


def test_the_row_holds_the_document_of_a_token_file(store, engine):
    store.save(OLD)
    ((key, document, updated_at, reserved_at),) = rows(engine)
    assert key == "default"
    assert json.loads(document) == OLD.to_dict()
    assert updated_at
    assert reserved_at is None


def test_keys_keep_their_grants_apart(url):
    names = ["bob", "Bob", "böb", "bob@example.com", "x" * 255]
    stores = [SQLTokenStore(url, name) for name in names]
    for number, store in enumerate(stores):
        store.save(Token(f"access-{number}"))
    assert [store.load().access_token for store in stores] == [f"access-{number}" for number in range(len(names))]
    assert set(stores[0].keys()) == set(names)
    stores[0].delete()
    assert stores[0].load() is None
    assert stores[1].load() is not None


@pytest.mark.parametrize("key", ["", " bob", "bob ", "b\nob", "x" * 256, 7, None])
def test_a_key_that_a_database_would_not_tell_from_another_is_refused(key):
    with pytest.raises(ConfigurationError, match="no key of a grant"):
        SQLTokenStore("postgresql://localhost/x", key)


def test_keys_of_a_table_that_is_not_there_are_none(store):
    assert store.keys() == []


def test_unknown_keys_of_a_newer_version_are_kept(store, engine):
    put(engine, json.dumps({**OLD.to_dict(), "granted_by": "a later version"}))
    with store.locked() as entry:
        entry.save(NEW)
    assert store.load() == NEW
    assert json.loads(rows(engine)[0][1])["granted_by"] == "a later version"


def test_a_document_of_an_older_version_is_read(store, engine):
    put(engine, '{"version": 1, "access_token": "a"}')
    assert store.load() == Token("a")


@pytest.mark.parametrize(
    "document, fault",
    [("{", "not JSON"), ("[]", "not a JSON object"), ('{"version": 99, "access_token": "hush"}', "version is not 1"),
     ('{"version": 1}', "access_token"), ('{"version": 1, "ciphertext": "aHVzaA=="}', "encrypted and no cipher")],
)  # fmt: skip
def test_a_row_that_cannot_be_read_is_an_error_and_stays(store, engine, document, fault):
    put(engine, document)
    for act in (store.load, lambda: store.save(NEW), lambda: reserve(store)):
        with pytest.raises(StoreError, match=fault) as caught:
            act()
        assert_no_secret(caught.value, "hush")
    assert rows(engine)[0][1] == document
    store.delete()
    assert rows(engine) == []


def reserve(store: SQLTokenStore) -> None:
    with store.locked() as entry:
        entry.reserve()


def test_the_lock_excludes_others_and_is_waited_for(store):
    store.save(OLD)
    with store.locked() as entry:
        assert entry.load() == OLD
        for timeout in (0, 0.25):
            begun = time.monotonic()
            with pytest.raises(LockTimeout, match="locked by another"), store.locked(timeout):
                pass
            assert timeout * 0.9 <= time.monotonic() - begun < timeout + 0.7
        assert store.load() == OLD
        waiting = threading.Thread(target=store.save, args=(NEW,))
        waiting.start()
        time.sleep(0.1)
        assert store.load() == OLD
    waiting.join(10)
    assert store.load() == NEW


def test_the_lock_of_a_row_that_is_not_there_excludes_others_too(store, engine):
    with store.locked():
        assert store.load() is None
        for timeout in (0, 0.1):
            with pytest.raises(LockTimeout), store.locked(timeout):
                pass
    assert rows(engine) == []
    with store.locked(0):
        pass


def test_the_lock_of_one_grant_is_not_that_of_another(url, engine):
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite locks the whole database for writing")
    with SQLTokenStore(url, "one").locked(), SQLTokenStore(url, "two").locked(0) as entry:
        entry.save(NEW)


def test_an_empty_row_goes_where_the_block_raises(store, engine):
    with pytest.raises(ZeroDivisionError), store.locked() as entry:  # noqa: PT012
        entry.reserve()
        raise ZeroDivisionError
    assert rows(engine) == []


def test_a_save_stays_where_the_block_raises_after_it(store):
    with pytest.raises(ZeroDivisionError), store.locked() as entry:  # noqa: PT012
        entry.reserve()
        entry.save(NEW)
        assert store.load() == NEW
        raise ZeroDivisionError
    assert store.load() == NEW


def test_what_was_reserved_and_not_saved_changes_nothing(store, engine):
    store.save(OLD)
    before = rows(engine)
    with store.locked() as entry:
        entry.reserve()
        entry.reserve()
    assert rows(engine) == before


def test_a_save_ends_the_lock(store):
    with store.locked() as entry:
        entry.save(OLD)
        with store.locked(0) as other:
            assert other.load() == OLD


def test_an_entry_that_has_saved_can_save_again(store):
    with store.locked() as entry:
        entry.save(OLD)
        assert entry.load() == OLD
        entry.save(NEW)
        assert entry.load() == NEW
    assert store.load() == NEW


def test_an_entry_that_has_saved_does_not_overwrite_what_others_saved_since(store):
    with store.locked() as entry:
        entry.save(OLD)
        store.save(OTHER)
        with pytest.raises(StoreError, match="somebody else has saved"):
            entry.save(NEW)
        assert store.load() == OTHER


def test_an_entry_that_has_saved_can_delete(store):
    with store.locked() as entry:
        entry.save(OLD)
        entry.delete()
        assert entry.load() is None
    assert store.load() is None
    with store.locked() as entry:
        entry.delete()
        entry.save(NEW)
    assert store.load() == NEW


@pytest.mark.parametrize("used", [False, True])
def test_an_entry_that_is_kept_after_its_block_does_nothing(store, used):
    store.save(OLD)
    with store.locked() as kept:
        if used:
            kept.load()
    for act in (kept.load, kept.reserve, lambda: kept.save(OTHER), kept.delete):
        with pytest.raises(StoreError, match=r"The locked\(\) block of .* has ended.*Call locked\(\) again"):
            act()
    assert store.load() == OLD
    with store.locked(0) as entry:  # none of them has the lock
        entry.save(NEW)
    assert store.load() == NEW


def test_two_threads_that_make_the_first_row_at_once_take_turns(url):
    stores = [SQLTokenStore(url, "first") for _ in range(8)]
    inside, most = [], []

    def work(store: SQLTokenStore) -> None:
        with store.locked() as entry:
            inside.append(1)
            most.append(len(inside))
            token = entry.load()
            time.sleep(0.01)
            inside.pop()
            entry.save(Token("a", obtained_at=1.0 + (token.obtained_at if token else 0.0)))

    SQLTokenStore.create_table(url)
    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert stores[0].load().obtained_at == 8.0
    assert max(most) == 1


def test_the_table_is_made_once_when_many_need_it_first(url):
    failed: list[Exception] = []

    def work(number: int) -> None:
        try:
            SQLTokenStore(url, f"user-{number}").save(NEW)
        except Exception as exc:
            failed.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failed == []
    assert len(SQLTokenStore(url, "x").keys()) == 8


def test_create_table_can_be_run_again(url, engine):
    for target in (url, engine, engine.url):
        SQLTokenStore.create_table(target)
    assert rows(engine) == []


def test_a_table_of_another_name(url):
    store = SQLTokenStore(url, "default", table="grants_of_aries")
    store.save(NEW)
    assert store.load() == NEW
    assert SQLTokenStore(url, "default").load() is None


@pytest.mark.parametrize("table", ["", "a b", "a;drop", "1a", "a.b.c", 'x"y', "a" * 64])
def test_a_table_name_that_is_none_is_refused(table):
    with pytest.raises(ConfigurationError, match="no table name"):
        SQLTokenStore("postgresql://localhost/x", "k", table=table)


def test_a_long_document_fits(store):
    token = Token("a" * 200_000, "r" * 200_000)
    store.save(token)
    assert store.load() == token


def test_the_entry_can_be_used_by_another_thread(store):
    # What could not be saved is saved again from a thread of its own.
    store.save(OLD)
    with store.locked() as entry:
        entry.reserve()
        thread = threading.Thread(target=entry.save, args=(NEW,))
        thread.start()
        thread.join(10)
    assert store.load() == NEW


def settings_of_a_connection(engine: Any) -> tuple[Any, ...]:
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        autocommit = (
            driver.get_autocommit() if hasattr(driver, "get_autocommit") else getattr(driver, "autocommit", None)
        )
        # Under autocommit a transaction's level is of no concern; MySQL keeps ours then.
        return (
            autocommit is True or connection.get_isolation_level(),
            autocommit,
            getattr(driver, "isolation_level", None),
        )


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE", "REPEATABLE READ"])
def test_the_isolation_level_of_the_engine_does_not_matter(url, level):
    if url.startswith("sqlite") and level == "REPEATABLE READ":
        pytest.skip("SQLite has no such level")
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), isolation_level=level)
    store = SQLTokenStore(engine, "default")
    store.save(OLD)
    with store.locked() as entry:
        with pytest.raises(LockTimeout), store.locked(0):
            pass
        waiting = threading.Thread(target=store.save, args=(NEW,))
        waiting.start()
        time.sleep(0.1)
        entry.save(OTHER)
    waiting.join(10)
    assert store.load() == NEW
    after = settings_of_a_connection(engine)
    engine.dispose()
    assert after == settings_of_a_connection(engine)
    engine.dispose()


def test_the_time_outs_of_the_engine_stay_as_they_were(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/x.db", pool_size=1, max_overflow=0)
    store = SQLTokenStore(engine, "default")
    with store.locked(0) as entry:
        entry.save(OLD)
    with pytest.raises(ZeroDivisionError), store.locked(0):
        raise ZeroDivisionError
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000
    engine.dispose()


def test_sqlite_whose_engine_begins_transactions_itself(tmp_path):
    # SQLAlchemy's own recipe for SERIALIZABLE and savepoints in SQLite.
    from sqlalchemy import event

    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    event.listen(engine, "connect", lambda connection, record: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    store = SQLTokenStore(engine, "default")
    store.save(OLD)
    with store.locked() as entry:
        with pytest.raises(LockTimeout), store.locked(0):
            pass
        entry.save(NEW)
    assert store.load() == NEW
    engine.dispose()


def test_a_new_sqlite_file_is_private(tmp_path):
    SQLTokenStore(f"sqlite:///{tmp_path}/x.db", "default").save(NEW)
    assert (tmp_path / "x.db").stat().st_mode & 0o777 == 0o600


def test_no_log_of_sqlalchemy_shows_a_token(url, caplog):
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), echo="debug")
    caplog.set_level("DEBUG")
    store = SQLTokenStore(engine, "default")
    store.save(OLD)
    with store.locked() as entry:
        entry.load()
        entry.save(NEW)
    store.load()
    engine.dispose()
    assert "UPDATE aries_tokens" in caplog.text
    assert "[hidden]" in caplog.text
    for secret in ("access-old", "refresh-old", "access-new", "refresh-new"):
        assert secret not in caplog.text


def test_what_a_driver_raises_that_is_no_database_error_is_told_by_its_name():
    _, trouble = attempt(lambda: {}["hush"], Secret("x"))
    assert trouble is not None
    assert trouble.text == "KeyError"


@pytest.mark.parametrize(
    "given, says",
    [
        ({"cipher": 5}, "type int, which has no encrypt and no decrypt"),
        ({"cipher": "SECRET-key-given-as-cipher"}, "type str"),
        ({"table": 5}, "5 is no table name"),
        ({"table": ["t"]}, "is no table name"),
        ({"lock_timeout": -1}, "lock_timeout must be zero or more seconds"),
        ({"key": 5}, "is no key"),
        ({"engine_or_url": 5}, "not int"),
    ],
)
def test_a_malformed_parameter_is_refused_when_it_is_given(given, says):
    with pytest.raises(ConfigurationError, match=says) as caught:
        SQLTokenStore(**{"engine_or_url": "sqlite:///t.db", "key": "k", **given})
    assert_no_secret(caught.value, "SECRET-key-given-as-cipher")
