"""The same as an ASGI app, whose calls go through httpx on the server's event loop."""

from __future__ import annotations

import json
from typing import Any

from tests.jobs.programs.job import call_async, jobs, make_auth

JOBS = [(job, make_auth(job)) for job in jobs()]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    wanted = scope["path"].strip("/")
    said = {"status": 200} if wanted == "up" else await call_async(*JOBS[int(wanted)])
    await send({"type": "http.response.start", "status": said["status"], "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})
