"""Programs of the docs that run alone: niquests, and the pipeline of processes. Others: tests/ecosystem."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from aries_auth import FileTokenStore
from aries_auth.testing import AriesSandbox
from tests.cli_process import clean_environment
from tests.conftest import ROOT
from tests.ecosystem.pages import block

OLD = 100.0  # seconds: too old to be young


class Reader:
    """Somebody who is logged in, and pastes a program of a page into a file."""

    def __init__(self, aries: AriesSandbox, folder: Path) -> None:
        self.aries, self.folder = aries, folder
        self.store = FileTokenStore(folder / "token.json")
        self.environ = clean_environment(
            folder, **aries.environ, ARIES_TOKEN_FILE=str(folder / "token.json"), PYTHONPATH=str(ROOT)
        )

    def runs(self, page: str, having: str) -> str:
        """What the program prints that has this text."""
        program = self.folder / "program.py"
        text = block(page, "python", having).replace("https://api.aries.com", self.aries.api_url)
        program.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(program)],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def reader(aries_sandbox: AriesSandbox, tmp_path: Path) -> Reader:
    reader = Reader(aries_sandbox, tmp_path)
    reader.store.save(aries_sandbox.issue_token(age=OLD))
    return reader


def need(*modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


def test_niquests(reader: Reader) -> None:
    need("niquests")
    reader.aries.revoke_access_tokens()
    assert reader.runs("other-libraries", "import niquests") == "Sandbox User\n"
    assert reader.aries.refresh_count == 1


def test_the_pipeline_of_the_tutorial_makes_one_refresh(reader: Reader) -> None:
    said = reader.runs("first-pipeline", "# one_refresh.py")
    assert said.startswith("40 calls from ")
    assert said.endswith(", 1 refresh\n")
