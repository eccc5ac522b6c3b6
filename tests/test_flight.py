"""Flights: work that outlives its waiters, the interpreter's end, Ctrl-C and fork. Real processes and signals."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any, Callable

import pytest
import trio

from aries_auth import AriesAuth, FileTokenStore, Token, TokenRequestError
from aries_auth.singleflight.flight import Flight, drive, drive_async
from aries_auth.singleflight.pool import MOST_IN_BACKGROUND
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED, FRESH, IN_MARGIN, Background, Program, in_threads, wait_until

Stored = Callable[..., Token]
MakeAuth = Callable[..., AriesAuth]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def finished(process: subprocess.Popen[str], given: str = "", timeout: float = 20.0) -> str:
    output, errors = process.communicate(given, timeout=timeout)
    assert process.returncode == 0, output + errors
    assert errors == "", errors
    return output.strip()


def saved(store: FileTokenStore) -> str:
    return (store.load() or Token("none")).access_token


class TestOneFlight:
    def test_runs_once_however_many_start_it(self) -> None:
        runs = []
        flight: Flight[int] = Flight(lambda _: runs.append(1) or len(runs))
        assert in_threads(16, lambda: flight.wait(5.0) and flight.result()) == [1] * 16

    def test_a_waiter_that_gives_up_leaves_it_running(self) -> None:
        go = threading.Event()
        flight: Flight[bool] = Flight(lambda _: go.wait(5.0))
        assert not flight.wait(0.01)
        go.set()
        assert flight.wait(5.0)

    def test_what_it_raises_every_waiter_gets(self) -> None:
        error = TokenRequestError("no", status_code=500, retryable=True)

        def work(_: Flight[None]) -> None:
            raise error

        flight: Flight[None] = Flight(work)
        flight.run_here()
        for _ in range(2):
            with pytest.raises(TokenRequestError, match="no") as caught:
                flight.result()
            assert caught.value is not error
            assert (caught.value.status_code, caught.value.retryable) == (500, True)

    def test_a_started_thread_that_ctrl_c_caught_is_made_good(self, monkeypatch: pytest.MonkeyPatch) -> None:
        flight: Flight[int] = Flight(lambda _: 1)
        start = threading.Thread.start

        def interrupted(_: threading.Thread) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            flight.wait(1.0)
        with pytest.raises(KeyboardInterrupt):
            flight.start_in_background()
        monkeypatch.setattr(threading.Thread, "start", start)
        flight.start_in_background()
        assert flight.wait(5.0)

    def test_a_ctrl_c_in_the_start_of_a_thread_stays_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(_: threading.Thread) -> None:
            try:
                raise KeyboardInterrupt
            finally:
                raise RuntimeError("cannot release un-acquired lock")  # of the wait that the Ctrl-C came in

        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", interrupted)
            with pytest.raises(KeyboardInterrupt):
                Flight(lambda _: 1).wait(1.0)

    def test_what_nobody_waits_for_is_not_begun_as_the_interpreter_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("aries_auth.singleflight.flight.interpreter_ending", lambda: True)
        runs: list[int] = []
        flight: Flight[None] = Flight(lambda _: runs.append(1))
        flight.start_in_background()
        wait_until(lambda: flight.done)
        with pytest.raises(TokenRequestError, match="exiting") as caught:
            flight.result()
        assert caught.value.retryable
        assert runs == []

    def test_without_another_thread_it_runs_in_the_callers(
        self, monkeypatch: pytest.MonkeyPatch, make_auth: MakeAuth, stored: Stored
    ) -> None:
        """As in Python 3.12, once the main thread has ended."""
        stored(age=EXPIRED)
        start = threading.Thread.start

        def start_others(thread: threading.Thread) -> None:
            if thread.name.startswith("aries-auth"):
                raise RuntimeError("can't start new thread")
            start(thread)

        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start_others)
            assert make_auth().get_token()

    def test_the_queue_is_worked_off_by_few_threads(self) -> None:
        go = threading.Event()
        most, lock, running = [0], threading.Lock(), [0]

        def work(_: Flight[None]) -> None:
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            go.wait(5.0)
            with lock:
                running[0] -= 1

        flights: list[Flight[None]] = [Flight(work) for _ in range(100)]
        turns = iter(flights)
        in_threads(50, lambda: [next(turns).start_in_background() for _ in range(2)])
        time.sleep(0.05)
        go.set()
        assert all(flight.wait(5.0) for flight in flights)
        assert most[0] <= MOST_IN_BACKGROUND + 1, "one may have been pulled forward by our own wait"

    def test_a_time_out_may_be_as_long_as_the_caller_likes(self) -> None:
        assert Flight(lambda _: True).wait(1e300)

    def test_wakes_tasks_of_several_loops(self) -> None:
        go = threading.Event()
        flight: Flight[bool] = Flight(lambda _: go.wait(5.0))

        def steps() -> Any:
            yield flight, 5.0
            return flight.result()

        waiting = [
            Background(lambda: drive(steps())),
            Background(lambda: asyncio.run(drive_async(steps()))),
            Background(lambda: trio.run(drive_async, steps())),
        ]
        time.sleep(0.05)
        go.set()
        assert [one.outcome() for one in waiting] == [True] * 3

    def test_a_loop_that_has_ended_disturbs_nobody(self) -> None:
        go = threading.Event()
        flight: Flight[bool] = Flight(lambda _: go.wait(5.0))

        async def glance() -> bool:
            return await flight.wait_async(0.01)

        assert not asyncio.run(glance())
        assert not trio.run(glance)
        go.set()
        assert flight.wait(5.0)


class TestCancelled:
    """A cancelled task, a time-out or Ctrl-C abandons the wait and not the refresh."""

    @pytest.fixture
    def auth(self, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox) -> AriesAuth:
        stored(age=EXPIRED)
        aries.fail(hang=True)
        return make_auth()

    def check(self, auth: AriesAuth, store: FileTokenStore, aries: AriesSandbox) -> None:
        aries.heal()
        wait_until(lambda: saved(store) == auth.get_token())
        assert aries.refresh_count == 1

    def test_an_asyncio_task(self, auth: AriesAuth, store: FileTokenStore, aries: AriesSandbox) -> None:
        async def main() -> None:
            task = asyncio.ensure_future(auth.get_token_async())
            await asyncio.get_running_loop().run_in_executor(None, aries.wait_for_requests, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        self.check(auth, store, aries)

    def test_an_asyncio_wait_for(self, auth: AriesAuth, store: FileTokenStore, aries: AriesSandbox) -> None:
        async def main() -> None:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(auth.get_token_async(), 0.2)

        asyncio.run(main())
        self.check(auth, store, aries)

    def test_a_trio_cancel_scope(self, auth: AriesAuth, store: FileTokenStore, aries: AriesSandbox) -> None:
        async def main() -> bool:
            with trio.move_on_after(0.2) as scope:
                await auth.get_token_async()
            return scope.cancelled_caught

        assert trio.run(main)
        self.check(auth, store, aries)


CTRL_C = """
    import signal
    signal.signal(signal.SIGINT, signal.default_int_handler)
    auth = make_auth()
    print("ready", flush=True)
    try:
        auth.get_token()
    except KeyboardInterrupt:
        print("interrupted at", time.time(), flush=True)
"""


def interrupt(process: subprocess.Popen[str]) -> float:
    """Sends Ctrl-C; seconds until the caller had it."""
    sent = time.time()
    process.send_signal(signal.SIGINT)
    assert process.stdout
    line = process.stdout.readline()
    assert line.startswith("interrupted at"), line
    return float(line.split()[-1]) - sent


class TestCtrlC:
    def test_reaches_the_caller_at_once_and_the_answer_is_saved(
        self, stored: Stored, store: FileTokenStore, aries: AriesSandbox, program: Program
    ) -> None:
        old = stored(age=EXPIRED)
        aries.fail(hang=True)
        process = program.start(CTRL_C)
        aries.wait_for_requests(1)
        assert process.stdout
        process.stdout.readline()
        assert interrupt(process) < 1.0
        aries.heal()
        finished(process)
        assert saved(store) not in ("none", old.access_token)
        assert aries.refresh_count == 1

    def test_reaches_the_caller_at_once_in_a_back_off_which_ends(
        self, stored: Stored, aries: AriesSandbox, program: Program
    ) -> None:
        stored(age=EXPIRED)
        aries.fail(status=503, headers={"Retry-After": "20"})
        process = program.start(CTRL_C)
        aries.wait_for_requests(1)
        assert process.stdout
        process.stdout.readline()
        time.sleep(0.1)
        assert interrupt(process) < 1.0
        finished(process, timeout=5.0)
        assert len(aries.token_requests) == 1

    def test_reaches_the_caller_at_once_in_a_wait_for_the_lock_which_ends(
        self, stored: Stored, store: FileTokenStore, aries: AriesSandbox, program: Program
    ) -> None:
        stored(age=EXPIRED)
        with store.locked():
            process = program.start(CTRL_C)
            assert process.stdout
            process.stdout.readline()
            time.sleep(0.3)
            assert interrupt(process) < 1.0
            finished(process, timeout=5.0)
        assert aries.token_requests == ()


class TestInterpretersEnd:
    def test_one_in_flight_is_awaited_and_saved(
        self, stored: Stored, store: FileTokenStore, aries: AriesSandbox, program: Program
    ) -> None:
        old = stored(age=IN_MARGIN)
        aries.fail(delay=0.5)
        process = program.start("""
            print(make_auth().get_token())
            sys.stdin.readline()
        """)
        aries.wait_for_requests(1)
        assert process.communicate("end\n", timeout=20)[0].strip() == old.access_token
        assert saved(store) not in ("none", old.access_token)

    @pytest.mark.parametrize("way", ["sys.exit(0)", "raise SystemExit", "pass"])
    def test_however_the_program_ends(
        self, stored: Stored, store: FileTokenStore, aries: AriesSandbox, program: Program, way: str
    ) -> None:
        old = stored(age=EXPIRED)
        aries.fail(delay=0.5)
        process = program.start(f"""
            try:
                make_auth(timeout=0.2).get_token()
            except TokenRequestError:
                sys.stdin.readline()
                {way}
        """)
        aries.wait_for_requests(1)
        finished(process, "end\n")
        assert saved(store) not in ("none", old.access_token)

    def test_a_back_off_ends_at_once(self, stored: Stored, aries: AriesSandbox, program: Program) -> None:
        stored(age=IN_MARGIN)
        aries.fail(status=503, headers={"Retry-After": "20"}, times=None)
        ends = program("""
            make_auth().get_token()
            sys.stdin.close()
            time.sleep(0.5)
            print(time.monotonic())
        """)
        assert time.monotonic() - float(ends) < 6.0
        assert len(aries.token_requests) == 1

    def test_a_wait_for_the_lock_ends_at_once(
        self, stored: Stored, store: FileTokenStore, aries: AriesSandbox, program: Program
    ) -> None:
        stored(age=EXPIRED)
        with store.locked():
            ends = program("""
                try:
                    make_auth(timeout=0.2).get_token()
                except TokenRequestError:
                    print(time.monotonic())
            """)
            assert time.monotonic() - float(ends) < 6.0
        assert aries.token_requests == ()

    def test_a_worker_thread_that_goes_on_after_the_main_thread_has_its_token(
        self, stored: Stored, store: FileTokenStore, aries: AriesSandbox, program: Program
    ) -> None:
        stored(age=EXPIRED)
        aries.fail(status=503)
        output = program("""
            auth = make_auth()
            def work():
                threading.main_thread().join()
                time.sleep(0.1)
                print(auth.get_token(), flush=True)
            threading.Thread(target=work).start()
        """)
        assert saved(store) == output.strip()
        assert [request.status for request in aries.token_requests] == [503, 200]

    def test_an_atexit_handler_has_its_token(
        self, stored: Stored, store: FileTokenStore, aries: AriesSandbox, program: Program
    ) -> None:
        stored(age=EXPIRED)
        output = program("""
            import atexit
            auth = make_auth()
            def leave():
                print(requests.get(aries_url + "/v1/echo", auth=auth).status_code, flush=True)
            atexit.register(leave)
        """)
        assert output.strip() == "200"
        assert saved(store) != "none"
        assert aries.refresh_count == 1

    def test_daemon_threads_keep_nothing_from_ending(
        self, stored: Stored, aries: AriesSandbox, program: Program
    ) -> None:
        stored(age=IN_MARGIN)
        aries.fail(status=503, headers={"Retry-After": "20"})
        ends = program("""
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
            make_auth().get_token()
            print(time.monotonic())
        """)
        assert time.monotonic() - float(ends) < 6.0


@needs_fork
class TestFork:
    def test_in_the_middle_of_a_refresh_the_child_starts_over_and_waits_for_its_parent(
        self, stored: Stored, store: FileTokenStore, aries: AriesSandbox, program: Program
    ) -> None:
        stored(age=EXPIRED)
        aries.fail(hang=True)
        process = program.start("""
            auth = make_auth()
            waiter = threading.Thread(target=auth.get_token)
            waiter.start()
            sys.stdin.readline()
            child = os.fork()
            if not child:
                assert auth.token is None
                print(auth.get_token(), flush=True)
                os._exit(0)
            waiter.join()
            assert os.waitpid(child, 0)[1] == 0
            print(auth.get_token())
        """)
        aries.wait_for_requests(1)
        assert process.stdin
        process.stdin.write("fork\n")
        process.stdin.flush()
        time.sleep(0.3)
        aries.heal()
        assert set(finished(process).split()) == {saved(store)}
        assert aries.refresh_count == 1
        assert aries.reused_refresh_tokens == 0

    def test_in_a_background_refresh_a_child_that_ends_disturbs_nothing(
        self, stored: Stored, store: FileTokenStore, aries: AriesSandbox, program: Program
    ) -> None:
        old = stored(age=IN_MARGIN)
        aries.fail(hang=True)
        process = program.start("""
            auth = make_auth()
            auth.get_token()
            sys.stdin.readline()
            child = os.fork()
            if not child:
                auth.get_token()
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
        """)
        aries.wait_for_requests(1)
        assert process.stdin
        process.stdin.write("fork\n")
        process.stdin.flush()
        time.sleep(0.3)
        aries.heal()
        finished(process)
        assert saved(store) not in ("none", old.access_token)
        assert aries.refresh_count == 1

    def test_of_a_parent_that_holds_a_token_the_child_reads_the_store(
        self, stored: Stored, aries: AriesSandbox, program: Program
    ) -> None:
        stored(age=FRESH)
        output = program("""
            auth = make_auth()
            token = auth.get_token()
            child = os.fork()
            if not child:
                assert auth.token is None
                assert auth.get_token() == token
                os._exit(0)
            print(os.waitpid(child, 0)[1])
        """)
        assert output.strip() == "0"

    def test_children_do_not_line_up_with_their_parent(self, stored: Stored, program: Program) -> None:
        stored(age=FRESH)
        output = program("""
            auth = make_auth()
            def fresh_until():
                auth.get_token()
                return auth._ready.source.slot.cached.fresh_until
            print(fresh_until(), flush=True)
            child = os.fork()
            if not child:
                print(fresh_until(), flush=True)
                os._exit(0)
            os.waitpid(child, 0)
        """)
        assert len(set(output.split())) == 2

    @pytest.mark.parametrize("client", ["requests.Session()", "niquests.Session()", "httpx.Client()"])
    def test_a_child_does_not_send_on_its_parents_connection(
        self, stored: Stored, aries: AriesSandbox, program: Program, client: str
    ) -> None:
        library = client.partition(".")[0]
        pytest.importorskip(library, reason=f"needs {library}")
        stored(age=EXPIRED)
        output = program(f"""
            import {library}
            client = {client}
            auth = make_auth(token_client=client)
            client.get(aries_url + "/v1/users/me")   # leaves a connection open
            import select
            def is_socket(name):
                try:
                    return os.readlink("/proc/self/fd/" + name).startswith("socket")
                except OSError:
                    return False
            sockets = [int(name) for name in os.listdir("/proc/self/fd") if is_socket(name)]
            assert sockets
            child = os.fork()
            if not child:
                auth.get_token()
                os._exit(0)
            os.waitpid(child, 0)
            print(select.select(sockets, [], [], 0.2)[0])   # ended, or answered to the child
        """)
        assert output.strip() == "[]"
        assert aries.refresh_count == 1

    @pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
    def test_multiprocessing_with_a_pickled_auth(
        self, stored: Stored, aries: AriesSandbox, program: Program, method: str, tmp_path: Any
    ) -> None:
        stored(age=EXPIRED)
        script = tmp_path / "workers.py"
        script.write_text(
            "import multiprocessing, sys, os\n"
            "from aries_auth import AriesAuth\n"
            "def work(auth, queue):\n"
            "    queue.put(auth.get_token())\n"
            "if __name__ == '__main__':\n"
            f"    context = multiprocessing.get_context({method!r})\n"
            "    queue = context.Queue()\n"
            "    auth = AriesAuth(store=os.environ['TEST_STORE'])\n"
            "    workers = [context.Process(target=work, args=(auth, queue)) for _ in range(2)]\n"
            "    for worker in workers:\n"
            "        worker.start()\n"
            "    print(len({queue.get(timeout=15) for _ in workers} | {auth.get_token()}))\n"
            "    for worker in workers:\n"
            "        worker.join(15)\n"
            "        assert worker.exitcode == 0\n"
        )
        done = subprocess.run(
            [sys.executable, str(script)],
            env=program._environment,
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
        assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr
        assert aries.refresh_count == 1
        assert aries.reused_refresh_tokens == 0


# Whose main thread


def test_python_embedded_in_a_program_whose_first_thread_is_not_ours_still_refreshes_ahead() -> None:
    # `threading` takes the thread that imports it first for the main one; when that has ended, nothing else has.
    program = """
        import _thread, sys, time
        assert "threading" not in sys.modules
        done = _thread.allocate_lock(); done.acquire()
        def first():
            import threading
            done.release()
        _thread.start_new_thread(first, ())
        done.acquire(); time.sleep(0.2)
        import threading
        from aries_auth.singleflight.flight import Flight
        from aries_auth.singleflight.pool import interpreter_ending
        assert not interpreter_ending(), "the program goes on"
        flight = Flight(lambda flight: "landed")
        flight.start_in_background()
        deadline = time.monotonic() + 10
        while not flight.done and time.monotonic() < deadline:
            time.sleep(0.01)
        print(flight.result())
    """
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{textwrap.dedent(program)}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if 'assert "threading" not in sys.modules' in done.stderr:
        pytest.skip("this Python loads threading before a program can")
    if sys.version_info < (3, 9):
        pytest.skip("Python before 3.9 does not tell when its exit begins")
    assert done.stdout.strip() == "landed", done.stderr
