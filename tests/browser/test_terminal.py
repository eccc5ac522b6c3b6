"""``aries-auth login`` at a terminal, with the browser on another computer, or Ctrl-C at any of its questions.

tests/test_cli_login.py asks the same of ``--no-browser``, and what the prompts accept.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Browser, need
from tests.cli_process import Command, end
from tests.test_cli_login import PROMPTS, UNTOLD, answer_prompts, link_on

pytestmark = pytest.mark.skipif(os.name != "posix", reason="terminals and signals of POSIX")


@pytest.fixture(autouse=True)
def terminal() -> None:
    need("pexpect")


SCOPE = ["--scope", "user:information"]
PASTE = "also if its page can't be reached:"


@pytest.fixture
def answers(command: Command) -> list[str]:
    aries = command.aries
    return [aries.client_id, aries.redirect_uri, "1", aries.client_secret, "no"]


def files(command: Command) -> list[Path]:
    """The token files under the home that could hold a token."""
    return [path for path in command.home.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_paste_with_a_browser_that_cannot_reach_the_redirect_uri(command: Command, browser: Browser) -> None:
    child = command.at_terminal("login", "--paste", *SCOPE)
    browser.open(link_on(child, command))
    child.expect(PASTE)
    browser.decide("approve")
    assert "ERR_CONNECTION_REFUSED" in browser.source
    child.sendline(browser.callback())
    child.expect("logged in, and the token is in")
    assert end(child) == 0
    assert command.store.load() is not None


def test_no_browser_at_a_terminal(command: Command, browser: Browser) -> None:
    child = command.at_terminal("login", "--no-browser", *SCOPE)
    browser.open(link_on(child, command))
    child.expect(r"Waiting for the browser: \d+ s left")
    browser.decide("approve")
    assert browser.title == "You are logged in"
    child.expect("logged in, and the token is in")
    assert end(child) == 0


def test_a_denied_callback_that_is_pasted(command: Command) -> None:
    child = command.at_terminal("login", "--paste", *SCOPE)
    link = link_on(child, command)
    child.expect(PASTE)
    child.sendline(command.aries.deny(link))
    child.expect("aries-auth: .*access_denied")
    assert end(child) == 1
    assert files(command) == []


@pytest.mark.parametrize("pasted", ["", "nonsense", "https://app.aries.com/oauth2/authorize?state=x"])
def test_what_is_not_the_address_is_asked_for_again(command: Command, pasted: str) -> None:
    child = command.at_terminal("login", "--paste", *SCOPE)
    link = link_on(child, command)
    child.expect(PASTE)
    child.sendline(pasted)
    child.expect("aries-auth: .*Nothing was sent. Paste the whole address")
    child.sendline(command.aries.approve(link))
    child.expect("logged in, and the token is in")
    assert end(child) == 0
    assert len(command.aries.token_requests) == 1


def test_a_callback_with_a_wrong_state_ends_the_login_and_is_not_repeated(command: Command) -> None:
    child = command.at_terminal("login", "--paste", *SCOPE)
    link_on(child, command)
    child.expect(PASTE)
    child.sendline("http://127.0.0.1:1/callback?code=SPENT-BY-NOBODY&state=wrong")
    child.expect("aries-auth: ")
    assert end(child) == 1
    assert "SPENT-BY-NOBODY" not in child.before
    assert "Traceback" not in child.before
    assert files(command) == []
    assert command.aries.token_requests == ()


@pytest.mark.parametrize("number", range(len(PROMPTS) + 1), ids=["id", "uri", "scope", "secret", "keep", "last"])
def test_ctrl_c_says_one_line_and_leaves_nothing(command: Command, answers: list[str], number: int) -> None:
    child = command.at_terminal("login", "--paste", **UNTOLD)
    answer_prompts(child, answers[:number])
    child.expect([*PROMPTS, PASTE][number])
    child.sendintr()
    said = rest(child)
    assert end(child) == 130
    assert said == "aries-auth: interrupted"
    assert files(command) == []
    assert command.aries.token_requests == ()


def test_ctrl_c_while_the_code_is_exchanged_keeps_the_token(command: Command) -> None:
    """The code is spent by then: to forget its token would lose the grant."""
    child = command.at_terminal("login", "--paste", *SCOPE)
    link = link_on(child, command)
    child.expect(PASTE)
    command.aries.fail(delay=0.5)
    child.sendline(command.aries.approve(link))
    command.aries.wait_for_requests(1)
    child.sendintr()
    child.expect("aries-auth: interrupted\r\n")
    assert end(child) == 130
    assert command.store.load() is not None


def rest(child: Any) -> str:
    """What comes after a Ctrl-C, without its echo and the line that it ended."""
    import pexpect

    child.expect(pexpect.EOF)
    lines = child.before.replace("^C", "").replace("\r", "\n").split("\n")
    return "\n".join(line.strip() for line in lines if line.strip())
