"""One piece of work in a thread of its own, and whoever waits for it: threads, asyncio tasks, trio tasks.

A waiter that is cancelled, times out or gets Ctrl-C abandons the wait, never the work. The threads are no daemons,
so that the interpreter's end waits for an answer that is under way.
"""

from __future__ import annotations

import contextvars
import copy
import os
import sys
import threading
import time
from contextlib import suppress
from typing import Any, Callable, Generator, Generic, Tuple, TypeVar

from aries_auth.errors import AriesAuthError, PythonExiting
from aries_auth.singleflight.clock import monotonic
from aries_auth.singleflight.pool import FlightThread, WorkerPool, interpreter_ending, interruptible

T = TypeVar("T")
R = TypeVar("R")

_GLANCE = 0.05


class Flight(Generic[T]):
    """Work that runs once, in its own thread, with a result that any number of waiters share.

    It is no `concurrent.futures.Future`: a Ctrl-C as a Future takes the lock of its condition leaves that locked, and
    every waiter hangs. tests/chaos/test_interrupts.py presses Ctrl-C there.

    Args:
        work: called with the flight; what it returns or raises is the result.
    """

    def __init__(self, work: Callable[[Flight[T]], T]) -> None:
        # The caller's, so that a secret or a store that needs what it has set (flask's current_app) finds it there.
        self._context = contextvars.copy_context()
        self._work: Callable[[Flight[T]], T] | None = work
        self._lock = threading.Lock()
        self._done = False
        self._callbacks: list[Callable[[], object]] = []
        # Who has undertaken to get it a thread, and who waits: objects of their own rather than a flag and a number,
        # so that a Ctrl-C between two lines can be made good whether or not the line before it ran.
        self._starter: object = None
        self._queued = False
        self._waiters: set[object] = set()
        self._result: T | None = None
        self._error: BaseException | None = None

    @property
    def done(self) -> bool:
        """Whether the result is there."""
        return self._done

    def start(self) -> None:
        """Run in a thread of its own, now; nothing happens where it runs already."""
        starter = object()
        try:
            with self._lock:
                if self._work is None or self._starter is not None:
                    return
                self._starter = starter
            with interruptible():
                FlightThread(target=self.run_here, name="aries-auth-refresh", daemon=False).start()
        except RuntimeError:
            # No more threads, or (in Python 3.12) none once the main thread has ended: better here than never.
            self.run_here()
        except BaseException:
            # Ctrl-C: whether the thread has begun is not to be known. The next one starts another; one of them runs it.
            if self._starter is starter:
                self._starter = None
            raise

    def start_in_background(self) -> None:
        """Run when fewer than `pool.MOST_IN_BACKGROUND` others do; `start` makes it skip the queue."""
        if not self._queued and self._starter is None:
            _pool.submit(self)
            self._queued = True  # after: a Ctrl-C in between queues it a second time, which does nothing

    def run_here(self) -> None:
        """Run in the calling thread, unless it runs already."""
        work = self._claim()
        if work is None:
            return
        try:
            result = self._context.run(work, self)
        except BaseException as exc:  # noqa: BLE001 - handed to whoever waits
            self._finish(None, exc)
        else:
            self._finish(result, None)

    def call_off(self) -> None:
        """End work that was not started, as Python is exiting."""
        if self._claim() is not None:
            self._finish(None, PythonExiting("Python is exiting; no token request was sent.", retryable=True))

    def wait(self, timeout: float) -> bool:
        """Start the work unless it runs, and wait in a thread; returns whether the result is there in time.

        The waiter is counted before the work starts: at the interpreter's end, work that nobody waits for stops.
        """
        waiter = object()
        try:
            self._waiters.add(waiter)
            self.start()
            self._wait_thread(timeout)
        finally:
            self._waiters.discard(waiter)
        return self.done

    async def wait_async(self, timeout: float) -> bool:
        """`wait` in an asyncio or trio task."""
        waiter = object()
        try:
            self._waiters.add(waiter)
            self.start()
            if _in_trio():
                await self._wait_trio(timeout)
            else:
                await self._wait_asyncio(timeout)
        finally:
            self._waiters.discard(waiter)
        return self.done

    def result(self) -> T:
        """What the work returned; raises what it raised, each waiter an exception of its own."""
        error = self._error
        if error is None:
            return self._result  # type: ignore[return-value] # ty: ignore[invalid-explicit-return]
        if isinstance(error, AriesAuthError):
            # One object raised in many threads would collect all their frames in its traceback.
            raise copy.copy(error) from error.__cause__
        raise error

    def should_stop(self) -> bool:
        """Whether nothing new should be begun: the interpreter is ending and nobody waits for this."""
        return not self._waiters and interpreter_ending()

    def pause(self, seconds: float) -> bool:
        """Sleep so many seconds; returns at once, and False, when nothing new should be begun."""
        deadline = monotonic() + seconds
        while not self.should_stop():
            left = deadline - monotonic()
            if left <= 0:
                return True
            time.sleep(min(left, _GLANCE))
        return False

    def pause_of_one_attempt(self, seconds: float) -> bool:
        """`pause` for work of one attempt: it waits for no second one."""
        return seconds <= 0 and self.pause(0.0)

    def _claim(self) -> Callable[[Flight[T]], T] | None:
        with self._lock:
            work, self._work = self._work, None
            return work

    def _finish(self, result: T | None, error: BaseException | None) -> None:
        self._result, self._error = result, error
        with self._lock:
            self._done = True
            callbacks = self._callbacks
            self._callbacks = []
        for callback in callbacks:
            # The waiter's loop may have ended meanwhile; trio's error for that is a RuntimeError, too.
            with suppress(RuntimeError):
                callback()

    def _when_done(self, callback: Callable[[], object]) -> None:
        with self._lock:
            if not self._done:
                self._callbacks.append(callback)
                return
        callback()

    def _wait_thread(self, timeout: float) -> None:
        # A bare lock and not an Event: a Ctrl-C as that takes its own lock would leave it locked, and us hanging.
        gate = threading.Lock()
        gate.acquire()
        self._when_done(gate.release)
        if sys.platform != "win32":
            gate.acquire(timeout=min(timeout, threading.TIMEOUT_MAX))
            return
        # There a wait is deaf to Ctrl-C until it ends.
        deadline = monotonic() + timeout
        while not gate.acquire(timeout=max(0.0, min(_GLANCE, deadline - monotonic()))) and monotonic() < deadline:
            pass

    async def _wait_asyncio(self, timeout: float) -> None:
        import asyncio  # noqa: PLC0415 - loaded already where somebody awaits; the rest of us need not pay for it

        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[None] = loop.create_future()

        def arrive() -> None:
            if not arrived.done():
                arrived.set_result(None)

        self._when_done(lambda: loop.call_soon_threadsafe(arrive))
        # asyncio.wait and not wait_for, which in Python 3.8 to 3.11 can lose a cancellation.
        await asyncio.wait([arrived], timeout=timeout)

    async def _wait_trio(self, timeout: float) -> None:
        import trio  # noqa: PLC0415 - no dependency: here only inside a trio program

        arrived = trio.Event()
        trio_token = trio.lowlevel.current_trio_token()
        self._when_done(lambda: trio_token.run_sync_soon(arrived.set))
        with trio.move_on_after(timeout):
            await arrived.wait()


Steps = Generator[Tuple[Flight[Any], float], None, R]


def drive(steps: Steps[R]) -> R:
    """Carry out steps that yield a flight and the seconds to wait for it, in a thread."""
    try:
        while True:
            flight, seconds = next(steps)
            flight.wait(seconds)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def drive_async(steps: Steps[R]) -> R:
    """Carry out the same steps in a task."""
    try:
        while True:
            flight, seconds = next(steps)
            await flight.wait_async(seconds)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def _in_trio() -> bool:
    trio = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_task()
    except (AttributeError, RuntimeError):  # the former: another thread, which loads httpx, is importing it just now
        return False
    return not _in_asyncio_task()


def _in_asyncio_task() -> bool:
    """Whether a task of asyncio runs; under trio-asyncio it does so inside a task of trio."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        return asyncio.current_task() is not None
    except (AttributeError, RuntimeError):
        return False


_pool = WorkerPool()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_pool.start_over)
