"""The sandbox's API asks for the token, and its records tell what happened without telling a token."""

from __future__ import annotations

import logging
import socket
from typing import Any, Iterator

import pytest
import requests

from aries_auth.testing import AriesSandbox, fingerprint


@pytest.fixture
def aries() -> Iterator[AriesSandbox]:
    with AriesSandbox() as running:
        yield running


def call(aries: AriesSandbox, method: str, path: str, token: str | None = None, **more: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{aries.api_url}{path}"
    return requests.request(method, url, headers=headers, timeout=10, allow_redirects=False, **more)


def connect(aries: AriesSandbox) -> socket.socket:
    host, port = aries.url[len("http://") :].split(":")
    return socket.create_connection((host, int(port)), timeout=10)


@pytest.mark.parametrize(
    "method, path, scope",
    [
        ("GET", "/v1/users/me", "user:information"),
        ("GET", "/v1/users/me/accounts", "account:information"),
        ("POST", "/v1/orders", "order:execution"),
        ("GET", "/v1/marketdata/search?query=apple", "market:information"),
    ],
)
def test_a_route_needs_its_scope(aries: AriesSandbox, method: str, path: str, scope: str) -> None:
    allowed = aries.issue_token(scope=[scope]).access_token
    other = aries.issue_token(scope="calendar:information").access_token
    assert call(aries, method, path, allowed, json={"symbol": "AAPL", "qty": "1"}).status_code == 200
    refused = call(aries, method, path, other, json={"symbol": "AAPL", "qty": "1"})
    assert (refused.status_code, refused.json()["error"]["type"]) == (403, "AUTHORIZATION")


def test_without_a_good_token_it_is_a_nested_401(aries: AriesSandbox) -> None:
    token = aries.issue_token().access_token
    codes = [call(aries, "GET", "/v1/users/me", sent).json()["error"]["code"] for sent in (None, "x", token[:-1])]
    assert codes == ["MISSING_TOKEN", "INVALID_TOKEN", "INVALID_TOKEN"]
    answer = call(aries, "GET", "/v1/users/me")
    assert answer.status_code == 401
    assert set(answer.json()["error"]) == {"type", "code", "message", "request_id", "details"}
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_tokens_can_be_revoked_and_expired_and_grants_revoked(aries: AriesSandbox) -> None:
    revoked = aries.issue_token().access_token
    aries.revoke_access_tokens()
    expired = aries.issue_token().access_token
    aries.expire_access_tokens()
    gone = aries.issue_token().access_token
    assert aries.live_grants == 3
    aries.revoke_grants()
    good = aries.issue_token().access_token
    answers = [call(aries, "GET", "/v1/users/me", token) for token in (expired, revoked, gone, good)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 200]
    assert aries.live_grants == 1


def test_two_authorization_headers_are_no_good_token(aries: AriesSandbox) -> None:
    token = aries.issue_token().access_token
    request = f"GET /v1/users/me HTTP/1.0\r\nAuthorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n\r\n"
    with connect(aries) as connection:
        connection.sendall(request.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "body, field",
    [
        ({}, "body"),
        ([1], "body"),
        ({"symbol": ""}, "symbol"),
        ({"symbol": "AAPL", "quantity": 0}, "quantity"),
        ({"symbol": "AAPL", "qty": "many"}, "qty"),
        ({"symbol": "AAPL", "qty": True}, "qty"),
    ],
)
def test_a_bad_order_is_a_flat_validation_error(aries: AriesSandbox, body: object, field: str) -> None:
    answer = call(aries, "POST", "/v1/orders", aries.issue_token().access_token, json=body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"error", "codes", "metadata"}
    assert set(answer.json()["codes"][0]) == {"code", "description", "field"}
    assert answer.json()["codes"][0]["field"] == field
    assert aries.orders == ()


def test_an_order_is_echoed_with_an_id_and_kept(aries: AriesSandbox) -> None:
    order = {"symbol": "AAPL", "qty": "10", "side": "BUY"}
    answer = call(aries, "POST", "/v1/orders", aries.issue_token().access_token, json=order).json()
    assert {name: answer[name] for name in order} == order
    assert answer["id"]
    assert aries.orders == (answer,)


def test_search_and_unknown_routes_and_methods(aries: AriesSandbox) -> None:
    token = aries.issue_token().access_token
    found = call(aries, "GET", "/v1/marketdata/search?query=apple", token).json()
    assert [item["symbol"] for item in found] == ["AAPL"]
    assert call(aries, "GET", "/v1/marketdata/search", token).status_code == 400
    assert call(aries, "GET", "/v1/nowhere", token).status_code == 404
    assert call(aries, "DELETE", "/v1/users/me", token).status_code == 405
    assert call(aries, "HEAD", "/v1/users/me", token).text == ""


def test_echo_returns_everything_but_the_token(aries: AriesSandbox) -> None:
    token = aries.issue_token().access_token
    answer = call(aries, "PUT", "/v1/echo?a=b", token, data="grüß".encode(), cookies={"c": "d"})
    assert token not in answer.text
    body = answer.json()
    assert (body["method"], body["path"], body["query"], body["body"]) == ("PUT", "/v1/echo", "a=b", "grüß")
    assert body["headers"]["cookie"] == "c=d"
    assert body["token"] == fingerprint(token)
    assert call(aries, "PUT", "/v1/echo").status_code == 401


def test_a_chunked_body_is_read(aries: AriesSandbox) -> None:
    token = aries.issue_token().access_token
    with requests.Session() as session:
        for _ in range(2):  # the second one shows that the first was read to its end
            answer = session.post(
                f"{aries.url}/v1/echo",
                data=iter([b"one ", b"two"]),
                headers={"Authorization": f"Bearer {token}"},
                timeout=10,
            )
            assert answer.json()["body"] == "one two"


@pytest.mark.parametrize("length", ["-1", "many", "999999999999"])
def test_a_body_of_no_usable_length_is_400(aries: AriesSandbox, length: str) -> None:
    with connect(aries) as connection:
        connection.sendall(f"POST /v1/echo HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("chunks", [b"x\r\n", b"-1\r\n", b"fffffffff\r\n"])
def test_a_bad_chunk_is_400(aries: AriesSandbox, chunks: bytes) -> None:
    with connect(aries) as connection:
        connection.sendall(b"POST /v1/echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_a_request_that_was_not_sent_whole_is_not_processed(aries: AriesSandbox) -> None:
    with connect(aries) as connection:
        connection.sendall(b"POST /v1/echo HTTP/1.1\r\nContent-Length: 9\r\n\r\n{}")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1000) == b""
    assert aries.api_requests == ()


def test_reset_leaves_nothing_of_what_was_before(aries: AriesSandbox) -> None:
    token = aries.issue_token().access_token
    call(aries, "POST", "/v1/orders", token, json={"symbol": "AAPL"})
    aries.rules.access_token_lifetime = 1
    aries.fail("api", status=500, times=None)
    aries.reset()
    assert (aries.orders, aries.api_requests, aries.live_grants) == ((), (), 0)
    assert aries.rules.access_token_lifetime == 3600
    assert call(aries, "GET", "/v1/users/me", token).json()["error"]["code"] == "INVALID_TOKEN"


def test_a_hung_request_that_reset_lets_go_does_not_count_afterwards(aries: AriesSandbox) -> None:
    aries.fail(hang=True)
    with connect(aries) as connection:
        connection.sendall(b"POST /v1/oauth2/token HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        aries.wait_for_requests()
        aries.reset()
        assert connection.recv(1000).startswith(b"HTTP/1.1 415 ")
    assert aries.token_requests == ()


def test_redirects_go_where_they_are_told(aries: AriesSandbox) -> None:
    answer = call(aries, "POST", "/v1/redirect?to=https://other.example/x&status=303")
    assert (answer.status_code, answer.headers["Location"]) == (303, "https://other.example/x")
    assert call(aries, "GET", "/v1/redirect?to=/v1/echo").status_code == 307
    assert call(aries, "GET", "/v1/redirect?to=/a%0d%0aSet-Cookie:x").status_code == 400
    assert call(aries, "GET", "/v1/redirect?to=/a&status=200").status_code == 400


def test_records_name_tokens_by_their_fingerprint(aries: AriesSandbox) -> None:
    token = aries.issue_token()
    call(aries, "GET", "/v1/users/me?secret=1", token.access_token)
    fields: dict[str, object] = {"grant_type": "refresh_token", "refresh_token": token.refresh_token}
    requests.post(aries.token_url, json=fields, headers={"User-Agent": "me/1"}, timeout=10)
    (api,), (token_request,) = aries.api_requests, aries.token_requests
    assert (api.method, api.path, api.status) == ("GET", "/v1/users/me", 200)
    assert api.fingerprint == fingerprint(token.access_token)
    assert (token_request.grant_type, token_request.status) == ("refresh_token", 400)
    assert token_request.fingerprint == fingerprint(token.refresh_token or "")
    assert token_request.user_agent == "me/1"
    assert token_request.fields == ("grant_type", "refresh_token")
    assert not token_request.had_authorization
    aries.reset_counts()
    assert (aries.api_requests, aries.token_requests) == ((), ())


def test_no_log_record_or_repr_has_a_token_code_or_secret(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG), AriesSandbox() as aries:
        token = aries.issue_token()
        call(aries, "GET", f"/v1/users/me?token={token.access_token}", token.access_token)
        requests.post(aries.token_url, json={"refresh_token": token.refresh_token}, timeout=10)
        shown = "".join([repr(aries), repr(aries.api_requests), repr(aries.token_requests), repr(aries.rules)])
    ours = "".join(record.getMessage() for record in caplog.records if record.name == "aries_auth.testing")
    printed = "".join(capfd.readouterr())
    assert "GET /v1/users/me 200" in ours
    for secret in (token.access_token, token.refresh_token or "-", aries.client_secret):
        assert secret not in shown + ours + printed
