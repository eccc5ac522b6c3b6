"""Deadline: a token request has ended when its time is up, whatever the endpoint does; no thread, no socket stays."""

from __future__ import annotations

import gc
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable, Iterator

import httpx
import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter

from aries_auth import Token
from aries_auth.testing import AriesSandbox
from aries_auth.token import Secret
from aries_auth.token_endpoint import own_thread, protocol
from aries_auth.token_endpoint.attempt import send_once
from aries_auth.token_endpoint.deadline import GRACE, Deadline
from aries_auth.token_endpoint.protocol import Credentials, TokenRequest
from aries_auth.token_endpoint.sender import Sender
from tests.conftest import our_threads, wait_until

SECONDS = 0.4
DESCRIPTORS = Path("/proc/self/fd")
LIBRARIES = ["requests", "niquests", "httpx", "httpx2"]
# The beginning of a TLS record of 16 KiB.
RECORD = b"\x16\x03\x03\x40\x00"


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """A TLS handshake that is cut short leaves its socket to the collector: here, and not in a later test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param, reason=f"needs {request.param}")
    return str(request.param)


def request_for(aries: AriesSandbox, url: str | None = None) -> TokenRequest:
    token: Token = aries.issue_token()
    credentials = Credentials(aries.client_id, Secret(aries.client_secret), aries.redirect_uri)
    return protocol.refresh_request(url or aries.token_url, credentials, Secret(token.refresh_token or ""))


def sockets() -> set[str]:
    """The sockets that this process has."""
    found: set[str] = set()
    for number in DESCRIPTORS.iterdir():
        with suppress(OSError):  # that of the listing itself has gone
            found.add(str(number.readlink()) if sys.version_info >= (3, 9) else os.readlink(number))
    return {name for name in found if name.startswith("socket")}


def ends_in_time(request: TokenRequest, client: Any, library: str, seconds: float = SECONDS) -> None:
    """Sends it, and looks that it ends within a second of its deadline and leaves nothing of ours behind."""
    before = our_threads()
    begun = time.monotonic()
    attempt = send_once(request, client, Sender(library), seconds)
    assert attempt.answer is None
    assert attempt.retryable
    wait_until(lambda: our_threads() <= before, timeout=max(0.0, begun + seconds + 1.0 - time.monotonic()))


@pytest.mark.parametrize("drip_of", ["headers", "body"])
def test_an_endpoint_that_drips_is_ended(aries: AriesSandbox, library: str, drip_of: str) -> None:
    aries.fail(drip=0.02, drip_of=drip_of, times=None)
    ends_in_time(request_for(aries), None, library)


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="counts descriptors by /proc")
def test_no_socket_stays(aries: AriesSandbox, library: str) -> None:
    aries.stop()
    before = sockets()
    aries.start()
    aries.fail(drip=0.02, drip_of="headers", times=None)
    ends_in_time(request_for(aries), None, library)
    aries.stop()
    wait_until(lambda: sockets() <= before, timeout=2.0)


def make_client(library: str) -> Any:
    module = pytest.importorskip(library)
    return module.Session() if hasattr(module, "Session") else module.Client()


@pytest.mark.parametrize("drip_of", ["headers", "body"])
@pytest.mark.parametrize("open_already", [False, True], ids=["a new connection", "one that was open"])
def test_so_is_one_behind_a_token_client_which_can_be_used_on(
    aries: AriesSandbox, library: str, drip_of: str, open_already: bool
) -> None:
    with make_client(library) as client:
        if open_already:
            client.get(f"{aries.url}/v1/echo")
        aries.fail(drip=0.02, drip_of=drip_of)
        ends_in_time(request_for(aries), client, library)
        aries.heal()
        assert client.get(f"{aries.url}/v1/echo").status_code == 401


def test_a_token_clients_connection_that_was_open_is_not_watched_when_it_serves_the_caller(
    aries: AriesSandbox,
) -> None:
    with requests.Session() as session:
        session.get(f"{aries.url}/v1/echo")
        for _ in range(3):
            assert send_once(request_for(aries), session, Sender("requests"), 5.0).answer is not None
        session.get(f"{aries.url}/v1/echo")
        pools: Any = session.get_adapter(aries.url).poolmanager.pools  # type: ignore[attr-defined]
        if not hasattr(pools, "keys"):
            pytest.skip("urllib3-future stands in urllib3's place, and keeps its connections otherwise")
        pools = [pools[key] for key in pools.keys()]  # noqa: SIM118 - no dict
        connections = [connection for pool in pools for connection in pool.pool.queue if connection is not None]
        assert connections
        assert not [connection for connection in connections if {"_new_conn", "response_class"} & set(vars(connection))]
        assert not [pool for pool in pools if "_get_conn" in vars(pool)]


@contextmanager
def dripping(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that says the same to every connection; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=converse, args=(connection,), daemon=True).start()

        def converse(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                talk(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def drip(*beginnings: bytes, byte: bytes) -> Callable[[socket.socket], None]:
    """Answers what it hears with each of these, and then a byte at a time."""

    def talk(connection: socket.socket) -> None:
        for beginning in beginnings:
            connection.recv(65536)
            connection.sendall(beginning)
        while True:
            connection.sendall(byte)
            time.sleep(0.02)

    return talk


# urllib3 forgets a TLS socket whose connection was ended before the handshake began; the garbage collector closes it.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_tls_handshake_that_drips_is_ended(aries: AriesSandbox, library: str) -> None:
    with dripping(drip(RECORD, byte=b"\x02")) as port:
        ends_in_time(request_for(aries, f"https://127.0.0.1:{port}/token"), None, library)


@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "beginnings",
    [[b"HTTP/1.1 200 OK\r\nX-Slow: "], [b"HTTP/1.1 200 OK\r\n\r\n", RECORD]],
    ids=["headers", "in the tunnel"],
)
def test_a_proxy_that_drips_is_ended(
    aries: AriesSandbox, library: str, beginnings: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with dripping(drip(*beginnings, byte=b"\x02")) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        ends_in_time(request_for(aries, "https://api.aries.com/token"), None, library)


def test_half_an_answer_whose_connection_we_ended_is_no_answer(aries: AriesSandbox, library: str) -> None:
    # Without a length the end of the connection is the end of the body: an empty 401 would mean a dead grant.
    with dripping(drip(b"HTTP/1.1 401 No\r\nConnection: close\r\n\r\n", byte=b" ")) as port:
        ends_in_time(request_for(aries, f"http://127.0.0.1:{port}/token"), None, library)


def test_an_answer_in_time_is_read_however_it_drips(aries: AriesSandbox, library: str) -> None:
    aries.fail(drip=0.001, drip_of="headers")
    assert send_once(request_for(aries), None, Sender(library), 10.0).answer is not None


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """A server's context, and the bundle that has its authority."""
    trustme = pytest.importorskip("trustme")
    authority, bundle = trustme.CA(), tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context, str(bundle)


class OwnAdapter(HTTPAdapter):
    def send(self, *given: Any, **options: Any) -> Any:
        return super().send(*given, **options)


class DeafTransport(httpx.BaseTransport):
    """A transport of the caller's own, whose sockets nobody knows."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.released.wait(20)
        return httpx.Response(503)


def test_an_adapter_of_the_callers_own_is_ended_too(aries: AriesSandbox) -> None:
    with requests.Session() as session:
        session.mount("http://", OwnAdapter())
        aries.fail(drip=0.02, drip_of="headers")
        ends_in_time(request_for(aries), session, "requests")


def test_what_cannot_be_ended_is_left_behind_and_then_no_more_is_sent(aries: AriesSandbox) -> None:
    transport = DeafTransport()
    request = request_for(aries)
    before = our_threads()
    with httpx.Client(transport=transport) as client:
        for _ in range(own_thread.MOST_LEFT_BEHIND):
            begun = time.monotonic()
            assert not send_once(request, client, Sender("httpx"), 0.01).unsent
            assert time.monotonic() - begun < 5.0
        refused = send_once(request, client, Sender("httpx"), 0.01)
        assert refused.unsent
        assert refused.retryable
        assert "have not ended" in refused.fault
        transport.released.set()
        wait_until(lambda: our_threads() <= before)
        assert send_once(request, client, Sender("httpx"), 5.0).answer is not None


def test_no_thread_watches_the_requests(aries: AriesSandbox) -> None:
    # urllib3-future, which niquests puts in urllib3's place, has numbers from 900 on: what it sends needs a thread.
    replaced = int(urllib3.__version__.split(".")[2]) >= 900
    libraries = ("httpx", "httpx") if replaced else ("requests", "httpx")
    aries.fail(hang=True, times=None)
    senders = [
        threading.Thread(target=send_once, args=(request_for(aries), None, Sender(library), 10.0))
        for library in libraries * 8
    ]
    for sender in senders:
        sender.start()
    aries.wait_for_requests(len(senders))
    assert not our_threads()
    aries.heal()
    for sender in senders:
        sender.join()


def test_what_is_left_shrinks_and_then_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("aries_auth.token_endpoint.deadline.monotonic", lambda: now)
    deadline = Deadline(1.0)
    assert deadline.left(None) == pytest.approx(1.25)
    assert deadline.left(0.5) == 0.5
    now += 1.0
    assert deadline.left(0.5) == pytest.approx(0.25)
    assert not deadline.passed
    now += 0.5
    assert deadline.passed
    with pytest.raises(socket.timeout):
        deadline.left(None)


def test_a_process_that_stood_still_has_a_moment_for_the_answer_in_its_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("aries_auth.token_endpoint.deadline.monotonic", lambda: now)
    deadline = Deadline(1.0)
    now += 600.0
    assert deadline.left(None) == GRACE
    now += GRACE
    with pytest.raises(socket.timeout):
        deadline.left(None)


def test_what_was_replaced_for_one_request_is_as_it_was_after_it() -> None:
    class Stream:
        def read(self) -> str:
            return "its own"

    stream, deadline = Stream(), Deadline(1.0)
    deadline.replace(stream, "read", lambda: "limited")
    assert stream.read() == "limited"
    assert deadline.is_seen_to
    deadline.close()
    assert stream.read() == "its own"


@pytest.mark.parametrize("beginnings", [[b"HTTP/1.1 200 OK\r\nX-Slow: "], [b"HTTP/1.1 200 OK\r\n\r\n"]])
def test_a_tls_proxy_in_front_of_a_tls_endpoint_that_drips_is_ended(
    aries: AriesSandbox,
    library: str,
    beginnings: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    tls: tuple[ssl.SSLContext, str],
) -> None:
    context, bundle = tls

    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as outer:
            drip(*beginnings, byte=RECORD[:1])(outer)

    monkeypatch.setenv("SSL_CERT_FILE", bundle)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    with dripping(talk) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{port}")
        ends_in_time(request_for(aries, "https://api.aries.com/token"), None, library)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs job control")
@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_an_answer_that_came_while_the_process_stood_still_is_read_when_it_goes_on(
    aries: AriesSandbox, library: str
) -> None:
    request = request_for(aries)
    code = (
        "import sys\n"
        "from aries_auth.token_endpoint.attempt import send_once\n"
        "from aries_auth.token_endpoint.protocol import TokenRequest\n"
        "from aries_auth.token_endpoint.sender import Sender\n"
        f"request = TokenRequest({request.url!r}, 'refresh_token', {dict(request.body)!r})\n"
        f"print(send_once(request, None, Sender({library!r}), 1.0).answer is not None)\n"
    )
    aries.fail(hang=True)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    aries.wait_for_requests(1)
    os.kill(process.pid, signal.SIGSTOP)
    aries.heal()
    time.sleep(3.0)
    os.kill(process.pid, signal.SIGCONT)
    assert process.communicate(timeout=20)[0] == "True\n"
