"""docs/architecture.md, "401": resend once with a newer token, or hand the 401 back."""

from __future__ import annotations

import logging
import time
from typing import Any, Callable, Iterator

import httpx
import pytest
import requests

from aries_auth import AriesAuth, ConfigurationError, FileTokenStore, LoginRequired, Token
from aries_auth.testing import AriesSandbox, fingerprint
from tests.conftest import EXPIRED, Background, in_threads
from tests.inside import source_of, start_over

from .conftest import LIBRARIES, Caller, caller

Stored = Callable[..., Token]
MakeAuth = Callable[..., AriesAuth]
OLD = 100.0  # seconds; beyond the youth of 30


@pytest.fixture
def auth(make_auth: MakeAuth, stored: Stored, aries: AriesSandbox) -> AriesAuth:
    """Holds a living token, not young any more, that the API refuses."""
    stored(age=OLD)
    auth = make_auth()
    auth.get_token()
    aries.revoke_access_tokens()
    return auth


def refresh_before_each_401_is_looked_at(auth: AriesAuth, condition: Callable[[], bool] = lambda: True) -> None:
    """Let the token change between a request and its 401, so that every 401 finds another one to resend with."""
    source = source_of(auth)
    renew = source.after_401

    def renew_later(*arguments: Any) -> Any:
        if condition():
            Background(auth.refresh).outcome()
        return (yield from renew(*arguments))

    source.after_401 = renew_later  # type: ignore[method-assign]


def test_a_refused_token_is_refreshed_and_the_call_resent(
    call: Caller, auth: AriesAuth, aries: AriesSandbox, url: str
) -> None:
    refused = auth.get_token()
    answer = call(auth, url)
    assert answer.status == 200
    assert answer.json["token"] == fingerprint(auth.get_token()) != fingerprint(refused)
    assert [request.status for request in aries.api_requests] == [401, 200]
    assert aries.refresh_count == 1


def test_a_url_that_is_written_another_way_is_resent_too(call: Caller, auth: AriesAuth, url: str) -> None:
    assert call(auth, url.replace("//", "//user:password@")).status == 200


def test_the_resend_keeps_method_headers_cookies_and_body(call: Caller, auth: AriesAuth, url: str) -> None:
    headers = {"X-Own": "1", "Cookie": "a=1; b=2"}
    answer = call(auth, url, "PUT", params={"q": "1"}, content=b"the body", headers=headers)
    seen = answer.json
    assert (seen["method"], seen["query"], seen["body"]) == ("PUT", "q=1", "the body")
    assert (seen["headers"]["x-own"], seen["headers"]["cookie"]) == ("1", "a=1; b=2")
    assert seen["headers"]["content-length"] == "8"


def test_there_is_at_most_one_resend(call: Caller, auth: AriesAuth, aries: AriesSandbox, url: str) -> None:
    aries.fail("api", status=401, times=None)
    assert call(auth, url).status == 401
    assert len(aries.api_requests) == 2
    assert aries.refresh_count == 1


def test_a_newer_token_in_memory_is_resent_without_a_refresh(
    call_sync: Caller, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, url: str
) -> None:
    stored(age=OLD)
    auth = make_auth()
    auth.get_token()
    aries.fail("api", delay=0.0, status=401)

    refresh_before_each_401_is_looked_at(auth, lambda: not aries.token_requests)
    assert call_sync(auth, url).status == 200
    assert len(aries.token_requests) == 1


@pytest.mark.parametrize("age", [0.0, OLD])
def test_a_newer_token_in_the_store_is_resent_without_a_refresh(
    call: Caller, auth: AriesAuth, stored: Stored, aries: AriesSandbox, url: str, age: float
) -> None:
    newer = stored(age=age)
    answer = call(auth, url)
    assert answer.json["token"] == fingerprint(newer.access_token)
    assert aries.token_requests == ()


def sent_after_a_fork(auth: AriesAuth, url: str, before: Callable[[], Any]) -> int:
    """The status of a request that was authorized before a fork, and that its child sends with nothing in memory."""
    with requests.Session() as session:
        request = session.prepare_request(requests.Request("GET", url, auth=auth))
        before()
        start_over(auth)
        return session.send(request, timeout=20).status_code


def test_a_401_that_finds_nothing_in_memory_looks_in_the_store(auth: AriesAuth, aries: AriesSandbox, url: str) -> None:
    assert sent_after_a_fork(auth, url, lambda: None) == 200
    assert aries.refresh_count == 1


def test_a_401_that_finds_another_token_which_has_expired_waits_for_the_next(
    auth: AriesAuth, stored: Stored, aries: AriesSandbox, url: str
) -> None:
    assert sent_after_a_fork(auth, url, lambda: stored(age=EXPIRED)) == 200
    assert aries.refresh_count == 1
    assert [request.status for request in aries.api_requests] == [401, 200]
    assert "(requests/" in (aries.token_requests[0].user_agent or "")


@pytest.mark.parametrize("way, sender", LIBRARIES.items())
def test_the_refresh_is_sent_by_the_library_of_the_refused_call(
    auth: AriesAuth, aries: AriesSandbox, url: str, way: str, sender: str
) -> None:
    assert caller(way)(auth, url).status == 200
    assert f"({sender}/" in (aries.token_requests[0].user_agent or "")


@pytest.mark.parametrize("age", [0.0, 25.0])
def test_a_young_token_is_not_refreshed(
    call: Caller, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, url: str, age: float
) -> None:
    stored(age=age)
    aries.revoke_access_tokens()
    assert call(make_auth(), url).status == 401
    assert aries.token_requests == ()
    assert len(aries.api_requests) == 1, "and nothing is resent"


def test_a_refused_access_token_that_somebody_has_just_been_given_again_is_young(
    call_sync: Caller, auth: AriesAuth, store: FileTokenStore, aries: AriesSandbox, url: str, caplog: Any
) -> None:
    token = auth.token
    assert token is not None
    store.save(Token(**{**token.__dict__, "obtained_at": (token.obtained_at or 0.0) + OLD}))
    assert call_sync(auth, url).status == 401
    assert aries.token_requests == ()
    assert not caplog.records, "nothing was tried that failed"


def test_a_refused_access_token_that_somebody_was_given_again_long_ago_is_refreshed(
    call_sync: Caller, auth: AriesAuth, store: FileTokenStore, aries: AriesSandbox, url: str
) -> None:
    token = auth.token
    assert token is not None
    store.save(Token(**{**token.__dict__, "scope": "another"}))
    assert call_sync(auth, url).status == 200
    assert aries.refresh_count == 1


@pytest.mark.parametrize("age, refreshes", [(9.0, 0), (11.0, 1)])
def test_youth_is_a_quarter_of_a_short_life(
    call_sync: Caller, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, url: str, age: float, refreshes: int
) -> None:
    stored(age=age, expires_in=40.0)
    aries.revoke_access_tokens()
    call_sync(make_auth(refresh_margin=0.0), url)
    assert aries.refresh_count == refreshes


@pytest.mark.parametrize("age, refreshes", [(25.0, 0), (35.0, 1)])
def test_youth_is_30_s_where_the_lifetime_is_not_known(
    call_sync: Caller, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, url: str, age: float, refreshes: int
) -> None:
    aries.rules.expires_in = None
    stored(age=age)
    aries.revoke_access_tokens()
    call_sync(make_auth(), url)
    assert aries.refresh_count == refreshes


def test_no_token_is_young_whose_age_is_not_known(
    call_sync: Caller, make_auth: MakeAuth, store: FileTokenStore, aries: AriesSandbox, url: str
) -> None:
    token = aries.issue_token()
    store.save(Token(**{**token.__dict__, "obtained_at": None}))
    aries.revoke_access_tokens()
    assert call_sync(make_auth(), url).status == 200


def test_a_token_from_the_future_is_not_young(
    call_sync: Caller, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, url: str
) -> None:
    stored(age=-3600.0)
    aries.revoke_access_tokens()
    assert call_sync(make_auth(), url).status == 200


@pytest.mark.parametrize("client", ["requests", "httpx"])
def test_a_permanent_401_is_no_storm_of_token_requests(
    client: str, auth: AriesAuth, aries: AriesSandbox, url: str
) -> None:
    aries.fail("api", status=401, times=None)

    def calls() -> list[int]:
        with requests.Session() if client == "requests" else httpx.Client() as session:
            return [session.get(url, auth=auth).status_code for _ in range(63)]  # type: ignore[union-attr]

    begun = time.monotonic()
    assert in_threads(8, calls) == [[401] * 63] * 8
    # Each new token is young for 30 s, and a busy machine may take longer for 504 calls.
    assert len(aries.token_requests) <= 2 + (time.monotonic() - begun) // 30


def test_a_refused_grant_is_login_required(call: Caller, auth: AriesAuth, aries: AriesSandbox, url: str) -> None:
    aries.revoke_grants()
    with pytest.raises(LoginRequired, match="aries-auth login"):
        call(auth, url)


def test_a_refresh_that_fails_otherwise_hands_the_401_back_with_a_warning(
    call: Caller, auth: AriesAuth, aries: AriesSandbox, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    aries.fail(status=401, body={"error": "invalid_client"})
    assert call(auth, url).status == 401
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage().startswith("A call was answered 401 and the token could not be refreshed: ")
    assert "invalid_client" in record.getMessage()


def test_a_refresh_that_takes_too_long_hands_the_401_back(
    call: Caller, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, url: str
) -> None:
    stored(age=OLD)
    aries.revoke_access_tokens()
    aries.fail(hang=True)
    assert call(make_auth(timeout=0.2), url).status == 401
    aries.heal()


def test_another_clients_token_met_on_a_401_is_a_configuration_error(
    call: Caller, auth: AriesAuth, store: FileTokenStore, aries: AriesSandbox, url: str
) -> None:
    store.save(Token("other", "other", client_id="somebody-else"))
    with pytest.raises(ConfigurationError, match="client_id"):
        call(auth, url)
    assert aries.token_requests == ()


def test_whatever_tokens_there_are_an_exchange_is_resent_once(
    call: Caller, auth: AriesAuth, aries: AriesSandbox, url: str
) -> None:
    aries.fail("api", status=401, times=None)
    refresh_before_each_401_is_looked_at(auth)
    assert call(auth, url).status == 401
    assert len(aries.api_requests) == 2


def test_the_next_hop_of_a_redirect_is_a_new_exchange(call: Caller, auth: AriesAuth, aries: AriesSandbox) -> None:
    auth.refresh()
    aries.fail("api", status=401, path="/v1/redirect")
    aries.fail("api", status=401, path="/v1/echo")
    refresh_before_each_401_is_looked_at(auth)
    answer = call(auth, f"{aries.url}/v1/redirect", params={"to": "/v1/echo"})
    assert answer.status == 200
    assert [(request.path, request.status) for request in aries.api_requests] == [
        ("/v1/redirect", 401),
        ("/v1/redirect", 307),
        ("/v1/echo", 401),
        ("/v1/echo", 200),
    ]


def test_the_hop_after_a_resend_carries_the_new_token(call: Caller, auth: AriesAuth, aries: AriesSandbox) -> None:
    aries.fail("api", status=401, path="/v1/redirect")
    answer = call(auth, f"{aries.url}/v1/redirect", params={"to": "/v1/echo"})
    assert answer.json["token"] == fingerprint(auth.get_token())
    assert [request.status for request in aries.api_requests] == [401, 307, 200]
    assert aries.refresh_count == 1


def test_a_refused_hop_is_resent_with_its_body(call: Caller, auth: AriesAuth, aries: AriesSandbox) -> None:
    answer = call(auth, f"{aries.url}/v1/redirect", "POST", params={"to": "/v1/echo"}, content=b"the body")
    assert (answer.status, answer.json["method"], answer.json["body"]) == (200, "POST", "the body")
    assert [request.status for request in aries.api_requests] == [307, 401, 200]


def test_a_generator_is_not_resent_and_the_next_call_has_the_new_token(
    call_sync: Caller, auth: AriesAuth, aries: AriesSandbox, url: str
) -> None:
    def body() -> Iterator[bytes]:
        yield b"once"

    assert call_sync(auth, url, "POST", content=body()).status == 401
    assert len(aries.api_requests) == 1
    assert call_sync(auth, url, "POST", content=body()).json["body"] == "once"
    assert aries.refresh_count == 1
