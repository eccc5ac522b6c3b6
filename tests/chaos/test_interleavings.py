"""Every interleaving of two processes that refresh one expired token, with a crash at every step of either.

The code under test is the real `TokenSource` with all that is below it but the disk and the network, which are a
store and a server that stop at each of their steps.
"""

from __future__ import annotations

import io
import json
from contextlib import contextmanager
from functools import partial
from typing import Any, Hashable, Iterator

import pytest
import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPResponse

from aries_auth import LockTimeout, LoginRequired, Token
from aries_auth.refresh.grant import Grant
from aries_auth.refresh.memory import Memory
from aries_auth.refresh.pending_save import PendingSave
from aries_auth.refresh.refresher import Reason, Refresher, RefreshRequest
from aries_auth.settings.credentials import ClientCredentials, SecretSource
from aries_auth.singleflight.clock import monotonic
from aries_auth.singleflight.flight import Flight
from aries_auth.token_endpoint.sender import HTTPX

from .scheduler import Crash, Process, World, explore

NOW = 1_000_000.0
LIFE = 3600.0
URL = "https://token.example/v1/oauth2/token"

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


def token(number: int, obtained_at: float) -> Token:
    return Token(
        f"access-{number}",
        f"refresh-{number}",
        obtained_at=obtained_at,
        expires_at=obtained_at + LIFE,
        client_id="client",
        redirect_uri="https://app.example/callback",
    )


class SteppedServer:
    """Rotates; a refresh token sent twice revokes the grant."""

    def __init__(self, newest: int) -> None:
        self.newest = newest
        self.requests: list[int] = []
        self.reused = 0

    def commit(self, sent: int) -> tuple[int, dict[str, Any]]:
        self.requests.append(sent)
        if sent != self.newest:
            self.reused += 1
            return 400, {"error": "invalid_grant"}
        self.newest += 1
        return 200, {
            "access_token": f"access-{self.newest}",
            "refresh_token": f"refresh-{self.newest}",
            "expires_in": LIFE,
        }


class SteppedAdapter(BaseAdapter):
    """The network between one process and the server."""

    def __init__(self, server: SteppedServer, process: Process) -> None:
        super().__init__()
        self._server = server
        self._process = process

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        sent = int(json.loads(request.body or b"{}")["refresh_token"].rpartition("-")[2])
        try:
            self._process.step("send")
            self._process.step("the server's commit")
            status, answer = self._server.commit(sent)
            self._process.step("answer")
        except Crash:
            # The process is gone; its thread must not go on, and there is nobody to tell.
            raise requests.ConnectionError from None
        raw = HTTPResponse(io.BytesIO(json.dumps(answer).encode()), status=status, preload_content=False)
        return HTTPAdapter().build_response(request, raw)

    def close(self) -> None:
        pass


class SteppedStore:
    """One grant on a disk that both processes share: the lock, and what is visible after each step."""

    path = "the store"
    lock_timeout = 45.0

    def __init__(self, shared: SharedDisk, process: Process) -> None:
        self._shared = shared
        self._process = process

    def load(self) -> Token | None:
        self._process.step("look")
        return self._shared.visible

    def save(self, token: Token) -> None:
        raise NotImplementedError

    def delete(self) -> None:
        raise NotImplementedError

    @contextmanager
    def locked(self, timeout: float | None = None) -> Iterator[SteppedEntry]:
        if timeout == 0:
            self._process.step("try the lock")
            if self._shared.owner is not None:
                raise LockTimeout("held by the other process")
        else:
            self._process.step("lock", enabled=lambda: self._shared.owner is None)
        self._shared.owner = self._process.name
        try:
            yield SteppedEntry(self._shared, self._process)
            self._process.step("release")
        finally:
            self._shared.owner = None


class SteppedEntry:
    def __init__(self, shared: SharedDisk, process: Process) -> None:
        self._shared = shared
        self._process = process

    def load(self) -> Token | None:
        self._process.step("look again")
        return self._shared.visible

    def reserve(self) -> None:
        self._process.step("reserve")

    def save(self, token: Token) -> None:
        for label in ("write", "fsync"):
            self._process.step(label)
        self._process.step("replace")
        self._shared.history.append(token)
        self._process.step("fsync the folder")

    def delete(self) -> None:
        raise NotImplementedError


class SharedDisk:
    def __init__(self, stored: Token) -> None:
        self.history = [stored]
        self.owner: str | None = None

    @property
    def visible(self) -> Token:
        return self.history[-1]


class TwoRefreshers(World):
    """Two processes find the same token wanting; what survives must end with the next one."""

    def __init__(self, reasons: tuple[Reason, Reason], left: float) -> None:
        self.reasons = dict(zip(("A", "B"), reasons))
        old = token(1, NOW - LIFE + left)
        self.disk = SharedDisk(old)
        self.server = SteppedServer(newest=1)
        self.processes = [Process(name, partial(self.refresher, old)) for name in ("A", "B")]

    def refresher(self, old: Token, process: Process) -> Token:
        return self.refreshed(process, old).token

    def refreshed(self, process: Process, known: Token | None) -> Any:
        session = requests.Session()
        session.mount("https://", SteppedAdapter(self.server, process))
        grant = Grant(
            given_store=SteppedStore(self.disk, process),
            profile=None,
            credentials=ClientCredentials("client", SecretSource("secret"), "https://app.example/callback"),
            token_url=URL,
            refresh_margin=300.0,
            token_client=session,
            timeout=30.0,
        )
        memory = Memory(grant.refresh_margin)
        refresher = Refresher(grant, memory, PendingSave(grant, memory))
        flight: Flight[Any] = Flight(
            partial(refresher.work, RefreshRequest(self.reasons[process.name], NOW, known, HTTPX, monotonic()))
        )
        flight.run_here()
        return flight.result()

    def state(self) -> Hashable:
        return (
            tuple((p.label, p.trail, p.crashed, p.done) for p in self.processes),
            tuple(t.access_token for t in self.disk.history),
            self.disk.owner,
            self.server.newest,
            tuple(self.server.requests),
        )

    @property
    def in_the_window(self) -> bool:
        """Whether a crash fell between the server's commit and the replace: the documented loss."""
        return any(p.crashed and "the server's commit" in p.trail and "replace" not in p.trail for p in self.processes)

    def finish(self) -> None:
        assert self.disk.owner is None, "a lock was left behind"
        numbers = [int(t.access_token.rpartition("-")[2]) for t in self.disk.history]
        assert numbers == sorted(numbers), f"the store went backwards: {numbers}"
        survivors = [p for p in self.processes if not p.crashed]
        if self.in_the_window:
            errors = [p.error for p in survivors]
            assert all(isinstance(error, (LoginRequired, LockTimeout)) for error in errors), errors
            return
        assert self.server.reused == 0, "a used refresh token was sent again"
        assert len(self.server.requests) <= 1, f"{len(self.server.requests)} token requests for one life"
        for process in survivors:
            if isinstance(process.error, LockTimeout) and self.reasons[process.name] is Reason.AHEAD:
                continue  # leaves it to the other one, and looks again shortly
            assert process.error is None, f"{process.name} failed: {process.error!r}"
            assert process.result.access_token == "access-2"
        if len(survivors) == 2 or any("replace" in p.trail for p in self.processes):
            assert self.disk.visible.access_token == "access-2"


@pytest.mark.parametrize("crashes", [0, 1, pytest.param(2, marks=pytest.mark.ci)])
@pytest.mark.parametrize(
    "reasons, left",
    [
        ((Reason.NEEDED, Reason.NEEDED), -1.0),
        ((Reason.REFUSED, Reason.REFUSED), 1800.0),
        ((Reason.AHEAD, Reason.AHEAD), 100.0),
        ((Reason.AHEAD, Reason.NEEDED), 5.0),
        ((Reason.AHEAD, Reason.REFUSED), 100.0),
        ((Reason.FORCED, Reason.NEEDED), -1.0),
    ],
)
def test_every_interleaving_of_two_refreshers_makes_one_request_and_loses_nothing(
    reasons: tuple[Reason, Reason], left: float, crashes: int
) -> None:
    explored = explore(lambda: TwoRefreshers(reasons, left), crashes=crashes)
    print(f"{reasons[0].name} and {reasons[1].name}, up to {crashes} crashes: {explored}")
    assert explored.states > 20
