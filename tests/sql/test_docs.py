"""Every code block of docs/several-hosts.md runs, in its order, against a local Aries and a database."""

from __future__ import annotations

import asyncio
import os
import pickle
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aries_auth.sql import SQLTokenStore
from tests.conftest import EXPIRED

pytest.importorskip("cryptography", reason="needs aries-auth[encryption]")
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "several-hosts.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Page:
    """The blocks, with our database and Aries in the place of theirs; those that are named lie in a folder as files."""

    def __init__(self, folder: Path, url: str, aries: Any) -> None:
        self.folder = folder
        self.environ = {**os.environ, **aries.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
        self.environ["PATH"] = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
        command = folder / "aries-auth"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m aries_auth "$@"\n')
        command.chmod(0o755)
        psycopg = url.replace("postgresql:", "postgresql+psycopg:")
        ours = {"https://api.aries.com": aries.api_url}
        for role in ("aries", "admin"):
            ours[f"postgresql://{role}@db.example/prod?sslmode=verify-full"] = url
            ours[f"postgresql+psycopg://{role}@db.example/prod?sslmode=verify-full"] = psycopg
        text = PAGE.read_text(encoding="utf-8")
        for theirs, mine in ours.items():
            text = text.replace(theirs, mine)
        self.blocks: list[tuple[str, str]] = BLOCK.findall(text)
        for _, code in self.blocks:
            name = re.match(r"# (\w+\.py)\n", code)
            if name:
                (folder / name[1]).write_text(code)

    def of(self, language: str) -> list[str]:
        return [code for of, code in self.blocks if of == language]

    def python(self, *arguments: str, **changes: str) -> str:
        return self._run([sys.executable, *arguments], changes)

    def bash(self, code: str, **changes: str) -> str:
        return self._run(["bash", "-euo", "pipefail", "-c", code], changes)

    def _run(self, arguments: list[str], changes: dict[str, str]) -> str:
        done = subprocess.run(
            arguments, cwd=self.folder, env={**self.environ, **changes}, capture_output=True, text=True, timeout=90,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def page(tmp_path, postgresql, aries):
    return Page(tmp_path, postgresql, aries)


@pytest.fixture
def logged_in(postgresql, aries):
    """The grant of the recipes, expired, and one of a user."""
    stores = [SQLTokenStore(postgresql, key) for key in ("trading-desk", "user:7")]
    for store in stores:
        store.save(aries.issue_token(age=EXPIRED))
    return stores


def test_every_block_is_run_by_a_test_here(page):
    ran = {"pipeline.py", "aries_hook.py", "aries_task.py", "fastapi_hosts.py", "flask_hosts.py", "keys.py"}
    named = {path.name for path in page.folder.glob("*.py")}
    assert named == ran
    assert len(page.of("python")) == len(named) + 2
    assert (len(page.of("sql")), len(page.of("bash"))) == (4, 4)
    assert {language for language, _ in page.blocks} == {"python", "sql", "bash"}


def test_the_first_lines(page, logged_in, aries):
    page.python("-c", page.of("python")[0] + "\nprint(auth.get_token())")
    assert aries.refresh_count == 1


def test_the_table_made_by_hand_is_the_one_that_is_made(page, cluster, postgresql):
    described = (
        "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns"
        " WHERE table_name = 'aries_tokens' ORDER BY ordinal_position"
    )
    page.python("-c", page.of("python")[1])
    made = cluster.execute(described, database="tests")
    cluster.execute("DROP TABLE aries_tokens", database="tests")
    cluster.execute("DROP ROLE IF EXISTS aries_worker", database="tests")
    cluster.execute("CREATE ROLE aries_worker", database="tests")
    for code in page.of("sql")[:2]:
        cluster.execute(code, database="tests")
    assert cluster.execute(described, database="tests") == made
    assert len(made) == 4


def test_the_table_of_sqlite_serves_a_store(tmp_path, aries):
    (statement,) = (code for language, code in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if "FLOAT" in code)
    path = tmp_path / "aries.db"
    path.touch(0o600)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()
    store, token = SQLTokenStore(f"sqlite:///{path}", "user:7"), aries.issue_token()
    store.save(token)
    assert store.load() == token


def test_the_table_of_mysql_is_the_one_that_is_made():
    from sqlalchemy.dialects import mysql
    from sqlalchemy.schema import CreateTable

    from aries_auth.sql.table import GrantTable

    (statement,) = (code for language, code in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if "utf8mb4" in code)
    made = str(CreateTable(GrantTable("aries_tokens")._table).compile(dialect=mysql.dialect()))
    for column in ("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL", "TEXT NOT NULL", "DATETIME NOT NULL DEFAULT"):
        assert column in made
        assert column in statement


def test_install_login_and_status(page, aries, postgresql):
    install, log_in, status = page.of("bash")[:3]
    assert install == 'pip install "aries-auth[sql]"\n'
    # A person in a browser would press Approve.
    (page.folder / "approve.py").write_text(
        "import sys, threading\nfrom aries_auth.testing.person import decide, fetch\n"
        "threading.Thread(target=lambda: fetch(decide(sys.argv[1], 'approve'))).start()\n"
    )
    page.bash(log_in, BROWSER=f"{sys.executable} {page.folder}/approve.py %s")
    assert SQLTokenStore(postgresql, "trading-desk").load() is not None
    assert "trading-desk" in page.bash(status)


def test_the_pipeline(page, logged_in, aries):
    assert page.python("pipeline.py") == "20 answers\n"
    assert aries.refresh_count == 1
    assert aries.reused_refresh_tokens == 0


def test_the_airflow_task(page, logged_in, aries, monkeypatch):
    assert "acc" in page.python("-c", "import aries_task; print(aries_task.accounts())")
    pickled = "import pickle, sys, aries_task; sys.stdout.write(pickle.dumps(aries_task.hook).hex())"
    there = "import pickle; print(pickle.loads(bytes.fromhex(sys.argv[1])).get('/v1/users/me/accounts'))"
    assert "acc" in page.python("-c", f"import sys; {there}", page.python("-c", pickled))
    assert aries.refresh_count == 1
    assert pickle.HIGHEST_PROTOCOL


def load(page: Page, name: str, monkeypatch: Any, aries: Any) -> Any:
    for variable, value in aries.environ.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.syspath_prepend(str(page.folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return __import__(name)


def test_fastapi(page, logged_in, aries, monkeypatch):
    pytest.importorskip("fastapi")
    import httpx

    module = load(page, "fastapi_hosts", monkeypatch, aries)

    async def call() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(module.app), base_url="http://test") as client:
            get = [client.get("/accounts", headers={"X-User": user}) for user in ["7"] * 20 + ["8"]]
            return [answer.status_code for answer in await asyncio.gather(*get)]

    assert asyncio.run(call()) == [200] * 20 + [401]
    assert aries.refresh_count == 1
    module.engine.dispose()


def test_flask(page, logged_in, aries, monkeypatch):
    pytest.importorskip("flask")
    module = load(page, "flask_hosts", monkeypatch, aries)
    client = module.app.test_client()
    assert client.get("/accounts", headers={"X-User": "7"}).status_code == 200
    assert client.get("/accounts", headers={"X-User": "8"}).status_code == 401
    assert aries.refresh_count == 1
    module.engine.dispose()


def test_keys_and_their_rotation(page, logged_in, aries):
    from cryptography.fernet import Fernet

    before = [store.load() for store in logged_in]
    rotate = page.of("bash")[3].replace(
        "aries-auth status --all", "aries-auth status --all --json; echo $ARIES_STORE_KEY"
    )
    newest = page.bash(rotate).splitlines()[-1]
    for store, token in zip(logged_in, before):
        assert SQLTokenStore(store._database._url.reveal(), store.key, cipher=Fernet(newest)).load() == token
    shown = page.python("-c", "import keys; print(keys.auth.get_token())", ARIES_STORE_KEY=newest)
    assert shown.strip()
    assert aries.refresh_count == 1
