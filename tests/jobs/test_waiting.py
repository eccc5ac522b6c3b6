"""Who waits for a refresh ahead, and how long: `background=`, `wait` and `wait_async`."""

from __future__ import annotations

import json
import statistics
import sys
from typing import Any, Sequence

import pytest

from aries_auth import ConfigurationError

from .conftest import Job, Jobs, Process, Server, Start, free_port, needs

SLOW = 1.0  # seconds that the token endpoint takes
HOWS = ("requests", "httpx", "asyncio", "get_token")
pytestmark = [pytest.mark.skipif(sys.platform == "win32", reason="there is no fork"), pytest.mark.noisy]


class Calls:
    """What the calls of one process took; ascending, in seconds."""

    def __init__(self, how: str, job: Job, program: Process) -> None:
        assert program.wait() == 0, program.said
        self.how, self.job = how, job
        self.said: list[dict[str, float]] = json.loads(program.said)
        # On an event loop, the last one is the longest time for which it stood still.
        self.stall = self.said.pop()["took"] if how == "asyncio" else 0.0
        self.took = sorted(call["took"] for call in self.said)

    def __repr__(self) -> str:
        return f"{self.how}: {[round(each, 3) for each in self.took]}"

    @property
    def waited(self) -> int:
        """How many waited for the refresh."""
        assert self.stall < SLOW / 2, f"the event loop stood still for {self.stall:.3f} s"
        return sum(each >= SLOW * 0.9 for each in self.took)


def calls(
    start: Start, jobs: Jobs, made: list[Job], where: str, count: int = 1, hows: Sequence[str] = HOWS, **variables: str
) -> list[Calls]:
    """So many calls at a time, in a process for each way to make one; all processes at a time."""
    started = []
    for how, job in zip(hows, made):
        environment = jobs.environment([job], **variables)
        started.append((how, job, start.program("calls", how, where, str(count), environment=environment)))
    return [Calls(*each) for each in started]


def test_no_call_waits_in_a_process_that_ends_in_order(jobs: Jobs, start: Start) -> None:
    for each in calls(start, jobs, jobs.make(4, SLOW), "here", 4):
        assert each.waited == 0, each
    jobs.judge(in_order=True)


@needs("gunicorn")
def test_no_call_waits_in_a_sync_worker_of_gunicorn(jobs: Jobs, start: Start) -> None:
    made, port = jobs.make(4, SLOW), free_port()
    command = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "tests.jobs.programs.wsgi:app"]
    server = Server(start(command, jobs.environment(made)), port)
    server.do([f"/{number}" for number in range(4)])
    server.stop()
    assert max(job.note["took"] for job in made) < SLOW / 2
    jobs.judge(in_order=True)


def test_one_caller_waits_in_a_forked_child_and_the_others_do_not(jobs: Jobs, start: Start) -> None:
    for each in calls(start, jobs, jobs.make(4, SLOW), "forked", 6):
        assert each.waited == 1, each
    jobs.judge()


def test_the_caller_that_waits_goes_on_as_soon_as_the_token_is_saved(jobs: Jobs, start: Start) -> None:
    """The file's change time is that of the replacement, to a tick of the kernel."""
    late = []
    for _ in range(3):
        for how in HOWS:
            (each,) = calls(start, jobs, jobs.make(1, 0.15), "forked", hows=[how])
            late.append(each.said[0]["ended_at"] - each.job.store.stat().st_ctime)
    print(f"\nafter the replacement: {sorted(round(1000 * seconds, 1) for seconds in late)} ms")
    assert min(late) < 0.02  # 10 ms, and the tick
    assert statistics.median(late) < 0.1  # of a busy machine
    jobs.judge()


def test_nobody_waits_in_a_forked_child_with_background_true(jobs: Jobs, start: Start) -> None:
    for each in calls(start, jobs, jobs.make(4, SLOW, background=True), "forked", 4):
        assert each.waited == 0, each


def test_one_caller_waits_in_any_process_with_background_false(jobs: Jobs, start: Start) -> None:
    for each in calls(start, jobs, jobs.make(4, SLOW, background=False), "here", 4):
        assert each.waited == 1, each
    jobs.judge()


def test_a_call_waits_in_a_runtime_that_freezes_between_two_requests(jobs: Jobs, start: Start) -> None:
    names = ["AWS_LAMBDA_FUNCTION_NAME", "FUNCTION_TARGET", "K_SERVICE", "FUNCTIONS_WORKER_RUNTIME"]
    for name, job in zip(names, jobs.make(4, SLOW)):
        (each,) = calls(start, jobs, [job], "here", hows=["requests"], **{name: "fn"})
        assert each.waited == 1, (name, each)
    jobs.judge()


def test_no_back_off_is_waited_for(jobs: Jobs, start: Start) -> None:
    """The first attempt fails, and is over; the living token has served."""
    made = jobs.make(4, 0.15)
    aries = made[0].aries
    aries.heal()
    aries.fail(status=503, headers={"Retry-After": "20"}, delay=0.15, times=None)
    for each in calls(start, jobs, made, "forked", 3):
        assert each.took[-1] < 3.0, each
    assert len(aries.token_requests) == len(made)
    aries.heal()
    assert not [job for job in made if job.lost]


def test_a_caller_waits_no_longer_than_its_timeout(jobs: Jobs, start: Start) -> None:
    for each in calls(start, jobs, jobs.make(4, SLOW, background=False, timeout=0.2), "here"):
        assert each.took[-1] < 0.8, each
    jobs.judge()


def waits(jobs: Jobs, start: Start, way: str, job: Job) -> list[dict[str, Any]]:
    program = start.program("waits", way, environment=jobs.environment([job]))
    assert program.wait() == 0, program.said
    said: list[dict[str, Any]] = json.loads(program.said)
    return said


def test_wait_says_whether_anything_is_under_way_and_starts_nothing(jobs: Jobs, start: Start) -> None:
    (job,) = jobs.make(1, SLOW)
    nothing, at_once, under_way, in_vain, whole, after = waits(jobs, start, "in turn", job)
    assert [nothing["said"], at_once["said"]] == [True, True]
    assert max(nothing["took"], at_once["took"], under_way["took"], after["took"]) < 0.1
    assert under_way["said"] is False
    assert in_vain["said"] is False
    assert 0.09 <= in_vain["took"] < 0.5
    assert [whole["said"], after["said"]] == [True, True]
    assert len(job.aries.token_requests) == 1
    jobs.judge()


def test_wait_is_true_after_a_fork(jobs: Jobs, start: Start) -> None:
    (job,) = jobs.make(1, SLOW)
    (child,) = waits(jobs, start, "after a fork", job)
    assert child["said"] is True
    assert child["took"] < 0.1
    jobs.judge()


@pytest.mark.parametrize("way", ["on the loop", "beside a waiting call"])
def test_wait_on_the_thread_of_a_running_loop_does_not_deadlock(jobs: Jobs, start: Start, way: str) -> None:
    (job,) = jobs.make(1, SLOW)
    first, *more = waits(jobs, start, way, job)
    assert first["said"] is True
    assert first["took"] < 2.5
    assert all(each["said"] is True for each in more)
    jobs.judge()


def test_wait_async_waits_beside_a_running_loop(jobs: Jobs, start: Start) -> None:
    (job,) = jobs.make(1, SLOW)
    early, whole = waits(jobs, start, "wait_async", job)
    assert early["said"] is False
    assert early["took"] < 0.1
    assert whole["said"] is True
    jobs.judge()


def test_wait_waits_for_a_save_that_is_still_to_be_done(jobs: Jobs) -> None:
    """A folder stands where the token file has to go, until somebody takes it away."""
    (job,) = jobs.make(1, 0.4)
    auth = job.auth(background=True)
    auth.get_token()
    job.aries.wait_for_requests(1)
    job.store.unlink()
    job.store.mkdir()
    assert auth.wait(2.0) is False
    job.store.rmdir()
    assert auth.wait(15.0) is True
    assert job.refreshed


@pytest.mark.parametrize("wrong", ["yes", "true", "", 1, 0, 0.5, [True]])
def test_background_is_true_false_or_none(jobs: Jobs, wrong: Any) -> None:
    (job,) = jobs.make(1, 0.02)
    with pytest.raises(ConfigurationError, match="background"):
        job.auth(background=wrong)
