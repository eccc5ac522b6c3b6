"""The token endpoint in every kind of trouble: under load no call fails while the token lives, and errors are clear."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import ssl
import threading
import time
from email.utils import formatdate
from typing import Any, Callable, ContextManager, Iterator

import pytest

from aries_auth import LoginRequired, TokenRequestError
from aries_auth.testing import AriesSandbox

from .conftest import EXPIRED, IN_MARGIN, Bench, wait_landed, wait_until
from .load import Load
from .relay import Relay

pytestmark = [pytest.mark.noisy, pytest.mark.chaos, pytest.mark.timeout(180)]

# A trouble is a context manager that makes the endpoint fail, and says at which address.
DatabaseFault = Callable[[AriesSandbox, float], ContextManager[str]]


def failing(**fault: Any) -> DatabaseFault:
    @contextlib.contextmanager
    def trouble(aries: AriesSandbox, seconds: float) -> Iterator[str]:
        aries.fail("token", times=None, **fault)
        yield aries.token_url
        aries.heal()

    return trouble


@contextlib.contextmanager
def retry_at(aries: AriesSandbox, seconds: float) -> Iterator[str]:
    """429 with a date."""
    headers = {"Retry-After": formatdate(time.time() + seconds, usegmt=True)}
    with failing(status=429, headers=headers)(aries, seconds) as url:
        yield url


@contextlib.contextmanager
def out_of_reach(aries: AriesSandbox, seconds: float) -> Iterator[str]:
    """Connections are refused."""
    with Relay(int(aries.url.rpartition(":")[2])) as relay:
        relay.down()
        yield f"http://127.0.0.1:{relay.port}/v1/oauth2/token"
        relay.up()
        wait_landed(40)


@contextlib.contextmanager
def not_trusted(aries: AriesSandbox, seconds: float) -> Iterator[str]:
    """Its certificate is of an authority that nobody knows."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme = pytest.importorskip("trustme", reason="needs cryptography")
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # the handshakes that it breaks off
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}/v1/oauth2/token"
    server.shutdown()
    thread.join()
    server.server_close()


BOMB = gzip.compress(b" " * (64 * 1024 * 1024))
LATER = {
    "500": failing(status=500),
    "503, an empty body": failing(status=503, body=""),
    "502, a page": failing(status=502, body="<html>Bad gateway</html>"),
    "429": failing(status=429),
    "429, Retry-After in seconds": failing(status=429, headers={"Retry-After": 1}),
    "429, Retry-After as a date": retry_at,
    "out of reach": out_of_reach,
}
LATER_THAN_THAT = {
    "429, an absurd Retry-After": failing(status=429, headers={"Retry-After": "9" * 40}),
    "503, a Retry-After far off": failing(status=503, headers={"Retry-After": 86400}),
}
LOST = {
    "dropped before it is processed": failing(drop="before"),
    "dropped after it was processed": failing(drop="after"),
}
SLOW = {
    "hangs": failing(hang=True, before=True),
    "hangs, processed": failing(hang=True),
    "answers after the time-out": failing(delay=1.2),
    "drips its header": failing(drip=0.01, drip_of="headers"),
    "drips its body": failing(drip=0.01),
}
WRONG = {
    "a page with status 200": failing(status=200, body="<html>Log in to the WiFi</html>"),
    "no access token": failing(status=200, body={"token_type": "Bearer"}),
    "no object": failing(status=200, body=["access_token"]),
    "no header value": failing(status=200, body={"access_token": "a\r\nX-Evil: 1"}),
    "2 MiB": failing(status=200, body=b" " * (2 * 1024 * 1024)),
    "a gzip bomb": failing(status=200, body=BOMB, headers={"Content-Encoding": "gzip"}),
    "br": failing(status=200, body=b"\x0b", headers={"Content-Encoding": "br"}),
    "a redirect": failing(status=307, headers={"Location": "/v1/elsewhere"}),
    "a certificate that is not trusted": not_trusted,
}
ALL = {**LATER, **LATER_THAN_THAT, **LOST, **SLOW, **WRONG}
# Much like others; left to the soak.
ALIKE = ("500", "502, a page", "no object", "br", "answers after the time-out", "429")
NAMES = [pytest.param(name, marks=[pytest.mark.soak] if name in ALIKE else []) for name in ALL]


@pytest.mark.parametrize("name", NAMES)
def test_no_call_fails_while_the_token_lives(bench: Bench, name: str) -> None:
    aries = bench.aries
    aries.rules.reuse_revokes = False  # an answer that is lost may cost the grant, but not the token that lives
    bench.log_in(IN_MARGIN)
    seconds = 0.5
    with ALL[name](aries, seconds) as token_url:
        auth = bench.auth(token_url=token_url)
        with Load(auth, f"{aries.url}/v1/users/me") as load:
            time.sleep(seconds)
        if name not in ("a certificate that is not trusted", "out of reach"):
            assert aries.max_concurrent_token_requests, "it was not even tried"
    print(f"{name}: {load.succeeded} calls, 0 failed, the slowest {load.slowest * 1000:.0f} ms")
    load.check(least=10)
    wait_landed(40)


@pytest.mark.parametrize("seconds", [2.5, pytest.param(30.0, marks=pytest.mark.soak)])
def test_an_outage_is_outlasted_and_the_token_refreshed_soon_after(bench: Bench, seconds: float) -> None:
    aries = bench.aries
    bench.log_in(IN_MARGIN)
    with Relay(int(aries.url.rpartition(":")[2])) as relay:
        relay.down()
        auth = bench.auth(token_url=f"http://127.0.0.1:{relay.port}/v1/oauth2/token")
        with Load(auth, f"{aries.url}/v1/users/me") as load:
            time.sleep(seconds)
            relay.up()
            up_at = time.monotonic()
            wait_until(lambda: bool(aries.refresh_count), 20.0, "the token was not refreshed after the outage")
        print(f"{load.succeeded} calls, 0 failed; refreshed {time.monotonic() - up_at:.1f} s after the outage")
        load.check(least=50)
        wait_landed(40)
    assert bench.is_newest
    assert aries.refresh_count == 1


@pytest.mark.parametrize("seconds", [1.5, pytest.param(30.0, marks=pytest.mark.soak)])
def test_calls_with_an_expired_token_wait_an_outage_out(bench: Bench, seconds: float) -> None:
    """Within the time that a refresh has in all."""
    aries = bench.aries
    bench.log_in(EXPIRED)
    auth = bench.auth(timeout=60)
    aries.fail("token", status=503, times=None)
    threading.Timer(min(seconds, 25.0), aries.heal).start()
    with Load(auth, f"{aries.url}/v1/users/me"):
        aries.wait_for_requests()
    # Each caller called once, and none had an error: the refresh was repeated until it was answered.
    assert aries.refresh_count == 1
    assert bench.is_newest


@pytest.mark.parametrize("name", NAMES)
def test_a_call_with_an_expired_token_gets_a_clear_error_in_time(bench: Bench, name: str) -> None:
    aries = bench.aries
    aries.rules.reuse_revokes = False
    bench.log_in(EXPIRED)
    with ALL[name](aries, 30.0) as token_url:
        auth = bench.auth(token_url=token_url, timeout=5.0 if name in WRONG else 1.0)
        begun = time.monotonic()
        with pytest.raises(TokenRequestError) as caught:
            auth.get_token()
        assert time.monotonic() - begun < 5.0
        _check_error(caught.value, name)
        sent = len(aries.token_requests)
        if name in LATER_THAN_THAT:
            with pytest.raises(TokenRequestError):
                auth.get_token()
            assert len(aries.token_requests) == sent, "Retry-After was not kept to"
    wait_landed(40)
    if name in SLOW:
        assert bench.is_newest, "the answer that came after all was not saved"
        assert aries.refresh_count == 1
        assert auth.get_token() == bench.stored.access_token
    assert aries.reused_refresh_tokens == 0


def _check_error(error: TokenRequestError, name: str) -> None:
    assert error.retryable is (name not in WRONG), error
    assert len(str(error)) < 1000
    assert str(error).isprintable()
    if name in LATER_THAN_THAT:
        assert error.status_code in (429, 503)


def test_after_a_lost_answer_the_next_refresh_says_that_a_login_is_needed(bench: Bench) -> None:
    aries = bench.aries
    bench.log_in(EXPIRED)
    aries.fail("token", drop="after")
    auth = bench.auth()
    with pytest.raises(TokenRequestError) as caught:
        auth.get_token()
    assert caught.value.retryable
    assert aries.refresh_count == len(aries.token_requests) == 1, "what may have been spent was sent again"
    with pytest.raises(LoginRequired):
        auth.get_token()
    for _ in range(5):
        with pytest.raises(LoginRequired):
            auth.get_token()
    assert len(aries.token_requests) == 2
    bench.log_in(0)
    wait_until(lambda: auth.get_token() == bench.stored.access_token, 5.0, "the new login was not found")
