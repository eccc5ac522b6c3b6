"""uWSGI, with and without --enable-threads: a thread of a worker without them stands still between two requests."""

from __future__ import annotations

import os
import shutil
import sysconfig
import time

import pytest

from .conftest import Jobs, Server, Start, free_port, repeated

pytestmark = pytest.mark.skipif(shutil.which("uwsgi") is None, reason="not installed: uwsgi")
THREADS = pytest.mark.parametrize("threads", [False, True], ids=["without threads", "with threads"])


def serve(jobs: Jobs, start: Start, made: list, *options: str) -> Server:  # type: ignore[type-arg]
    port = free_port()
    environment = jobs.environment(made)
    environment["PYTHONPATH"] += os.pathsep + sysconfig.get_path("purelib")
    module = ["uwsgi", "--plugin", "python3", "--module", "tests.jobs.programs.wsgi", "--need-app", "--die-on-term"]
    return Server(start([*module, "--http-socket", f"127.0.0.1:{port}", *options], environment), port)


@repeated
@THREADS
def test_workers_that_stand_still_between_requests_hold_up_nobody(
    jobs: Jobs, start: Start, runs: int, threads: bool
) -> None:
    """Two workers on one grant, which is due: no call fails, and none waits for a lock that a sleeping worker holds."""
    made = jobs.make(runs)
    options = ["--master", "--processes", "2", *(["--enable-threads"] if threads else [])]
    server = serve(jobs, start, made, *options)
    for _ in range(6):
        begun = time.monotonic()
        server.do([f"/{number}" for number in range(len(made))])
        assert time.monotonic() - begun < 12.0 * max(1, runs / 2)
        time.sleep(0.05)
    server.process.wait_until(lambda: all(job.refreshed for job in made), 10.0)
    server.stop()
    jobs.judge()


@repeated
@THREADS
def test_a_worker_that_was_called_once_has_saved_what_it_got(
    jobs: Jobs, start: Start, runs: int, threads: bool
) -> None:
    """One call a grant, then nothing: the worker stands still, and its refresh is done all the same."""
    made = jobs.make(runs)
    server = serve(jobs, start, made, "--master", "--processes", "1", *(["--enable-threads"] if threads else []))
    for first in range(0, len(made), 8):  # one worker does one after another
        server.do([f"/{number}" for number in range(first, first + 8)])
    if threads:
        server.process.wait_until(lambda: all(job.refreshed for job in made), 10.0)
    assert [job for job in made if not job.refreshed] == []
    server.process.end()
    jobs.judge()
