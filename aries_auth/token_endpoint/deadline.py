"""Deadline: when one token request must have ended, whatever its endpoint does.

The time-outs of HTTP libraries are per read, so an endpoint that drips its answer byte by byte outlasts every one of
them. Here each read gets what is left of the whole, so that no thread has to watch.
"""

from __future__ import annotations

import io
import socket
import ssl
from contextlib import suppress
from typing import Any, Callable, cast

from aries_auth.singleflight.clock import monotonic

# After a library's own time-out, whose error says more.
_AFTER_THE_LIBRARY = 0.25
# A process that was stopped meanwhile may find its answer in the socket, and that may be the only copy of a token.
STOOD_STILL = 1.0
GRACE = 3.0


class Deadline:
    """When one request must have ended, and where that is seen to.

    Args:
        seconds: for the whole request.
    """

    __slots__ = ("_at", "_ended", "_replaced", "_sockets")

    def __init__(self, seconds: float) -> None:
        self._at = monotonic() + seconds + _AFTER_THE_LIBRARY
        self._replaced: list[tuple[Any, str]] = []
        self._sockets: list[socket.socket] = []
        self._ended = False

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return monotonic() >= self._at

    @property
    def is_seen_to(self) -> bool:
        """Whether a connection of the request is known."""
        return bool(self._replaced)

    def left(self, timeout: float | None) -> float:
        """The seconds that the next step may take: what is left, and no more than its own `timeout`.

        Raises:
            TimeoutError: nothing is left. (Before Python 3.10, socket.timeout.)
        """
        now = monotonic()
        if now > self._at + STOOD_STILL:
            self._at = now + GRACE
        left = self._at - now
        if left <= 0:
            raise socket.timeout("the time for this request is up")
        return left if timeout is None else min(left, timeout)

    def replace(self, owner: Any, name: str, method: Callable[..., Any]) -> None:
        """Put a method in the place of an object's own, until the request has ended."""
        with suppress(AttributeError):  # a class without room for it
            setattr(owner, name, method)
            self._replaced.append((owner, name))

    def limit_tls(self, used: ssl.SSLSocket) -> None:
        """Let each read of a TLS socket end in time, those of a TLS connection inside it, too."""
        receive, timeout = used.recv, used.gettimeout()

        def recv(*args: Any) -> bytes:
            used.settimeout(self.left(timeout))
            return receive(*args)

        self.replace(used, "recv", recv)

    def watch(self, used: socket.socket) -> None:
        """Remember a socket whose reads can't be limited, as a duplicate: it outlives the change to TLS."""
        with suppress(OSError):  # no descriptor left
            self._sockets.append(socket.fromfd(used.fileno(), used.family, used.type))
        if self._ended:
            self.cut_off()

    def cut_off(self) -> bool:
        """Shut down what is watched, so that whoever reads from it gets an error; False: nothing is."""
        self._ended = True
        for used in tuple(self._sockets):
            with suppress(OSError):
                used.shutdown(socket.SHUT_RDWR)
        return bool(self._sockets)

    def close(self) -> None:
        """The request has ended: its connection may serve somebody else."""
        for owner, name in self._replaced:
            cast("dict[str, Any]", vars(owner)).pop(name, None)
        self._replaced.clear()
        while self._sockets:
            self._sockets.pop().close()


class LimitedReads(io.RawIOBase):
    """What http.client reads an answer from, with each read given what is left.

    Args:
        file: what the socket's `makefile` made.
        used: the socket; its time-out is the longest that a read may take.
        deadline: for all of them.
    """

    def __init__(self, file: Any, used: Any, deadline: Deadline) -> None:
        self._file = file
        self._raw: Any = getattr(file, "raw", file)
        self._socket = used
        self._timeout: float | None = used.gettimeout()
        self._deadline = deadline

    def readable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The socket's."""
        number: int = self._file.fileno()
        return number

    def readinto(self, buffer: Any) -> int | None:
        """Read once, or raise a time-out."""
        self._socket.settimeout(self._deadline.left(self._timeout))
        size: int | None = self._raw.readinto(buffer)
        return size

    def close(self) -> None:
        """Close what is read from."""
        super().close()
        self._file.close()
