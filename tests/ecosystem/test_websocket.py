"""The sandbox's websocket keeps to RFC 6455 and asks for a token, with no websocket package on either side."""

from __future__ import annotations

import json
import os
import socket
import struct
from contextlib import contextmanager
from typing import Any, Iterator

import pytest
import requests

from aries_auth.testing import AriesSandbox, fingerprint

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Client:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.stream = connection.makefile("rb")
        self.head = b"".join(iter(self.stream.readline, b"\r\n"))

    def send(self, payload: bytes, opcode: int = TEXT, *, first: int | None = None, masked: bool = True) -> None:
        mask = os.urandom(4)
        length = len(payload)
        size = bytes([0x80 | length]) if length < 126 else b"\xff" + struct.pack("!Q", length)
        if 126 <= length < 65536:
            size = b"\xfe" + struct.pack("!H", length)
        head = bytes([0x80 | opcode if first is None else first])
        if not masked:
            self.connection.sendall(head + bytes([length]) + payload)
            return
        body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self.connection.sendall(head + size + mask + body)

    def say(self, **message: Any) -> None:
        self.send(json.dumps(message).encode())

    def show(self, token: str) -> None:
        self.say(type="request", id="a", payload={"method": "POST", "path": "/auth", "body": {"token": token}})

    def frame(self) -> tuple[int, bytes]:
        first, length = self.stream.read(2)
        if length == 126:
            (length,) = struct.unpack("!H", self.stream.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.stream.read(8))
        return first & 15, self.stream.read(length)

    def hear(self) -> Any:
        opcode, payload = self.frame()
        assert opcode == TEXT
        return json.loads(payload)

    def goodbye(self) -> int:
        opcode, payload = self.frame()
        assert opcode == CLOSE
        return int.from_bytes(payload, "big")


@contextmanager
def opened(aries: AriesSandbox, path: str = "/v1/market/ws") -> Iterator[Client]:
    host, port = aries.url[len("http://") :].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(HANDSHAKE.format(path=path).encode())
        client = Client(connection)
        yield client
        client.stream.close()


def test_the_handshake_is_that_of_the_rfc(aries_sandbox: AriesSandbox) -> None:
    with opened(aries_sandbox) as client:
        assert client.head.startswith(b"HTTP/1.1 101 ")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in client.head
        assert b"Content-Length" not in client.head


def test_a_plain_request_is_told_to_upgrade(aries_sandbox: AriesSandbox) -> None:
    answer = requests.get(f"{aries_sandbox.url}/v1/market/ws", timeout=10)
    assert (answer.status_code, answer.headers["Upgrade"]) == (426, "websocket")


def test_a_token_lets_in_and_is_recorded_by_its_fingerprint(aries_sandbox: AriesSandbox) -> None:
    token = aries_sandbox.issue_token().access_token
    with opened(aries_sandbox) as client:
        client.show(token)
        assert client.hear()["payload"] == {"action": "authSuccess", "status": 200}
        client.say(type="subscribe", id="s", payload=[{"symbol": "AAPL"}])
        assert client.hear()["type"] == "subscribed"
        assert client.hear()["payload"]["symbol"] == "AAPL"
        client.say(type="unsubscribe", id="u", payload=["AAPL"])
        assert (client.hear()["id"], client.say(type="ping", id="p"), client.hear()["type"]) == ("u", None, "pong")
        client.say(type="request", id="r", payload={"path": "/nowhere"})
        assert client.hear()["payload"]["status"] == 404
        client.send(b"[]\nno json")
        assert [client.hear()["payload"]["action"] for _ in range(2)] == ["error", "error"]
    opening, shown = aries_sandbox.api_requests
    assert (opening.method, opening.status, opening.fingerprint) == ("GET", 101, None)
    assert (shown.method, shown.status, shown.fingerprint) == ("AUTH", 200, fingerprint(token))


@pytest.mark.parametrize("scope, status", [("calendar:information", 403), ("market:information", 401)])
def test_a_token_without_the_scope_or_without_life_is_refused(
    aries_sandbox: AriesSandbox, scope: str, status: int
) -> None:
    token = aries_sandbox.issue_token(scope=scope).access_token
    if status == 401:
        aries_sandbox.revoke_access_tokens()
    with opened(aries_sandbox) as client:
        client.show(token)
        assert client.hear()["payload"]["status"] == status


def test_without_a_token_nothing_is_answered(aries_sandbox: AriesSandbox) -> None:
    with opened(aries_sandbox, "/v1/accounts/ws") as client:
        client.say(type="subscribe", id="s", payload={"topic": "account"})
        assert client.hear()["payload"]["action"] == "authRequired"
        assert client.goodbye() == 1008


def test_a_token_that_nears_its_end_is_asked_for_and_one_that_expires_ends_it(aries_sandbox: AriesSandbox) -> None:
    token = aries_sandbox.issue_token(expires_in=600, age=550).access_token
    with opened(aries_sandbox) as client:
        client.show(token)
        assert client.hear()["payload"]["action"] == "authSuccess"
        assert client.hear()["payload"]["action"] == "refreshAuth"
        aries_sandbox.expire_access_tokens()
        assert client.hear()["payload"]["action"] == "authExpired"
        assert client.goodbye() == 1008


def test_fragments_and_pings_are_put_right(aries_sandbox: AriesSandbox) -> None:
    with opened(aries_sandbox) as client:
        client.send(b'{"type": "ping", "i', first=0x01)
        client.send(b"now", PING)
        client.send(b"", PONG)
        client.send(b'd": "%b"}' % (b"x" * 70000), first=0x80)
        assert client.frame() == (PONG, b"now")
        assert client.hear() == {"type": "pong", "id": "x" * 70000}
        client.send(b'{"type": "ping", "id": "%b"}' % (b"y" * 300))
        assert client.hear() == {"type": "pong", "id": "y" * 300}
        client.send(b"", CLOSE)
        assert client.goodbye() == 1000


@pytest.mark.parametrize(
    "payload, first, masked, code",
    [
        (b"{}", 0x81, False, 1002),
        (b"{}", 0xC1, True, 1002),
        (b"{}", 0x83, True, 1002),
        (b"{}", 0x80, True, 1002),
        (b"x" * 126, 0x89, True, 1002),
        (b"x" * (1024 * 1024 + 1), 0x81, True, 1009),
    ],
)
def test_what_breaks_the_protocol_ends_it(
    aries_sandbox: AriesSandbox, payload: bytes, first: int, masked: bool, code: int
) -> None:
    with opened(aries_sandbox) as client:
        client.send(payload, first=first, masked=masked)
        assert client.goodbye() == code


def test_stop_ends_open_websockets(aries_sandbox: AriesSandbox) -> None:
    with opened(aries_sandbox) as client:
        client.show(aries_sandbox.issue_token().access_token)
        assert client.hear()["payload"]["action"] == "authSuccess"
        aries_sandbox.stop()
        assert client.stream.read() == b""
