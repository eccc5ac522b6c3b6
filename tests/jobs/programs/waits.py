"""What `wait` and `wait_async` do in a process of their own: `python -m tests.jobs.programs.waits WAY`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

import httpx
import requests

from tests.jobs.programs.job import jobs, make_auth, note


def timed(wait: Any, *arguments: Any) -> dict[str, Any]:
    begun = time.monotonic()
    return {"said": wait(*arguments), "took": time.monotonic() - begun}


async def on_the_loop(auth: Any, url: str) -> list[dict[str, Any]]:
    """The blocking `wait`, called by mistake on the thread of the loop that a call runs on."""
    async with httpx.AsyncClient(auth=auth, timeout=30) as client:
        (await client.get(url)).raise_for_status()
        return [timed(auth.wait, 3.0), {"said": await auth.wait_async(), "took": 0.0}]


async def beside_a_waiting_call(auth: Any, url: str) -> list[dict[str, Any]]:
    """The same, while a task of this loop waits for the refresh."""
    refresh = asyncio.ensure_future(auth.refresh_async())
    await asyncio.sleep(0.05)
    said = timed(auth.wait, 3.0)
    await refresh
    return [said]


async def by_wait_async(auth: Any, url: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(auth=auth, timeout=30) as client:
        (await client.get(url)).raise_for_status()
        begun = time.monotonic()
        said = await auth.wait_async(0)
        early = {"said": said, "took": time.monotonic() - begun}
        said = await auth.wait_async()
        return [early, {"said": said, "took": time.monotonic() - begun}]


def after_a_fork(auth: Any, url: str) -> list[dict[str, Any]]:
    requests.get(url, auth=auth, timeout=30).raise_for_status()
    if os.fork() == 0:
        print(json.dumps([timed(auth.wait, 5.0)]), flush=True)
        os._exit(0)
    os.wait()
    auth.wait()
    return []


def in_turn(auth: Any, url: str) -> list[dict[str, Any]]:
    said = [timed(auth.wait), timed(auth.wait, 0)]  # nothing is under way, and nothing is started
    requests.get(url, auth=auth, timeout=30).raise_for_status()
    return [*said, timed(auth.wait, 0), timed(auth.wait, 0.1), timed(auth.wait), timed(auth.wait, 0)]


if __name__ == "__main__":
    way = sys.argv[1]
    (job,) = jobs()
    auth, url, begun = make_auth(job), job["url"], time.monotonic()
    ways = {"on the loop": on_the_loop, "beside a waiting call": beside_a_waiting_call, "wait_async": by_wait_async}
    if way in ways:
        said = asyncio.run(ways[way](auth, url))
    else:
        said = {"after a fork": after_a_fork, "in turn": in_turn}[way](auth, url)
    note(job, 200, begun)
    if said:
        print(json.dumps(said), flush=True)
