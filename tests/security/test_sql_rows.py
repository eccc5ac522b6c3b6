"""An attacker who may write in the table, and has no key of the cipher; and collations that mix users up."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

pytest.importorskip("sqlalchemy", minversion="2.0", reason="needs aries-auth[sql]")
fernet = pytest.importorskip("cryptography.fernet", reason="needs aries-auth[encryption]")

from sqlalchemy import create_engine, text  # noqa: E402
from sqlalchemy.pool import NullPool  # noqa: E402

from aries_auth import StoreError, Token  # noqa: E402
from aries_auth.settings.encryption import rekey  # noqa: E402
from aries_auth.sql import SQLTokenStore  # noqa: E402
from tests.cli_process import Command, sandbox_with_free_redirect_uri  # noqa: E402
from tests.leaks import assert_no_secret  # noqa: E402

ALICE = Token("access-alice", "refresh-alice", expires_at=2e9, obtained_at=1e9)
BOB = Token("access-bob", "refresh-bob", expires_at=2e9, obtained_at=1e9)
CIPHER = fernet.Fernet(fernet.Fernet.generate_key())


class Table:
    """The table as somebody with plain SQL has it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
        self._key = "`key`" if self.engine.dialect.name == "mysql" else "key"

    def run(self, statement: str, **values: str) -> list[Any]:
        with self.engine.begin() as connection:
            done = connection.execute(text(statement.replace("{key}", self._key)), values)
            return list(done) if done.returns_rows else []

    def document(self, key: str) -> str:
        return str(self.run("SELECT document FROM aries_tokens WHERE {key} = :k", k=key)[0][0])

    def put(self, key: str, document: str) -> None:
        self.run("UPDATE aries_tokens SET document = :d WHERE {key} = :k", d=document, k=key)

    def store(self, key: str, cipher: Any = CIPHER) -> SQLTokenStore:
        return SQLTokenStore(self.url, key, cipher=cipher)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    if request.param == "sqlite":
        return Table(f"sqlite:///{tmp_path}/tokens.db")
    if request.param == "mariadb":
        return Table(request.getfixturevalue("mariadb_server")())
    return Table(request.getfixturevalue("postgresql"))


def test_bobs_document_copied_into_alices_row_is_refused(table: Table) -> None:
    table.store("alice").save(ALICE)
    table.store("bob").save(BOB)
    copied = table.document("bob")
    table.put("alice", copied)
    alice = table.store("alice")
    for act in (alice.load, lambda: alice.save(ALICE), lambda: rekey(alice, CIPHER), lambda: reserve(alice)):
        with pytest.raises(StoreError, match="encrypted for another row") as caught:
            act()
        assert_no_secret(caught.value, "access-bob", "refresh-bob")
    assert table.document("alice") == copied
    alice.delete()
    alice.save(ALICE)
    assert (alice.load(), table.store("bob").load()) == (ALICE, BOB)


def unbound(token: Token) -> str:
    """What an older version wrote, and what a token file holds."""
    ciphertext = CIPHER.encrypt(json.dumps(token.to_dict()).encode())
    return json.dumps({"version": 1, "ciphertext": base64.b64encode(ciphertext).decode()})


def test_a_document_that_names_no_row_is_refused_and_rekey_binds_it(table: Table) -> None:
    store = table.store("alice")
    store.save(ALICE)
    table.put("alice", unbound(ALICE))
    with pytest.raises(StoreError, match=r"does not say which row .*`aries-auth rekey` binds it"):
        store.load()
    assert rekey(store, CIPHER) == ALICE
    assert store.load() == ALICE
    table.store("bob").save(BOB)
    table.put("bob", table.document("alice"))
    with pytest.raises(StoreError, match="another row"):
        table.store("bob").load()


def test_a_planted_plain_row_is_not_made_to_look_genuine(table: Table) -> None:
    store = table.store("alice")
    table.store("alice", None).save(BOB)
    before = table.document("alice")
    for act in (store.load, lambda: rekey(store, CIPHER)):
        with pytest.raises(StoreError, match=r"not encrypted: .*--encrypt-plain"):
            act()
    assert table.document("alice") == before
    assert rekey(store, CIPHER, encrypt_plain=True) == BOB
    assert store.load() == BOB


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    with sandbox_with_free_redirect_uri() as aries:
        yield Command(tmp_path, aries)


def test_rekey_of_all_leaves_a_planted_row_and_says_so(command: Command, tmp_path: Path) -> None:
    key = fernet.Fernet.generate_key().decode()
    table = Table(f"sqlite:///{tmp_path}/tokens.db")
    SQLTokenStore(table.url, "alice", cipher=fernet.Fernet(key)).save(ALICE)
    SQLTokenStore(table.url, "bob").save(BOB)
    done = command.call("rekey", "--all", "--store", table.url, ARIES_STORE_KEY=key)
    assert (done.returncode, "1 of them could not be moved" in done.stderr) == (1, True)
    assert "access-bob" in table.document("bob")
    assert command.call("rekey", "--all", "--encrypt-plain", "--store", table.url, ARIES_STORE_KEY=key).returncode == 0
    assert "access-bob" not in table.document("bob")


# Collations

LOOSE = {
    "sqlite": ["CREATE TABLE aries_tokens (key TEXT COLLATE NOCASE NOT NULL PRIMARY KEY,{rest})"],
    "mariadb": ["CREATE TABLE aries_tokens (`key` VARCHAR(255) NOT NULL PRIMARY KEY,{rest}) CHARACTER SET utf8mb4"],
    "postgresql": [
        "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false)",
        "CREATE TABLE aries_tokens (key TEXT COLLATE loose NOT NULL PRIMARY KEY,{rest})",
    ],
}
REST = (
    " document {text} NOT NULL, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL, reserved_at DOUBLE PRECISION"
)
ALIKE = {"sqlite": ["user:alice"], "mariadb": ["user:alice", "user:Alicé"], "postgresql": ["user:alice", "user:Alicé"]}


@pytest.fixture
def loose(table: Table) -> tuple[Table, list[str]]:
    """A table of the user's own migration, whose keys compare without case; and keys that it takes for user:Alice."""
    name = "mariadb" if table.engine.dialect.name == "mysql" else table.engine.dialect.name
    if name == "sqlite":
        SQLTokenStore(table.url, "x").delete()  # makes the file, private
        table.run("DROP TABLE aries_tokens")
    for statement in LOOSE[name]:
        table.run(statement.replace("{rest}", REST.format(text="MEDIUMTEXT" if name == "mariadb" else "TEXT")))
    return table, ALIKE[name]


def test_a_key_that_the_column_takes_for_anothers_is_nobodys(loose: tuple[Table, list[str]]) -> None:
    table, alike = loose
    owner = table.store("user:Alice", None)
    owner.save(ALICE)
    for key in alike:
        store = table.store(key, None)
        assert store.load() is None
        acts: list[Callable[[], Any]] = [lambda store=store: store.save(BOB), lambda store=store: reserve(store)]
        for act in acts:
            with pytest.raises(StoreError, match="the column key of aries_tokens compares without case or accents"):
                act()
        store.delete()
        with store.locked() as entry:
            assert entry.load() is None
    assert owner.load() == ALICE
    owner.save(BOB)
    assert owner.load() == BOB
    assert owner.keys() == ["user:Alice"]


def reserve(store: SQLTokenStore) -> None:
    with store.locked() as entry:
        entry.reserve()


def test_the_cure_that_is_named_works_on_mariadb(mariadb_server: Callable[[], str]) -> None:
    table = Table(mariadb_server())
    for statement in LOOSE["mariadb"]:
        table.run(statement.replace("{rest}", REST.format(text="MEDIUMTEXT")))
    table.store("user:Alice", None).save(ALICE)
    with pytest.raises(StoreError) as caught:
        table.store("user:alice", None).save(BOB)
    table.run(str(caught.value).split("compare exactly: ")[1].rstrip("."))
    table.store("user:alice", None).save(BOB)
    assert (table.store("user:Alice", None).load(), table.store("user:alice", None).load()) == (ALICE, BOB)


def test_the_table_that_we_make_tells_keys_apart(table: Table) -> None:
    for number, key in enumerate(("user:Alice", "user:alice", "user:Alicé")):
        table.store(key, None).save(Token(f"t{number}"))
    assert [table.store(key, None).load() for key in ("user:Alice", "user:alice", "user:Alicé")] == [
        Token("t0"), Token("t1"), Token("t2")
    ]  # fmt: skip
