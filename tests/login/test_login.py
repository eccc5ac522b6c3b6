"""login, end to end: a browser, a listener or a pasted address, and the token in the store."""

from __future__ import annotations

import io
import os
import pickle
import re
import socket
import sys
import threading
import time
import webbrowser
from pathlib import Path
from typing import Any, Callable
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from aries_auth import (
    AriesAuth,
    AuthorizationError,
    ConfigurationError,
    FileTokenStore,
    InsecureTransportError,
    LockTimeout,
    StoreError,
    Token,
    TokenRequestError,
    login,
)
from aries_auth.testing import AriesSandbox, Page
from aries_auth.token import Secret

from .conftest import HAS_MODES, SCOPE, CtrlC, assert_hidden, needs_signals

HOSTED = "https://app.example/aries/callback"


class Browser:
    """Stands in for the person's browser: what it was sent to, and the page that it ended on."""

    def __init__(self, aries: AriesSandbox) -> None:
        self.aries = aries
        self.links: list[str] = []
        self.page: Page | None = None
        self.done = threading.Event()
        self.visit: Callable[[str], Page | None] = aries.browser

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        self.links.append(url)
        try:
            self.page = self.visit(url)
        finally:
            self.done.set()
        return True

    @property
    def ended_on(self) -> Page:
        assert self.done.wait(5)
        assert self.page is not None
        return self.page


@pytest.fixture(autouse=True)
def browser(aries: AriesSandbox, monkeypatch: pytest.MonkeyPatch) -> Browser:
    browser = Browser(aries)
    monkeypatch.setattr(webbrowser, "open", browser.open)
    monkeypatch.setattr(webbrowser, "get", lambda using=None: browser)
    return browser


@pytest.fixture
def given(aries: AriesSandbox, store_path: Path) -> dict[str, Any]:
    return {
        "client_id": aries.client_id,
        "client_secret": aries.client_secret,
        "redirect_uri": aries.redirect_uri,
        "scope": SCOPE,
        "authorize_url": aries.authorize_url,
        "token_url": aries.token_url,
        "store": store_path,
        "callback_timeout": 10.0,
    }


@pytest.fixture
def pasted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Answers the question for the address with what `answer` makes of the link on the screen."""

    def prepare(answer: Callable[[str], str]) -> None:
        def read(prompt: str = "") -> str:
            shown = capsys.readouterr()
            assert not shown.out
            return answer(next(line.strip() for line in shown.err.splitlines() if "response_type" in line))

        monkeypatch.setattr("builtins.input", read)

    return prepare


# The loopback way


def test_a_person_logs_in_once_and_the_token_is_saved(
    given: Any, aries: AriesSandbox, browser: Browser, store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    auth = login(**given)
    token = FileTokenStore(store_path).load()
    assert token is not None
    assert (token.client_id, token.redirect_uri, token.scope) == (aries.client_id, aries.redirect_uri, SCOPE)
    assert isinstance(auth, AriesAuth)
    assert auth.get_token() == token.access_token
    assert browser.ended_on.status == 200
    assert "You are logged in" in browser.ended_on.text
    shown = capsys.readouterr()
    assert not shown.out
    assert browser.links[0] in shown.err
    assert aries.redirect_uri in shown.err
    assert len(aries.token_requests) == 1


def test_the_result_travels_like_any_aries_auth(given: Any) -> None:
    auth = pickle.loads(pickle.dumps(login(**given)))
    assert auth.get_token()


def test_a_forged_callback_before_the_real_one_harms_nobody(given: Any, aries: AriesSandbox, browser: Browser) -> None:
    def visit(url: str) -> Page:
        forged = requests.get(f"{aries.redirect_uri}?code=forged&state=forged", timeout=5)
        assert forged.status_code == 400
        return aries.browser(url)

    browser.visit = visit
    login(**given)
    assert browser.ended_on.status == 200
    assert [record.status for record in aries.token_requests] == [200]


def test_a_denied_login_says_so_here_and_in_the_browser(
    given: Any, aries: AriesSandbox, browser: Browser, store_path: Path
) -> None:
    answers: list[requests.Response] = []
    browser.visit = lambda url: answers.append(requests.get(aries.deny(url), timeout=5))
    with pytest.raises(AuthorizationError, match="access_denied") as caught:
        login(**given)
    assert caught.value.error == "access_denied"
    assert browser.done.wait(5)
    assert answers[0].status_code == 403
    assert "Access was denied" in answers[0].text
    assert not aries.token_requests
    assert not store_path.exists()
    assert_hidden(caught.value, aries.client_secret)


def test_the_browser_learns_that_the_exchange_failed(
    given: Any, aries: AriesSandbox, browser: Browser, store_path: Path
) -> None:
    aries.fail(status=400, body={"error": "planted-error-of-the-endpoint"})
    with pytest.raises(TokenRequestError) as caught:
        login(**given)
    assert browser.ended_on.status == 502
    assert "did not work" in browser.ended_on.text
    assert "planted-error" not in browser.ended_on.text
    assert not store_path.exists()
    assert_hidden(caught.value, aries.client_secret)


def test_the_browser_learns_that_the_callback_was_incomplete(given: Any, aries: AriesSandbox, browser: Browser) -> None:
    answers: list[requests.Response] = []

    def visit(url: str) -> None:
        callback = aries.approve(url).replace("code=", "kode=")
        answers.append(requests.get(callback, timeout=5))

    browser.visit = visit
    with pytest.raises(AuthorizationError, match="code"):
        login(**given)
    assert browser.done.wait(5)
    assert answers[0].status_code == 502


def test_the_browser_is_answered_only_when_the_token_is_saved(
    given: Any, aries: AriesSandbox, browser: Browser, store_path: Path
) -> None:
    seen: list[bool] = []

    def visit(url: str) -> Page:
        page = aries.browser(url)
        seen.append(store_path.exists())
        return page

    browser.visit = visit
    aries.fail(delay=0.3)
    login(**given)
    assert browser.done.wait(5)
    assert seen == [True]


def test_a_login_that_nobody_finishes_ends_in_time(given: Any, store_path: Path) -> None:
    told: list[float] = []
    begun = time.monotonic()
    with pytest.raises(AuthorizationError, match="did not come back"):
        login(**{**given, "open_browser": False, "callback_timeout": 0.4}, on_wait=told.append)
    assert time.monotonic() - begun < 2
    assert told
    assert not store_path.exists()


def test_without_a_browser_the_link_is_shown_and_not_opened(
    given: Any, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AuthorizationError):
        login(**{**given, "open_browser": False, "callback_timeout": 0.2})
    assert not browser.links
    assert given["authorize_url"] in capsys.readouterr().err


def test_a_browser_that_takes_over_the_terminal_is_not_opened(
    given: Any, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webbrowser, "get", lambda using=None: webbrowser.GenericBrowser("/usr/bin/w3m"))
    with pytest.raises(AuthorizationError):
        login(**{**given, "callback_timeout": 0.3})
    assert not browser.links


def test_a_machine_without_a_browser_still_shows_the_link(
    given: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(*_: object, **__: object) -> bool:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", nothing)
    monkeypatch.setattr(webbrowser, "open", nothing)
    with pytest.raises(AuthorizationError):
        login(**{**given, "callback_timeout": 0.3})
    assert given["authorize_url"] in capsys.readouterr().err


def test_a_busy_port_is_noticed_before_the_browser_opens(
    given: Any, aries: AriesSandbox, browser: Browser, store_path: Path
) -> None:
    port = urlsplit(aries.redirect_uri).port or 0
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen(1)
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port} is busy") as caught:
            login(**given)
    assert not browser.links
    assert not store_path.parent.exists()
    assert_hidden(caught.value, aries.client_secret)


@needs_signals
def test_ctrl_c_ends_a_login_that_waits_at_once(given: Any, store_path: Path) -> None:
    with CtrlC() as ctrl_c, pytest.raises(KeyboardInterrupt):
        login(**{**given, "open_browser": False})
    assert ctrl_c.seconds_ago < 0.5
    assert not store_path.exists()


@needs_signals
def test_ctrl_c_during_the_exchange_ends_the_login_at_once_and_the_token_is_saved(
    given: Any, aries: AriesSandbox, browser: Browser, store_path: Path
) -> None:
    aries.fail(delay=1.0)
    with CtrlC(aries.wait_for_requests) as ctrl_c, pytest.raises(KeyboardInterrupt) as caught:
        login(**given)
    assert ctrl_c.seconds_ago < 0.5
    assert "was stopped" in browser.ended_on.text
    assert_hidden(caught.value, aries.client_secret)
    end = time.monotonic() + 5
    while not store_path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


# The paste way


def test_another_redirect_uri_asks_for_the_address_that_the_browser_ended_on(
    given: Any, aries: AriesSandbox, browser: Browser, store_path: Path, pasted: Callable[..., None]
) -> None:
    browser.visit = lambda url: None
    pasted(lambda link: f"  {aries.approve(link)}\n")
    login(**{**given, "redirect_uri": HOSTED})
    token = FileTokenStore(store_path).load()
    assert token is not None
    assert token.redirect_uri == HOSTED
    assert browser.done.wait(5)


def test_paste_asks_also_where_it_could_listen(
    given: Any, aries: AriesSandbox, browser: Browser, store_path: Path, pasted: Callable[..., None]
) -> None:
    pasted(aries.approve)
    login(**given, paste=True)
    assert store_path.exists()
    assert not browser.links


@pytest.mark.parametrize(
    "spoil", [lambda url: url.replace("state=", "state=x"), lambda url: url + "&state=x"], ids=["wrong", "two"]
)
def test_a_pasted_callback_with_a_wrong_state_ends_the_login(
    given: Any,
    aries: AriesSandbox,
    store_path: Path,
    pasted: Callable[..., None],
    spoil: Callable[[str], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    codes: list[str] = []

    def answer(link: str) -> str:
        callback = aries.approve(link)
        codes.extend(parse_qs(urlsplit(callback).query)["code"])
        return spoil(callback)

    pasted(answer)
    with pytest.raises(AuthorizationError) as caught:
        login(**given, paste=True)
    assert not aries.token_requests
    assert not store_path.exists()
    assert_hidden(caught.value, aries.client_secret, *codes)
    assert codes[0] not in caplog.text


@pytest.mark.parametrize("stdin", [None, io.StringIO("")])
def test_nobody_to_ask_is_an_authorization_error(given: Any, stdin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(AuthorizationError, match="No address was given"):
        login(**given, paste=True)


# What is known, and where it is kept


def test_what_is_not_told_comes_from_the_variables(
    aries: AriesSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in aries.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ARIES_TOKEN_FILE", str(tmp_path / "kept.json"))
    login(scope=SCOPE).get_token()
    assert (tmp_path / "kept.json").exists()


def test_what_the_variables_do_not_say_comes_from_the_stored_token(
    given: Any, aries: AriesSandbox, store_path: Path
) -> None:
    FileTokenStore(store_path).save(
        Token("spent-access-token", client_id=aries.client_id, redirect_uri=aries.redirect_uri)
    )
    assert login(**{**given, "client_id": None, "redirect_uri": None}).get_token() != "spent-access-token"


def test_the_variables_beat_the_stored_token(
    given: Any, aries: AriesSandbox, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FileTokenStore(store_path).save(Token("old-access-token", client_id="old", redirect_uri="http://127.0.0.1:1/old"))
    monkeypatch.setenv("ARIES_CLIENT_ID", aries.client_id)
    monkeypatch.setenv("ARIES_REDIRECT_URI", aries.redirect_uri)
    login(**{**given, "client_id": None, "redirect_uri": None})
    token = FileTokenStore(store_path).load()
    assert token is not None
    assert token.client_id == aries.client_id


@pytest.mark.posix("Windows has no variable that says where a user's data is kept")
def test_a_profile_names_the_file(given: Any, tmp_path: Path) -> None:
    login(**{**given, "store": None, "profile": "paper"})
    assert list(tmp_path.rglob("paper.json"))


@pytest.mark.parametrize(
    "name, text",
    [
        ("client_id", "ARIES_CLIENT_ID"),
        ("redirect_uri", "ARIES_REDIRECT_URI"),
        ("client_secret", "ARIES_CLIENT_SECRET"),
    ],
)
def test_a_missing_credential_is_named_before_the_browser_opens(
    given: Any, aries: AriesSandbox, browser: Browser, store_path: Path, name: str, text: str
) -> None:
    with pytest.raises(ConfigurationError, match=text) as caught:
        login(**{**given, name: None})
    assert not browser.links
    assert not store_path.parent.exists()
    if name != "client_secret":
        assert_hidden(caught.value, aries.client_secret)


@pytest.mark.parametrize(
    "changes, error",
    [
        ({"scope": ""}, ConfigurationError),
        ({"callback_timeout": 0}, ConfigurationError),
        ({"timeout": float("inf")}, ConfigurationError),
        ({"redirect_uri": "http://127.0.0.1/#x"}, ConfigurationError),
        ({"store": None, "profile": "../other"}, ConfigurationError),
        ({"authorize_url": "http://aries.example/"}, InsecureTransportError),
        ({"token_url": "http://aries.example/"}, InsecureTransportError),
        ({"token_client": "session"}, ConfigurationError),
    ],
)
def test_a_malformed_parameter_touches_nothing(
    given: Any, aries: AriesSandbox, browser: Browser, store_path: Path, changes: Any, error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        login(**{**given, **changes})
    assert not browser.links
    assert not store_path.parent.exists()
    assert_hidden(caught.value, aries.client_secret)


def corrupt(path: Path) -> None:
    path.write_text("{")


def too_open(path: Path) -> None:
    path.chmod(0o666)


def another_version(path: Path) -> None:
    path.write_text('{"version": 99, "access_token": "x"}')


@pytest.mark.parametrize("spoil", [corrupt, pytest.param(too_open, marks=HAS_MODES), another_version])
def test_an_unreadable_store_is_refused_before_the_browser_opens(
    given: Any, browser: Browser, store_path: Path, spoil: Callable[[Path], None]
) -> None:
    FileTokenStore(store_path).save(Token("old-access-token"))
    spoil(store_path)
    before = store_path.read_bytes()
    with pytest.raises(StoreError):
        login(**given)
    assert not browser.links
    assert store_path.read_bytes() == before


@pytest.mark.posix("Windows has no posix_fallocate")
def test_a_store_that_cannot_be_written_is_refused_before_the_browser_opens(
    given: Any, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StoreError, match="No space left"):
        login(**given)
    assert not browser.links


def test_the_lock_is_not_held_while_a_person_clicks(
    given: Any, aries: AriesSandbox, browser: Browser, store_path: Path
) -> None:
    def visit(url: str) -> Page:
        with FileTokenStore(store_path).locked(0):
            pass
        return aries.browser(url)

    browser.visit = visit
    login(**given)
    assert browser.ended_on.status == 200


def test_a_locked_store_is_noticed_before_the_browser_opens(given: Any, browser: Browser, store_path: Path) -> None:
    with FileTokenStore(store_path).locked(), pytest.raises(LockTimeout):
        login(**{**given, "store": FileTokenStore(store_path, lock_timeout=0.2)})
    assert not browser.links


def test_a_url_in_the_place_of_a_path_is_refused_and_its_password_not_shown(given: Any, browser: Browser) -> None:
    with pytest.raises(ConfigurationError, match="SQLTokenStore") as caught:
        login(**{**given, "store": "postgresql://aries:s3cret-word@db.example/prod"})
    assert_hidden(caught.value, "s3cret-word")
    assert not browser.links


# Only if needed


def test_if_needed_returns_at_once_while_the_grant_serves_calls(
    given: Any, aries: AriesSandbox, browser: Browser, store_path: Path
) -> None:
    FileTokenStore(store_path).save(aries.issue_token(scope=SCOPE))
    auth = login(**{**given, "if_needed": True})
    assert auth.get_token()
    assert not browser.links
    assert not aries.token_requests


@pytest.mark.parametrize(
    "token, changes",
    [
        ({"scope": "user:information"}, {}),  # a scope is missing
        ({"scope": SCOPE, "age": 4000.0, "refresh_expires_in": 10.0}, {}),  # the grant has ended
        (None, {}),
        ({"scope": SCOPE}, {"client_id": "another"}),
    ],
)
def test_if_needed_logs_in_where_the_grant_does_not_serve(
    given: Any, aries: AriesSandbox, browser: Browser, store_path: Path, token: Any, changes: Any
) -> None:
    if token is not None:
        FileTokenStore(store_path).save(aries.issue_token(**token))
    with pytest.raises(AuthorizationError):
        login(**{**given, "if_needed": True, "open_browser": False, "callback_timeout": 0.2, **changes})


def test_if_needed_logs_in_where_the_token_has_expired_and_the_secret_is_not_found(
    given: Any, aries: AriesSandbox, browser: Browser, store_path: Path
) -> None:
    FileTokenStore(store_path).save(aries.issue_token(scope=SCOPE, age=4000.0))
    with pytest.raises(ConfigurationError, match="client_secret"):
        login(**{**given, "if_needed": True, "client_secret": None})


@pytest.mark.parametrize(
    "fields, changes",
    [
        ({"token_url": "https://api.aries.com/v1/oauth2/token"}, {}),
        ({"client_id": None}, {"client_id": None}),
        ({"redirect_uri": None}, {"redirect_uri": None}),
    ],
    ids=["it came from another endpoint", "no client id", "no redirect URI"],
)
def test_if_needed_logs_in_where_the_token_has_expired_and_cannot_be_refreshed_from_here(
    given: Any, aries: AriesSandbox, store_path: Path, fields: Any, changes: Any
) -> None:
    FileTokenStore(store_path).save(Token.from_dict({**aries.issue_token(age=4000.0, scope=SCOPE).to_dict(), **fields}))
    with pytest.raises((AuthorizationError, ConfigurationError)):
        login(**{**given, "if_needed": True, "open_browser": False, "callback_timeout": 0.2, **changes})


@pytest.mark.parametrize("fields", [{"client_id": None}, {"redirect_uri": None}, {"token_url": None}])
def test_if_needed_takes_from_its_parameters_what_an_expired_token_does_not_say(
    given: Any, aries: AriesSandbox, browser: Browser, store_path: Path, fields: Any, capsys: Any
) -> None:
    FileTokenStore(store_path).save(Token.from_dict({**aries.issue_token(age=4000.0, scope=SCOPE).to_dict(), **fields}))
    auth = login(**{**given, "if_needed": True})
    assert "the access token has expired and is refreshed at the next call" in capsys.readouterr().err
    assert not browser.links
    assert auth.get_token()


def test_if_needed_takes_a_grant_that_does_not_say_its_scopes(
    given: Any, aries: AriesSandbox, browser: Browser, store_path: Path
) -> None:
    token = Token.from_dict({**aries.issue_token().to_dict(), "scope": None})
    FileTokenStore(store_path).save(token)
    login(**{**given, "if_needed": True})
    assert not browser.links


# The secret


def test_a_secret_is_saved_when_that_is_asked_for_and_then_needs_no_parameter(
    given: Any, aries: AriesSandbox, store_path: Path
) -> None:
    login(**given, save_secret="file")
    auth = AriesAuth(store=store_path, token_url=aries.token_url, api_origins=[aries.api_url])
    assert auth.refresh().access_token


def test_a_secret_that_was_given_is_not_saved_unasked(given: Any, store_path: Path) -> None:
    login(**given)
    assert not Path(f"{store_path}.secret").exists()


@pytest.mark.parametrize("where", ["vault", 1])
def test_a_place_that_is_none_is_refused_before_the_browser_opens(given: Any, browser: Browser, where: Any) -> None:
    with pytest.raises(ConfigurationError, match="save_secret"):
        login(**given, save_secret=where)
    assert not browser.links


def test_a_store_of_one_s_own_can_keep_no_secret(given: Any, browser: Browser) -> None:
    class Own:
        def load(self, *_: Any) -> None:
            return None

        save = delete = locked = load

    with pytest.raises(ConfigurationError, match="is no file"):
        login(**{**given, "store": Own()}, save_secret=True)
    assert not browser.links


# Nobody to ask, no thread, PKCE


def test_scope_may_be_left_out_and_comes_from_the_variable(
    given: Any, aries: AriesSandbox, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARIES_SCOPE", "market:information")
    del given["scope"]
    login(**given)
    token = FileTokenStore(store_path).load()
    assert token is not None
    assert token.scope == "market:information"


def test_a_scope_that_nobody_says_is_named_with_its_variable(given: Any, browser: Browser) -> None:
    del given["scope"]
    with pytest.raises(ConfigurationError, match=r"scope is missing.*\$ARIES_SCOPE"):
        login(**given)
    assert not browser.links


def test_with_no_thread_to_be_had_the_login_goes_on_without_opening_the_browser(
    given: Any, aries: AriesSandbox, browser: Browser, monkeypatch: pytest.MonkeyPatch, pasted: Callable[..., None]
) -> None:
    import threading

    start = threading.Thread.start

    def none_of_ours(self: threading.Thread) -> None:
        if self.name == "aries-auth-browser":
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", none_of_ours)
    pasted(aries.approve)
    login(**{**given, "redirect_uri": HOSTED})
    assert not browser.links


def test_pkce_is_used_when_that_is_asked_for(given: Any, aries: AriesSandbox) -> None:
    aries.rules.require_pkce = True
    assert login(**given, pkce=True).get_token()


def test_a_login_without_a_terminal_ends_with_who_is_logged_in_and_until_when(
    given: Any, aries: AriesSandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    login(**given)
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.match(rf"Logged in: client {aries.client_id}; the access token is good until ", last)


# What is pasted


@pytest.mark.parametrize(
    "wrong", ["", "nonsense", "https://x", "http://127.0.0.1:8765/callback", "  \n", "code-alone", "?code=a&state=b"]
)
def test_what_is_no_callback_is_asked_for_again(
    given: Any, aries: AriesSandbox, store_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, capsys: Any
) -> None:
    answers = [wrong, wrong]

    def read(prompt: str = "") -> str:
        shown = capsys.readouterr().err
        links = [line.strip() for line in shown.splitlines() if "response_type" in line]
        seen.extend(links)
        return answers.pop() if answers else aries.approve(seen[0])

    seen: list[str] = []
    monkeypatch.setattr("builtins.input", read)
    login(**given, paste=True)
    assert store_path.exists()
    assert len(aries.token_requests) == 1


def test_who_never_gives_an_address_is_not_asked_for_ever(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "nonsense")
    with pytest.raises(AuthorizationError, match="No address of this login"):
        login(**given, paste=True)


@pytest.mark.parametrize("around", ["'{}'", '"{}"', "<{}>", " {} ", "\u201c{}\u201d", "\x1b[200~{}\x1b[201~"])
def test_quotes_and_white_space_around_a_pasted_address_are_dropped(around: str) -> None:
    from aries_auth.authorization.pasting import cleaned, is_callback

    address = "http://127.0.0.1:8765/callback?code=a-b_c%2F&state=x~y"
    wrapped = around.format(f"{address[:30]}\r\n  {address[30:]}")
    assert cleaned(Secret(wrapped)) == Secret(address)
    assert is_callback(cleaned(Secret(wrapped)))
