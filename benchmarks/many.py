"""Ten thousand grants: refreshed by 32 threads one after the other, and all due at once in one process."""

from __future__ import annotations

import gc
import itertools
import json
import queue
import statistics
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any, Callable, NamedTuple
from unittest import mock

import requests

from aries_auth import AriesAuth, Token
from benchmarks import by_hand, ours, peers
from benchmarks.results import Bar, Result, Size, short
from benchmarks.server import Server

THREADS = 32


def _grants(server: Server, count: int, folder: Path, **options: float) -> list[tuple[Path, Token]]:
    """So many grants in files, written without fsync: that is no part of what is measured."""
    grants: list[tuple[Path, Token]] = []
    while len(grants) < count:
        for token in server.issue(min(500, count - len(grants)), **options):
            path = folder / f"grant-{len(grants)}.json"
            path.touch(0o600)
            path.write_text(json.dumps(token.to_dict()))
            grants.append((path, token))
    return grants


def _auth(path: Path, server: Server) -> AriesAuth:
    return AriesAuth(client_secret=peers.CLIENT_SECRET, store=path, token_url=server.at.token_url)


def _by_threads(work: list[Any], do: Callable[[Any], Any], threads: int = THREADS) -> list[tuple[float, float]]:
    """When each piece was done: wall and processor time, in the order of their ends."""
    pieces: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for piece in work:
        pieces.put(piece)
    done: list[tuple[float, float]] = []

    def run() -> None:
        while True:
            try:
                piece = pieces.get_nowait()
            except queue.Empty:
                return
            do(piece)
            done.append((time.perf_counter(), time.process_time()))

    crew = [threading.Thread(target=run) for _ in range(threads)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    return done


def linear(size: Size) -> Result:
    """Every object is kept, as a web backend would: what the last thousand cost against the first."""
    result = Result(
        "grants",
        f"{size.grants} grants refreshed by {THREADS} threads",
        ["refreshes", "wall", "processor time each"],
    )
    runs = [_refresh_all(size.grants) for _ in range(1 if size.smoke else 3)]
    part = max(8, size.grants // 10)
    for number in range(size.grants // part):
        walls, costs = zip(*(_part(run.done, number, part) for run in runs))
        result.rows.append(
            [
                f"{number * part + 1} to {(number + 1) * part}",
                short(statistics.median(walls)),
                short(statistics.median(costs)),
            ]
        )
    growths = [_growth([_part(run.done, number, part)[1] for number in range(size.grants // part)]) for run in runs]
    result.raw = {"done": [run.done[:: max(1, part // 10)] for run in runs], "growths": growths}
    result.bars = [
        Bar("the last thousand cost what the first did, within 10 %", statistics.median(growths) * 100, 10, "%"),
        Bar("refreshes more or less than grants", max(abs(run.refreshes - size.grants) for run in runs), 0, ""),
        Bar("refresh tokens sent twice", max(run.reused for run in runs), 0, ""),
    ]
    result.notes.append(
        "First and last as the trend of all parts has them (Theil-Sen), since a single part is noisy here; the median "
        f"of {len(runs)} runs, which were {', '.join(f'{growth:+.0%}' for growth in growths)}."
    )
    result.answered["aries-auth"] = all(run.refreshes == size.grants for run in runs)
    return result


class _Run(NamedTuple):
    """When each refresh was done (wall and processor time; the start comes first), and what the endpoint counted."""

    done: list[tuple[float, float]]
    refreshes: int
    reused: int


def _refresh_all(count: int) -> _Run:
    with Server() as server:
        grants = _grants(server, count, ours.scratch(), age=4000)
        objects = [_auth(path, server) for path, _ in grants]
        server.counts()
        start = (time.perf_counter(), time.process_time())
        done = [start, *_by_threads(objects, lambda auth: auth.get_token())]
        counts = server.counts()
    return _Run(done, counts["refreshes"], counts["reused"])


def _part(done: list[tuple[float, float]], number: int, part: int) -> tuple[float, float]:
    (wall_from, cpu_from), (wall_to, cpu_to) = done[number * part], done[(number + 1) * part]
    return wall_to - wall_from, (cpu_to - cpu_from) / part


def _growth(costs: list[float]) -> float:
    """How much more the last part costs than the first, by the median of the slopes between all pairs of parts."""
    pairs = itertools.combinations(enumerate(costs), 2)
    slope = statistics.median((later - sooner) / (b - a) for (a, sooner), (b, later) in pairs)
    return slope * (len(costs) - 1) / statistics.median(costs)


class _Peak:
    """The most threads that were alive at once."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.threads = 0

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.threads -= 1  # this one

    def _watch(self) -> None:
        while not self._ended.wait(0.005):
            self.threads = max(self.threads, threading.active_count())


def due(size: Size) -> Result:
    """All objects have their token in memory; then the clock is set to 100 s before expiry, and each is called."""
    delay = 0.1
    result = Result(
        "due",
        f"{size.grants} objects due at once in one process, an endpoint of {delay * 1e3:.0f} ms",
        ["what", "figure"],
    )
    with Server(delay=delay) as server:
        limit = _rate_by_hand(server, min(size.grants, 640 if not size.smoke else 16))
        grants = _grants(server, size.grants, ours.scratch())
        objects = [_auth(path, server) for path, _ in grants]
        before = [auth.get_token() for auth in objects]
        server.counts()
        gc.collect()
        gc.freeze()
        later, real = 3600.0 - 100.0, time.time
        with mock.patch("time.time", lambda: real() + later), _Peak() as peak:  # noqa: PT008 - the clock goes on
            start = time.perf_counter()
            latencies = []
            for auth in objects:
                begun = time.perf_counter()
                auth.get_token()
                latencies.append(time.perf_counter() - begun)
            asked = time.perf_counter() - start
            waiting = deque(zip(objects, before))  # looked at once each: to look takes the interpreter, too
            while waiting:
                auth, old = waiting[0]
                if auth.token is None or auth.token.access_token == old:
                    time.sleep(0.02)
                else:
                    waiting.popleft()
            elapsed = time.perf_counter() - start
        gc.unfreeze()
        counts = server.counts()
    rate = len(objects) / elapsed
    latencies.sort()
    result.rows = [
        ["threads of the process at most", str(peak.threads)],
        ["asking all of them", short(asked)],
        ["a call, median", short(statistics.median(latencies))],
        ["a call, 99 %", short(latencies[len(latencies) * 99 // 100])],
        ["a call, at most", short(latencies[-1])],
        ["until all were refreshed", short(elapsed)],
        ["refreshes a second", f"{rate:.0f}"],
        [f"refreshes a second by hand, {THREADS} threads", f"{limit:.0f}"],
    ]
    result.raw = {"latencies": latencies[:: max(1, len(latencies) // 1000)], "rate": rate, "by hand": limit}
    result.bars = [
        Bar("threads <= 40", peak.threads, 40, ""),
        Bar(f"calls that waited (> {delay * 1e3:.0f} ms)", sum(latency > delay for latency in latencies), 0, "calls"),
        Bar("refreshes more or less than grants", abs(counts["refreshes"] - len(grants)), 0, ""),
        Bar("by hand / ours, refreshes a second, <= 1.25", limit / rate, 1.25),
    ]
    result.notes.append(
        "The objects are frozen (`gc.freeze()`) first: a full collection looks through all of them, and whichever call "
        "starts it takes some 0.3 s here."
    )
    result.notes.append(
        f'{THREADS} threads at most (docs/architecture.md, "Threads"): the limit is {THREADS / delay:.0f} a second, '
        "less what the interpreter needs."
    )
    result.answered["aries-auth"] = counts["refreshes"] == len(grants)
    return result


def _rate_by_hand(server: Server, count: int) -> float:
    """Refreshes a second that as many threads do, each with a lock, a request and a durable save, by hand."""
    grants = _grants(server, count, ours.scratch())

    def refresh(grant: tuple[Path, Token]) -> None:
        with by_hand.locked(grant[0]):
            by_hand.refresh(grant[0], server.at.token_url, requests.post)

    start = time.perf_counter()
    _by_threads(grants, refresh, THREADS)
    return count / (time.perf_counter() - start)
