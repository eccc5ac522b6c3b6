"""A websocket's frames (RFC 6455), the server's side: messages in, messages out. What they say is `websocket`'s.

Written by hand, since the sandbox must run without the `websockets` package.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import BufferedIOBase

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LARGEST_MESSAGE = 1024 * 1024
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

POLICY_VIOLATION = 1008
_NORMAL, _PROTOCOL_ERROR, _TOO_BIG = 1000, 1002, 1009


def accept_of(key: str) -> str:
    """The proof that the server speaks websocket (RFC 6455 section 4.2.2)."""
    digest = hashlib.sha1(key.strip().encode("ascii", "replace") + _GUID)  # noqa: S324 - the RFC's, guards nothing
    return base64.b64encode(digest.digest()).decode()


class _Broken(Exception):
    """The client does not keep to the protocol; `code` tells it how."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Frames:
    """One connection after its upgrade. One thread receives; any may send."""

    def __init__(self, reader: BufferedIOBase, writer: BufferedIOBase) -> None:
        self._reader = reader
        self._writer = writer
        self._lock = threading.Lock()
        self._closed = False

    def receive(self) -> bytes | None:
        """The next message, put together; None when the connection has ended. Pings are answered on the way."""
        try:
            return self._message()
        except _Broken as broken:
            self.close(broken.code)
        except (OSError, ValueError):  # lost, or ended by `stop`
            pass
        return None

    def send(self, text: str) -> None:
        """Sends a text message; nothing happens if the connection has ended."""
        self._send(_TEXT, text.encode())

    def close(self, code: int = _NORMAL) -> None:
        """Says goodbye, once."""
        self._send(_CLOSE, struct.pack("!H", code))
        self._closed = True

    def _message(self) -> bytes | None:
        message, begun = bytearray(), False
        while True:
            opcode, final, payload = self._frame()
            if opcode == _CLOSE:
                self.close()
                return None
            if opcode == _PING:
                self._send(_PONG, payload)
            if opcode in (_PING, _PONG):
                continue
            if begun != (opcode == _CONTINUATION):
                raise _Broken(_PROTOCOL_ERROR)
            begun = True
            message += payload
            if len(message) > _LARGEST_MESSAGE:
                raise _Broken(_TOO_BIG)
            if final:
                return bytes(message)

    def _frame(self) -> tuple[int, bool, bytes]:
        first, second = self._exactly(2)
        opcode, final, masked, length = first & 0x0F, bool(first & 0x80), second & 0x80, second & 0x7F
        known = opcode in (_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG)
        short = opcode < _CLOSE or (final and length < 126)  # control frames (section 5.5)
        if first & 0x70 or not masked or not known or not short:
            raise _Broken(_PROTOCOL_ERROR)
        if length == 126:
            (length,) = struct.unpack("!H", self._exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._exactly(8))
        if length > _LARGEST_MESSAGE:
            raise _Broken(_TOO_BIG)
        mask = self._exactly(4)
        payload = self._exactly(length)
        return opcode, final, bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))

    def _exactly(self, length: int) -> bytes:
        data = self._reader.read(length)
        if len(data) < length:
            raise ConnectionError("the client went away")
        return data

    def _send(self, opcode: int, payload: bytes) -> None:
        length = len(payload)
        if length < 126:
            head = struct.pack("!BB", 0x80 | opcode, length)
        elif length < 1 << 16:
            head = struct.pack("!BBH", 0x80 | opcode, 126, length)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 127, length)
        with self._lock, suppress(OSError, ValueError):
            if not self._closed:
                self._writer.write(head + payload)
