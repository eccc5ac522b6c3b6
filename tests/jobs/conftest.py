"""What the tests of jobs share: sandboxes with slow token endpoints, jobs with a grant each, and what is left."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Sequence

import pytest

from aries_auth import AriesAuth, FileTokenStore, LoginRequired
from aries_auth.testing import AriesSandbox
from aries_auth.testing.records import fingerprint
from tests.conftest import IN_MARGIN, ROOT

DELAYS = (0.02, 0.15, 0.4, 1.0)  # seconds that the token endpoint takes to answer
PROGRAMS = Path(__file__).parent / "programs"
PATIENCE = 60.0  # seconds for a program to start or to end on a busy machine


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "jobs: runs real job runners and servers")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("jobs")
            item.add_marker("ci")


def repeated(test: Callable[..., Any]) -> Callable[..., Any]:
    """A test of two runs with each delay, and of twenty in the nightly tier."""
    every = [pytest.param(2, id="2 runs"), pytest.param(20, id="20 runs", marks=pytest.mark.nightly)]
    marked: Callable[..., Any] = pytest.mark.parametrize("runs", every)(pytest.mark.timeout(600)(test))
    return marked


def needs(*names: str) -> pytest.MarkDecorator:
    """A skip where one of these modules (or, with a leading `/`, programs) is not installed."""
    missing = [
        name.lstrip("/")
        for name in names
        if (shutil.which(name[1:]) if name.startswith("/") else importlib.util.find_spec(name)) is None
    ]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


class Job:
    """One job with a grant of its own, whose access token is inside its margin, or so many seconds old."""

    def __init__(
        self, aries: AriesSandbox, folder: Path, delay: float, kind: str, age: float = IN_MARGIN, **auth: Any
    ) -> None:
        self.aries = aries
        self.kind = kind
        self.delay = delay
        self.store = folder / "token.json"
        self.done = folder / "done.json"
        self.first = aries.issue_token(age=age)
        FileTokenStore(self.store).save(self.first)
        self.given: dict[str, Any] = {
            "client_id": aries.client_id,
            "client_secret": aries.client_secret,
            "redirect_uri": aries.redirect_uri,
            "store": str(self.store),
            "token_url": aries.token_url,
            "api_origins": [aries.api_url],
        }
        self.options = auth

    def __repr__(self) -> str:
        return f"{self.kind} {self.delay:g} s".strip()

    def auth(self, **changes: Any) -> AriesAuth:
        return AriesAuth(**{**self.given, **self.options, **changes})

    @property
    def told(self) -> dict[str, Any]:
        """What its program is told."""
        return {
            "auth": {**self.given, **self.options},
            "url": f"{self.aries.api_url}/v1/echo",
            "done": str(self.done),
            "delay": self.delay,
        }

    @property
    def variables(self) -> dict[str, str]:
        """What `AriesAuth()` finds it by."""
        return {**self.aries.environ, "ARIES_TOKEN_FILE": str(self.store)}

    @property
    def note(self) -> dict[str, Any]:
        """What it wrote down about its call."""
        found: dict[str, Any] = json.loads(self.done.read_text(encoding="utf-8"))
        return found

    def is_spent(self) -> bool:
        """Whether its refresh token was sent."""
        return fingerprint(self.first.refresh_token or "") in [sent.fingerprint for sent in self.aries.token_requests]

    @property
    def refreshed(self) -> bool:
        """Whether the store has another token than at first."""
        stored = FileTokenStore(self.store).load()
        return stored is not None and stored.access_token != self.first.access_token

    @property
    def lost(self) -> bool:
        """Whether the grant can't be refreshed any more: a person would have to log in again."""
        try:
            AriesAuth(**self.given).refresh()
        except LoginRequired:
            return True
        return False


class Jobs:
    """Jobs for all delays, two a delay, and where they are written down for a program."""

    def __init__(self, sandboxes: Mapping[float, AriesSandbox], folder: Path) -> None:
        self._sandboxes = sandboxes
        self._folder = folder
        self._made: list[Job] = []

    def make(self, runs: int, *delays: float, kind: str = "", **auth: Any) -> list[Job]:
        """So many jobs with each delay, those with the same delay side by side; `kind` names them in a failure."""
        made = []
        for delay in delays or DELAYS:
            for _ in range(runs):
                folder = self._folder / f"job-{len(self._made) + len(made)}"
                made.append(Job(self._sandboxes[delay], folder, delay, kind, **auth))
        self._made += made
        return made

    def file(self, jobs: Sequence[Job]) -> Path:
        """The file that a program finds its jobs in."""
        path = self._folder / f"jobs-{os.urandom(4).hex()}.json"
        path.write_text(json.dumps([job.told for job in jobs]), encoding="utf-8")
        return path

    def environment(self, jobs: Sequence[Job], **more: str) -> dict[str, str]:
        """What a program of ours needs, and nothing of the test runner's own."""
        kept = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "JAVA_HOME") if name in os.environ
        }
        return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "JOBS": str(self.file(jobs)), **more}

    def judge(self, *, in_order: bool = False, noted: bool = True) -> None:
        """Nothing is lost: every job did its call, spent its refresh token once, and left a grant that lives.

        Where processes end in order, a refresh that has not sent anything yet may be left to the next job. A program
        that is not one of ours takes no notes.
        """
        failed = [job for job in self._made if noted and (not job.done.exists() or job.note["status"] != 200)]
        for aries in self._sandboxes.values():
            aries.heal()
        idle = [job for job in self._made if not _within(0.0 if in_order else 1.0, job.is_spent)]
        saved = [job for job in self._made if job.refreshed]
        lost = [job for job in self._made if job.lost]
        reused = sum(aries.reused_refresh_tokens for aries in self._sandboxes.values())
        count = len(self._made)
        print(f"\n{len(lost)} of {count} grants lost, {len(saved)} of {count} saved by the job itself{self._costs()}")
        assert not failed, f"{len(failed)} of {count} jobs failed: {failed}"
        assert not lost, f"{len(lost)} of {count} grants lost: {lost}"
        assert not reused
        assert len(idle) <= (count - 1 if in_order else 0), f"{len(idle)} of {count} jobs started no refresh: {idle}"
        assert len(saved) == count - len(idle)

    def _costs(self) -> str:
        """What the calls took, by the delay of the token endpoint."""
        took: dict[float, list[float]] = {}
        for job in self._made:
            if job.done.exists():
                took.setdefault(job.delay, []).append(1000 * job.note["took"])
        medians = (f"{1000 * delay:g} ms: {statistics.median(each):.0f}" for delay, each in took.items())
        return f"; medians of the calls in ms, by delay: {', '.join(medians)}" if took else ""


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture(scope="session")
def sandboxes() -> Iterator[Mapping[float, AriesSandbox]]:
    with contextlib.ExitStack() as stack:
        yield {delay: stack.enter_context(AriesSandbox()) for delay in DELAYS}


@pytest.fixture
def jobs(sandboxes: Mapping[float, AriesSandbox], tmp_path: Path) -> Iterator[Jobs]:
    for delay, aries in sandboxes.items():
        aries.reset()
        aries.fail(delay=delay, times=None)
    yield Jobs(sandboxes, tmp_path)
    for aries in sandboxes.values():
        aries.heal()


class Process:
    """A program that runs, in a process group of its own; what it said goes to a file."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as said:
            self._process = subprocess.Popen(
                list(command),
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=log.parent,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def said(self) -> str:
        """The end of what it said."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to it, or to its children, too, as systemd and a terminal's Ctrl-C do."""
        if group:
            os.killpg(self.pid, number)
        else:
            self._process.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end; it said:\n{self.said}") from None

    def wait_until(self, condition: Callable[[], Any], timeout: float = PATIENCE) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert self.running, f"it ended; it said:\n{self.said}"
            assert time.monotonic() < end, f"it did not happen; it said:\n{self.said}"
            time.sleep(0.01)

    def end(self) -> None:
        """End what is left of it, its children included."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, 9)
        self._process.wait()


class Start:
    """Starts programs, and ends those that are left."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Process] = []

    def __call__(self, command: Sequence[str], environment: Mapping[str, str]) -> Process:
        log = self._folder / f"said-{os.urandom(4).hex()}.txt"
        process = Process(command, environment, log)
        self._started.append(process)
        return process

    def program(self, name: str, *arguments: str, environment: Mapping[str, str]) -> Process:
        """One of the programs beside this file."""
        return self([sys.executable, "-m", f"tests.jobs.programs.{name}", *arguments], environment)

    def end(self) -> None:
        for process in self._started:
            process.end()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started = Start(tmp_path)
    yield started
    started.end()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Server:
    """A web server that makes a call to the API in each of its requests: `/0` does the first job."""

    def __init__(self, process: Process, port: int, *, up: str | None = "/up") -> None:
        self.process = process
        self._port = port
        process.wait_until(lambda: self._listens() if up is None else self._is_up(up))

    def _is_up(self, path: str) -> bool:
        try:
            return self.get(path, timeout=1.0)[0] == 200
        except OSError:
            return False

    def _listens(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self._port)) == 0

    def get(self, path: str, timeout: float = 30.0) -> tuple[int, bytes]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self._port}{path}", timeout=timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as exc:
            return exc.code, exc.read()

    def do(self, paths: Sequence[str]) -> None:
        """Make these requests, all at a time."""
        with ThreadPoolExecutor(len(paths)) as callers:
            answers = list(callers.map(self.get, paths))
        failed = [answer for answer in answers if answer[0] != 200]
        assert not failed, f"{failed}; it said:\n{self.process.said}"

    def stop(self, *, group: bool = False) -> int:
        """Its exit code, after SIGTERM."""
        self.process.signal(signal.SIGTERM, group=group)
        return self.process.wait()


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis of our own, on loopback."""
    if shutil.which("redis-server") is None:
        pytest.skip("not installed: redis-server")
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
    process = Process(command, os.environ, folder / "said.txt")
    process.wait_until(lambda: "Ready to accept connections" in process.said)
    yield f"redis://127.0.0.1:{port}/0"
    process.end()
