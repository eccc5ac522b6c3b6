"""A TCP relay in front of the token endpoint, so that it can be out of reach while the API is not."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any


class Relay:
    """Passes connections on to a port of this machine; while it is `down`, they are refused."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self.up()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        """Listen, on the same port as before."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(256)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections, and break those that are open."""
        listener, self._listener = self._listener, None
        with self._lock:
            broken, self._sockets = self._sockets, set()
        for each in filter(None, (listener, *broken)):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes the threads that read from it; they close it
        if listener is not None:
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near = listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            with self._lock:
                if self._listener is listener:
                    self._sockets |= {near, far}
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: Any, sink: Any) -> None:
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(65536)
                if not data:
                    break
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
        with self._lock:
            known = {source, sink} & self._sockets
            self._sockets.discard(source)
        if source not in known:
            return
        with contextlib.suppress(OSError):
            source.shutdown(socket.SHUT_RD)
        if sink not in known:
            source.close()
            sink.close()
