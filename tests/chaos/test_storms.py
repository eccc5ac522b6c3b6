"""Storms: threads, tasks and processes that all find one expired token at the same moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

from aries_auth import FileTokenStore
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED

ROOT = Path(__file__).parents[2]
THREADS = ("--threads", "64")
TASKS = ("--tasks", "200")
TRIO = ("--trio-tasks", "50")
PROCESSES = [("--threads", "4")] * 12

pytestmark = [pytest.mark.noisy, pytest.mark.chaos, pytest.mark.timeout(300)]


@pytest.fixture
def aries() -> Iterator[AriesSandbox]:
    with AriesSandbox() as aries:
        yield aries


class Crowds:
    """Processes of `crowd`, told when to call."""

    def __init__(self, aries: AriesSandbox, store: Path, crowds: list[tuple[str, ...]], *extra: str) -> None:
        self.processes = [
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.chaos.crowd"),
                    *("--store", str(store), "--api", aries.api_url),
                    *crowd,
                    *extra,
                ],
                env={**os.environ, **aries.environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            for crowd in crowds
        ]
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def call(self) -> int:
        """Everybody calls once; returns how many did, all with success."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        results = [json.loads(process.stdout.readline()) for process in self.processes if process.stdout]
        failures = [failure for result in results for failure in result["failures"]]
        assert not failures, failures[:3]
        return sum(result["succeeded"] for result in results)

    def __enter__(self) -> Crowds:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(20)
            assert process.stdout is not None
            process.stdout.close()


@pytest.mark.parametrize(
    "crowds, calls",
    [
        pytest.param([THREADS], 64, id="64 threads"),
        pytest.param([TASKS], 200, id="200 asyncio tasks"),
        pytest.param([TRIO], 50, id="50 trio tasks"),
        pytest.param(PROCESSES, 48, id="12 processes of 4 threads", marks=pytest.mark.ci),
        pytest.param([THREADS, TASKS, TRIO, *PROCESSES], 362, id="all of them at once", marks=pytest.mark.ci),
    ],
)
def test_for_one_expired_token_there_is_exactly_one_token_request(
    aries: AriesSandbox, tmp_path: Path, crowds: list[tuple[str, ...]], calls: int
) -> None:
    store = tmp_path / "store" / "t.json"
    FileTokenStore(store).save(aries.issue_token(age=EXPIRED))
    aries.fail("token", delay=0.1, times=None)
    with Crowds(aries, store, crowds) as everybody:
        assert everybody.call() == calls
    assert len(aries.token_requests) == 1
    assert aries.reused_refresh_tokens == 0


@pytest.mark.ci
@pytest.mark.parametrize("lives", [3, pytest.param(20, marks=pytest.mark.soak)])
def test_as_many_token_requests_as_lives(aries: AriesSandbox, tmp_path: Path, lives: int) -> None:
    lifetime = 4.0
    store = tmp_path / "store" / "t.json"
    FileTokenStore(store).save(aries.issue_token(age=EXPIRED))
    aries.rules.access_token_lifetime = lifetime
    with Crowds(aries, store, [THREADS, TASKS, TRIO, *PROCESSES], "--token-only") as everybody:
        for life in range(1, lives + 1):
            assert everybody.call() == 362
            assert len(aries.token_requests) == life
            stored = FileTokenStore(store).load()
            assert stored is not None
            assert stored.expires_at is not None
            time.sleep(max(0.0, stored.expires_at - time.time() + 0.05))  # lives end by themselves
    assert aries.reused_refresh_tokens == 0
