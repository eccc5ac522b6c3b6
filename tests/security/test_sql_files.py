"""A SQLite database holds refresh tokens: it is held to the rules of a token file, whoever made the engine."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any, Callable

import pytest

pytest.importorskip("sqlalchemy", minversion="2.0", reason="needs aries-auth[sql]")

from sqlalchemy import create_engine, event

from aries_auth import StoreError, Token
from aries_auth.sql import SQLTokenStore, sqlite_file
from tests.security.test_store_links import needs_two_users, plant
from tests.store.conftest import NOBODY, mode_of, umask

TOKEN = Token("access-1", "refresh-1", expires_at=2e9, obtained_at=1e9)
MAKERS: dict[str, Callable[[Path], Any]] = {
    "url": lambda path: f"sqlite:///{path}",
    "uri": lambda path: f"sqlite:///file:{path}?mode=rwc&uri=true",
    "engine": lambda path: create_engine(f"sqlite:///{path}"),
}


@pytest.fixture(params=MAKERS)
def made(request: pytest.FixtureRequest) -> Callable[[Path], SQLTokenStore]:
    return lambda path: SQLTokenStore(MAKERS[request.param](path), "default")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.db"


def test_the_file_is_made_for_its_owner_alone_whatever_the_umask(
    made: Callable[[Path], SQLTokenStore], path: Path
) -> None:
    with umask(0):
        made(path).save(TOKEN)
    assert mode_of(path) == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o640])
def test_a_file_that_others_can_read_is_refused_with_how_to_mend_it(
    made: Callable[[Path], SQLTokenStore], path: Path, mode: int
) -> None:
    made(path).save(TOKEN)
    path.chmod(mode)
    before = path.read_bytes()
    store = made(path)
    for act in (store.load, lambda: store.save(TOKEN), store.delete, store.keys):
        with pytest.raises(StoreError, match=rf"mode {mode:04o}\); run: chmod 600 '{path}'"):
            act()
    assert path.read_bytes() == before
    path.chmod(0o600)
    assert store.load() == TOKEN


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_so_is_one_whose_companion_others_can_read(made: Callable[[Path], SQLTokenStore], path: Path, end: str) -> None:
    made(path).save(TOKEN)
    companion = Path(f"{path}{end}")
    companion.touch()
    companion.chmod(0o644)
    with pytest.raises(StoreError, match=f"chmod 600 '{companion}'"):
        made(path).load()


def test_what_sqlite_makes_beside_it_is_private_too(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    event.listen(engine, "connect", lambda connection, _record: connection.execute("PRAGMA journal_mode=WAL"))
    with umask(0):
        store = SQLTokenStore(engine, "default")
        store.save(TOKEN)
        with store.locked() as entry:
            entry.reserve()
            beside = {each.name: mode_of(each) for each in path.parent.iterdir()}
            entry.save(TOKEN)
    assert beside == {"tokens.db": 0o600, "tokens.db-shm": 0o600, "tokens.db-wal": 0o600}
    assert store.load() == TOKEN
    engine.dispose()


@needs_two_users
def test_a_file_of_somebody_else_is_refused(made: Callable[[Path], SQLTokenStore], path: Path) -> None:
    made(path).save(TOKEN)
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(StoreError, match=f"belongs to user {NOBODY}"):
        made(path).load()


@needs_two_users
@pytest.mark.parametrize("where", ["name", "folder"])
def test_a_link_that_somebody_else_planted_is_refused(
    made: Callable[[Path], SQLTokenStore],
    sticky: Path,
    tmp_path: Path,
    where: str,
) -> None:
    victim = tmp_path / "db"
    sqlite3.connect(victim).execute("CREATE TABLE precious (x)").connection.close()
    victim.chmod(0o600)
    plant(sticky / "link", victim if where == "name" else tmp_path)
    before = victim.read_bytes()
    store = made(sticky / "link" if where == "name" else sticky / "link" / "db")
    for act in (store.load, lambda: store.save(TOKEN)):
        with pytest.raises(StoreError, match="symbolic link that belongs to user"):
            act()
    assert victim.read_bytes() == before


def test_a_link_of_ones_own_is_followed(made: Callable[[Path], SQLTokenStore], path: Path) -> None:
    made(path).save(TOKEN)
    path.with_name("link").symlink_to(path)
    assert made(path.with_name("link")).load() == TOKEN


def test_a_link_of_ones_own_to_no_file_yet_leads_to_the_database_that_is_made(
    made: Callable[[Path], SQLTokenStore], path: Path
) -> None:
    path.with_name("link").symlink_to(path)
    store = made(path.with_name("link"))
    with umask(0):
        store.save(TOKEN)
    assert store.load() == made(path).load() == TOKEN
    assert mode_of(path) == 0o600


@pytest.mark.parametrize(
    "database, path",
    [("/a/b.db", "/a/b.db"), ("b.db", "b.db"), ("file:/a/b%20c.db?mode=rwc", "/a/b c.db"), ("file:b.db", "b.db"),
     ("file:///a/b.db", "/a/b.db"), ("file:x?mode=memory&cache=shared", None), (":memory:", None), ("", None),
     ("file::memory:?cache=shared", None)],
)  # fmt: skip
def test_the_file_that_a_url_means(database: str, path: str | None) -> None:
    assert sqlite_file._path(database) == path
