"""One token file and many processes, by means that every system has: no fork, no signals. Windows is its point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator

import pytest

from aries_auth import FileTokenStore
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED, ROOT, end_all

pytestmark = [pytest.mark.noisy, pytest.mark.timeout(900)]

PROCESSES, TOKENS = 4, 12
SAVES, READERS = 1_000, 2


class Processes:
    """Processes of `saving`, each at work when it is handed out."""

    def __init__(self, aries: AriesSandbox) -> None:
        self._environment = {**os.environ, **aries.environ, "PYTHONPATH": str(ROOT)}
        self._all: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.platforms.saving", *arguments],
            env=self._environment, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._all.append(process)
        return process

    def end(self) -> None:
        end_all(self._all)


@pytest.fixture
def processes(aries: AriesSandbox) -> Iterator[Processes]:
    processes = Processes(aries)
    yield processes
    processes.end()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def result(process: subprocess.Popen[str]) -> Any:
    return json.loads(line(process))


def test_a_thousand_saves_beside_two_readers_all_succeed(
    aries: AriesSandbox, store: FileTokenStore, processes: Processes
) -> None:
    token = aries.issue_token()
    store.save(token)
    readers = [processes.start("read", str(store.path)) for _ in range(READERS)]
    for reader in readers:
        assert line(reader) == "ready"
    for _ in range(SAVES):
        store.save(token)
    for reader in readers:
        tell(reader)
    for outcome in map(result, readers):
        assert outcome["failures"] == []
        assert outcome["loads"] > 100
    assert store.load() == token


def test_a_program_that_holds_the_file_open_for_a_second_costs_no_save(
    aries: AriesSandbox, store: FileTokenStore, processes: Processes
) -> None:
    store.save(aries.issue_token())
    new = aries.issue_token()
    holder = processes.start("hold", str(store.path), "1.0")
    assert line(holder) == "holds it"
    begun = time.monotonic()
    store.save(new)
    assert time.monotonic() - begun < 3.0
    assert store.load() == new


def test_a_program_that_holds_the_file_open_for_a_second_costs_no_logout(
    aries: AriesSandbox, store: FileTokenStore, processes: Processes
) -> None:
    store.save(aries.issue_token())
    holder = processes.start("hold", str(store.path), "1.0")
    assert line(holder) == "holds it"
    store.delete()
    assert not Path(store.path).exists()


def test_four_processes_with_twelve_expired_tokens_make_twelve_requests(
    aries: AriesSandbox, tmp_path: Path, processes: Processes
) -> None:
    paths = [str(tmp_path / f"{number}.json") for number in range(TOKENS)]
    for path in paths:
        FileTokenStore(path).save(aries.issue_token(age=EXPIRED))
    crowd = [processes.start("refresh", *paths) for _ in range(PROCESSES)]
    for process in crowd:
        assert line(process) == "ready"
    for process in crowd:
        tell(process)
    assert [result(process)["failures"] for process in crowd] == [[]] * PROCESSES
    assert len(aries.token_requests) == TOKENS
    assert aries.reused_refresh_tokens == 0
