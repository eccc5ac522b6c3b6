"""A TCP proxy before the database that breaks a connection at the statement it is told to."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Proxy:
    """Forwards to `port`; once armed, the next statement with `trigger` in it breaks its connection.

    "before": the server never sees it. "after": the server does, and its answer is not heard.
    """

    def __init__(self, port: int, *, host: str = "127.0.0.1", listen: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(listen)
        self.port = self._listener.getsockname()[1]
        self._trigger: bytes | None = None
        self._when = ""
        self._lock = threading.Lock()
        self.broken = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, trigger: str, when: str) -> None:
        with self._lock:
            self._trigger, self._when = trigger.encode(), when

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                silent = threading.Event()
                for run in (self._to_server, self._to_client):
                    threading.Thread(target=run, args=(client, server, silent), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket, silent: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                with self._lock:
                    hit = self._trigger is not None and self._trigger in data
                    if hit:
                        self._trigger = None
                        self.broken += 1
                if hit and self._when == "before":
                    break
                if hit:
                    silent.set()
                server.sendall(data)
        self._end(client, server)

    def _to_client(self, client: socket.socket, server: socket.socket, silent: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if silent.is_set():
                    break  # the server has answered, so it has done it
                client.sendall(data)
        self._end(client, server)

    def _end(self, *sockets: socket.socket) -> None:
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
