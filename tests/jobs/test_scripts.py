"""Plain scripts: SIGTERM right after a call, and Ctrl-C while the interpreter waits at its end."""

from __future__ import annotations

import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from .conftest import Job, Jobs, Process, Server, Start, free_port, needs, repeated


def each_in(jobs: Jobs, start: Start, way: str, made: list[Job], act: Callable[[Process, Job], Any]) -> list[Any]:
    """Do something with a script of each job, eight at a time."""

    def use(job: Job) -> Any:
        return act(start.program("script", way, environment=jobs.environment([job])), job)

    with ThreadPoolExecutor(8) as users:
        return list(users.map(use, made))


def stop_after_the_call(program: Process, job: Job) -> int:
    program.wait_until(job.done.exists)
    time.sleep(0.05)
    program.signal(signal.SIGTERM)
    return program.wait()


@repeated
@pytest.mark.parametrize("way", ["handler", "wait"])
def test_nothing_is_lost_by_sigterm_with_the_handler_of_the_docs(jobs: Jobs, start: Start, runs: int, way: str) -> None:
    made = jobs.make(runs)
    assert set(each_in(jobs, start, way, made, stop_after_the_call)) == {0}
    jobs.judge(in_order=True)


@repeated
def test_nothing_is_lost_by_sigterm_without_a_handler_where_background_is_false(
    jobs: Jobs, start: Start, runs: int
) -> None:
    made = jobs.make(runs, background=False)
    assert set(each_in(jobs, start, "bare", made, stop_after_the_call)) == {-signal.SIGTERM}
    jobs.judge()


@repeated
@needs("waitress")
@pytest.mark.parametrize("options", [{"background": False}, {}], ids=["background=False", "handler"])
def test_nothing_is_lost_in_waitress(jobs: Jobs, start: Start, runs: int, options: dict[str, Any]) -> None:
    """waitress has no handler of its own: it ends like a plain script."""
    handler = [] if options else ["with a handler"]

    def use(job: Job) -> None:
        port = free_port()
        program = start.program("serve_waitress", str(port), *handler, environment=jobs.environment([job]))
        server = Server(program, port)
        server.do(["/0"])
        server.stop()

    with ThreadPoolExecutor(8) as users:
        list(users.map(use, jobs.make(runs, **options)))
    jobs.judge(in_order=not options)


def press_ctrl_c_at_the_end(program: Process, job: Job) -> None:
    program.wait_until(job.done.exists)
    time.sleep(0.2)  # the refresh has been sent, on all but the busiest machines
    job.done.with_name("go").touch()
    program.wait_until(lambda: "the end" in program.said)
    program.signal(signal.SIGINT)
    program.wait()
    assert "Traceback" not in program.said


@repeated
def test_nothing_is_lost_by_one_ctrl_c_at_the_interpreters_end(jobs: Jobs, start: Start, runs: int) -> None:
    made = jobs.make(runs, 0.4, 1.0)
    each_in(jobs, start, "ends", made, press_ctrl_c_at_the_end)
    jobs.judge(in_order=True)


def at_its_end(jobs: Jobs, start: Start, seconds: float) -> Process:
    """A script that waits at its end for an answer that takes so long."""
    (job,) = jobs.make(1, 1.0)
    job.aries.heal()
    job.aries.fail(delay=seconds, times=None)
    program = start.program("script", "ends", environment=jobs.environment([job]))
    job.aries.wait_for_requests(1)
    job.done.with_name("go").touch()
    program.wait_until(lambda: "the end" in program.said)
    time.sleep(0.1)
    return program


@pytest.mark.noisy
def test_the_first_ctrl_c_at_the_end_says_what_is_waited_for_and_the_second_ends_the_wait(
    jobs: Jobs, start: Start
) -> None:
    program = at_its_end(jobs, start, 20.0)
    program.signal(signal.SIGINT)
    program.wait_until(lambda: "aries-auth: waiting" in program.said, 5.0)
    assert "Ctrl-C again" in program.said
    assert program.running
    program.signal(signal.SIGINT)
    begun = time.monotonic()
    program.wait(10.0)
    assert time.monotonic() - begun < 3.0


@pytest.mark.noisy
def test_an_end_that_takes_longer_than_two_seconds_says_so(jobs: Jobs, start: Start) -> None:
    program = at_its_end(jobs, start, 5.0)
    time.sleep(1.0)
    assert "aries-auth" not in program.said
    program.wait_until(lambda: "aries-auth: waiting" in program.said, 3.5)
    assert len(program.said.splitlines()) == 2, program.said
    assert program.wait() == 0


@pytest.mark.noisy
def test_an_end_that_is_quick_says_nothing(jobs: Jobs, start: Start) -> None:
    program = at_its_end(jobs, start, 0.5)
    assert program.wait() == 0
    assert program.said.split() == ["the", "end"]


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
