"""What the demo shows: each step works on real sockets, is checked by the sandbox's counts, and returns its line."""

from __future__ import annotations

import asyncio
import copy
import io
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Generator, Iterator

import httpx
import requests

from aries_auth.auth import AriesAuth
from aries_auth.authorization import login
from aries_auth.cli.console import say
from aries_auth.errors import AriesAuthError
from aries_auth.store import FileTokenStore
from aries_auth.testing import AriesSandbox, fingerprint

if TYPE_CHECKING:
    from aries_auth.token import Token

_LONGEST = 30.0  # a slow first start: PyPy, or a virus scan
_PATIENCE = 8.0
_ANSWER_DELAY = 1.0
# The margin is a quarter of the lifetime, less up to a tenth of that: it is reached in 0.5 to 1.5 s.
_TOKEN_LIFETIME = 40.0
_TOKEN_AGE = 29.5
_SCOPE = "user:information account:information market:information order:execution"

_SECOND_PROCESS = """
import sys
sys.path += sys.argv[2:]
import requests
from aries_auth import AriesAuth
answer = requests.get(sys.argv[1] + "/v1/users/me", auth=AriesAuth(), timeout=10)
print(answer.status_code)
"""


class Untrue(Exception):
    """A step did not do what its line says."""


def steps() -> Iterator[str]:
    """The steps' lines, each once its step is done and checked.

    Raises:
        Untrue: one did not hold, with the reason.
    """
    with _own_environment(), tempfile.TemporaryDirectory(prefix="aries-auth-demo-") as folder:
        redirect_uri = f"http://127.0.0.1:{_free_port()}/callback"
        with AriesSandbox(redirect_uris=[redirect_uri]) as aries:
            yield f"A local Aries listens at {aries.url}; nothing below leaves this computer"
            story = _Story(aries, Path(folder))
            for step in (story.log_in, story.call, story.reach_margin, story.revoke, story.share):
                yield _done(step)


def _done(step: Callable[[], str]) -> str:
    """Do a step. If it takes long, say what is waited for: what its docstring says."""
    doing = (step.__doc__ or "").splitlines()[0]
    patience = threading.Timer(_PATIENCE, say, (f"waiting for this step: {doing}",))
    patience.daemon = True
    patience.start()
    try:
        return step()
    except subprocess.TimeoutExpired as exc:
        raise Untrue(f"no end within {_LONGEST:g} s in all of this step: {doing}") from exc
    except (AriesAuthError, httpx.HTTPError, OSError, RuntimeError, subprocess.SubprocessError) as exc:
        raise Untrue(f"{type(exc).__name__}: {exc}") from exc
    finally:
        patience.cancel()


def _is_frozen() -> bool:
    """Whether PyInstaller or Nuitka made this program. Its `sys.executable` is the program itself, and no Python."""
    return bool(getattr(sys, "frozen", False)) or "__compiled__" in globals()


class _Story:
    """The steps, on one sandbox and one token file."""

    def __init__(self, aries: AriesSandbox, folder: Path) -> None:
        self._aries = aries
        self._folder = folder
        self._store = FileTokenStore(folder / "token.json")
        self._ends_at = time.monotonic() + _LONGEST
        self._auth = aries.auth(self._store)

    @property
    def _left(self) -> float:
        """Seconds that a wait may take."""
        return max(0.1, self._ends_at - time.monotonic())

    def _url(self, path: str) -> str:
        return f"{self._aries.api_url}{path}"

    def log_in(self) -> str:
        """The real login; a thread plays the person."""
        person = _Person(self._aries)
        aries = self._aries
        with redirect_stderr(person.screen):
            login(
                aries.client_id,
                aries.client_secret,
                aries.redirect_uri,
                scope=_SCOPE,
                authorize_url=aries.authorize_url,
                token_url=aries.token_url,
                store=self._store,
                open_browser=False,
                callback_timeout=self._left,
                on_wait=person.look,
            )
        status = person.ended_on(self._left)
        _check(status == 200, f"the browser ended on a page with status {status}")
        sent = [request.grant_type for request in aries.token_requests]
        _check(sent == ["authorization_code"], f"the token requests of the login were {sent}")
        _check(self._store.load() is not None, "no token was saved")
        return "Logged in: a link, a click on Approve, a callback to the listener, one token request, a token on disk"

    def call(self) -> str:
        """One call with each library."""
        before = len(self._aries.token_requests)
        statuses = {
            "requests": requests.get(self._url("/v1/users/me"), auth=self._auth, timeout=self._left).status_code,
            "httpx": self._call_httpx(),
            "async httpx": asyncio.run(self._call_async_httpx()),
        }
        _check(set(statuses.values()) == {200}, f"the calls were answered {statuses}")
        agents = [(request.user_agent or "").partition("/")[0] for request in self._aries.api_requests]
        _check(agents == ["python-requests", "python-httpx", "python-httpx"], f"the calls came from {agents}")
        _check(len(self._aries.token_requests) == before, "a call with a living token sent a token request")
        return f"Called the API with {', '.join(statuses)}: three times 200, and no token request"

    def _call_httpx(self) -> int:
        with httpx.Client(auth=self._auth, timeout=self._left) as client:
            return client.get(self._url("/v1/users/me/accounts")).status_code

    async def _call_async_httpx(self) -> int:
        async with httpx.AsyncClient(auth=self._auth, timeout=self._left) as client:
            return (await client.get(self._url("/v1/marketdata/search?query=aapl"))).status_code

    def reach_margin(self) -> str:
        """Calls go on while a token that reaches its margin is refreshed by an endpoint that takes its time."""
        aries = self._aries
        old = aries.issue_token(scope=_SCOPE, expires_in=_TOKEN_LIFETIME, age=_TOKEN_AGE)
        auth = self._restart(old)
        before = len(aries.token_requests)
        aries.fail("token", delay=_ANSWER_DELAY)
        took: list[float] = []
        with requests.Session() as session:
            session.auth = auth
            while auth.token in (None, old):
                _check(self._left > 0.1, "the token reached its margin and was not refreshed")
                began = time.monotonic()
                status = session.get(self._url("/v1/users/me"), timeout=self._left).status_code
                took.append(time.monotonic() - began)
                _check(status == 200, f"a call during the refresh was answered {status}")
                time.sleep(0.02)
            session.get(self._url("/v1/users/me"), timeout=self._left)
        sent = aries.token_requests[before:]
        _check(len(sent) == 1, f"{len(sent)} token requests were sent for one token")
        begun, ended = sent[0].at, sent[0].at + sent[0].duration
        during = [each for each in aries.api_requests if begun < each.at < ended]
        _check(bool(during), "no call was made during the refresh")
        slowest = max(took)
        _check(slowest < _ANSWER_DELAY, f"a call took {slowest:.2f} s: it waited for the refresh")
        _check(aries.api_requests[-1].fingerprint != fingerprint(old.access_token), "the old token was used on")
        return (
            f"A token reached its margin: one refresh of {ended - begun:.2f} s in the background, {len(during)} calls "
            f"meanwhile, the slowest of all {1000 * slowest:.0f} ms"
        )

    def revoke(self) -> str:
        """A 401 leads to one refresh, and the call is sent once more, body and all."""
        aries = self._aries
        auth = self._restart(aries.issue_token(scope=_SCOPE, age=600.0))
        requests.get(self._url("/v1/users/me"), auth=auth, timeout=self._left)
        calls, sent = len(aries.api_requests), len(aries.token_requests)
        aries.revoke_access_tokens()
        answer = requests.post(
            self._url("/v1/orders"), json={"symbol": "AAPL", "quantity": 1}, auth=auth, timeout=self._left
        )
        statuses = [request.status for request in aries.api_requests[calls:]]
        _check(statuses == [401, 200], f"the order's requests were answered {statuses}")
        _check(answer.status_code == 200 and len(answer.history) == 1, "the 401 is not in the answer's history")
        grants = [request.grant_type for request in aries.token_requests[sent:]]
        _check(grants == ["refresh_token"], f"the token requests after the 401 were {grants}")
        _check(len(aries.orders) == 1, f"the order was placed {len(aries.orders)} times")
        return "The token was revoked: an order was answered 401, one refresh, the order sent again: 200, placed once"

    def share(self) -> str:
        """Another process uses the same token file."""
        if _is_frozen():
            return "No second process is shown: this program is frozen, and has no Python to start one with"
        aries = self._aries
        calls, sent = len(aries.api_requests), len(aries.token_requests)
        # A checkout and a pex have their modules where another process would not look.
        places = [str(Path(__file__).resolve().parents[2]), *filter(os.path.isabs, sys.path)]
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-c", _SECOND_PROCESS, aries.api_url, *places],
            env={**os.environ, **aries.environ, "ARIES_TOKEN_FILE": str(self._folder / "token.json")},
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self._left,
            check=False,
        )
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        _check(done.stdout.strip() == "200", f"the second process ended with {done.returncode} and said: {last}")
        made = aries.api_requests[calls:]
        newest = self._store.load()
        _check(
            newest is not None and [each.fingerprint for each in made] == [fingerprint(newest.access_token)],
            "the second process did not call with the token of the file",
        )
        _check(len(aries.token_requests) == sent, "the second process sent a token request of its own")
        _check(aries.reused_refresh_tokens == 0, "a spent refresh token was sent again")
        return "A second process used the same token file: 200, and no token request of its own"

    def _restart(self, token: Token) -> AriesAuth:
        """What a program that starts now has: the token in the file, and nothing in memory."""
        self._store.save(token)
        return copy.copy(self._auth)  # configuration is copied, tokens are not


class _Person:
    """Reads the link on the screen, opens it, and presses Approve."""

    def __init__(self, aries: AriesSandbox) -> None:
        self.screen = io.StringIO()
        self._aries = aries
        self._status: int | None = None
        self._thread: threading.Thread | None = None

    def look(self, _seconds_left: float) -> None:
        """Called while the login waits."""
        link = re.search(rf"{re.escape(self._aries.authorize_url)}\S+", self.screen.getvalue())
        if link is not None and self._thread is None:
            self._thread = threading.Thread(target=self._approve, args=(link.group(),), daemon=True)
            self._thread.start()

    def _approve(self, link: str) -> None:
        self._status = self._aries.browser(link).status

    def ended_on(self, timeout: float) -> int | None:
        """The status of the page that the browser ended on; None if it came to none."""
        if self._thread is not None:
            self._thread.join(timeout)
        return self._status


def _check(held: bool, otherwise: str) -> None:
    if not held:
        raise Untrue(otherwise)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _own_environment() -> Generator[None, None, None]:
    """An environment without ARIES_ variables, and with no proxy between us and the sandbox."""
    before = dict(os.environ)
    for name in before:
        if name.upper().startswith("ARIES_"):
            del os.environ[name]
    os.environ.update({"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
