"""A WSGI app: `/0` does the first job, and so on; `/up` says that it is up. The auths are made when it is imported."""

from __future__ import annotations

import json
from typing import Any, Callable, Iterable

from tests.jobs.programs.job import call, jobs, make_auth

JOBS = [(job, make_auth(job)) for job in jobs()]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    wanted = environ["PATH_INFO"].strip("/")
    said = {"status": 200} if wanted == "up" else call(*JOBS[int(wanted) % len(JOBS)])
    body = json.dumps(said).encode()
    start_response(f"{said['status']} said", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


application = app  # uWSGI's name
