"""gevent and eventlet, patched before the package is imported, and late, as `gunicorn --preload -k gevent` does."""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from .conftest import Jobs, Server, Start, free_port, needs, repeated

GREEN = [sys.executable, "-W", "ignore", "-m", "tests.jobs.programs.serve_green"]
GUNICORN = [sys.executable, "-W", "ignore", "-m", "gunicorn", "-k", "gevent", "-w", "2", "tests.jobs.programs.wsgi:app"]
WAYS = [
    pytest.param(
        [*GUNICORN, "-b", "127.0.0.1:{port}"],
        marks=[needs("gunicorn", "gevent"), pytest.mark.nightly],
        id="gunicorn, gevent",
    ),
    pytest.param(
        [*GUNICORN, "-b", "127.0.0.1:{port}", "--preload"],
        marks=needs("gunicorn", "gevent"),
        id="gunicorn, preload, gevent",
    ),
    *(
        pytest.param(
            [*GREEN, library, when, "{port}"], marks=[needs(library), *rarely], id=f"{library}, patched {when}"
        )
        for library in ("gevent", "eventlet")
        for when, rarely in (("first", [pytest.mark.nightly]), ("late", []))
    ),
]


def outcome(server: Server, path: str) -> str:
    try:
        return str(server.get(path, timeout=20.0)[0])
    except OSError as exc:
        return type(exc).__name__


@repeated
@pytest.mark.parametrize("command", WAYS)
def test_greenlets_neither_hang_nor_lose_a_grant(jobs: Jobs, start: Start, runs: int, command: list[str]) -> None:
    """Fifteen requests a grant, thirty at a time; each gets its answer, and a refresh holds up none of the others."""
    made = jobs.make(runs)
    port = free_port()
    environment = jobs.environment(made, EVENTLET_HUB="poll")
    server = Server(start([part.format(port=port) for part in command], environment), port)
    paths = [f"/{number % len(made)}" for number in range(15 * len(made))]
    with ThreadPoolExecutor(30) as callers:
        outcomes = Counter(callers.map(lambda path: outcome(server, path), paths))
    assert outcomes == {"200": len(paths)}, server.process.said
    server.process.wait_until(lambda: all(job.refreshed for job in made), 15.0)
    server.process.end()
    jobs.judge()
