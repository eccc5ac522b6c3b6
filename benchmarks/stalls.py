"""The event loop: the longest time that nothing else could run in it, while the grant is in all kinds of trouble."""

from __future__ import annotations

import asyncio
import fcntl
import os
import statistics
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable
from unittest import mock

import httpx

from aries_auth import AriesAuth, FileTokenStore, Token
from benchmarks import machine, ours, peers
from benchmarks.results import Bar, Result, Size, short
from benchmarks.server import Server
from benchmarks.whole_call import null_httpx

TICK = 0.001
FULL = {"length": 1.0, "fsync": 0.2, "held": 0.4, "delay": 0.3}
SMOKE = {"length": 0.1, "fsync": 0.01, "held": 0.02, "delay": 0.02}


class Refusing(httpx.AsyncBaseTransport):
    """Answers 401 to the first token that it sees."""

    def __init__(self) -> None:
        self.first: str | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        header = request.headers.get("Authorization", "")
        self.first = self.first or header
        return httpx.Response(401 if header == self.first else 200)


def _slow_fsync(seconds: float) -> Any:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        time.sleep(seconds)  # without the interpreter, as the real one waits
        real(descriptor)

    return mock.patch("os.fsync", fsync)


def _hold_lock(path: Path, seconds: float) -> threading.Thread:
    """Another holder of the lock. flock knows no process: a second descriptor is a stranger."""
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    thread = threading.Timer(seconds, os.close, (descriptor,))
    thread.start()
    return thread


async def longest_stall(auth: Any, transport: Any, url: str, length: float) -> tuple[float, int]:
    """The longest gap between two ticks, beyond the tick, and the calls that were answered 200."""
    worst, stop, fine = 0.0, False, 0

    async def tick() -> None:
        nonlocal worst
        last, before = time.perf_counter(), machine.in_line()
        while not stop:
            await asyncio.sleep(TICK)
            now = time.perf_counter()
            after = machine.in_line()
            # Less what the machine took from us: on a busy one a thread waits for a processor far longer than 5 ms.
            worst = max(worst, now - last - TICK - machine.taken(before, after))
            last, before = time.perf_counter(), after

    async def call(client: httpx.AsyncClient) -> None:
        nonlocal fine
        end = time.perf_counter() + length
        while time.perf_counter() < end:
            response = await client.get(url)
            fine += response.status_code == 200
            await asyncio.sleep(0.02)

    async with httpx.AsyncClient(auth=auth, transport=transport, trust_env=False, timeout=30) as client:
        watch = asyncio.ensure_future(tick())
        await asyncio.gather(*(call(client) for _ in range(5)))
        stop = True
        await watch
    return worst, fine


def _ours(server: Server, token: Token) -> tuple[AriesAuth, Path]:
    path = ours.scratch() / "token.json"
    FileTokenStore(path).save(token)
    auth = AriesAuth(
        client_secret=peers.CLIENT_SECRET, store=path, token_url=server.at.token_url, api_origins=[server.at.api_url]
    )
    return auth, path


@dataclass(frozen=True)
class Scene:
    """One kind of trouble; the token has `left` seconds to live of `lifetime`."""

    left: float
    lifetime: float = 3600.0
    held: bool = False
    refused: bool = False

    def run(self, server: Server, times: dict[str, float]) -> tuple[float, int]:
        auth, path = _ours(server, server.issue(expires_in=self.lifetime, age=self.lifetime - self.left)[0])
        holder = _hold_lock(path, times["held"]) if self.held else None
        transport = Refusing() if self.refused else null_httpx()
        with _slow_fsync(times["fsync"]):
            found = asyncio.run(longest_stall(auth, transport, server.at.api_url, times["length"]))
        if holder is not None:
            holder.join()
        return found


def _no_auth(server: Server, times: dict[str, float]) -> tuple[float, int]:
    return asyncio.run(longest_stall(None, null_httpx(), server.at.api_url, times["length"]))


def _httpx_auth(server: Server, times: dict[str, float]) -> tuple[float, int]:
    auth = peers.httpx_auth_code(server.issue(age=4000)[0].to_dict(), server.at.form_url)
    return asyncio.run(longest_stall(auth, null_httpx(), server.at.api_url, times["length"]))


SCENES: dict[str, Callable[[Server, dict[str, float]], tuple[float, int]]] = {
    "no auth at all": _no_auth,
    "aries-auth, refresh ahead, slow disk": Scene(left=4.0, lifetime=20.0).run,
    "aries-auth, expired, slow disk": Scene(left=-1.0).run,
    "aries-auth, expired, lock held for 0.4 s, slow disk": Scene(left=-1.0, held=True).run,
    "aries-auth, answered 401, slow disk": Scene(left=2000.0, refused=True).run,
    "httpx_auth, expired": _httpx_auth,
}


def measure(size: Size) -> Result:
    """Each scene several times, interleaved; a stall of the machine meets all of them alike."""
    result = Result(
        "stalls", "The longest stall of an event loop", ["what", "median of the longest", "worst", "calls answered"]
    )
    found: dict[str, list[tuple[float, int]]] = {scene: [] for scene in SCENES}
    times = SMOKE if size.smoke else FULL
    with Server(times["delay"]) as server:
        Scene(left=-1.0).run(server, times)  # what is done once a process: the CA bundle
        for _ in range(size.repeats):
            for scene, run in SCENES.items():
                found[scene].append(run(server, times))
    for scene, runs in found.items():
        stalls = [stall for stall, _ in runs]
        result.rows.append(
            [scene, short(statistics.median(stalls)), short(max(stalls)), str(min(fine for _, fine in runs))]
        )
        result.raw[scene] = stalls
        result.answered[scene] = all(fine > 0 for _, fine in runs)
        if scene.startswith("aries-auth"):
            result.bars.append(Bar(f"{scene}: <= 5 ms", statistics.median(stalls) * 1e3, 5, "ms"))
    result.notes.append(
        "Time in which the process was ready to run and had no processor (Linux's schedstat) is taken off."
    )
    result.notes.append("Five tasks call all the time; the endpoint takes 300 ms, each fsync 200 ms more.")
    return result
