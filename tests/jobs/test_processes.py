"""Python's own ways to do work in other processes, and joblib's."""

from __future__ import annotations

import sys

import pytest

from .conftest import DELAYS, Jobs, Start, needs, repeated

METHODS = ("fork", "forkserver", "spawn")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")


def run(jobs: Jobs, start: Start, runs: int, way: str, *methods: str, early: bool = False) -> None:
    """Do jobs by each of the methods, all at a time."""
    programs = []
    for method in methods:
        # New interpreters take their time: fewer of them, but in the nightly tier.
        made = jobs.make(runs, *(DELAYS if method == "fork" or runs > 2 else DELAYS[1::2]), kind=method)
        arguments = [way, method, *(["early"] if early else [])]
        programs.append(start.program("processes", *arguments, environment=jobs.environment(made)))
    for program in programs:
        assert program.wait(300.0) == 0, program.said
    jobs.judge()


@repeated
@pytest.mark.parametrize(
    "way",
    [
        "daemon",
        "one_pool",
        pytest.param("process", marks=pytest.mark.nightly),
        pytest.param("executor", marks=pytest.mark.nightly),
    ],
)
def test_nothing_is_lost_in_the_processes_of_multiprocessing(jobs: Jobs, start: Start, runs: int, way: str) -> None:
    """With the package imported by the children alone."""
    run(jobs, start, runs, way, *METHODS)


@repeated
@needs("joblib")
def test_nothing_is_lost_in_the_workers_of_joblib(jobs: Jobs, start: Start, runs: int) -> None:
    run(jobs, start, runs, "joblib", "loky", "multiprocessing")


@repeated
@pytest.mark.parametrize("early", [False, True], ids=["imported after the fork", "imported before the fork"])
def test_nothing_is_lost_in_a_child_that_ends_by_os_exit(jobs: Jobs, start: Start, runs: int, early: bool) -> None:
    run(jobs, start, runs, "fork", "fork", early=early)


@repeated
@pytest.mark.parametrize("way", ["daemon", "one_pool"])
def test_nothing_is_lost_in_a_child_of_a_process_that_has_the_package(
    jobs: Jobs, start: Start, runs: int, way: str
) -> None:
    """With the package imported, and used, before the fork."""
    run(jobs, start, runs, way, "fork", early=True)


@repeated
@pytest.mark.parametrize("method", ["fork", *(pytest.param(name, marks=pytest.mark.nightly) for name in METHODS[1:])])
def test_nothing_is_lost_when_a_pool_ends_right_after_its_call(
    jobs: Jobs, start: Start, runs: int, method: str
) -> None:
    """`with Pool() as pool:` terminates its workers."""
    made = jobs.make(runs)
    programs = [
        start.program("processes", "pool", method, environment=jobs.environment(made[number::4])) for number in range(4)
    ]
    for program in programs:
        assert program.wait(300.0) == 0, program.said
    jobs.judge()


def test_nothing_is_lost_in_the_last_seconds_of_a_token(jobs: Jobs, start: Start) -> None:
    """The call does not wait for a refresh beyond them: it goes out with the token that still lives."""
    left, slower = 6.0, 9.0
    made = jobs.make(8, DELAYS[0], age=3600.0 - left)
    made[0].aries.heal()
    made[0].aries.fail(delay=slower, times=None)
    program = start.program("processes", "fork", "fork", environment=jobs.environment(made))
    assert program.wait() == 0, program.said
    jobs.judge()
