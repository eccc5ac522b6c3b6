"""Text from elsewhere becomes neither a second header, a second log line, nor an order to the terminal."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import requests

from aries_auth import (
    AriesAuth,
    AriesAuthError,
    AuthorizationCodeFlow,
    AuthorizationError,
    ConfigurationError,
    LoginRequired,
    StoreError,
    Token,
    TokenRequestError,
)

from .conftest import EXPIRED, IN_MARGIN, Bench, wait_landed

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

EVIL = {
    "a line": "x\r\nINFO:root:all is well",
    "a header": "x\r\nX-Evil: 1",
    "an escape sequence": "x\x1b]0;owned\x07\x1b[2J",
    "a C1 control": "x\x9b2J",
    "a NUL": "x\x00y",
    "a direction mark": "x\u202egnp.exe",
    "a line separator": "x\u2028y\u2029z\x85",
    "a tag": "x\U000e0041\U000e0042",
    "half a pair": "x\ud800y",
    "a backspace": "secret\b\b\b\b\b\bpublic",
}
# The first two are for every run; the last two no file name can have.
NOT_FOR_THE_COMMAND = ("a line", "an escape sequence", "a NUL", "half a pair")
evil = pytest.mark.parametrize("text", EVIL.values(), ids=EVIL)


def _is_harmless(text: str) -> bool:
    return all(char.isprintable() for char in text)


@pytest.fixture
def harmless_log(caplog: pytest.LogCaptureFixture) -> Any:
    """Whatever was logged, at whatever level, is one line that orders nothing."""
    caplog.set_level(logging.DEBUG, logger="aries_auth")
    yield caplog
    for record in caplog.records:
        if record.name.startswith("aries_auth") and not record.name.startswith("aries_auth.testing"):
            assert _is_harmless(record.getMessage()), ascii(record.getMessage())


def _check_error(exc: AriesAuthError) -> None:
    assert _is_harmless(str(exc)), ascii(str(exc))
    for name in ("error", "error_description", "request_id"):
        assert _is_harmless(getattr(exc, name, None) or ""), f"{name}: {getattr(exc, name)!a}"


@evil
def test_an_access_token_that_is_no_header_value_is_refused_and_the_stored_one_stays(
    bench: Bench, harmless_log: Any, text: str
) -> None:
    old = bench.log_in(EXPIRED)
    bench.aries.fail("token", status=200, body={"access_token": text, "token_type": "Bearer", "expires_in": 3600})
    with pytest.raises(TokenRequestError) as caught:
        bench.auth().get_token()
    _check_error(caught.value)
    assert bench.stored == old


@evil
@pytest.mark.parametrize("name", ["token_type", "scope", "refresh_token"])
def test_other_fields_of_a_token_answer_reach_no_header_of_a_call(
    bench: Bench, harmless_log: Any, text: str, name: str
) -> None:
    bench.log_in(EXPIRED)
    answer = {"access_token": "good", "token_type": "Bearer", "expires_in": 3600, name: text}
    bench.aries.fail("token", status=200, body=answer)
    seen: list[Any] = []

    def see(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200)

    auth = bench.auth()
    try:
        with httpx.Client(transport=httpx.MockTransport(see)) as client:
            client.get(f"{bench.aries.url}/v1/users/me", auth=auth)
    except TokenRequestError as exc:
        _check_error(exc)
        return
    prepared = requests.Request("GET", f"{bench.aries.url}/v1/users/me", auth=auth).prepare()
    assert seen[0]["Authorization"] == prepared.headers["Authorization"] == "Bearer good"
    assert "X-Evil" not in seen[0]
    assert _is_harmless(repr(auth))
    assert _is_harmless(repr(auth.token)), ascii(repr(auth.token))
    wait_landed()


SHAPES = {
    "RFC 6749": lambda text: {"error": text, "error_description": text},
    "nested": lambda text: {"error": {"type": text, "code": text, "message": text, "request_id": text}},
    "flat": lambda text: {"error": text, "codes": [{"code": text, "description": text, "field": text}]},
}


@evil
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("status", [400, 503])
def test_error_texts_are_escaped(bench: Bench, harmless_log: Any, text: str, shape: str, status: int) -> None:
    bench.log_in(EXPIRED)
    headers = {"Retry-After": 100} if status == 503 else {}
    bench.aries.fail("token", status=status, body=SHAPES[shape](text), headers=headers)
    with pytest.raises((TokenRequestError, LoginRequired)) as caught:
        bench.auth(timeout=5).get_token()
    _check_error(caught.value)
    wait_landed()


@evil
def test_error_texts_are_escaped_in_the_log_of_a_refresh_ahead(bench: Bench, harmless_log: Any, text: str) -> None:
    bench.log_in(IN_MARGIN)
    bench.aries.fail("token", status=403, body=SHAPES["nested"](text))
    bench.auth().get_token()
    wait_landed()
    assert any(record.levelno == logging.WARNING for record in harmless_log.records)


def _flow() -> AuthorizationCodeFlow:
    return AuthorizationCodeFlow("id", "secret", "https://app.example/callback", scope="user:information")


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


@evil
def test_parameters_of_a_callback_are_escaped(text: str) -> None:
    flow = _flow()
    _, state = flow.authorization_url()
    response = f"https://app.example/callback?state={state}&error={_quoted(text)}&error_description={_quoted(text)}"
    with pytest.raises(AuthorizationError) as caught:
        flow.fetch_token(authorization_response=response, state=state)
    _check_error(caught.value)
    assert caught.value.error


@evil
def test_a_callback_with_a_forged_state_or_address_is_refused_in_harmless_words(text: str) -> None:
    flow = _flow()
    _, state = flow.authorization_url()
    for response in (
        f"https://app.example/callback?state={_quoted(text)}&code=c",
        f"https://app.example/{_quoted(text)}?state={state}&code=c",
        f"https://app.example/callback/{text}?state={state}&code=c",
        f"{text}://app.example/callback?state={state}&code=c",
        text,
    ):
        with pytest.raises(AuthorizationError) as caught:
            flow.fetch_token(authorization_response=response, state=state)
        _check_error(caught.value)


@evil
def test_names_that_the_caller_gives_are_refused_in_harmless_words(text: str) -> None:
    for given in (
        {"profile": text},
        {"redirect_uri": f"https://app.example/{text}"},
        {"token_url": f"https://api.aries.com/{text}"},
        {"api_origins": [f"https://{text}"]},
    ):
        with pytest.raises(AriesAuthError) as caught:
            AriesAuth("id", "secret", **{"redirect_uri": "https://app.example/callback", **given})
        assert isinstance(caught.value, ConfigurationError)
        _check_error(caught.value)


@pytest.mark.parametrize(
    "profile", ["../x", "a/b", "a\\b", ".hidden", "..", "", " ", "a b", "a" * 65, "nul\x00", "a:b", "~"]
)
def test_a_profile_is_a_file_name_and_nothing_else(profile: str) -> None:
    with pytest.raises(ConfigurationError):
        AriesAuth("id", "secret", "https://app.example/callback", profile=profile)


@evil
def test_what_a_store_holds_is_shown_in_harmless_words(bench: Bench, harmless_log: Any, text: str) -> None:
    bench.log_in(EXPIRED)
    for name in ("client_id", "redirect_uri"):
        document = {**json.loads(bench.path.read_text()), name: text}
        bench.path.write_text(json.dumps(document))
        with pytest.raises((ConfigurationError, StoreError)) as caught:
            bench.auth().get_token()
        _check_error(caught.value)
        assert not bench.aries.token_requests


@pytest.mark.skipif(os.name != "posix", reason="such file names are for POSIX alone")
@pytest.mark.parametrize(
    "name",
    [
        "a line",
        "an escape sequence",
        *(pytest.param(name, marks=pytest.mark.soak) for name in EVIL if name not in NOT_FOR_THE_COMMAND),
    ],
)
def test_the_command_shows_nothing_that_orders_the_terminal(bench: Bench, name: str) -> None:
    text = EVIL[name]
    aries = bench.aries
    bench.log_in(0)
    document = {**json.loads(bench.path.read_text()), "scope": text, "client_id": text}
    bench.path.write_text(json.dumps(document))
    named = bench.path.with_name(f"{text.replace('/', '_')}.json")
    bad = bench.path.with_name(f"bad{text.replace('/', '_')}.json")
    named.write_text(bench.path.read_text())
    named.chmod(0o600)
    bad.write_text("no JSON")
    bad.chmod(0o600)
    environment = {**os.environ, **aries.environ, "ARIES_CLIENT_ID": "", "PYTHONIOENCODING": "utf-8"}
    for arguments in (
        ["status", "--store", str(bench.path)],
        ["status", "--store", str(named)],
        ["status", "--store", str(bad)],
        ["token", "--profile", text],
        ["logout", "--store", str(named)],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "aries_auth", *arguments],
            capture_output=True,
            check=False,
            cwd=Path(__file__).parents[2],
            env=environment,
            timeout=30,
        )
        for line in (done.stdout + done.stderr).decode().split("\n"):
            assert _is_harmless(line), f"{arguments[0]}: {line!a}"


def test_a_token_shows_nothing_that_orders_the_terminal() -> None:
    for text in (text for name, text in EVIL.items() if name != "half a pair"):
        token = Token("at", scope=text, client_id=text, redirect_uri=text, token_type=text)
        assert _is_harmless(repr(token)), ascii(repr(token))
