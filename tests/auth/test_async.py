"""asyncio and trio: nothing blocks a loop, nothing is bound to one."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any, Callable

import httpx
import pytest
import trio

from aries_auth import AriesAuth, FileTokenStore, LoginRequired, Token
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED, FRESH

Stored = Callable[..., Token]
MakeAuth = Callable[..., AriesAuth]


def run(backend: str, main: Callable[[], Any]) -> Any:
    return asyncio.run(main()) if backend == "asyncio" else trio.run(main)


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_nothing_blocks_the_loop_while_a_token_is_refreshed(
    backend: str, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, url: str
) -> None:
    stored(age=EXPIRED)
    aries.fail(delay=1.0)
    auth = make_auth()
    sleep = asyncio.sleep if backend == "asyncio" else trio.sleep
    longest = 0.0

    async def call() -> None:
        async with httpx.AsyncClient(auth=auth, timeout=20) as client:
            assert (await client.get(url)).status_code == 200
        done.append(True)

    async def watch() -> None:
        nonlocal longest
        while not done:
            begun = time.monotonic()
            await sleep(0.01)
            longest = max(longest, time.monotonic() - begun)

    async def main() -> None:
        if backend == "asyncio":
            await asyncio.gather(call(), watch())
        else:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(call)
                nursery.start_soon(watch)

    done: list[bool] = []
    httpx.create_ssl_context()  # a client reads its CA bundle once, on the loop; that is its own affair
    run(backend, main)
    assert longest < 0.9


def test_the_store_is_read_and_locked_in_another_thread(
    backend: str, make_auth: MakeAuth, stored: Stored, store_path: Path
) -> None:
    stored(age=EXPIRED)
    threads = set()

    class Watched(FileTokenStore):
        def load(self) -> Token | None:
            threads.add(threading.current_thread())
            return super().load()

        def locked(self, timeout: Any = None) -> Any:
            threads.add(threading.current_thread())
            return super().locked(timeout)

    run(backend, make_auth(store=Watched(store_path)).get_token_async)
    assert threads
    assert threading.current_thread() not in threads


def test_one_object_serves_loop_after_loop(make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, url: str) -> None:
    stored(age=EXPIRED)
    auth = make_auth()
    tokens = {run(backend, auth.get_token_async) for backend in ("asyncio", "trio", "asyncio", "trio")}
    assert tokens == {auth.get_token()}
    assert aries.refresh_count == 1


def test_made_inside_a_loop_it_serves_threads(make_auth: MakeAuth, stored: Stored) -> None:
    stored(age=FRESH)

    async def main() -> AriesAuth:
        return make_auth()

    assert asyncio.run(main()).get_token()


def test_an_error_reaches_the_task(backend: str, make_auth: MakeAuth) -> None:
    with pytest.raises(LoginRequired):
        run(backend, make_auth().get_token_async)


def test_a_timeout_reaches_the_task(backend: str, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox) -> None:
    stored(age=EXPIRED)
    aries.fail(hang=True)
    with pytest.raises(Exception, match="time-out"):
        run(backend, make_auth(timeout=0.1).get_token_async)
    aries.heal()
