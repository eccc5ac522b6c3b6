"""Random histories of three processes that share a store, against a model of the server, on a virtual clock.

The code is the real `TokenSource` over the real `FileTokenStore`; only the network is a function call and time is a
number.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any
from unittest import mock

import hypothesis.strategies as st
import pytest
import requests
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPResponse

from aries_auth import AriesAuthError, FileTokenStore, LoginRequired, Token, TokenRequestError
from aries_auth.refresh.grant import Grant
from aries_auth.refresh.source import TokenSource
from aries_auth.settings.credentials import ClientCredentials, SecretSource
from aries_auth.singleflight.flight import FlightThread, drive
from aries_auth.token import Secret
from aries_auth.token_endpoint.sender import HTTPX

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

LIFE = 3600.0
REDIRECT_URI = "https://app.example/callback"


class Server(BaseAdapter):
    """Rotates refresh tokens, revokes a grant whose refresh token comes twice, and fails as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)
        self.grant = 0
        self.newest = 0
        self.revoked: set[int] = set()
        self.requests: list[int] = []
        self.reused = 0
        self.fault = ""
        self.lost = False

    def log_in(self, now: float) -> Token:
        self.grant += 1
        self.newest = next(self.numbers)
        self.lost = False
        return self.token(now)

    def token(self, now: float) -> Token:
        return Token(
            f"access-{self.grant}-{self.newest}",
            f"refresh-{self.grant}-{self.newest}",
            obtained_at=now,
            expires_at=now + LIFE,
            client_id="client",
            redirect_uri=REDIRECT_URI,
        )

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        fault, self.fault = self.fault, ""
        if fault == "not connected":
            raise requests.ConnectTimeout
        if fault == "later":
            return self.answer(request, 503, {"error": "x"}, {"Retry-After": "100"})
        if fault == "no JSON":
            return self.answer(request, 200, "<html>")
        _, grant, number = json.loads(request.body or b"{}")["refresh_token"].split("-")
        self.requests.append(int(number))
        if int(grant) != self.grant or int(number) != self.newest:
            self.reused += int(grant) == self.grant
            return self.answer(request, 400, {"error": "invalid_grant"})
        self.newest = next(self.numbers)
        if fault == "dropped after the commit":
            self.lost = True
            raise requests.ReadTimeout
        name = f"{self.grant}-{self.newest}"
        answer = {"access_token": f"access-{name}", "refresh_token": f"refresh-{name}", "expires_in": LIFE}
        return self.answer(request, 200, answer)

    def answer(self, request: Any, status: int, body: object, headers: Any = None) -> requests.Response:
        raw = HTTPResponse(io.BytesIO(json.dumps(body).encode()), headers, status, preload_content=False)
        return HTTPAdapter().build_response(request, raw)

    def close(self) -> None:
        pass

    def accepts(self, token: Token, now: float) -> bool:
        _, grant, number = token.access_token.split("-")
        assert token.expires_at is not None
        return int(grant) == self.grant and int(number) not in self.revoked and now < token.expires_at


class History(RuleBasedStateMachine):
    """One grant, three processes, and everything that can happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.0
        self.folder = Path(tempfile.mkdtemp())
        self.store = FileTokenStore(self.folder / "t.json")
        self.server = Server()
        self.seen = 0
        modules = ("refresh.source", "refresh.refresher", "refresh.sending", "refresh.pending_save", "store.waiting")
        self._patches = [mock.patch(f"aries_auth.{module}.monotonic", self.monotonic) for module in modules]
        for patch in self._patches:
            patch.start()
        self.processes = [self.process() for _ in range(3)]
        self.store.save(self.server.log_in(self.now))

    def monotonic(self) -> float:
        return self.now

    def process(self) -> TokenSource:
        session = requests.Session()
        session.mount("https://", self.server)
        return TokenSource(
            Grant(
                given_store=self.store,
                profile=None,
                credentials=ClientCredentials("client", SecretSource("secret"), REDIRECT_URI),
                token_url="https://token.example/v1/oauth2/token",
                refresh_margin=300.0,
                timeout=30.0,
                token_client=session,
            )
        )

    def teardown(self) -> None:
        for patch in self._patches:
            patch.stop()
        shutil.rmtree(self.folder)

    def quiet(self) -> None:
        """Wait for what goes on in the background; the clock stands still meanwhile."""
        for thread in threading.enumerate():
            if isinstance(thread, FlightThread):
                thread.join(20)
                assert not thread.is_alive()

    who = st.integers(0, 2)

    @rule(who=who)
    def call(self, who: int) -> None:
        source = self.processes[who]
        memory, stored = source.token, self.store.load()
        requests_before = len(self.server.requests)
        try:
            token = drive(source.get(self.now, HTTPX)).cached.token
        except AriesAuthError as exc:
            self.quiet()
            self.may_fail(exc, memory, stored)
            return
        self.quiet()
        assert len(self.server.requests) - requests_before <= 1, "more than one request for one call"
        if not self.server.accepts(token, self.now):
            self.refused(source, token)

    def may_fail(self, exc: AriesAuthError, memory: Token | None, stored: Token | None) -> None:
        for token in (memory, stored):
            assert token is None or token.expires_at is None or token.expires_at <= self.now, f"{exc!r} while it lives"
        assert isinstance(exc, (LoginRequired, TokenRequestError)), repr(exc)

    def refused(self, source: TokenSource, token: Token) -> None:
        """The 401 path of a call."""
        before = len(self.server.requests)
        try:
            newest = drive(source.after_401(Secret(token.access_token), self.now, HTTPX)).token
        except (LoginRequired, TokenRequestError):
            self.quiet()
            return
        self.quiet()
        assert len(self.server.requests) - before <= 1
        if newest.access_token == token.access_token:
            assert token.obtained_at is not None
            assert 0 <= self.now - token.obtained_at <= 30, "a 401 was handed back although the token is not young"

    @rule(who=who)
    def refresh(self, who: int) -> None:
        with contextlib.suppress(LoginRequired, TokenRequestError):
            drive(self.processes[who].refresh(self.now, HTTPX))
        self.quiet()

    @rule(seconds=st.sampled_from([0.5, 31.0, 200.0, 1500.0, 3290.0, 3300.0, 3595.0, 3601.0, 90_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(who=who)
    def a_process_crashes(self, who: int) -> None:
        self.processes[who] = self.process()

    @rule(fault=st.sampled_from(["not connected", "later", "no JSON", "dropped after the commit"]))
    def the_endpoint_fails(self, fault: str) -> None:
        self.server.fault = fault

    @rule()
    def access_tokens_are_revoked(self) -> None:
        self.server.revoked |= set(range(self.server.newest + 1))

    @rule()
    def somebody_logs_out(self) -> None:
        self.store.delete()
        self.seen = 0

    @rule()
    def somebody_logs_in(self) -> None:
        self.store.save(self.server.log_in(self.now))

    @precondition(lambda self: not self.server.lost)
    @invariant()
    def no_used_refresh_token_is_sent_again(self) -> None:
        assert self.server.reused == 0

    @precondition(lambda self: self.server.lost)
    @invariant()
    def after_a_lost_answer_only_the_lost_token_comes_again(self) -> None:
        self.server.reused = 0

    @invariant()
    def the_store_never_goes_backwards(self) -> None:
        stored = self.store.load()
        if stored is not None:
            number = int(stored.access_token.rpartition("-")[2])
            assert number >= self.seen
            self.seen = number


History.TestCase.settings = settings(
    max_examples=min(settings.default.max_examples * 3 // 5, 300),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestHistory = History.TestCase
