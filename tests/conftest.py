"""What the tests share: a local Aries, a store with a token of a chosen age, and the objects that use them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator

import pytest
import trio

from aries_auth import AriesAuth, FileTokenStore, Token
from aries_auth.testing import AriesSandbox
from tests.tiers import (  # noqa: F401 - hooks, found here by pytest
    pytest_collection,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_xdist_auto_num_workers,
)

ROOT = Path(__file__).parent.parent

# Ages of a token that lives an hour, with the default margin of five minutes and a last call of ten seconds.
FRESH = 100.0
IN_MARGIN = 3600.0 - 200.0
LAST_CALL = 3600.0 - 5.0
EXPIRED = 3600.0 + 60.0

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script: the processes that tests press Ctrl-C in would inherit that they ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _skip_where_trio_cannot_run() -> None:
    """Wine lacks what trio asks of Windows; who calls `trio.run` there is skipped."""
    try:
        trio.run(trio.sleep, 0)
    except OSError as exc:
        reason = f"trio can't run here: {exc}"
        trio.run = lambda *_args, **_options: pytest.skip(reason)


def _in_wine() -> bool:
    """Whether this is Wine, which is not Windows where few programs look."""
    if sys.platform != "win32":
        return False
    import ctypes

    return hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


IN_WINE = _in_wine()
if sys.platform == "win32":
    _skip_where_trio_cannot_run()


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own environment gets in."""
    for name in [name for name in os.environ if name.startswith("ARIES_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    # niquests reads the proxies once per process.
    utils = sys.modules.get("niquests.utils")
    for name in ("getproxies", "getproxies_environment", "get_netrc_auth"):
        cached = getattr(utils, name, None)
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()


@pytest.fixture
def aries() -> Iterator[AriesSandbox]:
    with AriesSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "token.json"


@pytest.fixture
def store(store_path: Path) -> FileTokenStore:
    return FileTokenStore(store_path)


@pytest.fixture
def stored(aries: AriesSandbox, store: FileTokenStore) -> Callable[..., Token]:
    """Puts a token of the sandbox into the store: ``stored(age=EXPIRED)``."""

    def put(**how: Any) -> Token:
        token = aries.issue_token(**how)
        store.save(token)
        return token

    return put


@pytest.fixture
def make_auth(aries: AriesSandbox, store_path: Path) -> Callable[..., AriesAuth]:
    """Makes an AriesAuth for the sandbox and the store, with changes: ``make_auth(timeout=1.0)``."""

    def make(**changes: Any) -> AriesAuth:
        return aries.auth(**{"store": store_path, **changes})

    return make


@pytest.fixture
def url(aries: AriesSandbox) -> str:
    """A route of the API that says what it got."""
    return f"{aries.api_url}/v1/echo"


def wait_until(condition: Callable[[], Any], timeout: float = 10.0, complaint: str = "it did not happen") -> None:
    """Waits until something that happens in the background has happened."""
    give_up_at = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < give_up_at, complaint
        time.sleep(0.005)


def in_threads(count: int, act: Callable[[], Any]) -> list[Any]:
    """Runs it in so many threads that begin at once; what each returned or raised."""
    barrier = threading.Barrier(count)
    outcomes: list[Any] = []

    def run() -> None:
        barrier.wait()
        try:
            outcomes.append(act())
        except BaseException as exc:
            outcomes.append(exc)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


class Background:
    """Something that goes on in another thread; `outcome` waits for it."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(act,))
        self._thread.start()

    def _run(self, act: Callable[[], Any]) -> None:
        try:
            self._result = act()
        except BaseException as exc:
            self._error = exc

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def outcome(self, timeout: float = 20.0) -> Any:
        self._thread.join(timeout)
        assert self.done, "it still goes on"
        if self._error is not None:
            raise self._error
        return self._result


def our_threads() -> set[threading.Thread]:
    """This process's threads that the package has started; those of an earlier test may still be about to end."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("aries-auth-")}


PRELUDE = """
import os, sys, threading, time, warnings
import httpx, requests
warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)  # from Python 3.12 on, where there are threads
from aries_auth import *
aries_url, store_path = os.environ["TEST_URL"], os.environ["TEST_STORE"]
def make_auth(**changes):
    given = dict(store=store_path)
    return AriesAuth(**{**given, **changes})
"""


class Program:
    """Starts Python programs that find the sandbox and the store: ``program("print(make_auth().get_token())")``."""

    def __init__(self, aries: AriesSandbox, store_path: Path) -> None:
        self._environment = {
            **os.environ,
            **aries.environ,
            "TEST_URL": aries.url,
            "TEST_STORE": str(store_path),
            "PYTHONPATH": str(ROOT),
        }
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, code: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(code), *arguments],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def __call__(self, code: str, *arguments: str, timeout: float = 20.0) -> str:
        """Runs one to its end, which must be a good one; what it printed."""
        process = self.start(code, *arguments)
        output, errors = process.communicate(timeout=timeout)
        assert process.returncode == 0, output + errors
        return output

    def end(self) -> None:
        end_all(self._processes)


def end_all(processes: Iterable[subprocess.Popen[str]]) -> None:
    """Ends what still runs, and waits for it."""
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def program(aries: AriesSandbox, store_path: Path) -> Iterator[Program]:
    programs = Program(aries, store_path)
    yield programs
    programs.end()
