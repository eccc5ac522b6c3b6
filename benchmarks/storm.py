"""Storms: everybody finds one expired token at the same moment, before an endpoint that takes 100 ms."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from aries_auth import FileTokenStore
from benchmarks import ours
from benchmarks.crowd import ASYNC, SYNC
from benchmarks.results import Bar, Result, Size, short
from benchmarks.server import Server

FLOOR, OURS = "lock and refresh by hand", "aries-auth"


class _Crowd:
    """One process of callers."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.crowd"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # httpx_auth logs its failures
            text=True,
        )

    def say(self, what: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def _storm(
    server: Server, crowds: list[_Crowd], contender: str, kind: str, callers: int, folder: Path
) -> dict[str, Any]:
    store = folder / f"{contender}-{time.monotonic_ns()}.json"
    FileTokenStore(store).save(server.issue(age=4000)[0])
    server.counts()
    job = {"contender": contender, "kind": kind, "callers": callers, "store": str(store), **vars(server.at)}
    for crowd in crowds:
        crowd.say(job)
    for crowd in crowds:
        assert crowd.hear() == "ready"
    for crowd in crowds:
        crowd.say("go")
    answers = [crowd.hear() for crowd in crowds]
    return {
        "wall": max(answer["wall"] for answer in answers),
        "failed": sum(answer["failed"] for answer in answers),
        **server.counts(),
    }


def measure(size: Size) -> Result:
    """Threads, tasks and processes, interleaved with the floor; the peers once, since their walls compare nothing."""
    result = Result(
        "storm",
        "Storm: one expired token, an endpoint of 100 ms",
        ["callers", "contender", "token requests", "failed calls", "wall", "x by hand"],
    )
    kinds = [
        ("64 threads", "threads", 1, 64),
        ("200 tasks", "tasks", 1, 200),
        ("8 processes x 4 threads", "threads", 8, 4),
    ]
    if size.smoke:
        kinds = [
            ("4 threads", "threads", 1, 4),
            ("4 tasks", "tasks", 1, 4),
            ("1 process x 2 threads", "threads", 1, 2),
        ]
    folder = ours.scratch()
    with Server(delay=0.01 if size.smoke else 0.1) as server:
        crowds = [_Crowd() for _ in range(max(processes for _, _, processes, _ in kinds))]
        try:
            for title, kind, processes, callers in kinds:
                _measure(result, server, crowds[:processes], title, kind, callers, size, folder)
        finally:
            for crowd in crowds:
                crowd.end()
    result.notes.append("finance-dev takes no part: it knows the client_credentials grant alone, which Aries has not.")
    return result


def _measure(
    result: Result, server: Server, crowds: list[_Crowd], title: str, kind: str, callers: int, size: Size, folder: Path
) -> None:
    contenders = list(ASYNC if kind == "tasks" else SYNC)
    for contender in () if size.smoke else (FLOOR, OURS):  # imports, the CA bundle
        _storm(server, crowds, contender, kind, 1, folder)
    runs: dict[str, list[dict[str, Any]]] = {contender: [] for contender in contenders}
    for _ in range(size.repeats):
        for contender in (FLOOR, OURS):
            runs[contender].append(_storm(server, crowds, contender, kind, callers, folder))
    for contender in contenders[2:]:
        runs[contender].append(_storm(server, crowds, contender, kind, callers, folder))
    walls = {contender: statistics.median(run["wall"] for run in found) for contender, found in runs.items()}
    for contender, found in runs.items():
        requests, failed = (max(run[what] for run in found) for what in ("token_requests", "failed"))
        ratio = walls[contender] / walls[FLOOR]
        result.rows.append([title, contender, str(requests), str(failed), short(walls[contender]), f"{ratio:.2f}"])
        result.answered[f"{title}: {contender}"] = requests > 0
    own = runs[OURS]
    result.raw[title] = runs
    result.bars += [
        Bar(
            f"{title}: token requests beside the one", max(abs(run["token_requests"] - 1) for run in own), 0, "requests"
        ),
        Bar(f"{title}: failed calls", max(run["failed"] for run in own), 0, "calls"),
        Bar(f"{title}: wall <= 1.3 x by hand", walls[OURS] / walls[FLOOR], 1.3),
    ]
