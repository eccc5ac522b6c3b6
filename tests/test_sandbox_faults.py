"""The sandbox fails as it is told to, takes many connections, and stops at once."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Iterator

import pytest
import requests

from aries_auth.testing import AriesSandbox, flat_error, nested_error, oauth_error


@pytest.fixture
def aries() -> Iterator[AriesSandbox]:
    with AriesSandbox() as running:
        yield running


def refresh(aries: AriesSandbox, refresh_token: Any = None) -> requests.Response:
    body = {
        "grant_type": "refresh_token",
        "client_id": aries.client_id,
        "client_secret": aries.client_secret,
        "refresh_token": refresh_token or aries.issue_token().refresh_token,
        "redirect_uri": aries.redirect_uri,
    }
    return requests.post(aries.token_url, json=body, timeout=20)


def in_background(act: Callable[[], Any]) -> Callable[[], Any]:
    """Starts it; call the result for the outcome, an exception included."""
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["is"] = act()
        except Exception as exc:
            outcome["is"] = exc

    thread = threading.Thread(target=run)
    thread.start()

    def wait() -> Any:
        thread.join(20)
        return outcome["is"]

    return wait


def test_a_status_replaces_the_answer_and_nothing_is_spent(aries: AriesSandbox) -> None:
    token = aries.issue_token()
    aries.fail(status=503, headers={"Retry-After": 7}, times=2)
    first = refresh(aries, token.refresh_token)
    assert (first.status_code, first.headers["Retry-After"], first.content) == (503, "7", b"")
    assert refresh(aries, token.refresh_token).status_code == 503
    assert refresh(aries, token.refresh_token).status_code == 200
    assert aries.refresh_count == 1
    assert [request.status for request in aries.token_requests] == [503, 503, 200]


@pytest.mark.parametrize(
    "body", [flat_error("no", {"code": "A"}), nested_error("INTERNAL", "B", "no"), oauth_error("c", "d")]
)
def test_the_documented_error_shapes_can_be_sent(aries: AriesSandbox, body: dict[str, Any]) -> None:
    aries.fail(status=400, body=body)
    assert refresh(aries).json() == body


def test_a_body_alone_is_a_200(aries: AriesSandbox) -> None:
    aries.fail(body="<h1>Welcome</h1>")
    aries.fail(body="plain")
    aries.fail(body=b"\x00")
    answers = [refresh(aries) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    types = [answer.headers["Content-Type"].split(";")[0] for answer in answers]
    assert types == ["text/html", "text/plain", "application/octet-stream"]
    assert aries.refresh_count == 0


def test_processed_spends_the_token_though_the_answer_is_replaced(aries: AriesSandbox) -> None:
    token = aries.issue_token()
    aries.fail(status=500, processed=True)
    assert refresh(aries, token.refresh_token).status_code == 500
    assert refresh(aries, token.refresh_token).status_code == 400
    assert (aries.refresh_count, aries.reused_refresh_tokens) == (1, 1)


def test_headers_alone_are_added_to_the_real_answer(aries: AriesSandbox) -> None:
    aries.fail(headers={"X-Request-Id": "r-1"})
    answer = refresh(aries)
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (200, "r-1")


def test_dropped_before_nothing_is_spent_and_dropped_after_it_is(aries: AriesSandbox) -> None:
    token = aries.issue_token()
    aries.fail(drop="before")
    with pytest.raises(requests.ConnectionError):
        refresh(aries, token.refresh_token)
    assert aries.refresh_count == 0
    aries.fail(drop="after")
    with pytest.raises(requests.ConnectionError):
        refresh(aries, token.refresh_token)
    assert aries.refresh_count == 1
    assert [(request.status, request.answered) for request in aries.token_requests] == [
        (None, False),
        (200, False),
    ]
    assert refresh(aries, token.refresh_token).status_code == 400


def test_a_lost_rotation_can_be_forgotten(aries: AriesSandbox) -> None:
    token = aries.issue_token()
    second = refresh(aries, token.refresh_token).json()["refresh_token"]
    aries.forget_rotation()
    assert refresh(aries, second).status_code == 400
    assert refresh(aries, token.refresh_token).status_code == 200


def test_a_delay_comes_after_the_request_was_processed(aries: AriesSandbox) -> None:
    aries.fail(delay=0.3)
    answer = in_background(lambda: refresh(aries))
    aries.wait_for_requests()
    assert aries.refresh_count == 1
    assert answer().status_code == 200
    assert aries.token_requests[0].duration >= 0.3


def test_a_hung_request_goes_on_when_healed(aries: AriesSandbox) -> None:
    aries.fail(hang=True, before=True)
    answer = in_background(lambda: refresh(aries))
    aries.wait_for_requests()
    assert aries.refresh_count == 0
    aries.heal()
    assert answer().status_code == 200
    assert aries.refresh_count == 1


def test_a_hung_request_that_is_stopped_is_not_processed(aries: AriesSandbox) -> None:
    aries.fail(hang=True, before=True)
    answer = in_background(lambda: refresh(aries))
    aries.wait_for_requests()
    aries.stop()
    assert isinstance(answer(), requests.ConnectionError)
    assert aries.refresh_count == 0


@pytest.mark.parametrize("part", ["headers", "body"])
def test_dripped_bytes_come_slowly_and_whole(aries: AriesSandbox, part: str) -> None:
    aries.fail(status=400, body={"error": "x"}, drip=0.002, drip_of=part)
    began = time.monotonic()
    assert refresh(aries).json() == {"error": "x"}
    assert time.monotonic() - began > 0.02


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_drip_ends_when_healed(aries: AriesSandbox, part: str) -> None:
    aries.fail(drip=60, drip_of=part)
    answer = in_background(lambda: refresh(aries))
    aries.wait_for_requests()
    aries.heal()
    assert answer().status_code == 200


def test_faults_keep_to_their_route_path_and_turn(aries: AriesSandbox) -> None:
    token = aries.issue_token().access_token
    headers = {"Authorization": f"Bearer {token}"}
    aries.fail("api", status=500, path="/v1/echo", times=None)
    aries.fail("api", status=429)
    aries.fail("authorize", status=502)

    def get(path: str) -> int:
        return requests.get(f"{aries.url}{path}", headers=headers, timeout=10).status_code

    assert [get("/v1/users/me"), get("/v1/users/me")] == [429, 200]
    assert [get("/v1/echo"), get("/v1/echo")] == [500, 500]
    assert get("/oauth2/authorize") == 502
    assert refresh(aries).status_code == 200
    aries.heal()
    assert get("/v1/echo") == 200


@pytest.mark.parametrize("wrong", [{"route": "tokens"}, {"drop": "during"}, {"drip_of": "tail"}])
def test_a_fault_that_makes_no_sense_is_refused(aries: AriesSandbox, wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="must be"):
        aries.fail(**wrong)  # type: ignore[arg-type]


def test_an_attribute_that_would_do_nothing_is_refused(aries: AriesSandbox) -> None:
    with pytest.raises(AttributeError):
        aries.rotate = False  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="redirect_uris"):
        AriesSandbox(redirect_uris="http://127.0.0.1/")


def test_a_fault_of_its_own_is_a_500_and_logged_without_text(
    aries: AriesSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(answer: dict[str, Any]) -> dict[str, Any]:
        raise ValueError(answer["access_token"])

    token = aries.issue_token()
    aries.rules.edit_answer = broken
    with caplog.at_level(logging.ERROR):
        assert refresh(aries, token.refresh_token).status_code == 500
    assert "ValueError" in caplog.text
    assert "at-" not in caplog.text
    assert [request.status for request in aries.token_requests] == [None]


def test_two_hundred_connections_at_a_time_are_taken(aries: AriesSandbox) -> None:
    aries.fail(hang=True, times=None)
    token = aries.issue_token(scope="user:information")
    with ThreadPoolExecutor(200) as pool:
        answers = [pool.submit(refresh, aries, f"rt-{number}") for number in range(200)]
        aries.wait_for_requests(200)
        api = requests.get(
            f"{aries.url}/v1/users/me", headers={"Authorization": f"Bearer {token.access_token}"}, timeout=10
        )
        assert api.status_code == 200
        aries.heal()
        assert {answer.result().status_code for answer in answers} == {400}
    assert aries.max_concurrent_token_requests == 200
    aries.reset_counts()
    assert aries.max_concurrent_token_requests == 0


def test_stop_is_prompt_with_hung_idle_and_half_sent_connections() -> None:
    before = threading.active_count()
    with AriesSandbox() as aries:
        aries.fail(hang=True)
        answer = in_background(lambda: refresh(aries))
        aries.wait_for_requests()
        host, port = aries.url[len("http://") :].split(":")
        idle = socket.create_connection((host, int(port)), timeout=10)
        half = socket.create_connection((host, int(port)), timeout=10)
        half.sendall(b"POST /v1/echo HTTP/1.1\r\nContent-Length: 5\r\n\r\nab")
        time.sleep(0.1)
        began = time.monotonic()
        aries.stop()
        assert time.monotonic() - began < 1
    assert isinstance(answer(), requests.ConnectionError)
    assert (idle.recv(1), half.recv(1)) == (b"", b"")
    idle.close()
    half.close()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_stop_and_start_again_keep_the_address_and_the_grants(aries: AriesSandbox) -> None:
    token, url = aries.issue_token(), aries.url
    aries.stop()
    assert not aries.running
    with pytest.raises(requests.ConnectionError):
        refresh(aries, token.refresh_token)
    aries.start()
    assert aries.url == url
    assert refresh(aries, token.refresh_token).status_code == 200


def test_wait_blocks_until_stop(aries: AriesSandbox) -> None:
    waiter = threading.Thread(target=aries.wait)
    waiter.start()
    assert waiter.is_alive()
    aries.stop()
    waiter.join(5)
    assert not waiter.is_alive()


def test_there_is_no_address_before_the_start() -> None:
    sandbox = AriesSandbox()
    assert "not running" in repr(sandbox)
    with pytest.raises(RuntimeError, match="before it is started"):
        sandbox.token_url  # noqa: B018


def test_waiting_for_requests_ends(aries: AriesSandbox) -> None:
    with pytest.raises(TimeoutError):
        aries.wait_for_requests(timeout=0.01)


def test_a_busy_port_is_an_os_error(aries: AriesSandbox) -> None:
    with pytest.raises(OSError, match="in use"):
        AriesSandbox(port=int(aries.url.rsplit(":", 1)[1])).start()


def test_it_listens_on_ipv6_too() -> None:
    try:
        with AriesSandbox(host="::1") as aries:
            assert refresh(aries).status_code == 200
    except OSError as exc:
        pytest.skip(f"no IPv6 here: {exc}")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_keep_connections_open(aries: AriesSandbox) -> None:
    aries.fail(hang=True)
    answer = in_background(lambda: refresh(aries))
    aries.wait_for_requests()
    child = os.fork()
    if child == 0:
        time.sleep(5)
        os._exit(0)
    try:
        aries.stop()
        assert isinstance(answer(), requests.ConnectionError)
        with pytest.raises(requests.ConnectionError):
            refresh(aries, "x")
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_environ_is_json_and_complete(aries: AriesSandbox) -> None:
    assert json.loads(json.dumps(aries.environ)) == {
        "ARIES_CLIENT_ID": "sandbox-client",
        "ARIES_CLIENT_SECRET": aries.client_secret,
        "ARIES_REDIRECT_URI": "http://127.0.0.1:8765/callback",
        "ARIES_TOKEN_URL": f"{aries.url}/v1/oauth2/token",
        "ARIES_AUTHORIZE_URL": f"{aries.url}/oauth2/authorize",
        "ARIES_API_ORIGINS": aries.url,
    }
