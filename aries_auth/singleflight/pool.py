"""Our threads: what tells them from the program's own, the few that work in the background, and Python's exit."""

from __future__ import annotations

import atexit
import math
import os
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Callable, Generator, Protocol

MOST_IN_BACKGROUND = 32

_SILENT_AT_EXIT = 2.0
_GLANCE = 0.05
_MOMENT = 0.001
_LONGEST_IMPORT = 5.0
_WAITING = "aries-auth: waiting for the token endpoint's answer before Python exits (30 s at most)."
_AGAIN = "Press Ctrl-C again to give it up: a person may then have to log in again."


class FlightThread(threading.Thread):
    """A thread of this package, told from the program's own when the interpreter ends."""


class Work(Protocol):
    """What a pool works off: a flight, but for what it is about."""

    def should_stop(self) -> bool:
        """Whether it should not be begun any more."""
        ...

    def run_here(self) -> None:
        """Run in the calling thread, unless it runs already."""
        ...

    def call_off(self) -> None:
        """End without having been begun."""
        ...


@contextmanager
def interruptible() -> Generator[None, None, None]:
    """Around the start of a thread, which makes a RuntimeError of a Ctrl-C that comes as its wait lets go of a lock."""
    try:
        yield
    except RuntimeError as exc:
        interruption = exc.__context__
        if isinstance(interruption, (KeyboardInterrupt, SystemExit)):
            raise interruption from None
        raise


class WorkerPool:
    """The threads that run background flights, each taking the next from the queue before it ends."""

    def __init__(self) -> None:
        self.start_over()

    def start_over(self) -> None:
        """Forget the threads and the queue, which a forked child does not have."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._queue: deque[Work] = deque()
        self._places: set[object] = set()

    def submit(self, flight: Work) -> None:
        """Run it now if few others do, else when its turn comes; call it off if no thread is left."""
        if self._process != os.getpid():  # a child whose fork ran none of Python's hooks
            self.start_over()
        place = object()
        try:
            with self._lock:
                if len(self._places) >= MOST_IN_BACKGROUND:
                    self._queue.append(flight)
                    return
                self._places.add(place)
            # Not under the lock: under gevent the start switches to another greenlet, which may come here, too.
            thread = FlightThread(target=self._work_off, args=(flight, place), name="aries-auth-refresh", daemon=False)
            with interruptible():
                thread.start()
        except RuntimeError:  # no thread left
            self._leave(place)
            flight.call_off()
        except BaseException:  # Ctrl-C: if the thread has begun all the same, it finds its place gone
            self._leave(place)
            raise

    def _leave(self, place: object) -> None:
        with self._lock:
            self._places.discard(place)

    def _work_off(self, first: Work, place: object) -> None:
        flight: Work | None = first
        while flight is not None:
            if flight.should_stop():
                flight.call_off()
            else:
                flight.run_here()
            with self._lock:
                flight = self._queue.popleft() if self._queue else None
                if flight is None:
                    self._places.discard(place)


class _Exit:
    """Python's exit: whether it has begun, and what it waits for."""

    def __init__(self) -> None:
        self.begun = False
        self.has_hook = False
        self._given_up = False

    def watch(self) -> None:
        """Hear of the exit before Python joins the threads, where it tells; else after a Ctrl-C in that."""
        # Private, but what concurrent.futures lives by, and there is nothing else before the join (Python 3.9 on).
        register: Callable[[Callable[[], Any]], Any] | None = getattr(threading, "_register_atexit", None)
        if register is not None:
            with suppress(RuntimeError):  # it has begun
                register(self._begin)
                self.has_hook = True
        atexit.register(self._after_interruption)

    def _begin(self) -> None:
        self.begun = True
        self._wait(interrupted=False)

    def _after_interruption(self) -> None:
        """Exit handlers run once the threads have ended, or a Ctrl-C has ended the wait for them."""
        if not self._given_up and _in_flight():
            _say(f"{_WAITING} {_AGAIN}")
            self._wait(interrupted=True)

    def _wait(self, *, interrupted: bool) -> None:
        """Wait for what is in flight. A line says so after 2 s and at the first Ctrl-C; the second one ends it."""
        speak_at = math.inf if interrupted else time.monotonic() + _SILENT_AT_EXIT
        while True:
            try:
                while not self._given_up and interpreter_ending() and _in_flight():
                    if speak_at <= time.monotonic():
                        speak_at = math.inf
                        _say(_WAITING)
                    time.sleep(_GLANCE)
                return
            except KeyboardInterrupt:
                if interrupted:
                    self._given_up = True
                    raise
                interrupted, speak_at = True, math.inf
                _say(f"{_WAITING} {_AGAIN}")


def interpreter_ending() -> bool:
    """Whether the program is over: no thread but daemons and ours is left.

    Python before 3.9 does not tell when its exit begins. Its main thread says so, unless Python is embedded and
    `threading` was first imported by another one.
    """
    main = threading.main_thread()
    if not _exit.begun and (_exit.has_hook or main.is_alive()):
        return False
    return all(thread is main or thread.daemon or isinstance(thread, FlightThread) for thread in threading.enumerate())


def _let_imports_end() -> None:
    """Before a fork, wait until no thread of this package is importing a module, 5 s at most.

    The child would find the module's lock held by a thread that it does not have, and its own import waits for ever.
    """
    if not _in_flight():
        return
    give_up_at = time.monotonic() + _LONGEST_IMPORT
    while _is_importing() and time.monotonic() < give_up_at:
        time.sleep(_MOMENT)


def _is_importing() -> bool:
    ours = {thread.ident for thread in threading.enumerate() if isinstance(thread, FlightThread)}
    frames = sys._current_frames()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - documented
    return any(_imports(frame) for ident, frame in frames.items() if ident in ours)


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _in_flight() -> bool:
    return any(isinstance(thread, FlightThread) for thread in threading.enumerate())


def _say(text: str) -> None:
    with suppress(Exception):  # a closed standard error
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


if sys.platform != "win32":
    os.register_at_fork(before=_let_imports_end)

_exit = _Exit()
_exit.watch()
