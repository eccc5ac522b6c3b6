"""Ends token requests whose time is up: one thread for all of them shuts down their sockets.

The time-outs of HTTP libraries are per read, so an endpoint that drips its answer byte by byte outlasts every one of
them. The thread is there while token requests are, and no longer.
"""

from __future__ import annotations

import math
import os
import socket
import sys
import threading
from contextlib import contextmanager, suppress
from typing import Any, Callable, Generator

from aries_auth.singleflight.clock import monotonic
from aries_auth.singleflight.pool import interruptible

# After a library's own time-out, whose error says more.
_AFTER_THE_LIBRARY = 0.25
# A process that was stopped meanwhile may find its answer in the socket, and that may be the only copy of a token.
STOOD_STILL = 1.0
GRACE = 3.0


class Deadline:
    """When one request must have ended, and the sockets that it uses."""

    __slots__ = ("_lock", "_sockets", "at", "passed")

    def __init__(self, at: float) -> None:
        self.at: float = at
        self.passed: bool = False
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
    """The thread, and what wakes it.

    The event is made with the thread, and not with the module: gevent and eventlet, patched late, replace what threads
    are, and what was made before does not go with what is made after.
    """

    def __init__(self, watch: Callable[[_Thread], None]) -> None:
        super().__init__(target=watch, args=(self,), name="aries-auth-deadline", daemon=True)
        self.ending = False
        self.until = math.inf
        self.wake = threading.Event()


class Watchdog:
    """The thread that ends requests in time. It starts with the first of them and ends after the last."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        # Held for a few lines, none of which can switch to another greenlet: this lock may be older than a late patch.
        self._lock = threading.Lock()
        self._deadlines: set[Deadline] = set()
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
            with self._lock:
                self._deadlines.add(deadline)
                thread = self._thread
                starts = self._starter is None and (thread is None or thread.ending)
                if starts:
                    self._starter = starter
            if starts:
                thread = _Thread(self._run)
                with interruptible():
                    thread.start()
                self._thread = thread
            elif thread is not None and deadline.at < thread.until:
                thread.wake.set()
        except RuntimeError:
            pass  # no more threads: the libraries' own time-outs have to do
        finally:
            if self._starter is starter:
                self._starter = None

    def _leave(self, deadline: Deadline) -> None:
        with self._lock:
            self._deadlines.discard(deadline)
            thread = None if self._deadlines else self._thread
        if thread is not None:
            thread.wake.set()

    def _run(self, thread: _Thread) -> None:
        try:
            while self._next(thread):
                self._sleep(thread)
                for deadline in self._due():
                    deadline.end()
        finally:
            thread.ending = True

    def _next(self, thread: _Thread) -> bool:
        thread.wake.clear()
        with self._lock:
            if not self._deadlines:
                # Said under the lock: whoever comes now starts another, and nobody relies on this one.
                thread.ending = True
                return False
            thread.until = min(deadline.at for deadline in self._deadlines)
            return True

    def _due(self) -> list[Deadline]:
        now = monotonic()
        with self._lock:
            due = [deadline for deadline in self._deadlines if deadline.at <= now]
            self._deadlines.difference_update(due)
        return due

    def _sleep(self, thread: _Thread) -> None:
        seconds = thread.until - monotonic()
        if seconds <= 0:
            return
        thread.wake.wait(seconds)
        now = monotonic()
        if now > thread.until + STOOD_STILL:
            with self._lock:
                for deadline in self._deadlines:
                    deadline.at = max(deadline.at, now + GRACE)


watchdog: Watchdog = Watchdog()


def _start_over() -> None:
    watchdog.__init__()  # type: ignore[misc]


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_start_over)
