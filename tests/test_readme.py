"""Every code block of the README and of docs/ runs, against a sandbox in the place of Aries.

Python blocks of a page run one after another as one program, shell blocks each as one script. A block after the
comment ``<!-- not run: why -->`` is left out. Blocks that hold tests are run by tests/ecosystem/test_docs.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator, NamedTuple

import pytest

from aries_auth.testing import AriesSandbox
from tests.cli_process import clean_environment, sandbox_with_free_redirect_uri, write_browser

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Runs against a real database: tests/sql/test_docs.py.
PAGES = [page for page in PAGES if page.name != "several-hosts.md"]
SHELLS = ("bash", "sh", "shell")

_BLOCK = re.compile(
    r"^(?P<note><!-- not run: .+ -->\n+)?```(?P<language>\w+)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


class Block(NamedTuple):
    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    found: list[Block] = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            is_test = match["language"] == "python" and re.search(r"^(async )?def test_", match["text"], re.MULTILINE)
            if match["note"] is None and match["language"] in languages and not is_test:
                line = text[: match.start("text")].count("\n") + 1
                found.append(Block(page, line, match["language"], match["text"]))
    return found


def python_pages() -> list[Path]:
    return list(dict.fromkeys(block.page for block in blocks("python")))


@pytest.fixture
def aries() -> Iterator[AriesSandbox]:
    with sandbox_with_free_redirect_uri() as aries:
        yield aries


@pytest.fixture
def environment(aries: AriesSandbox, tmp_path: Path) -> dict[str, str]:
    """A user who is logged in, at a computer whose browser approves, and whose programs are in the PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    _program(programs / "aries-auth", f'case $1 in sandbox) exec timeout -s INT 3 {_us} "$@";; esac\nexec {_us} "$@"')
    for name in ("pip", "pytest"):  # what they do is what CI does
        _program(programs / name, "exit 0")
    secrets = tmp_path / ".secrets"
    secrets.mkdir()
    (secrets / "aries").write_text(aries.client_secret)
    environment = clean_environment(
        tmp_path,
        **aries.environ,
        BROWSER=str(write_browser(programs / "browser")),
        PATH=f"{programs}{os.pathsep}{os.environ['PATH']}",
    )
    token = aries.issue_token()
    from aries_auth import FileTokenStore

    FileTokenStore(tmp_path / "data" / "aries-auth" / "default.json").save(token)
    return environment


_us = f"'{sys.executable}' -m aries_auth"


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)


def _at_sandbox(text: str, aries: AriesSandbox) -> str:
    text = text.replace("https://api.aries.com", aries.api_url)
    text = text.replace("wss://api.aries.com", aries.api_url.replace("http", "ws", 1))
    return text.replace("http://127.0.0.1:8765/callback", aries.redirect_uri)


@pytest.mark.parametrize("page", python_pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_python_blocks_of_a_page_run(
    page: Path, aries: AriesSandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    # Blank lines in front, so that a traceback names the line of the page.
    lines: list[str] = []
    for block in blocks("python"):
        if block.page == page:
            lines += [""] * (block.line - 1 - len(lines)) + _at_sandbox(block.text, aries).splitlines()
    for module in re.findall(r"^(?:import|from) (\w+)", "\n".join(lines), re.MULTILINE):
        pytest.importorskip(module)
    program = tmp_path / f"{page.stem}.py"
    program.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for module in re.findall(r"^(?:import|from) (\w+)", "\n".join(lines), re.MULTILINE):
        pytest.importorskip(module)  # an SDK or a plugin that this Python can't have
    done = subprocess.run(
        [sys.executable, str(program)],
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {request.status for request in aries.api_requests} <= {101, 200}  # 101 opens a websocket
    assert aries.reused_refresh_tokens == 0


@pytest.mark.skipif(os.name != "posix" or shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("block", blocks(*SHELLS), ids=lambda block: block.name)
def test_a_shell_block_runs(block: Block, aries: AriesSandbox, environment: dict[str, str], tmp_path: Path) -> None:
    for program in ("curl", "http", "websocat"):
        if re.search(rf"^{program} ", block.text, re.MULTILINE) and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", _at_sandbox(block.text, aries)],
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_the_readme_has_the_two_commands() -> None:
    readme = [block.text for block in blocks("bash") if block.page.name == "README.md"]
    assert "pip install . && aries-auth demo\n" in readme
    assert 'pip install ".[test]" && pytest\n' in readme


def test_the_readme_names_every_variable_and_parameter() -> None:
    import inspect

    from aries_auth import AriesAuth

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in inspect.signature(AriesAuth).parameters:
        assert f"`{name}`" in readme
    package = ROOT / "aries_auth"
    modules = [
        *(package / "settings").glob("*.py"),
        *(package / "authorization").glob("*.py"),
        *(package / "cli").glob("*.py"),
    ]
    sources = "".join(path.read_text(encoding="utf-8") for path in modules)
    for variable in sorted(set(re.findall(r'"(ARIES_[A-Z_]*[A-Z])"', sources))):
        assert variable in readme, variable


def test_the_links_of_the_readme_lead_somewhere() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https://)([^)#]+)\)", readme):
        assert (ROOT / target).exists(), target
