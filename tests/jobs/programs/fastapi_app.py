"""A FastAPI app. A `def` route makes its call through requests in a thread, an `async def` one through httpx."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from tests.jobs.programs.job import call, call_async, jobs, make_auth

JOBS = [(job, make_auth(job)) for job in jobs()]
app = FastAPI()


@app.get("/up")
def up() -> dict[str, str]:
    return {}


@app.get("/async/{number}")
async def by_httpx(number: int) -> dict[str, Any]:
    return await call_async(*JOBS[number])


@app.get("/{number}")
def by_requests(number: int) -> dict[str, Any]:
    return call(*JOBS[number])
