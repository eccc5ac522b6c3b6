"""The workers of the micro measurements: ``python -m benchmarks.worker NAME ROUNDS BATCH`` prints seconds as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Callable

from benchmarks import attach, attach_others, saving, whole_call
from benchmarks.results import Size
from benchmarks.timing import Contender, interleave

CONTENDERS: dict[str, Callable[[], list[Contender]]] = {
    "attach-requests": attach.requests_contenders,
    "attach-httpx": attach.httpx_contenders,
    "attach-httpx-async": attach.async_httpx_contenders,
    "attach-niquests": attach_others.niquests_contenders,
    "attach-aiohttp": attach_others.aiohttp_contenders,
    "call-httpx": whole_call.httpx_contenders,
    "call-requests": whole_call.requests_contenders,
    "saving": saving.contenders,
}


def in_workers(name: str, size: Size, batch: int) -> list[dict[str, list[float]]]:
    """The rounds of a measurement in fresh processes, one after the other; a smoke run stays in this one."""
    if size.smoke:
        return [_measure(name, size.rounds, batch)]
    command = [sys.executable, "-m", "benchmarks.worker", name, str(size.rounds), str(batch)]
    results = []
    for _ in range(size.workers):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise RuntimeError(f"The worker of {name} failed:\n{done.stderr}")
        results.append(json.loads(done.stdout))
    return results


def _measure(name: str, rounds: int, batch: int) -> dict[str, list[float]]:
    contenders = CONTENDERS[name]()
    if "--only-ours" in sys.argv:  # the floors and us, to compare two versions of us
        contenders = contenders[:3]
    silent = [contender.name for contender in contenders if not contender.answers()]
    if silent:
        raise RuntimeError(f"{name}: nothing was done by {', '.join(silent)}")
    return interleave(contenders, rounds, batch)


if __name__ == "__main__":
    json.dump(_measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])), sys.stdout)
