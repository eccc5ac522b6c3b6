"""``aries-auth login``, at a terminal and with pipes, and ``aries-auth sandbox``."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from aries_auth.testing.person import fetch
from tests.cli_process import PROGRAM, Command, end, sandbox_with_free_redirect_uri, write_browser

pytestmark = pytest.mark.skipif(os.name != "posix", reason="terminals and signals of POSIX")

PROMPTS = [
    "Client id: ",
    r"Redirect URI, exactly as it is registered \[http://127.0.0.1:8765/callback\]: ",
    "or all: ",
    r"Client secret \(not shown\): ",
    r"need no variable\? \[Y/n\]: ",
]
UNTOLD = dict.fromkeys(("ARIES_CLIENT_ID", "ARIES_REDIRECT_URI", "ARIES_CLIENT_SECRET", "ARIES_SCOPE"))


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    with sandbox_with_free_redirect_uri() as aries:
        command = Command(tmp_path, aries)
        yield command
        command.stop()


@pytest.fixture
def answers(command: Command) -> list[str]:
    """What a person types at the prompts, in their order."""
    aries = command.aries
    return [aries.client_id, aries.redirect_uri, "1 account:information", aries.client_secret, "no"]


def answer_prompts(child: Any, answers: list[str]) -> None:
    for prompt, answer in zip(PROMPTS, answers):
        child.expect(prompt)
        child.sendline(answer)


def link_on(child: Any, command: Command) -> str:
    child.expect(rf"{re.escape(command.aries.authorize_url)}[^\s]+")
    return str(child.match.group())


def scope_of(link: str) -> str:
    return parse_qs(urlsplit(link).query)["scope"][0]


def interrupt(child: Any) -> None:
    """Ctrl-C, and again where Python was between its look at signals and the call that waits for input."""
    import pexpect

    for _ in range(3):
        child.sendintr()
        if child.expect(["aries-auth: interrupted\r\n", pexpect.TIMEOUT], timeout=7) == 0:
            return
    raise AssertionError("Ctrl-C had no effect")


# With pipes


def test_a_login_from_the_environment_opens_the_browser_and_is_quiet(command: Command) -> None:
    browser = write_browser(command.home / "browser")
    done = command.run("login", BROWSER=str(browser), ARIES_SCOPE="user:information  market:information")
    token = command.store.load()
    assert (done.returncode, done.stdout) == (0, "")
    assert token is not None
    assert token.scope == "user:information market:information"
    assert f"logged in, and the token is in {command.store.path}" in done.stderr
    assert "s left" not in done.stderr
    assert "\r" not in done.stderr
    assert command.aries.client_secret not in done.stderr
    assert token.access_token not in done.stderr


def test_scopes_are_repeatable_and_may_be_separated_by_spaces(command: Command) -> None:
    scopes = ["--scope", "user:information order:execution", "--scope", "market:information"]
    process = command.start("login", "--no-browser", *scopes, ARIES_SCOPE="not:this")
    assert process.stderr is not None
    link = command.read_link(process.stderr)
    assert scope_of(link) == "user:information order:execution market:information"
    assert command.aries.browser(link).status == 200
    process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.mark.parametrize(
    "missing, named",
    [
        ("ARIES_CLIENT_ID", "--client-id"),
        ("ARIES_REDIRECT_URI", "--redirect-uri"),
        ("ARIES_CLIENT_SECRET", "ARIES_CLIENT_SECRET_FILE"),
        ("ARIES_SCOPE", "--scope"),
    ],
)
def test_without_a_terminal_what_is_missing_is_named(command: Command, missing: str, named: str) -> None:
    done = command.run("login", **{"ARIES_SCOPE": "user:information", missing: None})
    assert (done.returncode, done.stdout) == (1, "")
    assert f"${missing}" in done.stderr
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert command.aries.token_requests == ()


def test_a_login_again_takes_the_rest_from_the_stored_token(command: Command) -> None:
    old = command.log_in(scope="user:information calendar:information")
    secret = command.home / "secret"
    secret.write_text(f"{command.aries.client_secret}\n")
    changes = {**UNTOLD, "ARIES_CLIENT_SECRET_FILE": str(secret)}
    process = command.start("login", "--no-browser", **changes)
    assert process.stderr is not None
    link = command.read_link(process.stderr)
    assert scope_of(link) == old.scope
    command.aries.browser(link)
    process.communicate(timeout=20)
    token = command.store.load()
    assert process.returncode == 0
    assert token is not None
    assert token.access_token != old.access_token
    assert (token.client_id, token.redirect_uri) == (old.client_id, old.redirect_uri)


def test_options_beat_the_environment(command: Command) -> None:
    aries = command.aries
    wrong = {"ARIES_CLIENT_ID": "another", "ARIES_REDIRECT_URI": "http://127.0.0.1:1/other"}
    told = ["--client-id", aries.client_id, "--redirect-uri", aries.redirect_uri, "--scope", "user:information"]
    process = command.start("login", "--no-browser", *told, **wrong)
    assert process.stderr is not None
    assert aries.browser(command.read_link(process.stderr)).status == 200
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_a_login_with_a_profile_is_found_with_it(command: Command) -> None:
    process = command.start("login", "--no-browser", "--scope", "user:information", "--profile", "work")
    assert process.stderr is not None
    command.aries.browser(command.read_link(process.stderr))
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert command.call("status", "--profile", "work").returncode == 0
    assert command.call("status").returncode == 3


def test_a_denied_login_is_a_failure_and_saves_nothing(command: Command) -> None:
    process = command.start("login", "--no-browser", "--scope", "user:information")
    assert process.stderr is not None
    page = fetch(command.aries.deny(command.read_link(process.stderr)))
    _, err = process.communicate(timeout=20)
    assert page.status == 403
    assert process.returncode == 1
    assert "access_denied" in err
    assert "Traceback" not in err
    assert command.store.load() is None


def test_a_browser_that_never_comes_back_is_a_failure(command: Command) -> None:
    done = command.run("login", "--no-browser", "--scope", "user:information", "--timeout", "0.3")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("aries-auth: ")


def test_a_busy_port_is_a_failure(command: Command) -> None:
    with socket.create_server(("127.0.0.1", urlsplit(command.aries.redirect_uri).port or 0)):
        done = command.run("login", "--no-browser", "--scope", "user:information")
    assert done.returncode == 1
    assert "busy" in done.stderr


def test_paste_takes_the_address_from_standard_input(command: Command) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "login", "--paste", "--scope", "user:information"],
        env=command.environ({}),
        cwd=command.home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    callback = command.aries.approve(command.read_link(process.stderr))
    out, err = process.communicate(f"{callback}\n", timeout=20)
    assert (process.returncode, out) == (0, "")
    assert "logged in" in err
    assert parse_qs(urlsplit(callback).query)["code"][0] not in err


# At a terminal


def test_what_is_missing_is_asked_for_and_the_secret_is_not_shown(command: Command, answers: list[str]) -> None:
    pytest.importorskip("pexpect")
    child = command.at_terminal("login", "--no-browser", **UNTOLD)
    transcript = (command.home / "transcript").open("w+")
    child.logfile_read = transcript
    answer_prompts(child, answers)
    link = link_on(child, command)
    assert scope_of(link) == "user:information account:information"
    child.expect(r"Waiting for the browser: \d+ s left")
    assert command.aries.browser(link).status == 200
    assert end(child) == 0
    transcript.seek(0)
    shown = transcript.read()
    transcript.close()
    assert "logged in" in shown
    assert "ARIES_CLIENT_SECRET_FILE" in shown  # where programs will look for the secret
    assert " 12  watchlist:management" in shown
    assert command.aries.client_id in shown
    assert command.aries.client_secret not in shown


def test_answers_that_cannot_be_are_asked_for_again(command: Command) -> None:
    pytest.importorskip("pexpect")
    aries = command.aries
    child = command.at_terminal("login", "--no-browser", **{**UNTOLD, "ARIES_CLIENT_SECRET": "s"})
    child.expect(PROMPTS[0])
    child.sendline("")
    child.expect(PROMPTS[0])
    child.sendline(aries.client_id)
    child.expect(PROMPTS[1])
    child.sendline("/callback#fragment")
    child.expect("aries-auth: ")
    child.expect(PROMPTS[1])
    child.sendline(aries.redirect_uri)
    child.expect(PROMPTS[2])
    child.sendline("13 nonsense")
    child.expect("13 nonsense: not on the list")
    child.expect(PROMPTS[2])
    child.sendline("all")
    assert len(scope_of(link_on(child, command)).split()) == 12
    interrupt(child)
    assert end(child) == 130


def test_the_stored_scopes_are_offered_again(command: Command) -> None:
    pytest.importorskip("pexpect")
    command.log_in(scope="calendar:information")
    child = command.at_terminal("login", "--no-browser")
    child.expect(r"or all \[calendar:information\]: ")
    child.sendline("")
    assert scope_of(link_on(child, command)) == "calendar:information"
    interrupt(child)
    assert end(child) == 130


@pytest.mark.parametrize("number", range(len(PROMPTS) + 1), ids=["id", "uri", "scope", "secret", "keep", "wait"])
def test_ctrl_c_at_each_prompt_says_one_line_and_exits_with_130(
    command: Command, answers: list[str], number: int
) -> None:
    pytest.importorskip("pexpect")
    child = command.at_terminal("login", "--no-browser", **UNTOLD)
    answer_prompts(child, answers[:number])
    child.expect([*PROMPTS, "s left"][number])
    interrupt(child)
    assert end(child) == 130
    assert child.before == ""
    assert command.store.load() is None


@pytest.mark.parametrize("number", range(len(PROMPTS)), ids=["id", "uri", "scope", "secret", "keep"])
def test_no_answer_is_a_failure(command: Command, answers: list[str], number: int) -> None:
    pytest.importorskip("pexpect")
    child = command.at_terminal("login", "--no-browser", **UNTOLD)
    answer_prompts(child, answers[:number])
    child.expect(PROMPTS[number])
    child.sendeof()
    child.expect("aries-auth: no answer\r\n")
    assert end(child) == 1


def test_ctrl_c_at_the_paste_prompt(command: Command) -> None:
    pytest.importorskip("pexpect")
    child = command.at_terminal("login", "--paste", "--scope", "user:information")
    link_on(child, command)
    child.expect("paste")
    interrupt(child)
    assert end(child) == 130


# sandbox


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_the_sandbox_prints_what_a_shell_can_read_and_ends_with_ctrl_c(command: Command) -> None:
    redirect_uri = command.aries.redirect_uri
    process = command.start("sandbox", "--port", "0", "--redirect-uri", redirect_uri, "--access-token-lifetime", "90")
    assert process.stdout is not None
    assert process.stderr is not None
    assert "Ctrl-C" in process.stderr.readline()
    exports = "".join(process.stdout.readline() for _ in range(7))
    names = re.findall(r"^export (\w+)=", exports, re.MULTILINE)
    assert names == [
        "ARIES_CLIENT_ID",
        "ARIES_CLIENT_SECRET",
        "ARIES_REDIRECT_URI",
        "ARIES_TOKEN_URL",
        "ARIES_AUTHORIZE_URL",
        "ARIES_API_ORIGINS",
        "ARIES_PROFILE",
    ]

    shell = subprocess.run(
        ["sh", "-c", f"{exports}\nenv"], env=command.environ({}), capture_output=True, text=True, check=True
    )
    told = dict(line.split("=", 1) for line in shell.stdout.splitlines() if line.startswith("ARIES_"))
    browser = write_browser(command.home / "browser")
    told.pop("ARIES_TOKEN_FILE")
    there: dict[str, str | None] = {**told, "ARIES_TOKEN_FILE": None, "BROWSER": str(browser)}
    assert command.run("login", "--scope", "user:information", **there).returncode == 0
    status = command.call("status", **there)
    assert "profile        sandbox" in status.stdout
    assert "access token   8" in status.stdout  # of 90 seconds
    assert command.aries.token_requests == ()

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert err == "aries-auth: the sandbox has ended\n"


def test_a_sandbox_on_a_busy_port_is_a_failure(command: Command) -> None:
    port = urlsplit(command.aries.url).port
    done = command.call("sandbox", "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert "--port" in done.stderr
