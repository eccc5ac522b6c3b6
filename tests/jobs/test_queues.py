"""Celery and RQ: a worker that forks, a broker, one call a task."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from .conftest import Job, Jobs, Process, Start, needs, repeated

CELERY = [sys.executable, "-m", "celery", "-A", "tests.jobs.programs.celery_app", "worker", "--loglevel=warning"]


@pytest.fixture(params=["redis", pytest.param("filesystem", marks=pytest.mark.nightly)])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    if request.param == "redis":
        return {"BROKER": request.getfixturevalue("redis")}
    (tmp_path / "broker" / "control").mkdir(parents=True)
    return {"BROKER": "filesystem://", "FOLDER": str(tmp_path / "broker")}


@repeated
@needs("celery", "redis")
@pytest.mark.parametrize(
    "limit",
    [
        pytest.param(1, id="one task a child"),
        pytest.param(100, id="children that are ended by the worker", marks=pytest.mark.nightly),
    ],
)
def test_nothing_is_lost_in_a_celery_task(
    jobs: Jobs, start: Start, broker: dict[str, str], runs: int, limit: int
) -> None:
    """Prefork, with `worker_max_tasks_per_child=1`, or with children that end with the worker, by SIGTERM."""
    made = jobs.make(runs)
    queue = f"jobs-{os.urandom(4).hex()}"
    environment = jobs.environment(made, **broker, CELERY_TASK_DEFAULT_QUEUE=queue)
    start.program("send", "celery", environment=environment).wait()
    options = [f"--max-tasks-per-child={limit}", "--concurrency=4", "--without-gossip", "--without-mingle"]
    worker = start([*CELERY, "--pool=prefork", *options], environment)
    worker.wait_until(lambda: all(job.done.exists() for job in made), 300.0)
    worker.signal(signal.SIGTERM)
    worker.wait()
    jobs.judge()


@repeated
@needs("rq", "redis")
def test_nothing_is_lost_in_an_rq_job(jobs: Jobs, start: Start, redis: str, runs: int) -> None:
    """A worker forks one work horse a job, which ends by `os._exit`."""
    made = jobs.make(runs)
    queue = f"jobs-{os.urandom(4).hex()}"
    environment = jobs.environment(made, BROKER=redis)
    start.program("send", "rq", queue, environment=environment).wait()
    command = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--url", redis, queue]
    workers = [start(command, environment) for _ in range(2)]
    for worker in workers:
        assert worker.wait(300.0) == 0, worker.said
    jobs.judge()


def stop_in_the_middle_of_the_calls(worker: Process, made: list[Job]) -> None:
    """SIGTERM to the worker alone while its children wait for the token endpoint, as with `KillMode=mixed`."""
    made[0].aries.wait_for_requests(len(made), timeout=60.0)
    worker.signal(signal.SIGTERM)
    worker.wait()


@needs("celery", "redis")
def test_nothing_is_lost_when_a_celery_worker_gets_sigterm_in_the_middle_of_its_tasks(
    jobs: Jobs, start: Start, redis: str
) -> None:
    made = jobs.make(4, 1.0)
    environment = jobs.environment(made, BROKER=redis, CELERY_TASK_DEFAULT_QUEUE=f"jobs-{os.urandom(4).hex()}")
    start.program("send", "celery", environment=environment).wait()
    worker = start([*CELERY, "--pool=prefork", "--concurrency=4", "--without-gossip", "--without-mingle"], environment)
    stop_in_the_middle_of_the_calls(worker, made)
    jobs.judge()


@needs("rq", "redis")
def test_nothing_is_lost_when_an_rq_worker_gets_sigterm_in_the_middle_of_its_job(
    jobs: Jobs, start: Start, redis: str
) -> None:
    made, queue = jobs.make(1, 1.0), f"jobs-{os.urandom(4).hex()}"
    environment = jobs.environment(made, BROKER=redis)
    start.program("send", "rq", queue, environment=environment).wait()
    worker = start([sys.executable, "-m", "rq.cli", "worker", "--url", redis, queue], environment)
    stop_in_the_middle_of_the_calls(worker, made)
    jobs.judge()
