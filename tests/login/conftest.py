"""What the tests of the login share: a sandbox whose redirect URI is free, and a search for secrets in tracebacks."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from _pytest._io.saferepr import saferepr

from aries_auth import AuthorizationCodeFlow
from aries_auth.testing import AriesSandbox

TESTS = str(Path(__file__).parent)
SCOPE = "user:information market:information"


def free_port(host: str = "127.0.0.1") -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("ARIES_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def aries() -> Iterator[AriesSandbox]:
    uris = [f"http://127.0.0.1:{free_port()}/callback", "https://app.example/aries/callback"]
    with AriesSandbox(redirect_uris=uris) as sandbox:
        yield sandbox


@pytest.fixture
def make_flow(aries: AriesSandbox) -> Callable[..., AuthorizationCodeFlow]:
    def make(**changes: Any) -> AuthorizationCodeFlow:
        given: dict[str, Any] = {
            "client_id": aries.client_id,
            "client_secret": aries.client_secret,
            "redirect_uri": aries.redirect_uri,
            "scope": SCOPE,
            "authorize_url": aries.authorize_url,
            "token_url": aries.token_url,
        }
        return AuthorizationCodeFlow(**{**given, **changes})

    return make


@pytest.fixture
def flow(make_flow: Callable[..., AuthorizationCodeFlow]) -> AuthorizationCodeFlow:
    return make_flow()


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "token.json"


class CtrlC:
    """Presses Ctrl-C in the main thread a moment after `first` has returned, unless it is over by then."""

    def __init__(self, first: Callable[[], object] = lambda: None) -> None:
        self._first = first
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._press)
        self.pressed_at = 0.0

    def _press(self) -> None:
        with suppress(TimeoutError):
            self._first()
        if not self._over.wait(0.2):
            self.pressed_at = time.monotonic()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def __enter__(self) -> CtrlC:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def seconds_ago(self) -> float:
        assert self.pressed_at
        return time.monotonic() - self.pressed_at


HAS_MODES = pytest.mark.posix("files have no permission bits there")
needs_signals = pytest.mark.skipif(os.name != "posix", reason="sends a signal to a thread")


def assert_hidden(error: BaseException, *secrets: str) -> None:
    """No secret in an error, its causes, or any local variable of any frame but the tests' own."""
    assert all(len(secret) > 8 for secret in secrets)
    shown = "\n".join(_shown(error, set()))
    for secret in secrets:
        assert secret not in shown, shown


def _shown(error: BaseException | None, seen: set[int]) -> Iterator[str]:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield f"{error!s} {error!r} {error.args!r} {error.__dict__!r}"
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if not frame.f_code.co_filename.startswith(TESTS):
            for name, value in list(frame.f_locals.items()):
                yield f"{frame.f_code.co_filename}:{trace.tb_lineno} {name} = {saferepr(value, maxsize=None)}"
        trace = trace.tb_next
    yield from _shown(error.__cause__, seen)
    yield from _shown(error.__context__, seen)
