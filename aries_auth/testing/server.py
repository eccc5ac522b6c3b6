"""HTTP/1.1 on a loopback socket, with one thread per connection, that can be stopped at any moment."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import traceback
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Callable

from aries_auth.testing.frames import Frames
from aries_auth.testing.hosts import is_addressed
from aries_auth.testing.messages import Request, Response, json_response, nested_error
from aries_auth.testing.service import Delivery, Service

logger: logging.Logger = logging.getLogger("aries_auth.testing")

_BACKLOG = 1024
_LARGEST_BODY = 8 * 1024 * 1024
_PATIENCE = 5.0


class Server:
    """Listens from construction on; `stop` ends every connection and waits for their threads."""

    def __init__(self, service: Service, host: str, port: int) -> None:
        self.service = service
        service.closed = False
        self._listener = _listen(host, port)
        self.host = host
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._acceptor = threading.Thread(target=self._accept, name="aries-sandbox", daemon=True)
        self._acceptor.start()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Ends the listener, every connection and every thread."""
        self.service.closed = True
        self._stopping.set()
        self._wake_acceptor()
        self._acceptor.join(_PATIENCE)
        _end(self._listener)
        with self._lock:
            # Closed by its own thread: a number freed here could be another file's while it reads.
            for connection in self._connections:
                _shut_down(connection)
            threads = list(self._threads)
        self.service.faults.heal()
        give_up_at = time.monotonic() + _PATIENCE
        for thread in threads:
            thread.join(max(0.0, give_up_at - time.monotonic()))

    def _wake_acceptor(self) -> None:
        """A connection to ourselves, since closing a listening socket wakes its accept on few systems."""
        host = self._listener.getsockname()[0]
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound to
        try:
            socket.create_connection((loopback, self.port), timeout=1.0).close()
        except OSError:
            _shut_down(self._listener)

    def _accept(self) -> None:
        while not self.stopping:
            try:
                connection, address = self._listener.accept()
            except OSError as exc:  # out of descriptors, or a client that has gone already
                logger.debug("no connection accepted: %s", exc)
                self._stopping.wait(0.01)
                continue
            try:
                self._start(connection, address)
            except RuntimeError as exc:  # no thread left
                logger.warning("a connection was refused: %s", exc)
                _end(connection)

    def _start(self, connection: socket.socket, address: Any) -> None:
        thread = threading.Thread(
            target=self._converse, args=(connection, address), name="aries-sandbox-connection", daemon=True
        )
        with self._lock:
            if not self.stopping:
                # Under the lock: stop() must find each thread that runs, and none that it can't join yet.
                thread.start()
                self._connections.add(connection)
                self._threads.add(thread)
                return
        _end(connection)

    def _converse(self, connection: socket.socket, address: Any) -> None:
        try:
            Handler(connection, address, self)  # type: ignore[arg-type] # ty: ignore[invalid-argument-type]
        except OSError as exc:
            logger.debug("connection lost: %s", type(exc).__name__)
        finally:
            _end(connection)
            with self._lock:
                self._connections.discard(connection)
                self._threads.discard(threading.current_thread())


class _TooLarge(Exception):
    """A body that is not read."""


def _within_limit(length: int) -> int:
    if length > _LARGEST_BODY:
        raise _TooLarge
    return length


class Handler(BaseHTTPRequestHandler):
    """Reads requests off a connection and sends what the service answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    close_connection: bool
    server: Server  # type: ignore[assignment] # ty: ignore[incompatible-attribute-override]

    def _serve(self) -> None:
        hosts: list[str] = self.headers.get_all("Host") or []
        if len(hosts) > 1 or not is_addressed("".join(hosts), self.server.host):
            self._refuse(421, "HOST_UNKNOWN", f"This is the Aries sandbox at port {self.server.port}, not that Host.")
            return
        try:
            body = self._read_body()
        except _TooLarge:
            self._refuse(400, "BODY_TOO_LARGE", f"The body has more than {_LARGEST_BODY} bytes.")
            return
        if body is None:
            self._refuse(400, "BODY_INVALID", "The body's length is not usable.")
            return
        path, _, query = self.path.partition("?")
        headers: dict[str, str] = {}
        for name, value in self.headers.items():  # one that comes twice is a list (RFC 9110 section 5.3)
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        request = Request(self.command, path, query, headers, body)
        delivery = self._answer(request)
        if delivery is None or self.server.stopping:
            self.close_connection = True
            return
        logger.debug("%s %s %d", request.method, request.path, delivery.response.status)
        self._send(delivery)
        if delivery.response.status == 101:
            self.close_connection = True
            self.server.service.converse(request, Frames(self.rfile, self.wfile))

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answers a request that is not looked at, and closes the connection, since its body was not read."""
        self.close_connection = True
        answer = nested_error("VALIDATION", code, message)
        self._send(Delivery(json_response(answer, status, {"Connection": "close"})))

    do_DELETE: Callable[[Any], None] = _serve  # noqa: N815
    do_GET: Callable[[Any], None] = _serve  # noqa: N815
    do_HEAD: Callable[[Any], None] = _serve  # noqa: N815
    do_OPTIONS: Callable[[Any], None] = _serve  # noqa: N815
    do_PATCH: Callable[[Any], None] = _serve  # noqa: N815
    do_POST: Callable[[Any], None] = _serve  # noqa: N815
    do_PUT: Callable[[Any], None] = _serve  # noqa: N815

    def _answer(self, request: Request) -> Delivery | None:
        try:
            return self.server.service.answer(request)
        except Exception as exc:  # noqa: BLE001 - the client must get an answer, whatever is wrong here
            # Not the exception's text, which may quote what was sent.
            where = "".join(traceback.format_tb(exc.__traceback__))
            logger.error("%s %s failed: %s\n%s", request.method, request.path, type(exc).__name__, where)
            return Delivery(json_response(nested_error("INTERNAL", "SANDBOX_FAILED", "The sandbox failed."), 500))

    def _read_body(self) -> bytes | None:
        """The request's body, sent whole or in chunks; None if its length can't be known."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._read_chunks()
        try:
            length = int(self.headers.get("Content-Length", "0"))
        except ValueError:
            return None
        return self._read_exactly(_within_limit(length)) if length >= 0 else None

    def _read_exactly(self, length: int) -> bytes:
        data = self.rfile.read(length)
        if len(data) < length:
            raise ConnectionError("the client went away in the middle of its request")
        return data

    def _read_chunks(self) -> bytes | None:
        body = bytearray()
        while True:
            try:
                size = int(self.rfile.readline(128).partition(b";")[0], 16)
            except ValueError:
                return None
            if size < 0:
                return None
            _within_limit(len(body) + size)
            body += self._read_exactly(size)
            if size == 0:
                while self.rfile.readline(8192) not in (b"\r\n", b"\n", b""):
                    pass
                return bytes(body)
            self.rfile.readline(8)

    def _send(self, delivery: Delivery) -> None:
        head, body = self._encode(delivery.response)
        claim = delivery.claim
        if claim is None or claim.fault.drip is None:
            self.wfile.write(head + body)
        elif claim.fault.drip_of == "headers":
            self._drip(head, claim.fault.drip, claim.released)
            self.wfile.write(body)
        else:
            self.wfile.write(head)
            self._drip(body, claim.fault.drip, claim.released)

    def _drip(self, data: bytes, pause: float, released: threading.Event) -> None:
        """A byte at a time, until the fault is healed; then the rest at once."""
        for sent in range(len(data)):
            if released.wait(pause):
                self.wfile.write(data[sent:])
                return
            self.wfile.write(data[sent : sent + 1])

    def _encode(self, response: Response) -> tuple[bytes, bytes]:
        headers: dict[str, str] = {
            "Server": "AriesSandbox",
            "Date": self.date_time_string(),
            **response.headers,
        }
        given = {name.lower(): value.lower() for name, value in headers.items()}
        bodiless = response.status in (204, 304) or 100 <= response.status < 200
        if not bodiless and not {"content-length", "transfer-encoding"} & set(given):
            headers["Content-Length"] = str(len(response.body))
        if given.get("connection") == "close":
            self.close_connection = True
        elif self.close_connection:
            headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {response.status} {_reason(response.status)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        return head, b"" if bodiless or self.command == "HEAD" else response.body

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Silent: the lines of the standard library have the query in them, and a code may be in that."""


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # on Windows the option lets two programs have one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _shut_down(connection: socket.socket) -> None:
    """Ends it for every process that has it: a forked child's copy would outlive our close."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _end(connection: socket.socket) -> None:
    _shut_down(connection)
    connection.close()
