"""Who owns the table, who listens on the way, and a server that never answers."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, Iterator

import pytest

pytest.importorskip("sqlalchemy", minversion="2.0", reason="needs aries-auth[sql]")

from sqlalchemy import create_engine

from aries_auth import AriesAuth, ConfigurationError, StoreError, Token
from aries_auth.sql import SQLTokenStore
from tests.inside import engine_of
from tests.leaks import assert_no_secret

TOKEN = Token("access-1", "refresh-1", expires_at=2e9, obtained_at=1e9)


# The owner of the table


@pytest.fixture
def roles(cluster: Any, postgresql: str) -> Iterator[dict[str, str]]:
    """The URLs of two ordinary roles, in a database where public is as writable as it was up to PostgreSQL 14."""
    cluster.execute("GRANT CREATE ON SCHEMA public TO public", database="tests")
    names = ("mallory", "victim", "steward")
    for name in names:
        cluster.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'pass-{name}'")
    yield {name: cluster.url("tests", user=name, password=f"pass-{name}") for name in names}
    for name in names:
        cluster.execute(f"DROP OWNED BY {name} CASCADE", database="tests")
        cluster.execute(f"DROP ROLE {name}")


def make_table(url: str, cluster: Any) -> None:
    SQLTokenStore.create_table(url)
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.exec_driver_sql("GRANT ALL ON aries_tokens TO PUBLIC")
    engine.dispose()


def test_a_table_that_another_role_made_first_is_refused(roles: dict[str, str], cluster: Any) -> None:
    make_table(roles["mallory"], cluster)
    store = SQLTokenStore(roles["victim"], "default")
    for act in (store.load, lambda: store.save(TOKEN), store.locked(0).__enter__):
        with pytest.raises(StoreError, match=r"belongs to the role mallory, who can read every token.*create_table"):
            act()
    assert cluster.execute("SELECT count(*) FROM aries_tokens", database="tests") == [(0,)]


def test_a_role_that_grants_itself_to_its_victim_is_refused_too(roles: dict[str, str], cluster: Any) -> None:
    make_table(roles["mallory"], cluster)
    # What PostgreSQL up to 15 lets mallory do (its last releases don't).
    cluster.execute("GRANT mallory TO victim GRANTED BY mallory")
    with pytest.raises(StoreError, match="belongs to the role mallory"):
        SQLTokenStore(roles["victim"], "default").load()


def test_a_role_that_an_administrator_has_granted_is_trusted(roles: dict[str, str], cluster: Any) -> None:
    make_table(roles["steward"], cluster)
    store = SQLTokenStore(roles["victim"], "default")
    with pytest.raises(StoreError, match="belongs to the role steward"):
        store.load()
    cluster.execute("GRANT steward TO victim")
    store.save(TOKEN)
    assert store.load() == TOKEN


def test_a_table_of_ones_own_or_of_the_databases_owner_is_trusted_and_asked_for_once(
    roles: dict[str, str],
    cluster: Any,
    postgresql: str,
) -> None:
    SQLTokenStore(roles["victim"], "default").save(TOKEN)
    assert SQLTokenStore(roles["victim"], "default").load() == TOKEN
    cluster.execute("DROP TABLE aries_tokens", database="tests")
    make_table(postgresql, cluster)
    store = SQLTokenStore(roles["steward"], "default")
    store.save(TOKEN)
    from aries_auth.sql import database

    asked = database._trusted[engine_of(store)]
    assert asked == {"aries_tokens"}


# The way to the server


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:hush-hush@db.example/x", "postgresql://u:hush-hush@10.0.0.7:6432/x", "postgres://u:hush-hush@db/x",
     "postgresql+psycopg://u:hush-hush@/x?host=db.example", "postgresql://u:hush-hush@/x?host=localhost:1,db.example:2"],
)  # fmt: skip
def test_a_url_to_another_host_has_to_say_how_the_way_there_is_protected(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"names the host .*\?sslmode=verify-full") as caught:
        SQLTokenStore(url, "default").load()
    assert_no_secret(caught.value, "hush-hush")


@pytest.mark.parametrize("mode", ["verify-full", "require", "disable"])
def test_whoever_says_so_is_believed(mode: str) -> None:
    store = SQLTokenStore(f"postgresql://u@nowhere.invalid/x?sslmode={mode}", "default")
    with pytest.raises(StoreError, match=r"(?i)resolve|not known|name"):
        store.load()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "[::1]", "/var/run/none", ""])
def test_this_computer_needs_no_word(host: str) -> None:
    from sqlalchemy import make_url

    from aries_auth.sql.url import clear_text_fault

    at = f"/x?host={host}" if host.startswith("/") else f"{host}:1/x" if host else "/x"
    assert clear_text_fault(make_url(f"postgresql://u@{at}")) == ""


# A server that can't be reached


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept: list[socket.socket] = []

        def accept() -> None:
            try:
                while True:
                    kept.append(listener.accept()[0])
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        for connection in kept:
            connection.close()
        thread.join(5)


def _mysql(port: int) -> str:
    pytest.importorskip("pymysql", reason="needs PyMySQL")
    return f"mysql+pymysql://u:hush@127.0.0.1:{port}/x"


SILENT = {
    "postgresql url": lambda port: f"postgresql://u:hush@127.0.0.1:{port}/x",
    "postgresql engine": lambda port: create_engine(f"postgresql+psycopg://u:hush@127.0.0.1:{port}/x"),
    "mysql url": _mysql,
    "mysql engine": lambda port: create_engine(_mysql(port)),
}


@pytest.mark.slow
@pytest.mark.parametrize("given", SILENT)
@pytest.mark.parametrize("what", ["load", "save", "call"])
def test_a_server_that_accepts_and_says_nothing_costs_five_seconds_in_all(silent: int, given: str, what: str) -> None:
    store = SQLTokenStore(SILENT[given](silent), "default")
    auth = AriesAuth("c", "s", "http://localhost/", store=store)
    acts = {"load": store.load, "save": lambda: store.save(TOKEN), "call": auth.get_token}
    begun = time.monotonic()
    with pytest.raises(StoreError):
        acts[what]()
    assert 4 < time.monotonic() - begun < 7


def test_the_time_outs_of_a_callers_engine_stay_as_they_were(mariadb_server: Any) -> None:
    from sqlalchemy import text

    for given, left in ((None, None), (77, 77)):
        options = {} if given is None else {"connect_args": {"read_timeout": given}}
        engine = create_engine(mariadb_server(), pool_size=1, max_overflow=0, **options)
        store = SQLTokenStore(engine, "default")
        store.save(TOKEN)
        with engine.connect() as connection:
            assert connection.connection.driver_connection._read_timeout == left
            assert connection.execute(text("SELECT SLEEP(0.1)")).scalar_one() == 0
        engine.dispose()


def test_connections_that_the_engines_owner_makes_are_not_limited(postgresql: str) -> None:
    from sqlalchemy import event
    from sqlalchemy.pool import NullPool

    engine = create_engine(postgresql.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    seen: list[Any] = []
    store = SQLTokenStore(engine, "default")
    event.listen(engine, "do_connect", lambda _d, _r, _a, options: seen.append(options.get("connect_timeout")))
    store.load()
    with engine.connect():
        pass
    store.load()
    assert seen[0] == 5
    assert seen[-1] == 5
    assert None in seen
    engine.dispose()


@pytest.mark.slow
def test_a_server_that_drops_every_packet_costs_five_seconds_in_all() -> None:
    # 192.0.2.0/24 is for documentation (RFC 5737): nobody answers there, or the network says so at once.
    store = SQLTokenStore("postgresql://u:hush@192.0.2.1/x?sslmode=require", "default")
    begun = time.monotonic()
    with pytest.raises(StoreError):
        store.load()
    assert time.monotonic() - begun < 7
