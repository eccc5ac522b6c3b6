"""Web servers that get SIGTERM right after a request whose call started a refresh."""

from __future__ import annotations

import os
import statistics
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Callable, List

import pytest

from .conftest import DELAYS, Job, Jobs, Server, Start, free_port, needs, repeated

Command = Callable[[int], List[str]]
PROGRAMS = "tests.jobs.programs"
PYTHON = sys.executable
UWSGI = ["uwsgi", "--plugin", "python3", "--module", f"{PROGRAMS}.wsgi", "--need-app", "--die-on-term"]


def server(name: str, *needed: str, command: Command) -> Any:
    """A parameter; those whose name ends with a star run in the nightly tier alone."""
    rarely = [pytest.mark.nightly] if name.endswith("*") else []
    return pytest.param(command, id=name.rstrip("*"), marks=[needs(*needed), *rarely])


def gunicorn(*options: str, app: str = "wsgi", module: str = "gunicorn") -> Command:
    return lambda port: [PYTHON, "-m", module, "-b", f"127.0.0.1:{port}", *options, f"{PROGRAMS}.{app}:app"]


def uwsgi(*options: str) -> Command:
    return lambda port: [*UWSGI, "--http-socket", f"127.0.0.1:{port}", *options]


def hypercorn(*options: str) -> Command:
    return lambda port: [PYTHON, "-m", "hypercorn", "-b", f"127.0.0.1:{port}", *options, f"{PROGRAMS}.asgi:app"]


def granian(interface: str, app: str) -> Command:
    return lambda port: [
        PYTHON,
        "-m",
        "granian",
        "--interface",
        interface,
        "--port",
        str(port),
        f"{PROGRAMS}.{app}:app",
    ]


def uvicorn(*options: str, app: str = "fastapi_app") -> Command:
    return lambda port: [PYTHON, "-m", "uvicorn", "--port", str(port), *options, f"{PROGRAMS}.{app}:app"]


# Those that end their threads in order when they get SIGTERM: no call has to wait there.
IN_ORDER = [
    server("gunicorn sync", "gunicorn", command=gunicorn()),
    server("gunicorn sync, preloaded*", "gunicorn", command=gunicorn("--preload")),
    server("gunicorn gthread", "gunicorn", command=gunicorn("-k", "gthread", "--threads", "4")),
    server("gunicorn asgi*", "gunicorn", command=gunicorn("-k", "asgi", app="asgi")),
    server(
        "waitress with the handler*",
        "waitress",
        command=lambda port: [PYTHON, "-m", f"{PROGRAMS}.serve_waitress", str(port), "with a handler"],
    ),
]
WITHOUT_NOTICE = [
    server("uvicorn", "uvicorn", "fastapi", command=uvicorn()),
    server(
        "uvicorn.run*",
        "uvicorn",
        "fastapi",
        command=lambda port: [PYTHON, "-m", f"{PROGRAMS}.serve_uvicorn", str(port)],
    ),
    server("uvicorn, two workers*", "uvicorn", "fastapi", command=uvicorn("--workers", "2")),
    server(
        "gunicorn, uvicorn worker",
        "gunicorn",
        "uvicorn",
        "fastapi",
        command=gunicorn("-k", "uvicorn.workers.UvicornWorker", app="fastapi_app"),
    ),
    server("hypercorn*", "hypercorn", command=hypercorn()),
    server("hypercorn, two workers", "hypercorn", command=hypercorn("-w", "2")),
    server("granian wsgi", "granian", command=granian("wsgi", "wsgi")),
    server("granian asgi*", "granian", command=granian("asgi", "asgi")),
    server("uwsgi", "/uwsgi", command=uwsgi("--processes", "1")),
    server("uwsgi with threads*", "/uwsgi", command=uwsgi("--processes", "1", "--enable-threads")),
    server("uwsgi master with threads", "/uwsgi", command=uwsgi("--master", "--processes", "2", "--enable-threads")),
]


def stop_right_after_the_calls(
    jobs: Jobs, start: Start, command: Command, runs: int, prefix: str = "/", *, group: bool = False
) -> None:
    """Two calls a server, then SIGTERM; as often as it takes."""
    for _ in range(runs // 2):
        Servers(jobs, start, command).stop_right_after_the_calls(prefix, group=group)


class Servers:
    """One server for each delay, each with two jobs of its own."""

    def __init__(self, jobs: Jobs, start: Start, command: Command) -> None:
        site = os.pathsep.join([sysconfig.get_path("purelib")])  # uWSGI has a Python of its own

        def make(every: list[Job]) -> tuple[Server, list[Job]]:
            port = free_port()
            told = jobs.environment(every)
            told["PYTHONPATH"] += os.pathsep + site
            return Server(start(command(port), told), port), every

        with ThreadPoolExecutor(len(DELAYS)) as makers:
            self.all = list(makers.map(make, [jobs.make(2, delay) for delay in DELAYS]))

    def stop_right_after_the_calls(self, prefix: str = "/", *, group: bool = False) -> None:
        def use(server: Server, every: list[Job]) -> None:
            server.do([f"{prefix}{place}" for place in range(len(every))])
            with suppress(TimeoutError):  # where no call waits, and the refresh is still about to begin
                every[0].aries.wait_for_requests(1, timeout=1.0)
            server.stop(group=group)

        with ThreadPoolExecutor(len(self.all)) as users:
            list(users.map(lambda pair: use(*pair), self.all))


GROUP = pytest.mark.parametrize(
    "group", [False, pytest.param(True, marks=pytest.mark.nightly)], ids=["the first process", "all processes"]
)


@repeated
@GROUP
@pytest.mark.parametrize("command", IN_ORDER)
def test_nothing_is_lost_in_a_server_that_ends_in_order(
    jobs: Jobs, start: Start, runs: int, command: Command, group: bool
) -> None:
    """SIGTERM to the first process alone, as Docker and Kubernetes send it, or to all, as systemd does."""
    stop_right_after_the_calls(jobs, start, command, runs, group=group)
    jobs.judge(in_order=True)


@repeated
@GROUP
@pytest.mark.parametrize("command", WITHOUT_NOTICE)
def test_nothing_is_lost_in_a_server_that_ends_without_notice(
    jobs: Jobs, start: Start, runs: int, command: Command, group: bool
) -> None:
    stop_right_after_the_calls(jobs, start, command, runs, group=group)
    jobs.judge()


@repeated
@needs("uvicorn", "fastapi")
def test_nothing_is_lost_on_the_event_loop_of_uvicorn(jobs: Jobs, start: Start, runs: int) -> None:
    stop_right_after_the_calls(jobs, start, uvicorn(), runs, "/async/")
    jobs.judge()


def costs(jobs: Jobs, start: Start, command: Command) -> dict[float, float]:
    """What a call takes that is the first to find its token due, in seconds, by delay: medians of five.

    A call with a token that lives has loaded before what a first call loads.
    """
    site = sysconfig.get_path("purelib")
    medians = {}
    for delay in DELAYS:
        first, *made = [*jobs.make(1, delay, age=0.0), *jobs.make(5, delay)]
        port, told = free_port(), jobs.environment([first, *made])
        told["PYTHONPATH"] += os.pathsep + site
        server = Server(start(command(port), told), port)
        for number in range(len(made) + 1):
            server.do([f"/{number}"])
        server.stop()
        medians[delay] = statistics.median(job.note["took"] for job in made)
    print(f"\nms, by delay: { {delay: round(1000 * median) for delay, median in medians.items()} }")
    return medians


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", IN_ORDER)
def test_no_call_waits_in_a_server_that_ends_in_order(jobs: Jobs, start: Start, command: Command) -> None:
    assert costs(jobs, start, command)[1.0] < 0.5


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", WITHOUT_NOTICE)
def test_the_call_that_refreshes_waits_in_a_server_that_ends_without_notice(
    jobs: Jobs, start: Start, command: Command
) -> None:
    for delay, median in costs(jobs, start, command).items():
        assert median >= delay
