"""Fixtures of the SQL store's tests: a real PostgreSQL, MariaDB where there is one, SQLite, and a local Aries."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

if os.environ.get("CI"):
    import cryptography  # noqa: F401
    import psycopg  # noqa: F401
    import sqlalchemy
else:
    sqlalchemy = pytest.importorskip("sqlalchemy", minversion="2.0", reason="needs aries-auth[sql]")
    pytest.importorskip("psycopg", reason="needs aries-auth[sql]")

from aries_auth import AriesAuth
from aries_auth.sql import SQLTokenStore
from aries_auth.testing import AriesSandbox
from tests.sql import cluster as servers


@pytest.fixture(scope="session")
def cluster() -> Iterator[servers.Cluster]:
    """A PostgreSQL of our own."""
    binaries = servers.binaries()
    if binaries is None:
        message = "there is no PostgreSQL server here (Debian: apt-get install postgresql)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    cluster = servers.Cluster(binaries)
    try:
        cluster.create().execute("CREATE DATABASE tests")
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture
def postgresql(cluster: servers.Cluster) -> Iterator[str]:
    """The URL of an empty database in it."""
    cluster.execute("DROP SCHEMA IF EXISTS vault CASCADE", database="tests")
    cluster.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public", database="tests")
    cluster.execute("GRANT ALL ON SCHEMA public TO public", database="tests")
    yield cluster.url("tests")
    cluster.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'tests'")


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[Callable[[], str]]:
    """Makes databases in a MariaDB of our own."""
    pytest.importorskip("pymysql", reason="needs PyMySQL")
    server = servers.MariaDB.find()
    if server is None:
        pytest.skip("there is no MariaDB server here (Debian: apt-get install mariadb-server)")
    try:
        server.start()
        yield server.new_database
    finally:
        server.remove()


@pytest.fixture(params=["postgresql", "sqlite", pytest.param("mariadb", marks=pytest.mark.soak)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/tokens.db"
    if request.param == "mariadb":
        return request.getfixturevalue("mariadb_server")()
    return request.getfixturevalue("postgresql")


@pytest.fixture
def store(url: str) -> SQLTokenStore:
    """A store in each kind of database."""
    return SQLTokenStore(url, "default")


@pytest.fixture(scope="session")
def sandbox() -> Iterator[AriesSandbox]:
    with AriesSandbox() as aries:
        yield aries


@pytest.fixture
def aries(sandbox: AriesSandbox) -> Iterator[AriesSandbox]:
    """A local Aries with nothing of other tests."""
    sandbox.start()
    sandbox.reset()
    yield sandbox
    sandbox.heal()


@pytest.fixture
def auth_on(aries: AriesSandbox) -> Callable[..., AriesAuth]:
    """Makes an `AriesAuth` for the local Aries on a store."""

    def make(store: Any, **options: Any) -> AriesAuth:
        return aries.auth(store, **options)

    return make


def _patience(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    for module in ("fault", "store", "entry"):
        monkeypatch.setattr(f"aries_auth.sql.{module}.PATIENCE", seconds)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection is given up soon."""
    _patience(monkeypatch, 0.3)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection is waited for as long as a loaded machine takes to restart a server."""
    _patience(monkeypatch, 30.0)
