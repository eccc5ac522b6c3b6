"""The clock jumps by a day, and the machine is suspended: no storm, at most one refresh more, and no failed call."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any, Iterator

import pytest

from .conftest import FRESH, Bench, wait_until
from .zygote import Victim, Zygote

LIBRARIES = list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
DAY = 86400

pytestmark = [pytest.mark.ci, pytest.mark.noisy, pytest.mark.chaos, pytest.mark.timeout(120)]


class Clock:
    """The wall clock of a zygote and its children, which can be set while they run (libfaketime, from Debian)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set("+0")
        self.zygote = Zygote(
            LD_PRELOAD=str(LIBRARIES[0]),
            FAKETIME_TIMESTAMP_FILE=str(path),
            FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",  # as when a machine's clock is set
            DONT_FAKE_MONOTONIC="1",
        )

    def set(self, offset: str) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(f"{offset}\n")
        new.replace(self.path)


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[Clock]:
    clock = Clock(tmp_path / "clock")
    with clock.zygote:
        yield clock


def _some_calls(process: Victim, count: int = 30) -> Any:
    """Wait for more calls, and see that none failed so far."""
    before = process.ask("how many")["succeeded"]
    wait_until(lambda: process.ask("how many")["succeeded"] >= before + count, 20.0, "nobody calls any more")
    said = process.ask("how many")
    assert not said["failures"], said["failures"]
    return said


@pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed")
@pytest.mark.parametrize("jumps", [("+1d", "-1d", "+0"), pytest.param(("-1d", "+0"), marks=pytest.mark.soak)], ids=str)
def test_a_clock_that_jumps_by_a_day_costs_at_most_one_refresh(
    bench: Bench, clock: Clock, jumps: tuple[str, ...]
) -> None:
    bench.log_in(FRESH)
    process = clock.zygote.start("callers", **bench.options, threads=4)
    _some_calls(process)
    assert not bench.aries.token_requests
    for number, offset in enumerate(jumps, 1):
        clock.set(offset)
        said = _some_calls(process, 60)
        expected = time.time() + {"+1d": DAY, "-1d": -DAY, "+0": 0}[offset]
        assert abs(said["now"] - expected) < 60, "the clock did not jump"
        print(f"{offset}: {len(bench.aries.token_requests)} token requests so far, {said['succeeded']} calls")
        assert len(bench.aries.token_requests) <= number
    process.say("end")
    assert bench.is_newest


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.soak)])
def test_a_machine_that_was_suspended_refreshes_once_when_it_wakes_up(
    bench: Bench, zygote: Zygote, processes: int
) -> None:
    aries = bench.aries
    lifetime = 3.0
    aries.rules.access_token_lifetime = lifetime
    bench.store.save(aries.issue_token())
    running = [zygote.start("callers", **bench.options, threads=2) for _ in range(processes)]
    for process in running:
        _some_calls(process, 10)
    for process in running:
        process.kill(signal.SIGSTOP)
    before = len(aries.token_requests)
    time.sleep(lifetime + 0.5)
    for process in running:
        process.kill(signal.SIGCONT)
    woken_at = time.monotonic()
    for process in running:
        _some_calls(process, 10)
    # One for the life that ended in the suspension; those of lives that have ended since don't count.
    lives_since = int((time.monotonic() - woken_at) // (lifetime / 2))
    assert len(aries.token_requests) - before <= 1 + lives_since
    assert not aries.reused_refresh_tokens
    for process in running:
        process.say("end")
