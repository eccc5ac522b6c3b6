"""``aries-auth login`` as a process, and a person at Chromium who presses a button of the consent page.

UPDATE_SCREENSHOTS=1 replaces docs/images/login.png and denied.png.
"""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.browser.conftest import IMAGES, Browser, query_of
from tests.cli_process import Command

pytestmark = pytest.mark.skipif(os.name != "posix", reason="finds Debian's Chromium")

PNG = b"\x89PNG\r\n\x1a\n"


class Login:
    """A login that waits, with its consent page in the browser."""

    def __init__(self, command: Command, browser: Browser) -> None:
        self._process: subprocess.Popen[str] = command.start("login", "--no-browser", "--scope", "user:information")
        assert self._process.stderr is not None
        self.link = command.read_link(self._process.stderr)
        browser.open(self.link)

    def end(self) -> tuple[int, str]:
        """Its exit code, and what it said since the link."""
        out, err = self._process.communicate(timeout=20)
        assert out == ""
        return self._process.returncode, err


@pytest.fixture
def login(command: Command, browser: Browser) -> Login:
    return Login(command, browser)


def assert_shows_nothing_of_the_query(browser: Browser) -> None:
    query = query_of(browser.url)
    assert len(query) >= 2
    for value in query.values():
        assert value not in browser.source


def keep(browser: Browser, name: str, folder: Path) -> None:
    """A screenshot, which is put into docs/ where that is asked for."""
    path = folder / name
    assert browser.driver.save_screenshot(str(path))
    picture = path.read_bytes()
    assert picture.startswith(PNG)
    assert len(picture) > 5000  # more than an empty page
    if os.environ.get("UPDATE_SCREENSHOTS"):
        IMAGES.mkdir(exist_ok=True)
        (IMAGES / name).write_bytes(picture)


def test_approve_logs_in_and_the_page_says_so(command: Command, login: Login, browser: Browser, tmp_path: Path) -> None:
    browser.decide("approve")
    assert browser.title == "You are logged in"
    assert_shows_nothing_of_the_query(browser)
    keep(browser, "login.png", tmp_path)
    code, said = login.end()
    token = command.store.load()
    assert code == 0
    assert f"logged in, and the token is in {command.store.path}" in said
    assert token is not None
    assert token.scope == "user:information"
    assert stat.S_IMODE(Path(command.store.path).stat().st_mode) == 0o600
    assert command.run("status").returncode == 0


def test_deny_saves_nothing_and_the_page_says_so(
    command: Command, login: Login, browser: Browser, tmp_path: Path
) -> None:
    browser.decide("deny")
    assert browser.title == "Access was denied"
    assert_shows_nothing_of_the_query(browser)
    keep(browser, "denied.png", tmp_path)
    code, said = login.end()
    assert code == 1
    assert "access_denied" in said
    assert "Traceback" not in said
    assert command.store.load() is None
    assert command.aries.token_requests == ()


def test_back_and_approve_again_comes_too_late_to_change_anything(
    command: Command, login: Login, browser: Browser
) -> None:
    browser.decide("approve")
    assert login.end()[0] == 0
    before = command.store.load()
    browser.back()
    browser.decide("approve")
    assert "ERR_CONNECTION_REFUSED" in browser.source
    assert command.store.load() == before
    assert len(command.aries.token_requests) == 1


def test_the_page_of_an_older_login_is_refused_and_the_login_goes_on(command: Command, browser: Browser) -> None:
    older = Login(command, browser)
    older_link = older.link
    older._process.terminate()
    older.end()
    login = Login(command, browser)
    browser.open(older_link)
    browser.decide("approve")
    assert browser.title == "This is not the answer to this login"
    browser.open(login.link)
    browser.decide("approve")
    assert browser.title == "You are logged in"
    assert login.end()[0] == 0
    assert len(command.aries.token_requests) == 1


def test_a_page_of_the_listener_loads_nothing_and_is_not_blocked_by_its_own_policy(
    login: Login, browser: Browser
) -> None:
    browser.decide("approve")
    problems = [entry["message"] for entry in browser.driver.get_log("browser")]
    font = browser.driver.execute_script("return getComputedStyle(document.body).maxWidth")
    assert [text for text in problems if "Content Security Policy" in text] == []
    assert font != "none"  # the style sheet's hash in the policy is right
    assert login.end()[0] == 0
