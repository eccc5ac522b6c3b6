"""The programs of docs/jobs.md, as they stand there, with the real runners, and a token endpoint that takes 400 ms."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import sysconfig
from pathlib import Path
from typing import Sequence

import pytest

from tests.conftest import ROOT
from tests.ecosystem.pages import block, blocks

from .conftest import Jobs, Process, Server, Start, free_port, needs

PYTHON = sys.executable
DELAY = 0.4


class Page:
    """One program of the page, in a folder of its own, with a grant that is due."""

    def __init__(self, jobs: Jobs, start: Start, folder: Path) -> None:
        self._jobs, self._start = jobs, start
        self.folder = folder
        (self.job,) = jobs.make(1, DELAY)

    def write(self, having: str, but: Sequence[str] = ()) -> Path:
        """The one block that has this text, and none of those."""
        (text,) = (text for text in blocks("jobs") if having in text and not any(other in text for other in but))
        path = self.folder / "report.py"
        path.write_text(self._at_sandbox(text), encoding="utf-8")
        return path

    def write_the_handler(self) -> Path:
        """The blocks for SIGTERM and for cron, one after another."""
        parts = [
            block("jobs", "python", text) for text in ("signal.signal(", "def shut_down()", "print(answer.json())")
        ]
        path = self.folder / "report.py"
        path.write_text(
            self._at_sandbox("\n".join([*parts, "import time\nwhile True: time.sleep(0.02)"])), encoding="utf-8"
        )
        return path

    def _at_sandbox(self, text: str) -> str:
        return text.replace("https://api.aries.com", self.job.aries.api_url)

    def run(self, *command: str, **variables: str) -> Process:
        environment = self._jobs.environment([self.job], **self.job.variables, **variables)
        path = [str(self.folder), str(ROOT), sysconfig.get_path("purelib")]  # uWSGI has a Python of its own
        return self._start(command, {**environment, "PYTHONPATH": os.pathsep.join(path)})

    def serve(self, command: Sequence[str], path: str = "/") -> None:
        """Start a server, make one request, and send SIGTERM."""
        port = free_port()
        server = Server(self.run(*[part.format(port=port) for part in command]), port, up=None)
        server.do([path])
        self.job.aries.wait_for_requests(1)  # else there is nothing to lose
        server.stop()

    @property
    def calls(self) -> int:
        return len(self.job.aries.api_requests)


@pytest.fixture
def page(jobs: Jobs, start: Start, tmp_path: Path) -> Page:
    folder = tmp_path / "page"
    folder.mkdir()
    return Page(jobs, start, folder)


def test_the_handler(page: Page, jobs: Jobs) -> None:
    program = page.run(PYTHON, str(page.write_the_handler()))
    program.wait_until(lambda: "{" in program.said)
    page.job.aries.wait_for_requests(1)
    program.signal(signal.SIGTERM)
    assert program.wait() == 0
    jobs.judge(noted=False)


def test_multiprocessing(page: Page, jobs: Jobs) -> None:
    program = page.run(PYTHON, str(page.write("ProcessPoolExecutor")))
    assert program.wait() == 0, program.said
    assert program.said.splitlines() == ["[200, 200, 200, 200]"] * 2
    jobs.judge(noted=False)


@needs("celery", "redis")
def test_celery(page: Page, jobs: Jobs, redis: str) -> None:
    path = page.write("worker_process_shutdown")
    path.write_text(path.read_text(encoding="utf-8").replace("redis://127.0.0.1:6379/0", redis), encoding="utf-8")
    queue = {"CELERY_TASK_DEFAULT_QUEUE": f"docs-{os.urandom(4).hex()}"}
    assert page.run(PYTHON, "-c", "import report; report.report.delay()", **queue).wait() == 0
    options = ["-A", "report", "worker", "--loglevel=warning", "--max-tasks-per-child=1", "--concurrency=1"]
    worker = page.run(PYTHON, "-m", "celery", *options, **queue)
    worker.wait_until(lambda: page.calls)
    worker.signal(signal.SIGTERM)
    worker.wait()
    jobs.judge(noted=False)


@needs("rq", "redis")
def test_rq(page: Page, jobs: Jobs, redis: str) -> None:
    page.write("def report() -> int:", but=("celery", "prefect"))
    enqueue = (
        f"import redis, rq, report; rq.Queue('docs', connection=redis.Redis.from_url('{redis}')).enqueue(report.report)"
    )
    assert page.run(PYTHON, "-c", enqueue).wait() == 0
    worker = page.run(PYTHON, "-m", "rq.cli", "worker", "--burst", "--url", redis, "docs")
    assert worker.wait() == 0, worker.said
    assert page.calls == 1, worker.said
    jobs.judge(noted=False)


@needs("gunicorn")
def test_gunicorn(page: Page, jobs: Jobs) -> None:
    page.write("def app(environ")
    page.serve([PYTHON, "-m", "gunicorn", "-b", "127.0.0.1:{port}", "report:app"])
    jobs.judge(in_order=True, noted=False)


@needs("uvicorn", "fastapi")
def test_uvicorn(page: Page, jobs: Jobs) -> None:
    page.write("lifespan=lifespan")
    page.serve([PYTHON, "-m", "uvicorn", "--port", "{port}", "report:app"], "/user")
    jobs.judge(in_order=True, noted=False)


@pytest.mark.skipif(shutil.which("uwsgi") is None, reason="not installed: uwsgi")
@pytest.mark.parametrize("threads", [[], ["--enable-threads"]], ids=["without threads", "with threads"])
def test_uwsgi(page: Page, jobs: Jobs, threads: list[str]) -> None:
    page.write("def application(environ")
    page.serve(
        [
            "uwsgi",
            "--plugin",
            "python3",
            "--module",
            "report",
            "--http-socket",
            "127.0.0.1:{port}",
            "--die-on-term",
            *threads,
        ]
    )
    jobs.judge(noted=False)


@pytest.mark.nightly
@needs("pyspark", "/java")
def test_pyspark(page: Page, jobs: Jobs) -> None:
    program = page.run(PYTHON, str(page.write("SparkSession")), PYSPARK_PYTHON=PYTHON, SPARK_LOCAL_IP="127.0.0.1")
    assert program.wait(300.0) == 0, program.said
    assert "[200, 200, 200, 200]" in program.said
    jobs.judge(noted=False)


@pytest.mark.nightly
@needs("airflow")
def test_airflow(page: Page, jobs: Jobs) -> None:
    """Airflow takes the program for a DAG. (A task that it runs is in test_schedulers.py.)"""
    path = page.write("from airflow.sdk")
    home = str(page.folder / "airflow")
    told = {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    check = f"import runpy; dag = runpy.run_path({str(path)!r})['report']; import sys; sys.exit(0 if dag else 1)"
    program = page.run(PYTHON, "-c", check, **told)
    assert program.wait(120.0) == 0, program.said


@pytest.mark.nightly
@needs("dagster")
def test_dagster(page: Page, jobs: Jobs) -> None:
    """Each step in a child, as `dagster job execute` and its daemon run a job."""
    path = page.write("from dagster import job, op")
    home = page.folder / "home"
    home.mkdir()
    command = ["dagster", "job", "execute", "-f", str(path), "-j", "daily"]
    program = page.run(PYTHON, "-m", *command, DAGSTER_HOME=str(home), DAGSTER_DISABLE_TELEMETRY="1")
    assert program.wait(300.0) == 0, program.said
    assert "RUN_SUCCESS" in program.said
    assert page.calls == 1
    jobs.judge(noted=False)
