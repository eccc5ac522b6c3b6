"""AuthorizationCodeFlow against a real Aries on real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any, Callable, Coroutine
from urllib.parse import parse_qs, urlsplit

import freezegun
import httpx
import pytest
import requests
import trio

from aries_auth import (
    AriesAuth,
    AuthorizationCodeFlow,
    AuthorizationError,
    ConfigurationError,
    FileTokenStore,
    InsecureTransportError,
    LockTimeout,
    StoreError,
    Token,
    TokenRequestError,
)
from aries_auth.authorization import code_exchange
from aries_auth.store.locked_file import FileEntry
from aries_auth.testing import AriesSandbox
from tests.conftest import wait_until

from .conftest import HAS_MODES, SCOPE, CtrlC, assert_hidden, needs_signals

MakeFlow = Callable[..., AuthorizationCodeFlow]
Runner = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


def run_asyncio(function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(function())


both_loops = pytest.mark.parametrize("run", [run_asyncio, trio.run])


def approved(aries: AriesSandbox, flow: AuthorizationCodeFlow) -> tuple[str, str]:
    url, state = flow.authorization_url()
    return aries.approve(url), state


def code_of(callback: str) -> str:
    return parse_qs(urlsplit(callback).query)["code"][0]


# The link


def test_the_link_says_who_asks_for_what_and_where_to_come_back_to(flow: AuthorizationCodeFlow, aries: Any) -> None:
    url, state = flow.authorization_url()
    assert url.startswith(aries.authorize_url + "?")
    assert parse_qs(urlsplit(url).query) == {
        "response_type": ["code"],
        "client_id": [aries.client_id],
        "redirect_uri": [aries.redirect_uri],
        "scope": [SCOPE],
        "state": [state],
    }


def test_every_link_has_a_state_of_its_own(flow: AuthorizationCodeFlow) -> None:
    states = {flow.authorization_url()[1] for _ in range(10)}
    assert len(states) == 10
    assert all(len(state) >= 43 for state in states)


@pytest.mark.parametrize("scope", [["a:b", "c:d"], ("a:b", "c:d"), "a:b c:d", "  a:b\n c:d a:b "])
def test_scopes_come_as_text_or_as_a_sequence(make_flow: MakeFlow, scope: Any) -> None:
    url, _ = make_flow(scope=scope).authorization_url()
    assert parse_qs(urlsplit(url).query)["scope"] == ["a:b c:d"]


# Parameters and environment


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": ""},
        {"client_secret": ""},
        {"client_secret": 5},
        {"redirect_uri": "http://127.0.0.1:8765/callback#here"},
        {"redirect_uri": "/callback"},
        {"scope": ""},
        {"scope": []},
        {"scope": None},
        {"scope": b"user:information"},
        {"scope": ["user:information", 5]},
        {"scope": 'user"information'},
        {"scope": "user\\information"},
        {"scope": ["käse"]},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"token_client": object()},
        {"token_client": httpx.AsyncClient},
        {"authorize_url": "app.aries.com"},
    ],
)
def test_a_malformed_parameter_is_refused_at_construction(
    make_flow: MakeFlow, aries: AriesSandbox, changes: Any
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_flow(**changes)
    assert_hidden(caught.value, aries.client_secret)


@pytest.mark.parametrize("name", ["authorize_url", "token_url"])
def test_plain_http_endpoints_are_refused_at_construction(make_flow: MakeFlow, aries: AriesSandbox, name: str) -> None:
    with pytest.raises(InsecureTransportError, match=name) as caught:
        make_flow(**{name: "http://aries.example/oauth2"})
    assert_hidden(caught.value, aries.client_secret)


def test_what_is_left_out_comes_from_the_environment_when_it_is_needed(
    aries: AriesSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = AuthorizationCodeFlow(scope=SCOPE)
    for name, value in aries.environ.items():
        monkeypatch.setenv(name, value)
    assert flow.fetch_token(*approved(aries, flow)).client_id == aries.client_id


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
def test_a_missing_credential_is_named_with_its_variable(make_flow: MakeFlow, name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name}=.*\$ARIES_{name.upper()}"):
        make_flow(**{name: None}).authorization_url()


def test_a_missing_secret_is_named_before_anything_is_sent(make_flow: MakeFlow, aries: AriesSandbox) -> None:
    flow = make_flow(client_secret=None)
    callback, state = approved(aries, flow)
    with pytest.raises(ConfigurationError, match=r"client_secret=.*ARIES_CLIENT_SECRET_FILE") as caught:
        flow.fetch_token(callback, state)
    assert not aries.token_requests
    assert_hidden(caught.value, code_of(callback))


def test_repr_shows_no_secret(flow: AuthorizationCodeFlow, aries: AriesSandbox) -> None:
    assert aries.client_id in repr(flow)
    assert aries.client_secret not in repr(flow)


# The exchange


def test_a_callback_is_exchanged_once(flow: AuthorizationCodeFlow, aries: AriesSandbox) -> None:
    before = time.time()
    token = flow.fetch_token(*approved(aries, flow))
    assert (token.client_id, token.redirect_uri) == (aries.client_id, aries.redirect_uri)
    assert token.scope == SCOPE
    assert token.refresh_token
    assert before <= (token.obtained_at or 0) <= time.time()
    assert token.expires_at == (token.obtained_at or 0) + 3600
    (record,) = aries.token_requests
    assert record.fields == ("client_id", "client_secret", "code", "grant_type", "redirect_uri")
    assert not record.had_authorization


@both_loops
def test_a_callback_is_exchanged_in_an_async_backend(
    flow: AuthorizationCodeFlow, aries: AriesSandbox, store_path: Path, run: Runner
) -> None:
    callback, state = approved(aries, flow)
    token = run(lambda: flow.fetch_token_async(authorization_response=callback, state=state, store=store_path))
    assert FileTokenStore(store_path).load() == token
    assert len(aries.token_requests) == 1


def test_the_token_is_saved_before_it_is_returned(
    flow: AuthorizationCodeFlow, aries: AriesSandbox, store_path: Path
) -> None:
    callback, state = approved(aries, flow)
    token = flow.fetch_token(authorization_response=callback, state=state, store=str(store_path))
    assert FileTokenStore(store_path).load() == token
    auth = AriesAuth(store=store_path, api_origins=[aries.api_url])
    assert requests.get(f"{aries.api_url}/v1/users/me", auth=auth, timeout=10).status_code == 200


def test_unknown_keys_of_the_store_are_kept(flow: AuthorizationCodeFlow, aries: AriesSandbox, store_path: Path) -> None:
    FileTokenStore(store_path).save(Token("old"))
    document = {**json.loads(store_path.read_text()), "note": "mine"}
    store_path.write_text(json.dumps(document))
    flow.fetch_token(*approved(aries, flow), store=FileTokenStore(store_path))
    assert json.loads(store_path.read_text())["note"] == "mine"


@pytest.mark.parametrize("library, make", [("requests", "Session"), ("niquests", "Session"), ("httpx", "Client")])
def test_the_callers_own_client_sends(make_flow: MakeFlow, aries: AriesSandbox, library: str, make: str) -> None:
    with getattr(pytest.importorskip(library), make)() as client:
        flow = make_flow(token_client=client)
        flow.fetch_token(*approved(aries, flow))
    assert f"({library}/" in (aries.token_requests[0].user_agent or "")


def test_obtained_at_goes_by_the_callers_clock(flow: AuthorizationCodeFlow, aries: AriesSandbox) -> None:
    with freezegun.freeze_time("2031-01-01"):
        token = flow.fetch_token(*approved(aries, flow))
        assert (token.obtained_at or 0) == pytest.approx(time.time(), abs=5)


def test_a_later_answer_is_retried(flow: AuthorizationCodeFlow, aries: AriesSandbox) -> None:
    aries.fail(status=503, headers={"Retry-After": "0"})
    assert flow.fetch_token(*approved(aries, flow)).access_token
    assert [record.status for record in aries.token_requests] == [503, 200]


# Callbacks that are not what they should be


def edited(callback: str, **changes: str) -> str:
    parts = urlsplit(callback)
    return parts._replace(**changes).geturl()


BAD_CALLBACKS: dict[str, Callable[[str], str]] = {
    "forged state": lambda url: url.replace("state=", "state=x"),
    "no state": lambda url: url.partition("&state=")[0],
    "doubled state": lambda url: url + "&state=" + parse_qs(urlsplit(url).query)["state"][0],
    "truncated": lambda url: url[:-3],
    "no query": lambda url: url.partition("?")[0],
    "no code": lambda url: url.replace("code=", "kode="),
    "empty code": lambda url: url.replace("code=" + code_of(url), "code="),
    "doubled code": lambda url: url + "&code=" + code_of(url),
    "another code": lambda url: url + "&code=other",
    "another path": lambda url: url.replace("/callback?", "/callback/?"),
    "another host": lambda url: url.replace("127.0.0.1", "127.0.0.2"),
    "another port": lambda url: edited(url, netloc="127.0.0.1:1"),
    "another scheme": lambda url: url.replace("http://", "https://"),
    "no address": lambda url: "?" + urlsplit(url).query,
    "bad port": lambda url: edited(url, netloc="127.0.0.1:x"),
    "bad host": lambda url: url.replace("127.0.0.1", "[::1"),
    "empty": lambda url: "",
    "lone surrogate": lambda url: url.replace("state=", "state=\udc80"),
}


@pytest.mark.parametrize("spoil", BAD_CALLBACKS.values(), ids=BAD_CALLBACKS.keys())
def test_a_bad_callback_is_refused_before_anything_is_sent(
    flow: AuthorizationCodeFlow, aries: AriesSandbox, store_path: Path, spoil: Callable[[str], str]
) -> None:
    callback, state = approved(aries, flow)
    with pytest.raises(AuthorizationError) as caught:
        flow.fetch_token(spoil(callback), state, store_path)
    assert not aries.token_requests
    assert not store_path.parent.exists()
    assert_hidden(caught.value, code_of(callback), aries.client_secret)


@both_loops
def test_a_bad_callback_is_refused_in_an_async_backend(
    flow: AuthorizationCodeFlow, aries: AriesSandbox, run: Runner
) -> None:
    callback, _ = approved(aries, flow)
    with pytest.raises(AuthorizationError) as caught:
        run(lambda: flow.fetch_token_async(callback, flow.authorization_url()[1]))
    assert not aries.token_requests
    assert_hidden(caught.value, code_of(callback), aries.client_secret)


def test_a_denied_authorization_says_so(flow: AuthorizationCodeFlow, aries: AriesSandbox) -> None:
    url, state = flow.authorization_url()
    with pytest.raises(AuthorizationError, match="access_denied") as caught:
        flow.fetch_token(aries.deny(url), state)
    assert caught.value.error == "access_denied"
    assert caught.value.error_description
    assert not aries.token_requests


def test_a_denial_with_another_state_is_no_word_of_aries(flow: AuthorizationCodeFlow, aries: AriesSandbox) -> None:
    url, _ = flow.authorization_url()
    with pytest.raises(AuthorizationError) as caught:
        flow.fetch_token(aries.deny(url), flow.authorization_url()[1])
    assert caught.value.error is None


def test_control_characters_of_a_callback_are_escaped(flow: AuthorizationCodeFlow, aries: AriesSandbox) -> None:
    _, state = flow.authorization_url()
    callback = f"{aries.redirect_uri}?error=%1b%5b2Jx&error_description=a%0ab&state={state}"
    with pytest.raises(AuthorizationError) as caught:
        flow.fetch_token(callback, state)
    assert str(caught.value).isprintable()


def test_a_callback_that_is_no_text_is_a_mistake_of_the_program(
    flow: AuthorizationCodeFlow, aries: AriesSandbox
) -> None:
    callback, state = approved(aries, flow)
    with pytest.raises(ConfigurationError, match="authorization_response") as caught:
        flow.fetch_token(callback.encode(), state)  # type: ignore[arg-type]
    assert_hidden(caught.value, code_of(callback))


# The store comes first


def directory(path: Path) -> None:
    path.mkdir(parents=True)


def corrupt(path: Path) -> None:
    FileTokenStore(path).save(Token("old"))
    path.write_text("{")


def too_open(path: Path) -> None:
    FileTokenStore(path).save(Token("old"))
    path.chmod(0o644)


def below_a_file(path: Path) -> None:
    path.parent.write_text("")


@pytest.mark.parametrize("spoil", [directory, corrupt, pytest.param(too_open, marks=HAS_MODES), below_a_file])
def test_the_store_is_proven_before_the_code_is_sent(
    flow: AuthorizationCodeFlow, aries: AriesSandbox, store_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(store_path)
    callback, state = approved(aries, flow)
    with pytest.raises(StoreError) as caught:
        flow.fetch_token(callback, state, store_path)
    assert not aries.token_requests
    assert_hidden(caught.value, code_of(callback), aries.client_secret)


@pytest.mark.posix("Windows has no posix_fallocate")
def test_a_full_disk_is_noticed_before_the_code_is_sent(
    flow: AuthorizationCodeFlow, aries: AriesSandbox, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StoreError, match="No space left"):
        flow.fetch_token(*approved(aries, flow), store=store_path)
    assert not aries.token_requests


def test_the_lock_is_held_over_the_exchange(flow: AuthorizationCodeFlow, aries: AriesSandbox, store_path: Path) -> None:
    aries.fail(delay=0.5)
    thread = threading.Thread(target=flow.fetch_token, args=(*approved(aries, flow), store_path))
    thread.start()
    aries.wait_for_requests()
    with pytest.raises(LockTimeout), FileTokenStore(store_path).locked(0):
        pass
    thread.join()


def test_a_store_that_stays_locked_sends_nothing(
    flow: AuthorizationCodeFlow, aries: AriesSandbox, store_path: Path
) -> None:
    callback, state = approved(aries, flow)
    with FileTokenStore(store_path).locked():
        with pytest.raises(LockTimeout, match=r"nothing was sent") as caught:
            flow.fetch_token(callback, state, FileTokenStore(store_path, lock_timeout=0.4))
        assert not aries.token_requests
    assert_hidden(caught.value, code_of(callback), aries.client_secret)


def test_a_failed_save_is_tried_again(
    flow: AuthorizationCodeFlow, aries: AriesSandbox, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = FileEntry.save, [StoreError("not yet")]

    def save(entry: FileEntry, token: Token) -> None:
        if failures:
            raise failures.pop()
        real(entry, token)

    monkeypatch.setattr(FileEntry, "save", save)
    monkeypatch.setattr(code_exchange, "_SAVE_INTERVAL", 0.01)
    token = flow.fetch_token(*approved(aries, flow), store=store_path)
    assert FileTokenStore(store_path).load() == token


def test_a_save_that_keeps_failing_says_that_the_token_is_lost(
    flow: AuthorizationCodeFlow, aries: AriesSandbox, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = {"access_token": "planted-access-token", "refresh_token": "planted-refresh-token"}
    aries.rules.edit_answer = lambda answer: {**answer, **planted}

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", broken)
    monkeypatch.setattr(code_exchange, "_SAVE_INTERVAL", 0.01)
    callback, state = approved(aries, flow)
    with pytest.raises(StoreError, match=r"Input/output error.*log in again") as caught:
        flow.fetch_token(callback, state, store_path)
    assert_hidden(caught.value, code_of(callback), aries.client_secret, *planted.values())


def test_a_foreign_stores_error_is_named_by_its_type(
    flow: AuthorizationCodeFlow, aries: AriesSandbox, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aries.rules.edit_answer = lambda answer: {**answer, "access_token": "planted-access-token"}

    def save(entry: FileEntry, token: Token) -> None:
        text = token.access_token
        raise ValueError(f"can't insert {text}")

    monkeypatch.setattr(FileEntry, "save", save)
    monkeypatch.setattr(code_exchange, "_SAVE_INTERVAL", 0.01)
    callback, state = approved(aries, flow)
    with pytest.raises(StoreError, match="it raised ValueError") as caught:
        flow.fetch_token(callback, state, store_path)
    assert_hidden(caught.value, "planted-access-token")


# Nobody waits any more, and the token is saved all the same


def test_a_cancelled_asyncio_task_leaves_the_token_in_the_store(
    flow: AuthorizationCodeFlow, aries: AriesSandbox, store_path: Path
) -> None:
    callback, state = approved(aries, flow)
    aries.fail(delay=0.5)

    async def hang_up() -> None:
        task = asyncio.ensure_future(flow.fetch_token_async(callback, state, store_path))
        await asyncio.get_running_loop().run_in_executor(None, aries.wait_for_requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(hang_up())
    assert not store_path.exists()
    wait_until(store_path.exists)
    assert FileTokenStore(store_path).load() is not None


def test_a_cancelled_trio_task_leaves_the_token_in_the_store(
    flow: AuthorizationCodeFlow, aries: AriesSandbox, store_path: Path
) -> None:
    callback, state = approved(aries, flow)
    aries.fail(delay=0.5)

    async def hang_up() -> None:
        with trio.move_on_after(0.2) as scope:
            await flow.fetch_token_async(callback, state, store_path)
        assert scope.cancelled_caught

    trio.run(hang_up)
    assert not store_path.exists()
    wait_until(store_path.exists)
    assert FileTokenStore(store_path).load() is not None


@needs_signals
def test_ctrl_c_is_obeyed_at_once_and_leaves_the_token_in_the_store(
    flow: AuthorizationCodeFlow, aries: AriesSandbox, store_path: Path
) -> None:
    callback, state = approved(aries, flow)
    aries.fail(delay=1.0)
    with CtrlC(aries.wait_for_requests) as ctrl_c, pytest.raises(KeyboardInterrupt) as caught:
        flow.fetch_token(callback, state, store_path)
    assert ctrl_c.seconds_ago < 0.5
    assert not store_path.exists()
    assert_hidden(caught.value, code_of(callback), aries.client_secret)
    wait_until(store_path.exists)


def test_a_caller_that_gives_up_gets_a_retryable_error_and_the_token_is_saved(
    make_flow: MakeFlow, aries: AriesSandbox, store_path: Path
) -> None:
    flow = make_flow(timeout=0.2)
    callback, state = approved(aries, flow)
    aries.fail(delay=0.6)
    with pytest.raises(TokenRequestError, match="goes on") as caught:
        flow.fetch_token(callback, state, store_path)
    assert caught.value.retryable
    assert_hidden(caught.value, code_of(callback), aries.client_secret)
    wait_until(store_path.exists)


def test_a_caller_that_gives_up_without_a_store_has_to_log_in_again(make_flow: MakeFlow, aries: AriesSandbox) -> None:
    flow = make_flow(timeout=0.2)
    callback, state = approved(aries, flow)
    aries.fail(delay=0.6)
    with pytest.raises(TokenRequestError, match="start the login again"):
        flow.fetch_token(callback, state)


# Token requests that fail


def test_a_spent_code_says_to_start_the_login_again(
    flow: AuthorizationCodeFlow, aries: AriesSandbox, store_path: Path
) -> None:
    callback, state = approved(aries, flow)
    token = flow.fetch_token(callback, state, store_path)
    with pytest.raises(TokenRequestError, match="start the login again") as caught:
        flow.fetch_token(callback, state, store_path)
    assert (caught.value.error, caught.value.status_code) == ("invalid_grant", 400)
    assert not caught.value.retryable
    assert FileTokenStore(store_path).load() == token
    assert_hidden(caught.value, code_of(callback), aries.client_secret, token.access_token)


def test_a_wrong_secret_says_what_to_check(make_flow: MakeFlow, aries: AriesSandbox) -> None:
    flow = make_flow(client_secret="planted-wrong-secret")
    callback, state = approved(aries, flow)
    with pytest.raises(TokenRequestError, match="client secret") as caught:
        flow.fetch_token(callback, state)
    assert (caught.value.error, caught.value.status_code) == ("invalid_client", 401)
    assert_hidden(caught.value, code_of(callback), "planted-wrong-secret")


@pytest.mark.parametrize(
    "answer",
    [
        {"body": "<html>"},
        {"body": []},
        {"body": {"access_token": ""}},
        {"body": {"access_token": "planted-token\nSet-Cookie: x", "refresh_token": "planted-refresh-token"}},
        {"body": "x" * (1024 * 1024 + 1)},
        {"status": 302, "headers": {"Location": "https://aries.example/"}},
        {"status": 400, "body": {"error": {"type": "VALIDATION", "message": "no"}}},
        {"drop": "after"},
    ],
)
def test_a_bad_answer_is_a_token_request_error_and_the_store_stays(
    flow: AuthorizationCodeFlow, aries: AriesSandbox, store_path: Path, answer: Any
) -> None:
    old = Token("old-access-token")
    FileTokenStore(store_path).save(old)
    callback, state = approved(aries, flow)
    aries.fail(**answer)
    with pytest.raises(TokenRequestError) as caught:
        flow.fetch_token(callback, state, store_path)
    assert len(aries.token_requests) == 1
    assert FileTokenStore(store_path).load() == old
    secrets = (code_of(callback), aries.client_secret, "planted-token", "planted-refresh-token")
    assert_hidden(caught.value, *secrets)


def test_a_code_whose_answer_was_lost_says_to_start_the_login_again(
    flow: AuthorizationCodeFlow, aries: AriesSandbox
) -> None:
    callback, state = approved(aries, flow)
    aries.fail(drop="after")
    with pytest.raises(
        TokenRequestError, match=r"[^.]\. The endpoint may have spent the code: start the login again\."
    ):
        flow.fetch_token(callback, state)


def test_an_answer_that_echoes_what_was_sent_is_masked(flow: AuthorizationCodeFlow, aries: AriesSandbox) -> None:
    callback, state = approved(aries, flow)
    text = f"bad code {code_of(callback)} or secret {aries.client_secret}"
    aries.fail(status=400, body={"error": "invalid_grant", "error_description": text})
    with pytest.raises(TokenRequestError) as caught:
        flow.fetch_token(callback, state)
    assert_hidden(caught.value, code_of(callback), aries.client_secret)


def test_logs_show_no_secret(
    flow: AuthorizationCodeFlow, aries: AriesSandbox, store_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callback, state = approved(aries, flow)
    with caplog.at_level(logging.DEBUG, "aries_auth"):
        token = flow.fetch_token(callback, state, store_path)
    assert "Logged in" in caplog.text
    for secret in (code_of(callback), aries.client_secret, token.access_token, token.refresh_token or "?"):
        assert secret not in caplog.text


# PKCE


def with_pkce(make_flow: MakeFlow, aries: AriesSandbox, **changes: Any) -> AuthorizationCodeFlow:
    aries.rules.require_pkce = True
    return make_flow(**{"pkce": True, **changes})


def test_pkce_derives_its_verifier_from_the_state_under_the_client_secret(
    make_flow: MakeFlow, aries: AriesSandbox
) -> None:
    import base64
    import hashlib
    import hmac

    url, state = with_pkce(make_flow, aries).authorization_url()
    query = parse_qs(urlsplit(url).query)
    digest = hmac.new(aries.client_secret.encode(), state.encode(), hashlib.sha256).digest()
    verifier = base64.urlsafe_b64encode(digest).rstrip(b"=")
    assert 43 <= len(verifier) <= 128
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=").decode()
    assert query["code_challenge"] == [challenge]
    assert query["code_challenge_method"] == ["S256"]


@both_loops
def test_a_sandbox_that_requires_pkce_gives_a_token_for_the_right_verifier(
    make_flow: MakeFlow, aries: AriesSandbox, run: Runner
) -> None:
    flow = with_pkce(make_flow, aries)
    callback, state = approved(aries, flow)
    # Another object, as another worker of a web backend has it: the state is all that is kept in between.
    assert run(lambda: make_flow(pkce=True).fetch_token_async(callback, state)).access_token
    assert "code_verifier" in aries.token_requests[0].fields


def test_a_code_that_was_put_into_another_session_does_not_fit(make_flow: MakeFlow, aries: AriesSandbox) -> None:
    flow = with_pkce(make_flow, aries)
    callback, state = approved(aries, flow)
    _, other = flow.authorization_url()
    with pytest.raises(TokenRequestError, match="invalid_grant") as caught:
        flow.fetch_token(callback.replace(state, other), other)
    assert_hidden(caught.value, code_of(callback), aries.client_secret)


def test_without_pkce_a_sandbox_that_requires_it_refuses(make_flow: MakeFlow, aries: AriesSandbox) -> None:
    flow = with_pkce(make_flow, aries, pkce=False)
    url, state = flow.authorization_url()
    assert "code_challenge" not in url
    with pytest.raises(AuthorizationError, match="invalid_request"):
        flow.fetch_token(aries.approve(url), state)


def test_a_verifier_for_a_link_that_had_no_challenge_is_refused(make_flow: MakeFlow, aries: AriesSandbox) -> None:
    callback, state = approved(aries, make_flow(pkce=False))
    with pytest.raises(TokenRequestError, match="invalid_grant"):
        make_flow(pkce=True).fetch_token(callback, state)


def test_pkce_needs_the_secret_for_the_link(make_flow: MakeFlow) -> None:
    with pytest.raises(ConfigurationError, match="client_secret is missing"):
        make_flow(pkce=True, client_secret=None).authorization_url()


@pytest.mark.parametrize("value, used", [("1", True), ("0", False), ("", False), (None, False)])
def test_pkce_is_the_parameter_else_the_variable_else_off(
    make_flow: MakeFlow, monkeypatch: pytest.MonkeyPatch, value: str | None, used: bool
) -> None:
    if value is not None:
        monkeypatch.setenv("ARIES_PKCE", value)
    assert ("code_challenge" in make_flow().authorization_url()[0]) == used
    assert "code_challenge" in make_flow(pkce=True).authorization_url()[0]
    assert "code_challenge" not in make_flow(pkce=False).authorization_url()[0]


@pytest.mark.parametrize("value", ["maybe", "true", "2", "yes\n"])
def test_a_pkce_variable_that_is_neither_is_a_configuration_error_that_names_it(
    make_flow: MakeFlow, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ARIES_PKCE", value)
    with pytest.raises(ConfigurationError, match=r"\$ARIES_PKCE"):
        make_flow().authorization_url()


@pytest.mark.parametrize("value", ["1", 1, object()])
def test_a_pkce_parameter_that_is_no_bool_is_a_configuration_error(make_flow: MakeFlow, value: Any) -> None:
    with pytest.raises(ConfigurationError, match="pkce"):
        make_flow(pkce=value)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"code_challenge_method": "plain"}, "S256"),
        ({"code_challenge": "short"}, "malformed"),
        ({"code_challenge_method": None}, "S256"),
    ],
)
def test_the_sandbox_refuses_a_challenge_that_is_none(
    make_flow: MakeFlow, aries: AriesSandbox, changes: dict[str, Any], said: str
) -> None:
    from urllib.parse import urlencode

    url, state = make_flow(pkce=True).authorization_url()
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    query = {name: value for name, value in {**query, **changes}.items() if value is not None}
    callback = aries.approve(f"{aries.authorize_url}?{urlencode(query)}")
    with pytest.raises(AuthorizationError, match=said):
        make_flow().fetch_token(callback, state)


# Messages and their cures


@pytest.mark.parametrize("state", [None, "", 5, "käse"])
def test_a_session_that_was_lost_is_an_authorization_error(
    flow: AuthorizationCodeFlow, aries: AriesSandbox, state: Any
) -> None:
    callback, right = approved(aries, flow)
    with pytest.raises(AuthorizationError, match="session") as caught:
        flow.fetch_token(callback, state)
    assert not aries.token_requests
    assert_hidden(caught.value, code_of(callback))
    assert flow.fetch_token(callback, right).access_token  # the cure: the state of this login


def test_a_callback_at_another_address_shows_both_and_mentions_a_proxy(make_flow: MakeFlow, aries: Any) -> None:
    flow = make_flow(redirect_uri="https://app.example/aries/callback")
    callback, state = approved(aries, flow)
    inside = callback.replace("https://app.example", "http://127.0.0.1:5000")
    with pytest.raises(AuthorizationError, match="proxy") as caught:
        flow.fetch_token(inside, state)
    assert "http://127.0.0.1:5000/aries/callback" in str(caught.value)
    assert "https://app.example/aries/callback" in str(caught.value)
    assert_hidden(caught.value, code_of(callback))
    assert flow.fetch_token(callback, state).access_token  # the cure: the address that the browser saw


def test_an_unknown_scope_gets_advice_about_scopes(make_flow: MakeFlow, aries: AriesSandbox) -> None:
    flow = make_flow(scope="user:everything")
    url, state = flow.authorization_url()
    with pytest.raises(AuthorizationError, match="Client Center") as caught:
        flow.fetch_token(aries.approve(url), state)
    assert caught.value.error == "invalid_scope"
    assert "approve" not in str(caught.value)


def test_a_plain_http_authorize_url_or_redirect_uri_is_refused(make_flow: MakeFlow) -> None:
    for changes in ({"redirect_uri": "http://app.example/cb"}, {"authorize_url": "http://app.example/authorize"}):
        with pytest.raises(InsecureTransportError):
            make_flow(**changes)


def test_a_secret_that_a_login_saved_serves_the_exchange_of_its_client(
    make_flow: MakeFlow, aries: AriesSandbox, store_path: Path
) -> None:
    from aries_auth.settings import saved_secret
    from aries_auth.token import Secret

    store = FileTokenStore(store_path)
    saved_secret.save(store, aries.client_id, Secret(aries.client_secret))
    flow = make_flow(client_secret=None)
    assert flow.fetch_token(*approved(aries, flow), store=store).access_token
