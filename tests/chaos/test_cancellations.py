"""Tasks cancelled, scopes cancelled, time-outs expired and exceptions thrown in at every await of a call."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import types
from typing import Any, Callable, Coroutine, Generator

import httpx
import pytest
import trio

from aries_auth import AriesAuth

from .conftest import EXPIRED, FRESH, IN_MARGIN, Bench, wait_landed

pytestmark = [pytest.mark.noisy, pytest.mark.chaos, pytest.mark.timeout(600)]

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class AtAwait:
    """Runs a coroutine step by step, and does something as it suspends itself for the nth time."""

    def __init__(self, number: int, action: Callable[[], object]) -> None:
        self._number = number
        self._action = action
        self.count = 0

    @property
    def happened(self) -> bool:
        return self.count >= self._number

    @types.coroutine
    def drive(self, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        resume: Callable[[], Any] = lambda: coroutine.send(None)  # noqa: E731
        while True:
            try:
                suspended = resume()
                self.count += 1
                if self.count == self._number:
                    try:
                        self._action()
                    except BaseException as exc:
                        coroutine.throw(exc)
                value = yield suspended
            except StopIteration as stop:
                return stop.value
            except BaseException as exc:
                if coroutine.cr_frame is None:
                    raise
                resume = lambda exc=exc: coroutine.throw(exc)  # type: ignore[misc] # noqa: E731
            else:
                resume = lambda value=value: coroutine.send(value)  # type: ignore[misc] # noqa: E731


async def _get_token(auth: AriesAuth, _url: str) -> None:
    await auth.get_token_async()


async def _get(auth: AriesAuth, url: str) -> None:
    async with httpx.AsyncClient(verify=NO_CERTIFICATES) as client:
        assert (await client.get(url, auth=auth)).status_code == 200


CALLS: dict[str, tuple[Callable[..., Any], float, bool]] = {
    "get_token_async": (_get_token, EXPIRED, False),
    "a call, the token has expired": (_get, EXPIRED, False),
    "a call, the token is due": (_get, IN_MARGIN, False),
    "a call, answered 401": (_get, FRESH, True),
}


def _interrupt() -> None:
    raise KeyboardInterrupt


def _exit() -> None:
    raise SystemExit


async def _in_asyncio(call: Coroutine[Any, Any, Any], number: int, how: str) -> AtAwait:
    task = asyncio.current_task()
    assert task is not None
    at_await = AtAwait(number, {"cancelled": task.cancel, "Ctrl-C": _interrupt, "sys.exit": _exit}[how])
    await at_await.drive(call)
    return at_await


async def _in_trio(call: Coroutine[Any, Any, Any], number: int, how: str) -> AtAwait:
    with trio.CancelScope() as scope:
        at_await = AtAwait(number, {"cancelled": scope.cancel, "Ctrl-C": _interrupt, "sys.exit": _exit}[how])
        await at_await.drive(call)
    return at_await


RUNNERS: dict[str, Callable[..., Any]] = {
    "asyncio": lambda call, number, how: asyncio.run(_in_asyncio(call, number, how)),
    "trio": lambda call, number, how: trio.run(_in_trio, call, number, how),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # httpcore's
@pytest.mark.parametrize(
    "runner, how, name",
    [
        *((runner, "cancelled", name) for runner in RUNNERS for name in CALLS),
        # asyncio makes a cancellation of a Ctrl-C; thrown in as it is, our own code must stand it, if not httpcore's.
        ("asyncio", "Ctrl-C", "get_token_async"),
        ("asyncio", "sys.exit", "get_token_async"),
    ],
)
def test_whatever_await_of_a_call_is_the_last_one_no_grant_is_lost_and_the_same_object_goes_on(
    bench: Bench, runner: str, how: str, name: str
) -> None:
    call, age, revoked = CALLS[name]
    aries = bench.aries
    url = f"{aries.url}/v1/users/me"
    for number in itertools.count(1):
        aries.reset()
        bench.log_in(age)
        if revoked:
            aries.revoke_access_tokens()
        auth = bench.auth()
        try:
            at_await = RUNNERS[runner](call(auth, url), number, how)
            if not at_await.happened:
                break
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            pass
        wait_landed()
        assert bench.is_newest, f"lost at await {number}"
        RUNNERS[runner](call(auth, url), 0, how)
        wait_landed()
        assert bench.is_newest
        assert len(aries.token_requests) <= 1
        assert not aries.reused_refresh_tokens
    wait_landed()
    print(f"{how} at {number - 1} awaits in turn, 0 grants lost")
    assert number > 1


@pytest.mark.parametrize("steps", [12, pytest.param(100, marks=pytest.mark.soak)])
@pytest.mark.parametrize("runner", RUNNERS)
def test_whenever_a_time_out_expires_no_grant_is_lost(bench: Bench, runner: str, steps: int) -> None:
    aries = bench.aries
    given_up = 0

    async def in_asyncio(auth: AriesAuth, seconds: float) -> bool:
        try:
            await asyncio.wait_for(auth.get_token_async(), seconds)
        except asyncio.TimeoutError:
            return True
        return False

    async def in_trio(auth: AriesAuth, seconds: float) -> bool:
        with trio.move_on_after(seconds) as scope:
            await auth.get_token_async()
        return scope.cancelled_caught

    for step in range(steps):
        aries.reset()
        bench.log_in(EXPIRED)
        aries.fail("token", delay=0.02)
        auth = bench.auth()
        seconds = 0.1 * step / steps
        if runner == "asyncio":
            given_up += asyncio.run(in_asyncio(auth, seconds))
        else:
            given_up += trio.run(in_trio, auth, seconds)
        wait_landed()
        assert bench.is_newest
        auth.get_token()
        assert aries.refresh_count == len(aries.token_requests) == 1
    print(f"{given_up} of {steps} time-outs expired, 0 grants lost")
    assert given_up
