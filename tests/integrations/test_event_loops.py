"""Event loops that are watched or unusual: blockbuster, which raises where one is blocked, and trio-asyncio."""

from __future__ import annotations

import asyncio
import sys
import types
from pathlib import Path
from typing import Any, Awaitable, Callable, Iterator

import httpx
import pytest
import trio

from aries_auth import AriesAuth, LoginRequired, Token
from aries_auth.refresh import process
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED, IN_MARGIN, Program, wait_until
from tests.inside import store_of

TokenBy = Callable[[str], Awaitable[str]]

OLD = 100.0  # seconds; beyond the youth of 30
AGES = {"that lives": 0.0, "that is due": IN_MARGIN, "that has expired": EXPIRED, "that is refused": OLD}


@pytest.fixture(params=AGES)
def age(request: pytest.FixtureRequest, stored: Callable[..., Token], aries: AriesSandbox) -> str:
    """A token of this kind is in the store."""
    stored(age=AGES[request.param])
    if request.param == "that is refused":
        aries.revoke_access_tokens()
    name: str = request.param
    return name


def refreshes(age: str) -> int:
    return 0 if age == "that lives" else 1


class TestBlockbuster:
    """It raises `BlockingError` for a call of ours that blocks the loop: a file, a sleep, a path made absolute."""

    @pytest.fixture
    def watched(self, monkeypatch: pytest.MonkeyPatch, store_path: Path) -> Iterator[None]:
        blockbuster = pytest.importorskip("blockbuster", reason="needs blockbuster")
        monkeypatch.chdir(store_path.parent.parent)
        process._is_child.cache_clear()  # what is looked at once per process is looked at again
        with blockbuster.blockbuster_ctx("aries_auth"):
            yield

    @pytest.fixture
    def auth(self, make_auth: Callable[..., AriesAuth], store_path: Path) -> AriesAuth:
        """Its store's path is relative: to make it absolute asks the system for the working folder."""
        return make_auth(store=Path(store_path.parent.name) / store_path.name)

    def test_it_sees_what_would_block(self, auth: AriesAuth, watched: None) -> None:
        async def main() -> None:
            store_of(auth).load()

        with pytest.raises(Exception, match=r"Blocking call to os.path.abspath"):
            asyncio.run(main())

    def test_calls_block_no_loop(self, auth: AriesAuth, url: str, aries: AriesSandbox, age: str, watched: None) -> None:
        with httpx.Client() as made:  # the certificates are loaded here, and not on the loop
            verify = made._transport._pool._ssl_context  # type: ignore[attr-defined]

        async def main() -> None:
            async with httpx.AsyncClient(auth=auth, timeout=20, verify=verify) as client:
                answers = await asyncio.gather(*(client.get(url) for _ in range(5)))
                assert [answer.status_code for answer in answers] == [200] * 5
            assert await auth.wait_async(20)

        asyncio.run(main())
        assert aries.refresh_count == refreshes(age)

    @pytest.mark.parametrize(
        "act",
        [
            pytest.param(lambda auth: auth.get_token_async(), id="get_token_async"),
            pytest.param(lambda auth: auth.refresh_async(), id="refresh_async"),
            pytest.param(lambda auth: auth.get_token_async(refused=auth.get_token()), id="get_token_async, refused"),
        ],
    )
    def test_the_other_ways_block_no_loop(
        self,
        auth: AriesAuth,
        aries: AriesSandbox,
        stored: Callable[..., Token],
        watched: None,
        act: Callable[[AriesAuth], Awaitable[Any]],
    ) -> None:
        stored(age=OLD)
        coroutine = act(auth)

        async def main() -> None:
            await coroutine
            assert await auth.wait_async(20)
            assert repr(auth)
            assert auth._repr_html_()

        asyncio.run(main())

    def test_a_login_that_is_needed_blocks_no_loop(self, auth: AriesAuth, url: str, watched: None) -> None:
        async def main() -> None:
            async with httpx.AsyncClient(auth=auth) as client:
                await client.get(url)

        with pytest.raises(LoginRequired):
            asyncio.run(main())


class TestTrioAsyncio:
    """asyncio's code in a trio program: which of the two runs a task is not to be known by what is installed."""

    @pytest.fixture
    def trio_asyncio(self) -> Any:
        return pytest.importorskip("trio_asyncio", reason="needs trio-asyncio")

    @pytest.fixture
    def auth(self, make_auth: Callable[..., AriesAuth]) -> AriesAuth:
        return make_auth()

    @pytest.fixture
    def token_by(self, trio_asyncio: Any, auth: AriesAuth) -> TokenBy:
        """The token, awaited by a task of trio or by asyncio's code in one."""
        ways = {"trio": auth.get_token_async, "asyncio": trio_asyncio.aio_as_trio(auth.get_token_async)}
        return lambda flavour: ways[flavour]()

    def test_calls_of_both_kinds_share_one_refresh(
        self, trio_asyncio: Any, program: Program, aries: AriesSandbox, age: str
    ) -> None:
        """In a program of its own, which imports trio-asyncio before the libraries that it patches asyncio for."""
        said = program(
            """
            import trio_asyncio
            import httpx, trio

            auth, statuses = make_auth(), []

            async def call():
                async with httpx.AsyncClient(auth=auth, timeout=20) as client:
                    statuses.append((await client.get(sys.argv[-1])).status_code)

            async def main():
                async with trio_asyncio.open_loop(), trio.open_nursery() as nursery:
                    for _ in range(3):
                        nursery.start_soon(call)
                        nursery.start_soon(trio_asyncio.aio_as_trio(call))

            trio.run(main)
            print(statuses, auth.wait(20))
            """,
            f"{aries.api_url}/v1/echo",
        )
        assert said.strip() == f"{[200] * 6} True"
        assert aries.refresh_count == refreshes(age)

    @pytest.mark.parametrize("flavour", ["trio", "asyncio"])
    def test_the_loop_runs_on_while_a_token_is_waited_for(
        self, trio_asyncio: Any, token_by: TokenBy, stored: Callable[..., Token], aries: AriesSandbox, flavour: str
    ) -> None:
        stored(age=EXPIRED)
        aries.fail(delay=0.5)
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await trio.sleep(0.01)
                beats += 1

        async def main() -> None:
            async with trio_asyncio.open_loop(), trio.open_nursery() as nursery:
                nursery.start_soon(beat)
                assert await token_by(flavour)
                nursery.cancel_scope.cancel()

        trio.run(main)
        assert beats > 10

    @pytest.mark.parametrize("flavour", ["trio", "asyncio"])
    def test_a_wait_that_is_cancelled_leaves_the_refresh_to_go_on(
        self,
        trio_asyncio: Any,
        token_by: TokenBy,
        auth: AriesAuth,
        stored: Callable[..., Token],
        aries: AriesSandbox,
        flavour: str,
    ) -> None:
        stored(age=EXPIRED)
        aries.fail(delay=0.4)

        async def main() -> None:
            async with trio_asyncio.open_loop():
                with trio.move_on_after(0.1) as scope:
                    await token_by(flavour)
                assert scope.cancelled_caught

        trio.run(main)
        wait_until(lambda: aries.refresh_count == 1)
        assert auth.wait(20)
        assert auth.token is not None


def test_a_trio_that_another_thread_is_importing_is_not_asked(
    make_auth: Callable[..., AriesAuth],
    stored: Callable[..., Token],
    aries: AriesSandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first refresh of a process loads httpx in its thread, and httpx loads trio, while tasks begin to wait."""
    stored(age=EXPIRED)
    monkeypatch.setitem(sys.modules, "trio", types.ModuleType("trio"))  # as it is before its first line has run
    assert asyncio.run(make_auth().get_token_async())
    assert aries.refresh_count == 1
