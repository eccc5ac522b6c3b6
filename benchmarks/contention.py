"""Contention: eight threads attach on one auth object. No lock is taken, and nothing is lost by being eight."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from typing import Any, Callable

from benchmarks import floors, ours, peers
from benchmarks.attach import prepared
from benchmarks.results import Bar, Result, Size

THREADS = 8
BATCH = 50
_LOCKING = ("acquire", "acquire_lock", "release", "__enter__", "wait")


def _rate(attach: Callable[[Any], Any], threads: int, total: int) -> float:
    """Attachments in a second of processor time, of so many threads together."""
    gate = threading.Barrier(threads + 1)

    def work(batch: list[Any], rounds: int) -> None:
        gate.wait()
        for _ in range(rounds):
            for request in batch:
                attach(request)
                request.hooks["response"].clear()

    rounds = total // threads // BATCH
    workers = [threading.Thread(target=work, args=(prepared(BATCH), rounds)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    start = time.process_time()  # a lock held or waited for costs that, too; a processor lent to others does not
    gate.wait()
    for worker in workers:
        worker.join()
    return threads * rounds * BATCH / (time.process_time() - start)


def calls_made(attach: Callable[[Any], Any]) -> list[str]:
    """The names of all functions that one attachment calls, C ones included."""
    (request,) = prepared(1)
    seen: list[str] = []

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event == "c_call":
            seen.append(argument.__name__)
        elif event == "call":
            seen.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        attach(request)
    finally:
        sys.setprofile(None)
    return seen[:-1]  # the last is setprofile itself


def measure(size: Size) -> Result:
    contenders = {
        "contract": floors.ContractRequests(peers.ACCESS_TOKEN, time.time() + 3000),
        "aries-auth": ours.living_auth(),
    }
    total = 800 if size.smoke else 400_000
    ratios: dict[str, list[float]] = {name: [] for name in contenders}
    rates: dict[str, dict[int, list[float]]] = {name: {1: [], THREADS: []} for name in contenders}
    for _ in range(size.repeats):
        for name, auth in contenders.items():
            alone = _rate(auth, 1, total)
            together = _rate(auth, THREADS, total)
            # Against what one thread did just before and just after.
            ratios[name].append(2 * together / (alone + _rate(auth, 1, total)))
            rates[name][1].append(alone)
            rates[name][THREADS].append(together)
    result = Result(
        "contention",
        f"{THREADS} threads attaching on one auth object",
        ["contender", "1 thread, a second", f"{THREADS} threads together", "together x alone"],
    )
    for name in contenders:
        alone, together = (statistics.median(rates[name][threads]) for threads in (1, THREADS))
        result.rows.append([name, f"{alone:,.0f}", f"{together:,.0f}", f"{statistics.median(ratios[name]):.2f}"])
        result.answered[name] = together > 0
    calls = calls_made(contenders["aries-auth"])
    locks = [call for call in calls if call in _LOCKING]
    result.raw = {"ratios": ratios, "calls of one attachment": calls}
    loss = 1 - statistics.median(ratios["aries-auth"])
    result.bars = [
        Bar("locks taken on the hot path", len(locks), 0, ""),
        Bar(f"{THREADS} threads together: rate lost to 1 alone <= 5 %", loss * 100, 5, "%"),
    ]
    result.notes.append("Rates are attachments in a second of processor time.")
    result.notes.append(
        f"One attachment calls {', '.join(f'`{call}`' for call in calls)}: the whole list, as a profiler sees it."
    )
    return result
