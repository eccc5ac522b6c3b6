"""Make calls at one time, and print what each took: `python -m tests.jobs.programs.calls HOW WHERE COUNT`.

HOW: requests, httpx, asyncio or get_token. WHERE: "here", or "forked" (a child by os.fork, which ends by os._exit).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from typing import Any, Callable

import httpx
import requests

from tests.jobs.programs.job import jobs, make_auth, note


def timed(call: Callable[[], Any]) -> dict[str, float]:
    begun = time.monotonic()
    call()
    return {"took": time.monotonic() - begun, "ended_at": time.time()}


def in_threads(call: Callable[[], Any], count: int) -> list[dict[str, float]]:
    barrier, took = threading.Barrier(count), []

    def run() -> None:
        barrier.wait()
        took.append(timed(call))

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


async def in_tasks(auth: Any, url: str, count: int) -> list[dict[str, float]]:
    """The last entry is the longest time for which the event loop stood still."""
    stalls = [0.0]

    async def beat() -> None:
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0.005)
            stalls.append(time.monotonic() - begun)

    async def call(client: httpx.AsyncClient) -> dict[str, float]:
        begun = time.monotonic()
        (await client.get(url)).raise_for_status()
        return {"took": time.monotonic() - begun, "ended_at": time.time()}

    async with httpx.AsyncClient(auth=auth, timeout=30) as client:
        await client.get(url, auth=None)  # what a first request loads
        heart = asyncio.create_task(beat())
        took = await asyncio.gather(*[call(client) for _ in range(count)])
        heart.cancel()
    return [*took, {"took": max(stalls), "ended_at": 0.0}]


def make_calls(how: str, job: dict[str, Any], count: int) -> list[dict[str, float]]:
    auth, url, begun = make_auth(job), job["url"], time.monotonic()
    if how == "requests":
        took = in_threads(lambda: requests.get(url, auth=auth, timeout=30).raise_for_status(), count)
    elif how == "httpx":
        took = in_threads(lambda: httpx.get(url, auth=auth, timeout=30).raise_for_status(), count)
    elif how == "get_token":
        took = in_threads(auth.get_token, count)
    else:
        took = asyncio.run(in_tasks(auth, url, count))
    note(job, 200, begun)
    return took


if __name__ == "__main__":
    how, where, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    (job,) = jobs()
    # What the first call loads is not what is measured.
    requests.get(job["url"], timeout=30)
    httpx.get(job["url"], timeout=30)
    if where == "forked" and os.fork():
        os.wait()
        os._exit(0)
    print(json.dumps(make_calls(how, job, count)), flush=True)
    if where == "forked":
        os._exit(0)
