"""Listening: whether the sandbox's server runs, and where. After a stop it starts again at the same port."""

from __future__ import annotations

import threading

from aries_auth.testing.hosts import warn_if_reachable
from aries_auth.testing.server import Server
from aries_auth.testing.service import Service


class Listening:
    """The server of a service, while there is one.

    Args:
        service: what answers.
        host: the address to listen on.
        port: 0 takes a free one at the first start.
    """

    def __init__(self, service: Service, host: str, port: int) -> None:
        self._service = service
        self._host = host
        self._port = port
        self._server: Server | None = None
        self._stopped = threading.Event()

    @property
    def running(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._server is not None

    @property
    def origin(self) -> str:
        """The address that it listens on, or has listened on."""
        if not self._port:
            raise RuntimeError("The sandbox has no address before it is started.")
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"

    def start(self) -> None:
        """Listens when it returns."""
        if self._server is None:
            warn_if_reachable(self._host)
            self._stopped.clear()
            self._server = Server(self._service, self._host, self._port)
            self._port = self._server.port

    def stop(self) -> None:
        """Ends every connection and every thread."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()
        self._stopped.set()

    def wait(self) -> None:
        """Blocks until `stop`, or Ctrl-C."""
        while not self._stopped.wait(0.5):  # in slices: Windows does not interrupt a wait for a lock
            pass
