"""Interleaved timing: every round times each contender once, in rotated order, so that drift meets all alike.

A worker is a process of its own; ratios are taken within a round, their median within a worker, and the median of
the workers is what is reported. The clock and the records are pyperf's.
"""

from __future__ import annotations

import gc
import statistics
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

import pyperf


@dataclass(frozen=True)
class Contender:
    """One way to do the thing that is measured.

    Attributes:
        name: as the table shows it.
        inputs: makes so many fresh inputs; not timed.
        run: does the thing to each of them; timed.
        answers: does it once and says whether what it should do was done.
    """

    name: str
    inputs: Callable[[int], Any]
    run: Callable[[Any], object]
    answers: Callable[[], bool]


def interleave(contenders: Sequence[Contender], rounds: int, batch: int) -> dict[str, list[float]]:
    """Seconds per operation of each contender in each round; two rounds before them warm up."""
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    gc.collect()
    gc.disable()
    try:
        for number in range(-2, rounds):
            shift = number % len(contenders)
            for contender in [*contenders[shift:], *contenders[:shift]]:
                inputs = contender.inputs(batch)
                start = pyperf.perf_counter()
                contender.run(inputs)
                elapsed = pyperf.perf_counter() - start
                if number >= 0:
                    seconds[contender.name].append(elapsed / batch)
            gc.collect(0)
    finally:
        gc.enable()
    return seconds


def typical(workers: Sequence[Mapping[str, Sequence[float]]], name: str) -> float:
    """The median over workers of a contender's median seconds."""
    return statistics.median(statistics.median(worker[name]) for worker in workers)


def ratio(workers: Sequence[Mapping[str, Sequence[float]]], name: str, floor: str) -> float:
    """The median over workers of the median over rounds of contender to floor."""
    return statistics.median(
        statistics.median(own / base for own, base in zip(worker[name], worker[floor])) for worker in workers
    )


def pyperf_benchmarks(measurement: str, workers: Sequence[Mapping[str, Sequence[float]]]) -> list[pyperf.Benchmark]:
    """The same numbers as pyperf keeps them, for ``python -m pyperf compare_to``."""
    return [
        pyperf.Benchmark(
            [
                pyperf.Run(
                    list(worker[name]),
                    metadata={"name": f"{measurement}: {name}", "unit": "second"},
                    collect_metadata=False,
                )
                for worker in workers
            ]
        )
        for name in workers[0]
    ]
