"""docs/architecture.md, "Attach" and "Origins": where the token goes, and where it never goes."""

from __future__ import annotations

import asyncio
import logging
import urllib.request
from typing import Any, Callable, Iterator

import httpx
import pytest
import requests

from aries_auth import AriesAuth, InsecureTransportError, Token
from aries_auth.testing import AriesSandbox, fingerprint
from tests.conftest import EXPIRED, FRESH

from .conftest import LIBRARIES, Caller, caller


@pytest.fixture
def elsewhere() -> Iterator[AriesSandbox]:
    """Another origin."""
    with AriesSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def auth(make_auth: Callable[..., AriesAuth], stored: Callable[..., Token]) -> AriesAuth:
    stored(age=FRESH)  # old enough for a 401 to matter
    return make_auth()


def test_a_call_carries_the_token(call: Caller, auth: AriesAuth, url: str) -> None:
    answer = call(auth, url, "POST", content=b"body", headers={"X-Own": "1"})
    assert answer.json["token"] == fingerprint(auth.get_token())
    assert (answer.json["method"], answer.json["body"], answer.json["headers"]["x-own"]) == ("POST", "body", "1")


@pytest.mark.parametrize("way, sender", LIBRARIES.items())
def test_a_token_request_is_sent_by_the_library_of_the_call(
    make_auth: Callable[..., AriesAuth],
    stored: Callable[..., Token],
    aries: AriesSandbox,
    url: str,
    way: str,
    sender: str,
) -> None:
    stored(age=EXPIRED)
    assert caller(way)(make_auth(), url).status == 200
    assert f"({sender}/" in (aries.token_requests[0].user_agent or "")


@pytest.mark.parametrize(
    "ask",
    [AriesAuth.get_token, lambda auth: asyncio.run(auth.get_token_async()), AriesAuth.refresh],
    ids=["get_token", "get_token_async", "refresh"],
)
def test_a_token_request_of_no_call_is_sent_by_httpx(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox, ask: Callable[..., Any]
) -> None:
    stored(age=EXPIRED)
    ask(make_auth())
    assert "(httpx/" in (aries.token_requests[0].user_agent or "")


def test_a_callers_own_authorization_header_is_overwritten(call: Caller, auth: AriesAuth, url: str) -> None:
    answer = call(auth, url, headers={"Authorization": "Bearer of-the-caller"})
    assert answer.json["token"] == fingerprint(auth.get_token())


def test_a_request_elsewhere_goes_out_untouched(call: Caller, auth: AriesAuth, elsewhere: AriesSandbox) -> None:
    call(auth, f"{elsewhere.url}/v1/echo", headers={"X-Own": "1"})
    assert [request.fingerprint for request in elsewhere.api_requests] == [None]


def test_a_request_that_goes_out_without_the_token_leaves_one_debug_record_with_its_origin_alone(
    call: Caller, auth: AriesAuth, url: str, elsewhere: AriesSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "aries_auth")
    call(auth, f"{elsewhere.url}/v1/echo?account=4711")
    [record] = [record for record in caplog.records if getattr(record, "event", None) == "withheld"]
    assert (record.levelno, record.__dict__["origin"]) == (logging.DEBUG, elsewhere.url)
    assert elsewhere.url in record.getMessage()
    assert not any(part in record.getMessage() for part in ("echo", "4711"))
    caplog.clear()
    call(auth, url)
    assert [record for record in caplog.records if getattr(record, "event", None) == "withheld"] == []


def test_a_request_elsewhere_keeps_the_callers_own_header(
    call_sync: Caller, auth: AriesAuth, elsewhere: AriesSandbox
) -> None:
    call_sync(auth, f"{elsewhere.url}/v1/echo", headers={"Authorization": "Bearer of-the-caller"})
    assert [request.fingerprint for request in elsewhere.api_requests] == [fingerprint("of-the-caller")]


def test_a_401_elsewhere_is_nobodys_business(
    call: Caller, auth: AriesAuth, aries: AriesSandbox, elsewhere: AriesSandbox
) -> None:
    answer = call(auth, f"{elsewhere.url}/v1/echo", headers={"Authorization": f"Bearer {auth.get_token()}"})
    assert answer.status == 401
    assert len(elsewhere.api_requests) == 1
    assert aries.token_requests == ()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_after_a_redirect_the_token_never_leaves_the_listed_origins(
    call: Caller, auth: AriesAuth, aries: AriesSandbox, elsewhere: AriesSandbox, status: int
) -> None:
    target = f"{elsewhere.url}/v1/echo"
    answer = call(auth, f"{aries.url}/v1/redirect", params={"to": target, "status": str(status)})
    assert answer.status == 401, "the far end asks for a token"
    assert [request.fingerprint for request in elsewhere.api_requests] == [None]
    assert aries.token_requests == (), "and that is no reason to refresh"


def test_after_a_redirect_and_back_nothing_is_added(
    call_sync: Caller, auth: AriesAuth, aries: AriesSandbox, elsewhere: AriesSandbox
) -> None:
    back = f"{elsewhere.url}/v1/redirect?to={aries.url}/v1/echo&status=307"
    answer = call_sync(auth, f"{aries.url}/v1/redirect", params={"to": back})
    assert answer.status == 401
    assert [request.fingerprint is None for request in aries.api_requests] == [False, True]
    assert aries.token_requests == ()


def test_a_redirect_within_the_origin_keeps_the_token(call: Caller, auth: AriesAuth, aries: AriesSandbox) -> None:
    answer = call(auth, f"{aries.url}/v1/redirect", params={"to": "/v1/echo"})
    assert answer.json["token"] == fingerprint(auth.get_token())


def test_a_session_that_takes_the_token_abroad_gets_no_new_one_there(
    auth: AriesAuth, aries: AriesSandbox, elsewhere: AriesSandbox
) -> None:
    class Careless(requests.Session):
        def rebuild_auth(self, *_: Any) -> None:
            pass

    with Careless() as session:
        answer = session.get(f"{aries.url}/v1/redirect", params={"to": f"{elsewhere.url}/v1/echo"}, auth=auth)
    assert answer.status_code == 401
    assert len(elsewhere.api_requests) == 1
    assert aries.token_requests == ()


LISTED = [
    "https://api.aries.com",
    "https://other.example:8443",
    "https://[2001:db8::1]",
    "https://xn--bcher-kva.example",
]

ALIKE = [
    "https://api.aries.com/v1/x",
    "https://API.Aries.com/v1/x",
    "HTTPS://api.aries.com/v1/x",
    "https://api.aries.com:443/v1/x",
    "https://user:password@api.aries.com/v1/x",
    "https://api.aries.com",
    "https://api.aries.com?q=1",
    "https://other.example:8443/",
    "https://[2001:db8::1]/",
    "https://[2001:DB8::1]:443/",
    "https://bücher.example/",
    "https://xn--bcher-kva.example/",
]
FOREIGN = [
    "https://api.aries.com.:443/v1/x",
    "https://api.aries.com.evil.example/",
    "https://evil.example/https://api.aries.com/",
    "https://api.aries.com@evil.example/",
    "https://api.aries.com:8443/v1/x",
    "https://other.example/",
    "https://other.example:84430/"[:-1] + "1/",
    "https://\u0430pi.aries.com/",  # a Cyrillic first letter
    "https://[2001:db8::2]/",
    "http://elsewhere.example/",
    "ws://api.aries.com/",
]


@pytest.fixture
def listing(make_auth: Callable[..., AriesAuth], stored: Callable[..., Token]) -> AriesAuth:
    stored()
    return make_auth(api_origins=LISTED)


def prepared(auth: AriesAuth, url: str) -> requests.PreparedRequest:
    return requests.Request("GET", url, auth=auth).prepare()


def sent_by_httpx(auth: AriesAuth, url: str) -> httpx.Request:
    return next(auth.sync_auth_flow(httpx.Request("GET", url)))


def sent_by_async_httpx(auth: AriesAuth, url: str) -> httpx.Request:
    async def first() -> httpx.Request:
        return await auth.async_auth_flow(httpx.Request("GET", url)).__anext__()

    return asyncio.run(first())


@pytest.mark.parametrize("address", ALIKE)
@pytest.mark.parametrize("send", [prepared, sent_by_httpx, sent_by_async_httpx])
def test_hosts_compare_without_case_and_443_is_https_default(
    listing: AriesAuth, address: str, send: Callable[..., Any]
) -> None:
    assert send(listing, address).headers["Authorization"] == f"Bearer {listing.get_token()}"


@pytest.mark.parametrize("address", FOREIGN)
@pytest.mark.parametrize("send", [prepared, sent_by_httpx, sent_by_async_httpx])
def test_what_only_looks_like_a_listed_origin_gets_nothing(
    listing: AriesAuth, address: str, send: Callable[..., Any]
) -> None:
    try:
        request = send(listing, address)
    except (requests.exceptions.InvalidURL, httpx.InvalidURL):
        return  # nothing goes out at all
    assert listing.get_token() not in request.headers.get("Authorization", "")


@pytest.mark.parametrize(
    "address", ["http://api.aries.com/v1/x", "http://API.aries.com:8080/", "http://other.example/"]
)
@pytest.mark.parametrize("send", [prepared, sent_by_httpx, sent_by_async_httpx])
def test_an_http_url_of_a_listed_host_is_refused_on_whatever_port(
    listing: AriesAuth, address: str, send: Callable[..., Any]
) -> None:
    with pytest.raises(InsecureTransportError, match="https"):
        send(listing, address)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
@pytest.mark.parametrize("send", [prepared, sent_by_httpx, sent_by_async_httpx])
def test_http_is_good_enough_for_a_loopback_address(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], host: str, send: Callable[..., Any]
) -> None:
    token = stored()
    auth = make_auth(api_origins=[f"http://{host}:8080"])
    assert send(auth, f"http://{host}:8080/").headers["Authorization"] == f"Bearer {token.access_token}"
    assert "Authorization" not in send(auth, f"http://{host}:8081/").headers


@pytest.mark.parametrize("given", [{"token_url": "http://aries.example/token"}, {"api_origins": ["http://a.example"]}])
def test_plain_http_in_a_parameter_is_refused_at_construction(make_auth: Callable[..., AriesAuth], given: Any) -> None:
    with pytest.raises(InsecureTransportError):
        make_auth(**given)


def test_the_api_origins_of_the_environment_count(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored()
    monkeypatch.setenv("ARIES_API_ORIGINS", "https://one.example, https://two.example")
    auth = make_auth(api_origins=None)
    assert "Authorization" in prepared(auth, "https://two.example/").headers
    assert "Authorization" not in prepared(auth, "https://api.aries.com/").headers


@pytest.mark.parametrize(
    "caller", [object(), urllib.request.Request("https://api.aries.com"), httpx.Request("GET", "https://api.aries.com")]
)
def test_a_library_that_takes_it_for_a_callable_is_told_what_to_use(auth: AriesAuth, caller: Any) -> None:
    with pytest.raises(TypeError, match=rf"not a {type(caller).__module__}\.{type(caller).__name__}\. .*get_token"):
        auth(caller)
