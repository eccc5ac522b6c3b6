"""The sandbox: a program for tests that must be no hole in the computer that runs it."""

from __future__ import annotations

import http.client
import socket
import warnings
from pathlib import Path
from typing import Any, Mapping

import httpx
import pytest
import requests

from aries_auth import AriesAuth, FileTokenStore
from aries_auth.testing import AriesSandbox
from aries_auth.testing.hosts import is_addressed
from tests.conftest import EXPIRED

MEBIBYTE = 1024 * 1024


def ask(aries: AriesSandbox, headers: Mapping[str, str], body: Any = None) -> tuple[int, bytes]:
    """A request with these headers and no others; its status and body."""
    host, port = aries.url[len("http://") :].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.putrequest("POST", "/v1/oauth2/token", skip_host=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        if body is not None:
            connection.send(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def port_of(aries: AriesSandbox) -> int:
    return int(aries.url.rpartition(":")[2])


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}"])
def test_a_page_whose_name_was_made_to_point_here_gets_no_answer(aries: AriesSandbox, host: str) -> None:
    status, body = ask(aries, {"Host": host.format(port=port_of(aries)), "Content-Length": "0"})
    assert status == 421
    assert b"HOST_UNKNOWN" in body
    assert aries.token_requests == ()


def test_two_hosts_get_none_either(aries: AriesSandbox) -> None:
    own = aries.url[len("http://") :]
    with socket.create_connection(("127.0.0.1", port_of(aries)), timeout=10) as connection:
        connection.sendall(f"GET /v1/users/me HTTP/1.1\r\nHost: {own}\r\nHost: {own}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_every_loopback_name_is_its_own(aries: AriesSandbox, host: str) -> None:
    assert ask(aries, {"Host": f"{host}:{port_of(aries)}", "Content-Length": "0"})[0] == 415


@pytest.mark.parametrize(
    "header, host, addressed",
    [
        ("192.0.2.7:80", "0.0.0.0", True),
        ("[2001:db8::7]:80", "::", True),
        ("sandbox:80", "0.0.0.0", True),
        ("sandbox", "0.0.0.0", True),
        ("evil.example:80", "0.0.0.0", False),
        ("192.0.2.7:80", "127.0.0.1", False),
        ("evil.example", "127.0.0.1", False),
        ("box.example:80", "box.example", True),
        ("[::1:80", "127.0.0.1", False),
        ("127.0.0.1:99999999", "127.0.0.1", False),
    ],
)
def test_on_all_addresses_any_address_will_do_and_no_name_of_a_page(header: str, host: str, addressed: bool) -> None:
    assert is_addressed(header, host) is addressed


def test_a_body_of_more_than_8_mib_is_not_read(aries: AriesSandbox) -> None:
    host = {"Host": aries.url[len("http://") :]}
    status, body = ask(aries, {**host, "Content-Length": str(8 * MEBIBYTE + 1)})
    assert (status, b"BODY_TOO_LARGE" in body) == (400, True)
    assert ask(aries, {**host, "Content-Length": str(8 * MEBIBYTE)}, b"x" * 8 * MEBIBYTE)[0] == 415


def test_nor_one_that_comes_in_chunks(aries: AriesSandbox) -> None:
    host = {"Host": aries.url[len("http://") :]}
    chunk = b"100000\r\n" + b"x" * MEBIBYTE + b"\r\n"
    status, _ = ask(aries, {**host, "Transfer-Encoding": "chunked"}, chunk * 8 + b"1\r\n")
    assert status == 400


@pytest.mark.parametrize("length", ["-1", "x", "1e3"])
def test_a_length_that_is_none_is_refused(aries: AriesSandbox, length: str) -> None:
    assert ask(aries, {"Host": aries.url[len("http://") :], "Content-Length": length})[0] == 400


def test_listening_on_all_addresses_is_warned_about_and_loopback_is_not() -> None:
    with pytest.warns(UserWarning, match="every computer that reaches this one") as warned:
        aries = AriesSandbox(host="0.0.0.0").start()
    aries.stop()
    assert warned[0].filename == __file__, "it names the line that started it"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for host in ("127.0.0.1", "localhost"):
            AriesSandbox(host=host).start().stop()


class TestAuth:
    """`AriesSandbox.auth()`: an `AriesAuth` that can't send a real secret to the sandbox, nor its token elsewhere."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> FileTokenStore:
        return FileTokenStore(tmp_path / "token.json")

    def test_calls_and_refreshes(self, aries: AriesSandbox, store: FileTokenStore) -> None:
        store.save(aries.issue_token(age=EXPIRED))
        auth = aries.auth(store)
        assert isinstance(auth, AriesAuth)
        assert requests.get(f"{aries.url}/v1/users/me", auth=auth, timeout=10).status_code == 200
        assert httpx.get(f"{aries.url}/v1/users/me", auth=auth).status_code == 200
        assert len(aries.token_requests) == 1

    def test_takes_a_path_and_changes(self, aries: AriesSandbox, store: FileTokenStore) -> None:
        store.save(aries.issue_token())
        auth = aries.auth(store.path, client_secret="another", timeout=5.0)
        assert auth.get_token()
        assert "another" not in repr(auth)

    def test_sends_no_token_elsewhere(self, aries: AriesSandbox, store: FileTokenStore) -> None:
        store.save(aries.issue_token())
        prepared = requests.Request("GET", "https://api.aries.com/v1/users/me", auth=aries.auth(store)).prepare()
        assert "Authorization" not in prepared.headers
