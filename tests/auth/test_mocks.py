"""Somebody else's tests: responses, respx and freezegun, as people use them."""

from __future__ import annotations

import asyncio
import datetime
import json
import time
from typing import Any, Callable

import freezegun
import httpx
import pytest
import requests
import responses
import respx

from aries_auth import AriesAuth, FileTokenStore, LoginRequired, Token

TOKEN_URL = "https://api.aries.com/v1/oauth2/token"
API = "https://api.aries.com/v1/users/me"
ANSWER = {"access_token": "new", "refresh_token": "next", "token_type": "Bearer", "expires_in": 3600}


@pytest.fixture
def auth(store: FileTokenStore) -> AriesAuth:
    now = time.time()
    store.save(Token("old", "spent", obtained_at=now - 3700, expires_at=now - 100, client_id="me"))
    return AriesAuth("me", "secret", "https://app.example/callback", store=store)


@responses.activate
def test_responses_answers_the_call_and_the_refresh(auth: AriesAuth) -> None:
    responses.post(TOKEN_URL, json=ANSWER)
    responses.get(API, json={"id": "me"})
    assert requests.get(API, auth=auth, timeout=5).json() == {"id": "me"}
    refresh, call = responses.calls
    assert call.request.headers["Authorization"] == "Bearer new"
    assert json.loads(refresh.request.body or b"")["refresh_token"] == "spent"


@responses.activate
def test_responses_can_refuse_a_token_once(auth: AriesAuth) -> None:
    responses.post(TOKEN_URL, json=ANSWER)
    responses.post(TOKEN_URL, json={**ANSWER, "access_token": "newest"})
    responses.get(API, json={"id": "me"})
    refused = responses.get(API, status=401)
    responses.get(API, json={"id": "me"})
    with freezegun.freeze_time(datetime.datetime.now(datetime.timezone.utc)) as frozen:
        requests.get(API, auth=auth, timeout=5)
        frozen.tick(60.0)
        assert requests.get(API, auth=auth, timeout=5).status_code == 200
    assert refused.call_count == 1
    assert responses.calls[-1].request.headers["Authorization"] == "Bearer newest"


@responses.activate
def test_responses_can_end_the_grant(auth: AriesAuth) -> None:
    responses.post(TOKEN_URL, status=400, json={"error": "invalid_grant"})
    with pytest.raises(LoginRequired):
        requests.get(API, auth=auth, timeout=5)


@respx.mock
def test_respx_answers_the_call_and_the_refresh(auth: AriesAuth) -> None:
    refresh = respx.post(TOKEN_URL).respond(json=ANSWER)
    call = respx.get(API).respond(json={"id": "me"})
    assert httpx.get(API, auth=auth).json() == {"id": "me"}
    assert call.calls.last.request.headers["Authorization"] == "Bearer new"
    assert json.loads(refresh.calls.last.request.content)["refresh_token"] == "spent"


@respx.mock
def test_respx_answers_an_async_client(auth: AriesAuth) -> None:
    respx.post(TOKEN_URL).respond(json=ANSWER)
    respx.get(API).respond(json={"id": "me"})

    async def main() -> Any:
        async with httpx.AsyncClient(auth=auth) as client:
            return (await client.get(API)).json()

    assert asyncio.run(main()) == {"id": "me"}


def test_a_mock_transport_serves_as_token_client(auth: AriesAuth, store: FileTokenStore) -> None:
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=ANSWER))) as client:
        mocked = AriesAuth("me", "secret", "https://app.example/callback", store=store, token_client=client)
        assert mocked.get_token() == "new"


def get(auth: AriesAuth) -> str:
    return auth.get_token()


def get_in_a_loop(auth: AriesAuth) -> str:
    return asyncio.run(auth.get_token_async())


@respx.mock
@pytest.mark.parametrize("act", [get, get_in_a_loop])
def test_with_the_time_frozen_a_token_lives_and_expires_as_the_test_says(
    store: FileTokenStore, act: Callable[[AriesAuth], str]
) -> None:
    names = iter(["second", "third"])
    respx.post(TOKEN_URL).mock(side_effect=lambda _: httpx.Response(200, json={**ANSWER, "access_token": next(names)}))
    with freezegun.freeze_time("2030-01-01 12:00:00", real_asyncio=True) as frozen:
        now = time.time()
        store.save(Token("first", "spent", obtained_at=now, expires_at=now + 3600))
        auth = AriesAuth("me", "secret", "https://app.example/callback", store=store)
        assert act(auth) == "first"
        frozen.tick(3000.0)
        assert act(auth) == "first"
        frozen.tick(601.0)
        assert act(auth) == "second"
        assert auth.token is not None
        assert auth.token.expires_at == pytest.approx(time.time() + 3600, abs=2.0)
        frozen.tick(-7200.0)
        assert act(auth) == "second", "a clock that is set back is no reason to refresh"
        frozen.tick(7200.0 + 86400.0)
        assert act(auth) == "third"
        assert act(auth) == "third"


@respx.mock
def test_a_clock_frozen_far_from_the_threads_clock_makes_nobody_spin(store: FileTokenStore) -> None:
    route = respx.post(TOKEN_URL).respond(json=ANSWER)
    for frozen in ("2001-01-01", "2099-01-01"):
        with freezegun.freeze_time(frozen):
            now = time.time()
            store.save(Token("old", "spent", obtained_at=now - 7200, expires_at=now - 3600))
            auth = AriesAuth("me", "secret", "https://app.example/callback", store=store)
            assert [auth.get_token() for _ in range(50)] == ["new"] * 50
    assert route.call_count == 2
