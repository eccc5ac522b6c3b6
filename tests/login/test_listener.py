"""The listener of a login, against browsers, strangers and slow clients on real sockets."""

from __future__ import annotations

import base64
import errno
import hashlib
import http.client
import logging
import os
import re
import socket
import threading
import time
from contextlib import ExitStack, suppress
from typing import Iterator
from urllib.parse import urlsplit

import pytest

from aries_auth import AuthorizationError, ConfigurationError
from aries_auth.authorization import listener as listener_module
from aries_auth.authorization import pages, sockets
from aries_auth.authorization.callback_request import Authority
from aries_auth.authorization.listener import Listener
from aries_auth.authorization.sockets import loopback_authority
from aries_auth.token import Secret

from .conftest import CtrlC, assert_hidden, free_port, needs_signals

STATE = "the-state-of-this-login"
CODE = "planted-code"
QUERY = f"?code={CODE}&state={STATE}"


class Waiting:
    """A listener that waits in a thread of its own, for the test to be the browser."""

    def __init__(self, redirect_uri: str, timeout: float = 10.0) -> None:
        authority = loopback_authority(redirect_uri)
        assert authority is not None
        self.listener = Listener(redirect_uri, authority)
        self.parts = urlsplit(redirect_uri)
        self.callback: Secret | None = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._wait, args=(timeout,))
        self.thread.start()

    def _wait(self, timeout: float) -> None:
        try:
            self.callback = self.listener.wait(STATE, timeout=timeout)
            self.listener.conclude(pages.WORKED)
        except BaseException as exc:
            self.error = exc
        finally:
            self.listener.close()

    @property
    def still(self) -> bool:
        return self.thread.is_alive() and self.callback is None

    def connect(self, host: str | None = None) -> socket.socket:
        return socket.create_connection((host or self.parts.hostname, self.parts.port or 80), timeout=10)

    def send(self, data: bytes, host: str | None = None) -> tuple[int, dict[str, str], str]:
        with self.connect(host) as client:
            client.sendall(data)
            return answer_of(client)

    def get(self, target: str, host: str | None = None, **headers: str) -> tuple[int, dict[str, str], str]:
        fields = {"Host": self.parts.netloc, **headers}
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        return self.send("\r\n".join(lines).encode(), host)

    def finish(self) -> tuple[int, dict[str, str], str]:
        answer = self.get(self.parts.path + QUERY)
        self.thread.join(10)
        assert self.callback is not None, self.error
        return answer


def answer_of(client: socket.socket) -> tuple[int, dict[str, str], str]:
    response = http.client.HTTPResponse(client)
    response.begin()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read().decode()


@pytest.fixture
def redirect_uri() -> str:
    return f"http://127.0.0.1:{free_port()}/callback"


@pytest.fixture
def waiting(redirect_uri: str) -> Iterator[Waiting]:
    waiting = Waiting(redirect_uri)
    yield waiting
    if waiting.thread.is_alive():
        waiting.finish()


# The callback


def test_the_callback_is_handed_over_whole(waiting: Waiting, redirect_uri: str) -> None:
    status, _, text = waiting.finish()
    assert status == 200
    assert "You are logged in" in text
    assert waiting.callback is not None
    assert waiting.callback.reveal() == redirect_uri + QUERY


def test_the_page_carries_nothing_of_the_query_and_no_one_keeps_or_frames_it(waiting: Waiting) -> None:
    _, headers, text = waiting.finish()
    assert CODE not in text
    assert STATE not in text
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
    assert "frame-ancestors 'none'; base-uri 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["connection"] == "close"
    assert '<html lang="en">' in text
    assert 'name="viewport"' in text


@pytest.mark.parametrize(
    "target",
    ["/", "/favicon.ico", "/callback/" + QUERY, "/Callback" + QUERY, "//callback" + QUERY, "/%63allback" + QUERY],
)
def test_another_path_is_404_and_the_wait_goes_on(waiting: Waiting, target: str) -> None:
    status, headers, text = waiting.get(target)
    assert status == 404
    assert CODE not in text
    assert headers["cache-control"] == "no-store"
    assert waiting.still


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?code=forged",
        "?code=forged&state=",
        "?code=forged&state=other",
        f"?code=forged&state={STATE}x",
        f"{QUERY}&state={STATE}",
        f"{QUERY}&state=other",
        "?error=access_denied&state=other",
        "?code=%ff&state=%ff%00",
    ],
)
def test_a_forged_callback_is_refused_and_the_real_one_still_comes(waiting: Waiting, query: str) -> None:
    status, _, text = waiting.get("/callback" + query)
    assert status == 400
    assert "forged" not in text
    assert waiting.still
    assert waiting.finish()[0] == 200


@pytest.mark.parametrize("query", [f"?error=access_denied&state={STATE}", f"?state={STATE}"])
def test_a_denial_and_a_broken_callback_with_the_right_state_end_the_wait(waiting: Waiting, query: str) -> None:
    waiting.get("/callback" + query)
    waiting.thread.join(5)
    assert waiting.callback is not None
    assert waiting.callback.reveal().endswith(query)


def test_a_redirect_uri_with_a_query_of_its_own_is_listened_on() -> None:
    waiting = Waiting(f"http://127.0.0.1:{free_port()}/callback?tenant=1")
    status, _, _ = waiting.get(f"/callback?tenant=1&code={CODE}&state={STATE}")
    waiting.thread.join(5)
    assert status == 200
    assert waiting.callback is not None
    assert waiting.callback.reveal().endswith(f"?tenant=1&code={CODE}&state={STATE}")


def test_a_redirect_uri_without_a_path_is_listened_on() -> None:
    waiting = Waiting(f"http://127.0.0.1:{free_port()}")
    assert waiting.get("/" + QUERY)[0] == 200
    waiting.thread.join(5)


def test_a_page_reloaded_during_the_exchange_learns_the_verdict_too(redirect_uri: str) -> None:
    authority = loopback_authority(redirect_uri)
    assert authority is not None
    request = f"GET /callback{QUERY} HTTP/1.1\r\nHost: {urlsplit(redirect_uri).netloc}\r\n\r\n".encode()
    address = ("127.0.0.1", authority.port)
    with Listener(redirect_uri, authority) as listener, socket.create_connection(address) as first:
        first.sendall(request)
        listener.wait(STATE, timeout=5)
        with socket.create_connection(address) as second:
            second.sendall(request)
            listener.conclude(pages.FAILED, linger=0.0)
            assert answer_of(first)[0] == answer_of(second)[0] == pages.FAILED.status


# Who may ask


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:{port}@evil", "", ":{port}", "[::1"],
)
def test_another_host_header_is_refused(waiting: Waiting, host: str) -> None:
    status, _, _ = waiting.get("/callback" + QUERY, Host=host.format(port=waiting.parts.port))
    assert status == 421
    assert waiting.still


def test_exactly_one_host_header_is_wanted(waiting: Waiting) -> None:
    line, host = f"GET /callback{QUERY} HTTP/1.1\r\n", f"Host: {waiting.parts.netloc}\r\n"
    for head in (line, line + host + host, line + host + "Host: evil.example\r\n", line + "Host : x\r\n"):
        assert waiting.send(f"{head}\r\n".encode())[0] == 421
    assert waiting.still


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "get", "BREW"])
def test_only_get_is_answered(waiting: Waiting, method: str) -> None:
    request = f"{method} /callback{QUERY} HTTP/1.1\r\nHost: {waiting.parts.netloc}\r\n\r\n".encode()
    with waiting.connect() as client:
        client.sendall(request)
        received = b"".join(iter(lambda: client.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 405 ")
    assert b"Allow: GET" in received
    assert received.endswith(b"\r\n\r\n") == (method == "HEAD")
    assert waiting.still


@pytest.mark.parametrize(
    "line",
    [
        "GET",
        "GET /callback",
        "GET callback HTTP/1.1",
        "GET http://127.0.0.1/callback HTTP/1.1",
        "GET /call back HTTP/1.1",
        "GET /callback#x HTTP/1.1",
        "GET /callbäck HTTP/1.1",
        "GET /callback HTTP/2.0",
        "GET /callback HTTP/1.1 ",
        "\x16\x03\x01",
    ],
)
def test_what_is_no_http_request_is_400(waiting: Waiting, line: str) -> None:
    assert waiting.send(f"{line}\r\nHost: {waiting.parts.netloc}\r\n\r\n".encode())[0] == 400
    assert waiting.still


@pytest.mark.parametrize("end", [b"", b" HTTP/1.1\r\n\r\n"])
def test_a_request_line_of_64_kib_is_414(waiting: Waiting, end: bytes) -> None:
    assert waiting.send(b"GET /callback?" + b"x" * 65536 + end)[0] == 414
    assert waiting.still


def test_endless_headers_are_431(waiting: Waiting) -> None:
    line = f"GET /callback{QUERY} HTTP/1.1\r\n".encode()
    assert waiting.send(line + b"X: " + b"x" * 100_000)[0] == 431
    assert waiting.still


def test_queries_are_never_logged(waiting: Waiting, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        waiting.get("/elsewhere" + QUERY)
        waiting.get("/callback?code=forged-code&state=forged-state")
        waiting.finish()
    assert "404" in caplog.text
    for text in (CODE, STATE, "forged-code", "forged-state"):
        assert text not in caplog.text


# Slow and many clients


def test_slow_clients_do_not_keep_the_browser_out(waiting: Waiting) -> None:
    with ExitStack() as clients:
        for _ in range(3 * listener_module.MOST_CONNECTIONS):
            client = clients.enter_context(waiting.connect())
            client.sendall(b"GET /callb")
        begun = time.monotonic()
        assert waiting.finish()[0] == 200
        assert time.monotonic() - begun < 2


def test_a_client_that_resets_its_connection_disturbs_nobody(waiting: Waiting) -> None:
    with waiting.connect() as client:
        client.sendall(b"GET /callb")
        time.sleep(0.1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    assert waiting.finish()[0] == 200


def test_it_holds_a_few_connections_at_most(waiting: Waiting) -> None:
    with ExitStack() as clients:
        opened = [clients.enter_context(waiting.connect()) for _ in range(30)]
        time.sleep(0.5)
        for client in opened:
            client.setblocking(False)
        held = 0
        for client in opened:
            try:
                held += client.recv(1) != b""
            except BlockingIOError:
                held += 1
            except ConnectionResetError:
                pass
        assert held <= listener_module.MOST_CONNECTIONS
        assert waiting.still


def test_a_client_that_drips_is_dropped_at_its_deadline(redirect_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "CONNECTION_TIME", 0.5)
    waiting = Waiting(redirect_uri)
    begun = time.monotonic()
    with waiting.connect() as client, suppress(ConnectionError):
        while time.monotonic() - begun < 5:
            client.sendall(b"x")
            time.sleep(0.05)
    assert 0.4 < time.monotonic() - begun < 2
    assert waiting.still
    waiting.finish()


def test_a_browser_that_hangs_up_before_its_answer_harms_nobody(redirect_uri: str) -> None:
    authority = loopback_authority(redirect_uri)
    assert authority is not None
    with Listener(redirect_uri, authority) as listener:
        with socket.create_connection(("127.0.0.1", authority.port)) as client:
            client.sendall(f"GET /callback{QUERY} HTTP/1.1\r\nHost: 127.0.0.1:{authority.port}\r\n\r\n".encode())
            listener.wait(STATE, timeout=5)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        listener.conclude(pages.WORKED)


# When it ends


def test_it_ends_in_time_and_says_what_to_do(redirect_uri: str) -> None:
    begun = time.monotonic()
    waiting = Waiting(redirect_uri, timeout=0.4)
    with waiting.connect() as client:
        client.sendall(b"GET ")
        waiting.thread.join(5)
    assert 0.3 < time.monotonic() - begun < 2
    assert isinstance(waiting.error, AuthorizationError)
    assert redirect_uri in str(waiting.error)
    assert "--paste" in str(waiting.error)
    with pytest.raises(ConnectionRefusedError):
        waiting.connect()


def test_ctrl_c_as_a_connection_is_accepted_reaches_the_caller_and_frees_the_port(
    redirect_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = loopback_authority(redirect_uri)
    assert authority is not None

    def press_ctrl_c(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with Listener(redirect_uri, authority) as listener, socket.create_connection(("127.0.0.1", authority.port)):
        monkeypatch.setattr(listener._selector, "register", press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            listener.wait(STATE, timeout=10)
    with Listener(redirect_uri, authority):
        pass


@needs_signals
def test_ctrl_c_ends_it_at_once_and_closes_its_sockets(redirect_uri: str) -> None:
    authority = loopback_authority(redirect_uri)
    assert authority is not None
    with CtrlC() as ctrl_c, pytest.raises(KeyboardInterrupt), Listener(redirect_uri, authority) as listener:
        listener.wait(STATE, timeout=10)
    assert ctrl_c.seconds_ago < 0.5
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", authority.port))


def test_it_can_be_listened_on_again_at_once(redirect_uri: str) -> None:
    for _ in range(3):
        assert Waiting(redirect_uri).finish()[0] == 200


def test_the_seconds_left_are_told_about_once_a_second(redirect_uri: str) -> None:
    authority = loopback_authority(redirect_uri)
    assert authority is not None
    told: list[float] = []
    with Listener(redirect_uri, authority) as listener, pytest.raises(AuthorizationError):
        listener.wait(STATE, timeout=2.5, on_wait=told.append)
    assert [round(left, 1) for left in told] == pytest.approx([2.5, 1.5, 0.5], abs=0.35)


def test_a_socket_that_cannot_accept_does_not_end_the_wait(redirect_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real, failures = socket.socket.accept, [OSError(errno.EMFILE, "Too many open files")]

    def accept(self: socket.socket) -> object:
        if failures:
            raise failures.pop()
        return real(self)

    monkeypatch.setattr(socket.socket, "accept", accept)
    assert Waiting(redirect_uri).finish()[0] == 200


# Where it listens


def needs_ipv6() -> bool:
    try:
        free_port("::1")
    except OSError:
        return True
    return False


no_ipv6 = pytest.mark.skipif(needs_ipv6(), reason="no IPv6 on this machine")


@no_ipv6
@pytest.mark.parametrize("spelled", ["[::1]", "[0:0:0:0:0:0:0:1]"])
def test_ipv6_is_listened_on(spelled: str) -> None:
    port = free_port("::1")
    waiting = Waiting(f"http://{spelled}:{port}/callback")
    assert waiting.get("/callback" + QUERY, Host=f"[::1]:{port}")[0] == 200
    waiting.thread.join(5)
    assert waiting.callback is not None


@no_ipv6
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_localhost_is_listened_on_at_both_its_addresses(address: str) -> None:
    waiting = Waiting(f"http://localhost:{free_port()}/callback")
    assert waiting.get("/callback" + QUERY, host=address, Host=waiting.parts.netloc.upper())[0] == 200
    waiting.thread.join(5)
    assert waiting.callback is not None


@pytest.mark.parametrize("missing", ["127.0.0.1", "::1"])
def test_localhost_does_with_the_one_address_that_can_be_had(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = sockets._listen

    def listen(host: str, port: int) -> socket.socket:
        if host == missing:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return real("127.0.0.1", port)

    monkeypatch.setattr(sockets, "_listen", listen)
    for opened in sockets.open_sockets(Authority("localhost", free_port())):
        opened.close()


def test_any_address_of_the_loopback_network_is_listened_on() -> None:
    assert loopback_authority("http://127.0.0.2:1234/x") == ("127.0.0.2", 1234)
    assert loopback_authority("http://localhost/x") == ("localhost", 80)


@pytest.mark.parametrize(
    "uri",
    [
        "https://127.0.0.1:1234/callback",
        "http://app.example/callback",
        "http://localhost.example/callback",
        "http://127.0.0.1.example/callback",
        "http://user@127.0.0.1/callback",
        "myapp:/callback",
    ],
)
def test_other_redirect_uris_are_not_listened_on(uri: str) -> None:
    assert loopback_authority(uri) is None


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=no_ipv6)])
def test_a_busy_port_says_which_and_whom_to_tell(host: str) -> None:
    port = free_port()
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as other:
        other.bind((host, port))
        other.listen(1)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        with pytest.raises(ConfigurationError, match="busy") as caught:
            sockets.open_sockets(Authority("localhost", port))
        for text in (address, "Client Center", "--paste", "Stop that program"):
            assert text in str(caught.value)
    sockets._listen("127.0.0.1", port).close()  # what was opened before the fault is closed again


@pytest.mark.parametrize("number", [errno.EACCES, errno.EADDRNOTAVAIL])
def test_an_address_that_cannot_be_had_says_so(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def listen(host: str, port: int) -> socket.socket:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(sockets, "_listen", listen)
    with pytest.raises(ConfigurationError, match="--paste") as caught:
        sockets.open_sockets(Authority("127.0.0.9", 80))
    assert os.strerror(number) in str(caught.value)


def _bind_and_listen(thief: socket.socket, port: int) -> None:
    thief.bind(("127.0.0.1", port))
    thief.listen(1)


def test_nobody_can_listen_beside_it(redirect_uri: str) -> None:
    waiting = Waiting(redirect_uri)
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError) as caught:  # noqa: PT011 - each system has its own words
            _bind_and_listen(thief, waiting.parts.port or 0)
    assert caught.value.errno in (errno.EADDRINUSE, errno.EACCES)  # EACCES: Windows, where it is taken exclusively
    waiting.finish()


def test_a_time_out_shows_no_code(redirect_uri: str) -> None:
    waiting = Waiting(redirect_uri, timeout=0.5)
    waiting.get(f"/callback?code={CODE}&state=other-state")
    with waiting.connect() as client:
        client.sendall(f"GET /callback{QUERY}".encode())
        waiting.thread.join(5)
    assert waiting.error is not None
    assert_hidden(waiting.error, CODE)
