"""The command as its users have it: a process, with pipes or at a terminal, and a sandbox in the place of Aries."""

from __future__ import annotations

import io
import logging
import os
import re
import socket
import subprocess
import sys
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import IO, Any, Mapping
from unittest import mock

from aries_auth import FileTokenStore, Token
from aries_auth.testing import AriesSandbox

PROGRAM = [sys.executable, "-m", "aries_auth"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def sandbox_with_free_redirect_uri(**options: Any) -> AriesSandbox:
    return AriesSandbox(redirect_uris=[f"http://127.0.0.1:{free_port()}/callback"], **options)


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """Ours without the user's: no ARIES_ variables, and `home` as the home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ARIES_", "XDG_"))}
    for name in ("NO_COLOR", "FORCE_COLOR", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        kept.pop(name, None)
    folders = {"HOME": str(home), "XDG_DATA_HOME": str(home / "data")}
    return {**kept, **folders, "TERM": "xterm", "BROWSER": "false", **more}


class Command:
    """Runs ``aries-auth`` against a sandbox, with a token file under `home`."""

    def __init__(self, home: Path, aries: AriesSandbox) -> None:
        self.home = home
        self.aries = aries
        self.store = FileTokenStore(home / "token.json")
        self._started: list[subprocess.Popen[str]] = []
        self.environment = clean_environment(home, **aries.environ, ARIES_TOKEN_FILE=self.store.path)

    def environ(self, changes: Mapping[str, str | None]) -> dict[str, str]:
        """The environment with changes; None takes a variable away."""
        merged = {**self.environment, **changes}
        return {name: value for name, value in merged.items() if value is not None}

    def run(self, *args: str, stdin: str = "", **changes: str | None) -> subprocess.CompletedProcess[str]:
        """With pipes, to its end."""
        return subprocess.run(
            [*PROGRAM, *args],
            env=self.environ(changes),
            cwd=self.home,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def call(self, *args: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
        """The same without a process, which is ten times as fast."""
        from aries_auth.cli import main

        out, err = io.StringIO(), io.StringIO()
        logger = logging.getLogger("aries_auth")
        before, level, here = list(logger.handlers), logger.level, Path.cwd()
        try:
            os.chdir(self.home)
            with ExitStack() as stack:
                stack.enter_context(mock.patch.dict(os.environ, self.environ(changes), clear=True))
                stack.enter_context(mock.patch("sys.stdin", io.StringIO()))
                stack.enter_context(redirect_stdout(out))
                stack.enter_context(redirect_stderr(err))
                main.main([*args], prog_name="aries-auth")
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else 0
        finally:
            os.chdir(here)
            logger.handlers[:] = before
            logger.setLevel(level)
        return subprocess.CompletedProcess([*args], code, out.getvalue(), err.getvalue())

    def start(self, *args: str, **changes: str | None) -> subprocess.Popen[str]:
        """With pipes, and left running."""
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [*PROGRAM, *args],
            env=self.environ(changes),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        self._started.append(process)
        return process

    def stop(self) -> None:
        """End what was left running."""
        for process in self._started:
            with process:
                if process.poll() is None:
                    process.kill()

    def at_terminal(self, *args: str, **changes: str | None) -> Any:
        """On a terminal of its own, as a pexpect child."""
        import pexpect

        environment: Any = self.environ(changes)
        return pexpect.spawn(
            PROGRAM[0],
            [*PROGRAM[1:], *args],
            env=environment,
            cwd=str(self.home),
            encoding="utf-8",
            timeout=20,
            dimensions=(50, 200),
        )

    def log_in(self, **options: Any) -> Token:
        """A stored token, as a login would have left it."""
        token = self.aries.issue_token(**options)
        self.store.save(token)
        return token

    def read_link(self, stream: IO[str]) -> str:
        """The link that a login shows."""
        for line in stream:
            found = re.search(rf"{re.escape(self.aries.authorize_url)}\S+", line)
            if found is not None:
                return found.group()
        raise AssertionError("the login showed no link")


def end(child: Any) -> int:
    """Wait for a pexpect child, reading what it still says; its exit code."""
    import pexpect

    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus)


def write_browser(path: Path, decision: str = "approve") -> Path:
    """A program to name in $BROWSER: a person who presses a button and goes where that leads."""
    program = (
        f"#!{sys.executable}\nimport sys\nsys.path.append({str(Path(__file__).parent.parent)!r})\n"
        f"from aries_auth.testing.person import decide, fetch\nfetch(decide(sys.argv[1], {decision!r}))\n"
    )
    path.write_text(program)
    path.chmod(0o700)
    return path
