"""Every code block of the README and of docs/ runs, against a sandbox in the place of Aries.

The README runs as one session, in its order, as a reader would: a person types at a terminal, in an environment that
says nothing but where the sandbox is. The pages of docs/ run with a login that is there. Python blocks of a page run
one after another as one program, shell blocks each as one script. A block after the comment ``<!-- not run: why -->``
is left out. Blocks that hold tests are run by tests/ecosystem/test_docs.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import pytest

from aries_auth.testing import AriesSandbox
from tests.cli_process import clean_environment, sandbox_with_free_redirect_uri, write_browser

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Runs against a real database: tests/sql/test_docs.py.
PAGES = [page for page in PAGES if page.name != "several-hosts.md"]
README = ROOT / "README.md"
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


def blocks(*languages: str, pages: list[Path] | None = None) -> list[Block]:
    found: list[Block] = []
    for page in PAGES[1:] if pages is None else pages:
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
    _program(programs / "python", f"exec '{sys.executable}' \"$@\"")
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
    _skip_without_its_modules("\n".join(lines))
    program = tmp_path / f"{page.stem}.py"
    program.write_text("\n".join(lines) + "\n", encoding="utf-8")
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


def _skip_without_its_modules(code: str) -> None:
    """An SDK, a plugin or an extra that this Python can't have, or has not."""
    for module in re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE):
        pytest.importorskip(module)
    if "aries_auth.sql" in code:
        pytest.importorskip("sqlalchemy")


@pytest.mark.skipif(os.name != "posix" or shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("block", blocks(*SHELLS), ids=lambda block: block.name)
def test_a_shell_block_runs(block: Block, aries: AriesSandbox, environment: dict[str, str], tmp_path: Path) -> None:
    for program in ("curl", "http", "websocat"):
        if re.search(rf"(?:^|\| )\s*{program} ", block.text, re.MULTILINE) and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if "from cryptography" in block.text:
        pytest.importorskip("cryptography")
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


# The README, as one session


class Reader:
    """A person who works through the README: a shell whose variables last, a terminal, a browser that approves."""

    def __init__(self, home: Path, aries: AriesSandbox) -> None:
        self.home = home
        self.aries = aries
        self.asked: list[str] = []
        programs = home / "bin"
        programs.mkdir()
        _program(
            programs / "aries-auth", f'case $1 in sandbox) exec timeout -s INT 3 {_us} "$@";; esac\nexec {_us} "$@"'
        )
        for name in ("pip", "pytest"):  # what they do is what CI does
            _program(programs / name, "exit 0")
        urls = {name: value for name, value in aries.environ.items() if name.endswith(("_URL", "_ORIGINS"))}
        self.environment = clean_environment(
            home,
            **urls,
            BROWSER=str(write_browser(programs / "browser")),
            PATH=f"{programs}{os.pathsep}{os.environ['PATH']}",
            PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring",
        )
        self._answers = {
            "Client id: ": aries.client_id,
            r"Redirect URI, .*\]: ": aries.redirect_uri,
            r"or all(?: \[.*\])?: ": "all",
            r"Client secret \(not shown\): ": aries.client_secret,
            r"\[Y/n\]: ": "y",
        }

    def read(self, text: str) -> str:
        """What the page says, with the sandbox's address and this person's own credentials."""
        text = text.replace("your client secret", self.aries.client_secret)
        return _at_sandbox(text, self.aries).replace("your-client-id", self.aries.client_id)

    def type(self, text: str) -> None:
        """Type a block into the shell, and answer what it asks."""
        import pexpect

        kept = self.home / "variables"
        kept.touch()
        script = f'. "{kept}"\nset -euo pipefail\n{self.read(text)}\nexport -p > "{kept}"\n'
        environment: Any = self.environment
        child = pexpect.spawn(
            "bash",
            ["-c", script],
            env=environment,
            cwd=str(self.home),
            encoding="utf-8",
            timeout=60,
            dimensions=(50, 300),
        )
        shown = ""
        patterns = list(self._answers)
        while True:
            found = child.expect([*patterns, pexpect.EOF])
            shown += child.before
            if found == len(patterns):
                break
            self.asked.append(patterns[found])
            child.sendline(self._answers[patterns[found]])
        child.close()
        assert child.exitstatus == 0, shown
        assert "Traceback" not in shown, shown

    def run(self, text: str, name: str) -> None:
        """Save a block as a program, and run it in a new shell."""
        program = self.home / f"{name}.py"
        program.write_text(self.read(text), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(program)],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(os.name != "posix" or shutil.which("bash") is None, reason="needs bash and a terminal")
def test_the_readme_works_as_one_session_in_its_order_with_nothing_prepared(
    aries: AriesSandbox, tmp_path: Path
) -> None:
    pytest.importorskip("pexpect")
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    reader = Reader(tmp_path, aries)
    for block in blocks("python", *SHELLS, pages=[README]):
        if block.language == "python":
            reader.run(block.text, f"line_{block.line}")
        else:
            reader.type(block.text)
    assert {request.status for request in aries.api_requests} == {200}
    # Typed once, in the first login; every later one, and every program in a new shell, found what it needed.
    assert reader.asked == list(reader._answers)
    assert aries.reused_refresh_tokens == 0


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("curl") is None, reason="looks at /proc while curl runs")
def test_the_token_given_to_curl_is_not_seen_by_others(aries: AriesSandbox, environment: dict[str, str]) -> None:
    line = next(line for line in README.read_text(encoding="utf-8").splitlines() if "| curl" in line)
    token = aries.issue_token()
    from aries_auth import FileTokenStore

    FileTokenStore(Path(environment["XDG_DATA_HOME"]) / "aries-auth" / "default.json").save(token)
    aries.fail("api", delay=1.5)
    with subprocess.Popen(
        ["bash", "-c", _at_sandbox(line, aries)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        aries.wait_for_requests(1, route="api")
        shown = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
        process.communicate(timeout=20)
    assert "curl -H @-" in shown
    assert token.access_token not in shown
    assert [request.status for request in aries.api_requests] == [200]


def test_the_readme_has_the_two_commands() -> None:
    readme = [block.text for block in blocks("bash", pages=[README])]
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
