"""docs/architecture.md, "Processes that end without notice": a refresh ahead that must not outlive its call."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any, Callable

import httpx
import pytest
import requests
import trio

from aries_auth import AriesAuth, ConfigurationError, FileTokenStore, Token
from aries_auth.refresh import process
from aries_auth.testing import AriesSandbox
from tests.auth.conftest import Caller, caller
from tests.conftest import IN_MARGIN, Background, in_threads, wait_until

MakeAuth = Callable[..., AriesAuth]
Stored = Callable[..., Token]

SLOW = 0.6
AT_ONCE = 10.0  # on the busiest machine; a token request that hangs is given up after 30 s


@pytest.fixture
def due(stored: Stored, aries: AriesSandbox) -> Token:
    """A token inside its margin, whose refresh takes a while."""
    token = stored(age=IN_MARGIN)
    aries.fail(delay=SLOW)
    return token


def seconds(act: Callable[[], Any]) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def test_the_call_that_started_it_hands_its_answer_over_once_the_token_is_saved(
    call: Caller, make_auth: MakeAuth, due: Token, store: FileTokenStore, url: str, aries: AriesSandbox
) -> None:
    answer = call(make_auth(background=False), url)
    assert answer.status == 200
    assert store.load() != due, "saved before the answer was handed over"
    assert aries.api_requests[-1].at < aries.token_requests[-1].at + SLOW, "the call went out beside the refresh"


def test_it_costs_what_the_refresh_takes_longer_than_the_call(
    make_auth: MakeAuth, due: Token, url: str, aries: AriesSandbox
) -> None:
    auth = make_auth(background=False)
    aries.fail("api", delay=SLOW + 0.3)
    took = seconds(lambda: caller("requests")(auth, url))
    assert took < SLOW + 0.3 + 0.35


def test_one_caller_waits_and_no_other(make_auth: MakeAuth, due: Token, url: str) -> None:
    auth = make_auth(background=False)
    took = sorted(in_threads(8, lambda: seconds(lambda: caller("requests")(auth, url))))
    assert took[-1] >= SLOW * 0.8
    assert took[-2] < SLOW * 0.8


@pytest.mark.parametrize("in_loop", [False, True], ids=["get_token", "get_token_async"])
def test_get_token_waits_likewise_and_hands_out_the_new_one(
    make_auth: MakeAuth, due: Token, store: FileTokenStore, in_loop: bool
) -> None:
    auth = make_auth(background=False)
    got = asyncio.run(auth.get_token_async()) if in_loop else auth.get_token()
    saved = store.load()
    assert saved is not None
    assert got == saved.access_token != due.access_token


@pytest.mark.parametrize("background", [True, None])
def test_in_a_process_that_ends_in_order_no_call_waits(
    call: Caller,
    make_auth: MakeAuth,
    stored: Stored,
    store: FileTokenStore,
    url: str,
    aries: AriesSandbox,
    background: bool | None,
) -> None:
    old = stored(age=IN_MARGIN)
    aries.fail(hang=True)
    auth = make_auth(background=background)
    assert seconds(lambda: call(auth, url)) < AT_ONCE
    assert not auth.wait(0), "the refresh is under way"
    aries.heal()
    assert auth.wait(10)
    assert store.load() != old
    assert len(aries.token_requests) == 1


def test_it_waits_no_longer_than_the_timeout(
    make_auth: MakeAuth, stored: Stored, url: str, aries: AriesSandbox
) -> None:
    stored(age=IN_MARGIN)
    aries.fail(delay=3.0)
    auth = make_auth(background=False, timeout=0.3)
    assert seconds(lambda: caller("httpx")(auth, url)) < 1.5
    assert auth.wait(10)


class TestInLastCall:
    """The token dies in a moment, and the refresh takes longer: the call goes out with it, and still ends after it."""

    LEFT = 1.5  # seconds; a call that waits for the next token gives up 0.25 s before that

    @pytest.fixture
    def dying(self, aries: AriesSandbox, store: FileTokenStore) -> Token:
        """A token that Aries would take for a minute more: a busy machine sends it late."""
        token = aries.issue_token(age=3600.0 - 60.0)
        token = dataclasses.replace(token, expires_at=time.time() + self.LEFT)
        store.save(token)
        return token

    @pytest.fixture(params=("requests", "httpx", "asyncio"))
    def call(self, request: pytest.FixtureRequest) -> Caller:
        return caller(request.param)

    def test_the_call_hands_its_answer_over_once_the_token_is_saved(
        self, call: Caller, make_auth: MakeAuth, dying: Token, store: FileTokenStore, url: str, aries: AriesSandbox
    ) -> None:
        aries.fail(hang=True)
        calling = Background(lambda: call(make_auth(background=False), url))
        wait_until(lambda: aries.api_requests, complaint="it did not go out with the old token")
        aries.heal()
        assert calling.outcome().status == 200
        assert store.load() != dying, "saved before the answer was handed over"

    def test_one_caller_waits_and_the_others_go_out_while_the_token_lives(
        self, make_auth: MakeAuth, dying: Token, url: str, aries: AriesSandbox
    ) -> None:
        aries.fail(hang=True)
        auth = make_auth(background=False)
        calls = [Background(lambda: caller("requests")(auth, url)) for _ in range(6)]
        wait_until(lambda: sum(each.done for each in calls) == 5)
        time.sleep(0.3)
        assert sum(each.done for each in calls) == 5
        aries.heal()
        assert [each.outcome().status for each in calls] == [200] * 6

    def test_a_failed_attempt_is_over_and_no_back_off_is_waited_for(
        self, call: Caller, make_auth: MakeAuth, dying: Token, url: str, aries: AriesSandbox
    ) -> None:
        aries.fail(status=503, times=None)
        auth = make_auth(background=False)
        assert call(auth, url).status == 200
        assert auth.wait(0)
        assert len(aries.token_requests) == 1

    def test_it_waits_no_longer_than_the_timeout_before_the_call_and_after_it_together(
        self, call: Caller, make_auth: MakeAuth, dying: Token, url: str, aries: AriesSandbox
    ) -> None:
        aries.fail(hang=True)
        auth = make_auth(background=False, timeout=1.0)
        assert seconds(lambda: call(auth, url)) < 1.9
        assert not auth.wait(0), "the refresh is under way"
        aries.heal()
        assert auth.wait(10)

    def test_nor_does_get_token(self, make_auth: MakeAuth, dying: Token, aries: AriesSandbox) -> None:
        aries.fail(hang=True)
        auth = make_auth(background=False, timeout=1.0)
        assert seconds(auth.get_token) < 1.9
        aries.heal()
        assert auth.wait(10)

    def test_in_a_process_that_ends_in_order_the_call_ends_before_the_refresh(
        self, call: Caller, make_auth: MakeAuth, dying: Token, store: FileTokenStore, url: str, aries: AriesSandbox
    ) -> None:
        aries.fail(hang=True)
        auth = make_auth(background=True)
        assert seconds(lambda: call(auth, url)) < AT_ONCE
        assert store.load() == dying
        aries.heal()
        assert auth.wait(10)


def test_a_failed_attempt_is_over_and_the_next_call_starts_none_before_its_time(
    call: Caller, make_auth: MakeAuth, stored: Stored, url: str, aries: AriesSandbox
) -> None:
    stored(age=IN_MARGIN)
    aries.fail(status=503, times=None)
    auth = make_auth(background=False)
    assert call(auth, url).status == 200
    assert auth.wait(0), "no back-off is under way"
    assert len(aries.token_requests) == 1
    assert call(auth, url).status == 200
    assert len(aries.token_requests) == 1


def test_an_exception_that_passes_through_waits_too(make_auth: MakeAuth, due: Token, store: FileTokenStore) -> None:
    auth = make_auth(background=False, api_origins=["http://127.0.0.1:9"])
    with pytest.raises(httpx.ConnectError):
        httpx.get("http://127.0.0.1:9/", auth=auth, trust_env=False)
    assert store.load() != due


def test_an_exception_that_passes_through_a_task_waits_too(
    make_auth: MakeAuth, due: Token, store: FileTokenStore
) -> None:
    auth = make_auth(background=False, api_origins=["http://127.0.0.1:9"])
    with pytest.raises(httpx.ConnectError):
        caller("asyncio")(auth, "http://127.0.0.1:9/")
    assert store.load() != due


def test_a_connection_error_under_requests_leaves_the_refresh_to_go_on(
    make_auth: MakeAuth, due: Token, store: FileTokenStore
) -> None:
    auth = make_auth(background=False, api_origins=["http://127.0.0.1:9"])
    with pytest.raises(requests.ConnectionError):
        caller("requests")(auth, "http://127.0.0.1:9/")
    assert auth.wait(10)
    assert store.load() != due


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_a_cancelled_task_does_not_wait_and_leaves_the_refresh_to_go_on(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, url: str, aries: AriesSandbox, library: str
) -> None:
    old = stored(age=IN_MARGIN)
    auth = make_auth(background=False)
    aries.fail(hang=True)
    aries.fail("api", hang=True)

    def both_are_under_way() -> None:
        aries.wait_for_requests(route="token")
        aries.wait_for_requests(route="api")

    async def call_it() -> None:
        async with httpx.AsyncClient(auth=auth, verify=False, timeout=20) as client:
            await client.get(url)

    async def in_asyncio() -> None:
        task = asyncio.ensure_future(call_it())
        await asyncio.get_running_loop().run_in_executor(None, both_are_under_way)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def in_trio() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call_it)
            await trio.to_thread.run_sync(both_are_under_way)
            nursery.cancel_scope.cancel()

    assert seconds(lambda: trio.run(in_trio) if library == "trio" else asyncio.run(in_asyncio())) < AT_ONCE
    assert not auth.wait(0), "the refresh is under way"
    aries.heal()
    assert auth.wait(10)
    assert store.load() != old
    assert len(aries.token_requests) == 1


@pytest.mark.parametrize("value", ["yes", 1, 0, 1.0, [], object()])
def test_anything_else_is_a_configuration_error(make_auth: MakeAuth, value: Any) -> None:
    with pytest.raises(ConfigurationError, match="background must be True, False or None"):
        make_auth(background=value)


# wait


def test_wait_is_true_before_the_first_use(make_auth: MakeAuth) -> None:
    assert make_auth().wait() is True
    assert asyncio.run(make_auth().wait_async()) is True


def test_wait_0_returns_at_once(make_auth: MakeAuth, due: Token) -> None:
    auth = make_auth(background=True)
    auth.get_token()
    begun = time.monotonic()
    assert auth.wait(0) is False
    assert time.monotonic() - begun < 0.2
    assert auth.wait(10) is True


@pytest.mark.parametrize("library", ["thread", "asyncio", "trio"])
def test_wait_ends_when_the_refresh_has(
    make_auth: MakeAuth, due: Token, store: FileTokenStore, aries: AriesSandbox, library: str
) -> None:
    auth = make_auth(background=True)
    auth.get_token()
    if library == "trio":
        assert trio.run(auth.wait_async, 10)
    elif library == "asyncio":
        assert asyncio.run(auth.wait_async(10))
    else:
        assert auth.wait()
    assert store.load() != due
    assert aries.refresh_count == 1, "wait starts none"


def test_wait_in_the_thread_of_a_running_loop_does_not_deadlock(make_auth: MakeAuth, due: Token) -> None:
    auth = make_auth(background=True)

    async def main() -> bool:
        await auth.get_token_async()
        return auth.wait(10)

    assert asyncio.run(main())


def test_wait_saves_what_is_still_to_be_saved(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = stored(age=3660)
    auth = make_auth()
    replace = process.os.replace
    broken = True

    def replacing(*paths: Any) -> None:
        if broken:
            raise OSError(28, "No space left on device")
        replace(*paths)

    monkeypatch.setattr("os.replace", replacing)
    auth.get_token()
    assert auth.wait(0) is False
    waiting = Background(lambda: auth.wait(10))
    broken = False
    assert waiting.outcome() is True
    assert store.load() not in (None, old)


@pytest.mark.parametrize("timeout", ["soon", -1, float("nan")])
def test_wait_refuses_what_is_no_number_of_seconds(make_auth: MakeAuth, due: Token, timeout: Any) -> None:
    auth = make_auth()
    auth.get_token()
    with pytest.raises(ConfigurationError):
        auth.wait(timeout)
    assert auth.wait(10)  # nothing of this goes on in the next test


# Which processes


@pytest.mark.parametrize(
    "name", ["AWS_LAMBDA_FUNCTION_NAME", "FUNCTION_TARGET", "K_SERVICE", "FUNCTIONS_WORKER_RUNTIME"]
)
def test_a_runtime_that_freezes_its_processes_is_known_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert not process.may_end_without_notice()
    monkeypatch.setenv(name, "x")
    assert process.may_end_without_notice()


def test_a_flight_runs_in_the_context_of_its_caller(make_auth: MakeAuth, stored: Stored, aries: AriesSandbox) -> None:
    import contextvars

    secret: contextvars.ContextVar[str] = contextvars.ContextVar("secret")
    stored(age=IN_MARGIN)
    auth = make_auth(client_secret=secret.get)
    secret.set(aries.client_secret)
    auth.get_token()
    assert auth.wait(10)
    wait_until(lambda: aries.refresh_count == 1)
