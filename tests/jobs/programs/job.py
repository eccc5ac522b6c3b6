"""One job: a call to the API with a token that is due, and a note of how it went.

Nothing of the package is imported before the job runs, unless a program does so.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any


def jobs() -> list[dict[str, Any]]:
    """The jobs of this program: `auth` (the parameters of AriesAuth), `url`, `done` (where the note goes)."""
    found: list[dict[str, Any]] = json.loads(Path(os.environ["JOBS"]).read_text(encoding="utf-8"))
    return found


def note(job: dict[str, Any], status: int, begun: float) -> dict[str, Any]:
    """Write down how a job went. The file is there whole or not at all."""
    said = {"status": status, "took": time.monotonic() - begun, "process": os.getpid(), "threads": names()}
    done = Path(job["done"])
    part = done.with_name(f"part-{os.urandom(4).hex()}")  # others may do the same job
    part.write_text(json.dumps(said), encoding="utf-8")
    part.replace(done)
    return said


def names() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate())


def make_auth(job: dict[str, Any]) -> Any:
    from aries_auth import AriesAuth

    return AriesAuth(**job["auth"])


def call(job: dict[str, Any], auth: Any = None) -> dict[str, Any]:
    """Make one call through requests."""
    import requests

    auth = auth or make_auth(job)
    begun = time.monotonic()
    return note(job, requests.get(job["url"], auth=auth, timeout=30).status_code, begun)


async def call_async(job: dict[str, Any], auth: Any = None) -> dict[str, Any]:
    """Make one call through httpx on an event loop."""
    import httpx

    auth = auth or make_auth(job)
    async with httpx.AsyncClient(auth=auth, timeout=30) as client:
        begun = time.monotonic()
        return note(job, (await client.get(job["url"])).status_code, begun)
