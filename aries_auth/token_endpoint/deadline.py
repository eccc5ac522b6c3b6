"""Ends token requests whose time is up: one thread for all of them shuts down their sockets.

The time-outs of HTTP libraries are per read, so an endpoint that drips its answer byte by byte outlasts every one of
them. The thread is there while token requests are, and no longer.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import contextmanager, suppress
from typing import Any, Generator

from aries_auth.singleflight.clock import monotonic
from aries_auth.singleflight.pool import interruptible

# After a library's own time-out, whose error says more.
_AFTER_THE_LIBRARY = 0.25
# A process that was stopped meanwhile may find its answer in the socket, and that may be the only copy of a token.
_STOOD_STILL = 1.0
_GRACE = 3.0


class Deadline:
    """When one request must have ended, and the sockets that it uses."""

    __slots__ = ("_lock", "_sockets", "at", "passed")

    def __init__(self, at: float) -> None:
        self.at = at
        self.passed = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] | None = []

    @property
    def has_socket(self) -> bool:
        """Whether a socket is known already."""
        return bool(self._sockets)

    def add(self, used: Any) -> None:
        """Watch a socket, which is shut down at once if the time is up already.

        A duplicate is kept: it outlives the change to TLS, and its number is nobody else's when it is shut down.
        """
        try:
            copy = socket.fromfd(used.fileno(), used.family, used.type)
        except (OSError, AttributeError, TypeError, ValueError):
            return  # no descriptor left, or a mock's
        with self._lock:
            if self._sockets is not None:
                self._sockets.append(copy)
                if self.passed:
                    _shut_down(copy)
                return
        copy.close()  # the request has ended, and its connection serves somebody else

    def end(self) -> None:
        """The time is up: whoever reads from or writes to these sockets gets an error."""
        with self._lock:
            self.passed = True
            for used in self._sockets or ():
                _shut_down(used)

    def close(self) -> None:
        """The request has ended; free the duplicates."""
        with self._lock:
            sockets, self._sockets = self._sockets or [], None
        for used in sockets:
            used.close()


def _shut_down(used: socket.socket) -> None:
    with suppress(OSError):
        used.shutdown(socket.SHUT_RDWR)


class _Thread(threading.Thread):
    ending = False


class Watchdog:
    """The thread that ends requests in time. It starts with the first of them and ends after the last."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        # Not the RLock of its own: eventlet, patched late, replaces those, and breaks what was made from them.
        self._changed = threading.Condition(threading.Lock())
        self._deadlines: set[Deadline] = set()
        self._until = 0.0
        self._thread: _Thread | None = None
        self._starter: object = None

    @contextmanager
    def limit(self, seconds: float) -> Generator[Deadline, None, None]:
        """A deadline for what runs inside; that puts its sockets there."""
        if self._pid != os.getpid():  # a fork that runs no hooks of Python, as uWSGI's
            self.__init__()  # type: ignore[misc]
        deadline = Deadline(monotonic() + seconds + _AFTER_THE_LIBRARY)
        try:
            self._watch(deadline)
            yield deadline
        finally:
            self._leave(deadline)
            deadline.close()

    def _watch(self, deadline: Deadline) -> None:
        starter = object()
        try:
            with self._changed:
                self._deadlines.add(deadline)
                if self._is_awake():
                    if deadline.at < self._until:
                        self._changed.notify()
                    return
                self._starter = starter
            thread = _Thread(target=self._run, name="aries-auth-deadline", daemon=True)
            with interruptible():
                thread.start()
            self._thread = thread
        except RuntimeError:
            pass  # no more threads: the libraries' own time-outs have to do
        finally:
            if self._starter is starter:
                self._starter = None

    def _is_awake(self) -> bool:
        thread = self._thread
        return self._starter is not None or (thread is not None and thread.is_alive() and not thread.ending)

    def _leave(self, deadline: Deadline) -> None:
        with self._changed:
            self._deadlines.discard(deadline)
            if not self._deadlines:
                self._changed.notify()

    def _run(self) -> None:
        thread = threading.current_thread()
        while True:
            with self._changed:
                if not self._deadlines:
                    # Said under the lock: whoever comes now starts another, and nobody relies on this one.
                    thread.ending = True  # type: ignore[attr-defined]
                    return
                self._until = min(deadline.at for deadline in self._deadlines)
                self._sleep(self._until - monotonic())
                now = monotonic()
                due = [deadline for deadline in self._deadlines if deadline.at <= now]
                self._deadlines.difference_update(due)
            for deadline in due:
                deadline.end()

    def _sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        wake_at = monotonic() + seconds
        self._changed.wait(seconds)
        now = monotonic()
        if now > wake_at + _STOOD_STILL:
            for deadline in self._deadlines:
                deadline.at = max(deadline.at, now + _GRACE)


watchdog = Watchdog()


def _start_over() -> None:
    watchdog.__init__()  # type: ignore[misc]


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_start_over)
