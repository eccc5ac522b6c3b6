"""For a client whose reads can't be given a deadline: the attempt runs in a thread that is left when its time is up.

That is a transport or an adapter of the caller's own, HTTP/2, and niquests, whose sockets are shut down then. Few
threads are left behind at a time: then no more are sent.
"""

from __future__ import annotations

import os
import threading
from typing import Callable

from aries_auth.singleflight.clock import monotonic
from aries_auth.singleflight.pool import interruptible
from aries_auth.token_endpoint.answer import Attempt
from aries_auth.token_endpoint.deadline import GRACE, STOOD_STILL

MOST_LEFT_BEHIND = 8
_AFTER_THE_LIBRARY = 0.5
_TO_NOTICE = 0.5


class _LeftBehind:
    """The threads whose time is up and that have not ended."""

    def __init__(self) -> None:
        self._start_over()

    def _start_over(self) -> None:
        self._pid = os.getpid()
        self._threads: list[threading.Thread] = []

    def add(self, thread: threading.Thread) -> None:
        self._threads.append(thread)

    def count(self) -> int:
        if self._pid != os.getpid():
            self._start_over()
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        return len(self._threads)


_left_behind = _LeftBehind()


def run(send: Callable[[], Attempt], seconds: float, cut_off: Callable[[], bool]) -> Attempt:
    """Make the attempt in a thread of its own, and wait `seconds` for it and a moment more.

    Args:
        send: makes the attempt.
        seconds: its time.
        cut_off: ends it from outside, if that can be done.
    """
    if _left_behind.count() >= MOST_LEFT_BEHIND:
        return Attempt(
            fault=f"{MOST_LEFT_BEHIND} earlier requests of token_client have not ended, although their time is up; "
            "this one was not sent",
            unsent=True,
        )
    attempts: list[Attempt] = []
    done = threading.Event()

    def attempt() -> None:
        try:
            attempts.append(send())
        finally:
            done.set()

    # A daemon, so that it can't hold up the end of the process.
    thread = threading.Thread(target=attempt, name="aries-auth-send", daemon=True)
    try:
        with interruptible():
            thread.start()
    except RuntimeError:
        attempt()  # no more threads, or (in Python 3.12) none once the main thread has ended
    _wait(done, seconds + _AFTER_THE_LIBRARY)
    if not attempts and cut_off():
        done.wait(_TO_NOTICE)
    if attempts:
        return attempts[0]
    _left_behind.add(thread)
    return Attempt(fault=f"no answer within {seconds:.0f} s")


def _wait(done: threading.Event, seconds: float) -> None:
    begun = monotonic()
    if not done.wait(seconds) and monotonic() > begun + seconds + STOOD_STILL:
        done.wait(GRACE)  # the process was stopped meanwhile, and its answer may be there
