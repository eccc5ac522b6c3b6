"""Engines and URLs: what is accepted, what is shown, pickles, copies, forks, and the connections that are used."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from sqlalchemy import create_engine, event, make_url
from sqlalchemy.pool import NullPool, StaticPool

from aries_auth import AriesAuth, ConfigurationError, LockTimeout, StoreError, Token
from aries_auth.settings.stores import login_command
from aries_auth.sql import SQLTokenStore
from aries_auth.sql.database import _engine_of
from tests.conftest import EXPIRED
from tests.inside import engine_of, store_of
from tests.leaks import assert_no_secret
from tests.sql.cluster import PASSWORD

TOKEN = Token("access-1", "refresh-1", expires_at=2e9, obtained_at=1e9)
SECRET_URL = "postgresql://aries:hush-hush@db.example:6432/prod?sslpassword=psst"
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@pytest.fixture
def engine(postgresql):
    engine = create_engine(psycopg(postgresql), pool_size=2, max_overflow=0)
    yield engine
    engine.dispose()


def psycopg(url: str) -> str:
    return url.replace("postgresql:", "postgresql+psycopg:")


@pytest.mark.parametrize("given", [SECRET_URL, make_url(SECRET_URL)])
def test_a_password_in_a_url_is_never_shown(given):
    store = SQLTokenStore(given, "default")
    assert str(store) == "postgresql://aries:***@db.example:6432/prod (table aries_tokens, key default)"
    shown = [str(store), repr(store), repr(AriesAuth("c", "s", "http://localhost/", store=store)), repr(vars(store))]
    shown.append(login_command(None, store))
    assert not any(secret in text for text in shown for secret in ("hush-hush", "psst"))


def test_a_password_in_an_engine_is_not_shown_either():
    engine = create_engine(psycopg(SECRET_URL))
    assert "hush-hush" not in f"{SQLTokenStore(engine, 'x')}{SQLTokenStore(engine, 'x')!r}"


def test_the_login_command_names_the_database_and_the_key():
    assert login_command(None, SQLTokenStore(SECRET_URL, "paper")) == (
        "aries-auth login --profile paper, with $ARIES_STORE_URL set to the URL of "
        "postgresql://aries:***@db.example:6432/prod (table aries_tokens, key paper)"
    )


@pytest.mark.parametrize(
    "given",
    ["hush-hush", "postgresql://aries:hush-hush@[::1/x", "oracle://aries:hush-hush@db/x", "sqlite://", "sqlite:///:memory:",
     "postgresql://aries:hush-hush@db:port/x", None, 7, b"postgresql://", object()],
)  # fmt: skip
def test_what_is_no_usable_url_is_refused_without_showing_it(given):
    with pytest.raises(ConfigurationError) as caught:
        SQLTokenStore(given, "default")
    assert_no_secret(caught.value, "hush-hush")


@pytest.mark.parametrize("url", ["postgresql+asyncpg://aries:hush-hush@h/x", "postgresql+nope://aries:hush-hush@h/x"])
def test_a_driver_that_is_not_there_or_asynchronous_is_an_error_that_says_so(url):
    with pytest.raises(ConfigurationError, match="driver") as caught:
        SQLTokenStore(url, "default").load()
    assert_no_secret(caught.value, "hush-hush")


def test_an_async_engine_is_refused():
    engine = create_engine("postgresql+psycopg_async://aries:hush-hush@h/x")
    with pytest.raises(ConfigurationError, match="async engine") as caught:
        SQLTokenStore(engine, "default")
    assert_no_secret(caught.value, "hush-hush")


def test_an_engine_of_another_kind_of_database_is_refused(engine):
    engine.dialect.name = "oracle"
    with pytest.raises(ConfigurationError, match="oracle"):
        SQLTokenStore(engine, "default")


def test_an_engine_with_one_connection_for_all_is_refused():
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with pytest.raises(ConfigurationError, match="more than one connection"):
        SQLTokenStore(engine, "default")


def test_the_constructor_does_no_io_and_is_cheap():
    begun = time.perf_counter()
    stores = [SQLTokenStore("postgresql://nobody@nowhere.invalid/x", f"user-{number}") for number in range(1000)]
    assert time.perf_counter() - begun < 2
    assert len(stores) == 1000


@pytest.mark.parametrize("password", ["wrong-hush", "wrong@hush/%"])
def test_a_wrong_password_is_an_error_that_does_not_show_it(cluster, impatient, password):
    store = SQLTokenStore(cluster.url(password=password), "default")
    for act in (store.load, lambda: store.save(TOKEN), store.keys):
        with pytest.raises(StoreError, match="password authentication failed") as caught:
            act()
        assert_no_secret(caught.value, password)
        assert_no_secret(caught.value, PASSWORD)


def test_a_server_that_is_not_there_is_an_error_within_bounds(unused_port, impatient):
    store = SQLTokenStore(f"postgresql://u:hush-hush@127.0.0.1:{unused_port}/x", "default")
    for act in (store.load, lambda: store.save(TOKEN)):
        begun = time.monotonic()
        with pytest.raises(StoreError, match="Connection refused") as caught:
            act()
        assert time.monotonic() - begun < 2
        assert not isinstance(caught.value, LockTimeout)
        assert_no_secret(caught.value, "hush-hush")


@pytest.fixture
def unused_port() -> int:
    from tests.sql.cluster import free_port

    return free_port()


# Pickles and copies


def test_a_store_made_from_a_url_pickles(postgresql):
    store = SQLTokenStore(postgresql, "default", table="grants", lock_timeout=3.0)
    store.save(TOKEN)
    copied = pickle.loads(pickle.dumps(store))
    assert copied.load() == TOKEN
    assert (copied.key, copied.table, copied.lock_timeout, str(copied)) == ("default", "grants", 3.0, str(store))


def test_a_store_made_from_an_engine_does_not_pickle_and_says_so(engine):
    store = SQLTokenStore(engine, "default")
    with pytest.raises(TypeError, match="Make it from a URL"):
        pickle.dumps(store)
    with pytest.raises(TypeError, match="Make it from a URL"):
        pickle.dumps(AriesAuth("c", "s", "http://localhost/", store=store))


def test_copies_share_the_engine(engine):
    auth = AriesAuth("c", "s", "http://localhost/", store=SQLTokenStore(engine, "default"))
    copied = copy.deepcopy(auth)
    store_of(copied).save(TOKEN)
    assert store_of(auth).load() == TOKEN
    assert copy.copy(store_of(auth)).load() == TOKEN
    assert engine_of(store_of(copied)) is engine


# Connections


class Connections:
    """Counts the connections that are open, and the statements."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.open, self.most, self.statements = engine, 0, 0, 0
        event.listen(engine, "checkout", self._out)
        event.listen(engine, "checkin", self._in)
        event.listen(engine, "before_cursor_execute", self._execute)

    def _out(self, *_: Any) -> None:
        self.open += 1
        self.most = max(self.most, self.open)

    def _in(self, *_: Any) -> None:
        self.open -= 1

    def _execute(self, *_: Any) -> None:
        self.statements += 1


def test_a_connection_is_held_only_while_the_lock_is(engine):
    counted = Connections(engine)
    store = SQLTokenStore(engine, "default")
    assert store.load() is None
    assert counted.open == 0
    with store.locked() as entry:
        assert counted.open == 1
        entry.reserve()
        entry.save(TOKEN)
        assert counted.open == 0
        assert entry.load() == TOKEN
        assert counted.open == 0
    with pytest.raises(ZeroDivisionError), store.locked():
        raise ZeroDivisionError
    with store.locked() as entry:
        with pytest.raises(LockTimeout), store.locked(0):
            pass
        assert counted.open == 1
    assert counted.open == 0


def test_a_pool_without_a_free_connection_is_a_lock_timeout_in_time(engine):
    store = SQLTokenStore(engine, "default")
    store.save(TOKEN)
    with engine.connect(), engine.connect():
        for timeout in (0, 0.25):
            begun = time.monotonic()
            with pytest.raises(LockTimeout, match="connection of the pool is in use"), store.locked(timeout):
                pass
            assert time.monotonic() - begun < timeout + 0.3
    with store.locked(0):
        pass


def test_a_pool_without_a_free_connection_is_waited_for_as_long_as_the_pool_says(postgresql):
    engine = create_engine(psycopg(postgresql), pool_size=1, max_overflow=0, pool_timeout=0.3)
    store = SQLTokenStore(engine, "default")
    with engine.connect(), pytest.raises(StoreError, match="none came free in time"):
        store.load()
    connection = engine.connect()
    threading.Timer(0.1, connection.close).start()
    assert store.load() is None
    engine.dispose()


def test_a_lock_waits_for_a_connection_of_the_pool(engine):
    store = SQLTokenStore(engine, "default")
    connections = [engine.connect(), engine.connect()]
    threading.Timer(0.2, connections[0].close).start()
    with store.locked(5) as entry:
        entry.save(TOKEN)
    connections[1].close()
    assert store.load() == TOKEN


def test_a_living_token_touches_no_database(engine, aries, auth_on):
    store = SQLTokenStore(engine, "default")
    store.save(aries.issue_token())
    auth = auth_on(store)
    auth.get_token()
    counted = Connections(engine)
    for _ in range(1000):
        auth.get_token()
    assert (counted.most, counted.statements) == (0, 0)


def test_a_refresh_takes_one_connection_at_a_time_and_few_statements(engine, aries, auth_on):
    store = SQLTokenStore(engine, "default")
    store.save(aries.issue_token(age=EXPIRED))
    counted = Connections(engine)
    auth_on(store).get_token()
    # Look; settings, lock, look again; reserve and when; settings, lock, savepoint, write.
    assert (counted.most, counted.open) == (1, 0)
    assert counted.statements <= 11


def test_a_background_refresh_that_finds_the_lock_taken_holds_no_connection(engine, aries, auth_on):
    store = SQLTokenStore(engine, "default")
    store.save(aries.issue_token(expires_in=3600, age=3590 - 60))
    auth = auth_on(store)
    with store.locked():
        counted = Connections(engine)
        auth.get_token()
        deadline = time.monotonic() + 5
        while counted.most == 0 or counted.open:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.3)
        assert counted.open == 0
        for _ in range(100):
            auth.get_token()
        assert counted.open == 0
    assert aries.refresh_count == 0


# Forks


def in_child(work: Any) -> int:
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return (
        os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if hasattr(os, "waitstatus_to_exitcode")
        else os.waitpid(pid, 0)[1]
    )


@needs_fork
def test_a_forked_child_uses_no_connection_of_its_parent(engine):
    store = SQLTokenStore(engine, "default")
    store.save(TOKEN)
    with engine.connect() as connection:
        backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()

    def work() -> int:
        if store.load() != TOKEN:
            return 1
        with engine.connect() as connection:
            return 2 if connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() == backend else 0

    for _ in range(3):
        assert in_child(work) == 0
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() == backend


FORKS_UNDER_THE_LOCK = """
import os, sys
from sqlalchemy import create_engine
from aries_auth import LockTimeout, Token
from aries_auth.sql import SQLTokenStore
store = SQLTokenStore(create_engine(sys.argv[1]) if sys.argv[2] == "engine" else sys.argv[1], "default")
store.save(Token("access-1"))
with store.locked() as entry:
    entry.reserve()
    child = os.fork()
    if child == 0:
        try:
            with store.locked(0):
                os._exit(7)
        except LockTimeout:
            pass
    else:
        assert os.waitpid(child, 0)[1] == 0, "the child"
        entry.save(Token("access-2"))
if child == 0:
    import gc
    del entry
    gc.collect()
    assert store.load() == Token("access-1")
    sys.exit(0)  # by the interpreter's own end
assert store.load() == Token("access-2")
print("saved")
"""


@needs_fork
@pytest.mark.parametrize("made_from", ["engine", "url"])
def test_a_child_forked_under_the_lock_leaves_it_to_its_parent(postgresql, made_from):
    done = subprocess.run(
        [sys.executable, "-c", FORKS_UNDER_THE_LOCK, psycopg(postgresql), made_from],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "saved\n", done.stderr
    assert done.returncode == 0


def test_stores_of_one_url_share_an_engine_that_keeps_no_connection(postgresql):
    one, two = SQLTokenStore(postgresql, "one"), SQLTokenStore(postgresql, "two")
    one.save(TOKEN)
    two.save(TOKEN)
    assert engine_of(one) is engine_of(two)
    assert isinstance(engine_of(one).pool, NullPool)
    assert _engine_of.cache_info().currsize >= 1


def test_the_options_of_a_url_win_over_ours(postgresql):
    store = SQLTokenStore(f"{postgresql}?connect_timeout=3&application_name=mine", "default")
    with engine_of(store).connect() as connection:
        assert connection.exec_driver_sql("SHOW application_name").scalar_one() == "mine"
    with engine_of(SQLTokenStore(postgresql, "default")).connect() as connection:
        assert connection.exec_driver_sql("SHOW application_name").scalar_one() == "aries-auth"


def test_without_sqlalchemy_the_import_says_what_to_install():
    program = "import sys; sys.modules['sqlalchemy'] = None; import aries_auth.auth; import aries_auth.sql"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert 'pip install "aries-auth[sql]"' in done.stderr


def test_nothing_but_this_module_imports_sqlalchemy():
    program = "import sys, aries_auth.auth, aries_auth.authorization, aries_auth.settings.encryption\n"
    program += "print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "False\n", done.stderr


def test_an_sqlalchemy_of_the_past_is_refused_by_the_import():
    program = "import sqlalchemy; sqlalchemy.__version__ = '1.4.54'; import aries_auth.sql"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "needs SQLAlchemy 2, and this is 1.4.54" in done.stderr
