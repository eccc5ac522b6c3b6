"""Our threads: what tells them from the program's own, and the few of them that work in the background."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from typing import Generator, Protocol

# Each is one thread; one more, which they share, ends requests whose time is up (see `token_endpoint.deadline`).
MOST_IN_BACKGROUND = 32


class FlightThread(threading.Thread):
    """A thread of ours, told from the program's own when the interpreter ends."""


class Work(Protocol):
    """What a crew works off: a flight, but for what it is about."""

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


def interpreter_ending() -> bool:
    """Whether the program is over: no thread but daemons and ours is left."""
    main = threading.main_thread()
    if main.is_alive():
        return False
    return all(thread is main or thread.daemon or isinstance(thread, FlightThread) for thread in threading.enumerate())


class WorkerPool:
    """The threads that run background flights, each taking the next from the queue before it ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Work] = deque()
        self._threads: set[threading.Thread] = set()

    def submit(self, flight: Work) -> None:
        """Run it now where few others do, else when its turn comes; call it off where no thread can be had."""
        thread = FlightThread(target=self._work_off, args=(flight,), name="aries-auth-refresh", daemon=False)
        try:
            # Started under the lock: who is not alive then has ended, or a Ctrl-C kept it from starting.
            with self._lock:
                self._threads = {other for other in self._threads if other.is_alive()}
                if len(self._threads) >= MOST_IN_BACKGROUND:
                    self._queue.append(flight)
                else:
                    self._threads.add(thread)
                    with interruptible():
                        thread.start()
        except RuntimeError:  # no more threads to be had
            flight.call_off()

    def _work_off(self, flight: Work | None) -> None:
        while flight is not None:
            if flight.should_stop():
                flight.call_off()
            else:
                flight.run_here()
            with self._lock:
                flight = self._queue.popleft() if self._queue else None
                if flight is None:
                    self._threads.discard(threading.current_thread())
