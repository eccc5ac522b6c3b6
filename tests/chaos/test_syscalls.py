"""Every system call that a refresh makes on the store, in turn: it fails, or the process is killed there.

strace enumerates the calls on the store's paths in one run, and injects a fault into each in the next ones, so
nothing is left to chance. The process is `one_refresh`, the token endpoint is the sandbox.
"""

from __future__ import annotations

import collections
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import pytest

from aries_auth import FileTokenStore, LoginRequired
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED

ROOT = Path(__file__).parents[2]
ALL_ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EACCES", "EINTR")
USUAL_ERROR = {"write": "ENOSPC", "fallocate": "EDQUOT", "openat": "EACCES", "read": "EIO", "flock": "EINTR"}

pytestmark = [
    pytest.mark.ci,
    pytest.mark.chaos,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
    pytest.mark.timeout(600),
]


@dataclass(frozen=True)
class Call:
    """The nth call of its name of the refresh on the store, and whether it comes after the endpoint's commit."""

    name: str
    nth: int
    after_commit: bool
    before_replace: bool


class Bench:
    """A sandbox and a store of its own, with a process that refreshes there under strace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "t.json"
        self.temporary = folder / ".t.json.tmp"

    def __enter__(self) -> Bench:
        self.aries = AriesSandbox().start()
        self.old = self.aries.issue_token(age=EXPIRED)
        FileTokenStore(self.path).save(self.old)
        return self

    def __exit__(self, *_: object) -> None:
        self.aries.stop()

    def run(self, *strace: str) -> tuple[str, str]:
        """Run the process; returns what it printed, and the trace."""
        trace = self.folder.parent / f"{self.folder.name}.trace"
        paths = (self.folder, self.path, f"{self.path}.lock", self.temporary)
        command = [
            *("strace", "-f", "-q", "-o", str(trace)),
            *(word for path in paths for word in ("-P", str(path))),
            *strace,
            *(sys.executable, "-m", "tests.chaos.one_refresh", str(self.path)),
        ]
        done = subprocess.run(
            command,
            env={**os.environ, **self.aries.environ},
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
            timeout=60,
        )
        assert not done.stderr, done.stderr
        return done.stdout.strip(), trace.read_text()

    @property
    def stored_number(self) -> int:
        """0 for the old token, 1 for the new one; fails where the store is not whole."""
        stored = FileTokenStore(self.path).load()
        assert stored is not None, "the store is empty"
        return int(stored.access_token != self.old.access_token)


def enumerate_calls(folder: Path) -> Iterator[Call]:
    with Bench(folder) as bench:
        printed, trace = bench.run()
        assert printed == "ok"
        thread = next(line.split()[0] for line in trace.splitlines() if "flock(" in line)
        seen: collections.Counter[str] = collections.Counter()
        after_commit, before_replace = False, True
        for line in trace.splitlines():
            match = re.match(rf"{thread} +(\w+)\(", line)
            if match is None:
                continue
            name = match[1]
            after_commit = after_commit or name in ("write", "pwrite64")
            seen[name] += 1
            yield Call(name, seen[name], after_commit, before_replace)
            before_replace = before_replace and name not in ("rename", "renameat", "renameat2")


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    folder = tmp_path_factory.mktemp("enumeration").resolve() / "store"
    folder.mkdir(0o700)
    found = list(enumerate_calls(folder))
    names = {call.name for call in found}
    assert {"flock", "write", "fsync"} <= names
    assert any(call.after_commit and call.before_replace for call in found)
    return found


def _in_parallel(faults: list[tuple[Call, str]], base: Path, check: object) -> None:
    def one(numbered: tuple[int, tuple[Call, str]]) -> str:
        number, (call, fault) = numbered
        folder = base / f"{number}"
        folder.mkdir(0o700)
        try:
            with Bench(folder) as bench:
                check(bench, call, fault)  # type: ignore[operator]
        except AssertionError as exc:
            return f"{call} {fault}: {exc}"
        return ""

    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        failures = [failure for failure in pool.map(one, enumerate(faults)) if failure]
    assert not failures, "\n".join(failures)


def _fails_there(bench: Bench, call: Call, fault: str) -> None:
    printed, trace = bench.run("-e", f"inject={call.name}:error={fault}:when={call.nth}")
    assert "(INJECTED)" in trace, "the fault did not happen"
    spent = bench.aries.refresh_count
    assert spent in (0, 1)
    assert bench.stored_number == spent, f"spent {spent}, but the store does not show it ({printed})"
    assert (printed == "ok") == bool(spent), printed
    assert bench.aries.reused_refresh_tokens == 0
    _goes_on(bench)


def _is_killed_there(bench: Bench, call: Call, _: str) -> None:
    printed, _trace = bench.run("-e", f"inject={call.name}:signal=SIGKILL:when={call.nth}")
    assert printed == ""
    spent, number = bench.aries.refresh_count, bench.stored_number
    in_the_window = call.after_commit and call.before_replace
    if spent == number:
        _goes_on(bench)
        return
    assert in_the_window, f"a grant was lost outside the documented window (spent {spent}, stored {number})"
    with pytest.raises(LoginRequired):
        bench.aries.auth(bench.path).get_token()


def _goes_on(bench: Bench) -> None:
    bench.aries.auth(bench.path).refresh()
    assert bench.aries.reused_refresh_tokens == 0
    assert not bench.temporary.exists(), "a temporary file was left behind"


@pytest.mark.parametrize("every_error", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_whatever_system_call_on_the_store_fails_the_store_is_whole_and_no_grant_is_lost(
    calls: list[Call], tmp_path: Path, every_error: bool
) -> None:
    faults = [
        (call, error)
        for call in calls
        for error in (ALL_ERRORS if every_error else (USUAL_ERROR.get(call.name, "EIO"),))
    ]
    _in_parallel(faults, tmp_path.resolve(), _fails_there)
    print(f"{len(calls)} system calls, {len(faults)} faults")


def test_whatever_system_call_on_the_store_sigkill_comes_at_only_the_documented_window_loses_the_grant(
    calls: list[Call], tmp_path: Path
) -> None:
    _in_parallel([(call, "SIGKILL") for call in calls], tmp_path.resolve(), _is_killed_there)
    window = [call.name for call in calls if call.after_commit and call.before_replace]
    print(f"{len(calls)} system calls; the window is {window}")
