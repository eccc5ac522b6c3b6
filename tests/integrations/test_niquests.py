"""niquests in what the tests of every library (tests/auth) don't see: loops, HTTP/2, multiplexing, old versions."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import socket
import time
from typing import AsyncIterator, Callable

import httpx
import pytest

from aries_auth import AriesAuth, AuthorizationCodeFlow, ConfigurationError, Token, TokenRequestError
from aries_auth.testing import AriesSandbox, fingerprint
from tests.conftest import EXPIRED, Program, in_threads

from .conftest import Front

niquests = pytest.importorskip("niquests", minversion="3.14", reason="needs niquests 3.14")

OLD = 100.0  # seconds; beyond the youth of 30


@pytest.fixture
def auth(make_auth: Callable[..., AriesAuth], stored: Callable[..., Token]) -> AriesAuth:
    stored(age=OLD)
    return make_auth()


def test_20_threads_that_are_refused_at_once_make_one_refresh(auth: AriesAuth, aries: AriesSandbox, url: str) -> None:
    auth.get_token()
    aries.revoke_access_tokens()
    with niquests.Session() as session:
        statuses = in_threads(20, lambda: session.get(url, auth=auth).status_code)
    assert statuses == [200] * 20
    assert aries.refresh_count == len(aries.token_requests) == 1


def test_20_tasks_that_are_refused_at_once_make_one_refresh(auth: AriesAuth, aries: AriesSandbox, url: str) -> None:
    auth.get_token()
    aries.revoke_access_tokens()
    aries.fail("api", status=401, delay=0.3, times=10)  # half of the refusals come when the refresh is over

    async def main() -> list[int]:
        async with niquests.AsyncSession() as session:
            answers = await asyncio.gather(*(session.get(url, auth=auth) for _ in range(20)))
            return [answer.status_code for answer in answers]

    assert asyncio.run(main()) == [200] * 20
    assert aries.refresh_count == len(aries.token_requests) == 1
    assert "(niquests/" in (aries.token_requests[0].user_agent or "")


def test_the_loop_runs_on_while_a_token_is_waited_for(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox, url: str
) -> None:
    stored(age=EXPIRED)
    aries.fail(delay=0.5)

    async def main() -> float:
        longest, done = 0.0, False

        async def watch() -> None:
            nonlocal longest
            while not done:
                at = time.monotonic()
                await asyncio.sleep(0.01)
                longest = max(longest, time.monotonic() - at)

        watching = asyncio.ensure_future(watch())
        async with niquests.AsyncSession() as session:
            await session.get(f"{aries.url}/v1/redirect?to={url}")  # what niquests itself does at first takes long
            longest = 0.0
            assert (await session.get(url, auth=make_auth())).status_code == 200
        done = True
        await watching
        return longest

    assert asyncio.run(main()) < 0.4


@pytest.mark.parametrize("state", ["living", "expired", "refused"])
def test_a_sync_session_in_a_running_loop_is_served_too(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox, url: str, state: str
) -> None:
    """A notebook's cell runs in one."""
    stored(age=EXPIRED if state == "expired" else OLD)
    if state == "refused":
        aries.revoke_access_tokens()

    async def cell() -> int:
        with niquests.Session() as session:
            return session.post(url, auth=make_auth(), data=b"body").status_code

    assert asyncio.run(cell()) == 200
    assert aries.refresh_count == (state != "living")


def test_after_a_redirect_and_back_nothing_is_added_in_a_loop_either(
    auth: AriesAuth, aries: AriesSandbox, url: str
) -> None:
    with AriesSandbox() as other:
        back = f"{other.url}/v1/redirect?to={url}"

        async def cell() -> int:
            with niquests.Session() as session:
                return session.get(f"{aries.url}/v1/redirect", params={"to": back}, auth=auth).status_code

        assert asyncio.run(cell()) == 401
        assert [request.fingerprint for request in other.api_requests] == [None]
    assert [request.fingerprint is not None for request in aries.api_requests] == [True, False]


def test_a_multipart_body_is_sent_again_whole(auth: AriesAuth, aries: AriesSandbox, url: str) -> None:
    aries.revoke_access_tokens()
    answer = niquests.post(url, auth=auth, files={"part": ("name", io.BytesIO(b"the body"))})
    assert answer.status_code == 200
    assert "the body" in answer.json()["body"]
    assert [response.status_code for response in answer.history] == [401]


def test_an_async_generator_is_handed_back(auth: AriesAuth, aries: AriesSandbox, url: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"once"

    async def main() -> list[int]:
        async with niquests.AsyncSession() as session:
            return [(await session.post(url, auth=auth, data=body())).status_code for _ in range(2)]

    auth.get_token()
    aries.revoke_access_tokens()
    assert asyncio.run(main()) == [401, 200]
    assert aries.refresh_count == 1


def test_a_stream_is_left_to_its_reader(auth: AriesAuth, aries: AriesSandbox, url: str) -> None:
    async def main() -> bytes:
        async with niquests.AsyncSession() as session:
            answer = await session.get(url, auth=auth, stream=True)
            return b"".join([chunk async for chunk in await answer.iter_content(16)])

    aries.revoke_access_tokens()
    assert fingerprint(auth.get_token()).encode() in asyncio.run(main()) or aries.refresh_count == 1
    with niquests.get(url, auth=auth, stream=True) as answer:
        assert b"token" in b"".join(answer.iter_content(16))


def test_a_refused_endpoint_is_tried_again_and_a_lost_answer_is_not(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox, url: str
) -> None:
    """niquests' errors have requests' names, and not its classes."""
    stored(age=EXPIRED)
    aries.fail(drop="after")
    with pytest.raises(TokenRequestError) as raised:
        niquests.get(url, auth=make_auth())
    assert raised.value.retryable
    assert len(aries.token_requests) == 1
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/token"
    with pytest.raises(TokenRequestError, match="No new token within the call's time-out"):
        niquests.get(url, auth=make_auth(token_url=nobody, timeout=1.0))


def test_an_old_niquests_is_named_with_the_command_that_helps(
    auth: AriesAuth, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = type("PreparedRequest", (), {"__module__": "niquests.models", "url": url, "headers": {}, "body": None})()
    monkeypatch.setattr(niquests, "__version__", "3.9.0")
    with pytest.raises(
        ConfigurationError, match=r"niquests 3\.14 or later; 3\.9\.0 is installed.*pip install --upgrade"
    ):
        auth(old)


# As token_client. (tests/test_transport.py and tests/test_deadline.py send by each library's client.)


def test_a_session_as_token_client_sends_for_every_library(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox, url: str
) -> None:
    stored(age=EXPIRED)
    with niquests.Session() as session:
        auth = make_auth(token_client=session)
        assert httpx.get(url, auth=auth).status_code == 200
        auth.refresh()
        aries.revoke_access_tokens()
        assert auth.get_token(refused=auth.get_token())
    assert {request.user_agent.split("(")[1].split("/")[0] for request in aries.token_requests} == {"niquests"}


@pytest.mark.parametrize("options", [{"multiplexed": True}, {"retries": 3}, {"happy_eyeballs": True}])
@pytest.mark.parametrize("drop", [None, "before", "after"])
def test_whatever_its_options_it_sends_once(
    make_auth: Callable[..., AriesAuth],
    stored: Callable[..., Token],
    aries: AriesSandbox,
    options: dict[str, bool],
    drop: str | None,
) -> None:
    stored(age=EXPIRED)
    if drop:
        aries.fail(drop=drop)
    with niquests.Session(**options) as session:
        session.get(f"{aries.url}/v1/echo").status_code  # noqa: B018 - multiplexed, it is sent when it is looked at
        auth = make_auth(token_client=session)
        with pytest.raises(TokenRequestError) if drop else contextlib.nullcontext():
            auth.get_token()
    assert len(aries.token_requests) == 1
    assert aries.reused_refresh_tokens == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_its_parents_call_alone(
    stored: Callable[..., Token], aries: AriesSandbox, program: Program
) -> None:
    """urllib3-future shuts down what it closes: the parent would read the end of its answer."""
    stored(age=EXPIRED)
    aries.fail("api", status=200, delay=1.5)
    output = program("""
        import threading, niquests
        session, statuses = niquests.Session(), []
        auth = make_auth(token_client=session)
        call = threading.Thread(target=lambda: statuses.append(session.get(aries_url + "/v1/echo").status_code))
        call.start()
        time.sleep(0.7)
        child = os.fork()
        if not child:
            auth.get_token()
            os._exit(0)
        print(os.waitpid(child, 0)[1])
        call.join()
        print(*statuses)
    """)
    assert output.split() == ["0", "200"]
    assert aries.refresh_count == 1


def test_an_async_session_is_no_token_client_and_says_what_is() -> None:
    with pytest.raises(ConfigurationError, match=r"can't be a niquests\.AsyncSession.*Pass a niquests\.Session"):
        AriesAuth(token_client=niquests.AsyncSession())
    with pytest.raises(ConfigurationError, match=r"can't be a niquests\.AsyncSession"):
        AuthorizationCodeFlow(scope="order:information", token_client=niquests.AsyncSession())


@pytest.mark.parametrize("version", ["3.13.1", "3.9", "2.32.1"])
def test_an_old_session_is_named_with_the_command_that_helps(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(niquests, "__version__", version)
    with pytest.raises(ConfigurationError, match=rf"niquests 3\.14 or later; {version} is installed.*pip install"):
        AriesAuth(token_client=niquests.Session())


# HTTP/2


@pytest.mark.slow
def test_a_token_request_goes_over_http2_too(
    front: Front, make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox
) -> None:
    origin, bundle = front
    stored(age=EXPIRED)
    with niquests.Session(disable_http3=True) as session:
        session.verify, session.trust_env = bundle, False
        assert session.get(f"{origin}/v1/echo").http_version == 20
        auth = make_auth(token_url=f"{origin}/v1/oauth2/token", token_client=session)
        assert auth.get_token()
    assert aries.refresh_count == len(aries.token_requests) == 1


@pytest.mark.slow
@pytest.mark.parametrize("multiplexed", [False, True])
def test_a_call_over_http2_is_resent_and_its_refresh_serves_all(
    front: Front,
    make_auth: Callable[..., AriesAuth],
    stored: Callable[..., Token],
    aries: AriesSandbox,
    multiplexed: bool,
) -> None:
    origin, bundle = front
    stored(age=OLD)
    auth = make_auth(api_origins=[origin])
    auth.get_token()
    aries.revoke_access_tokens()
    with niquests.Session(multiplexed=multiplexed, disable_http3=True) as session:
        session.verify, session.auth, session.trust_env = bundle, auth, False
        answers = [session.post(f"{origin}/v1/echo", data=b"the body") for _ in range(5)]
        session.gather()
        assert [answer.status_code for answer in answers] == [200] * 5
        assert {answer.headers["x-http"] for answer in answers} == {"2"}
        assert {answer.json()["body"] for answer in answers} == {"the body"}
    assert aries.refresh_count == 1


@pytest.mark.slow
def test_an_async_call_over_http2_is_resent(
    front: Front, make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox
) -> None:
    origin, bundle = front
    stored(age=OLD)
    auth = make_auth(api_origins=[origin])
    aries.revoke_access_tokens()

    async def main() -> list[tuple[int, str]]:
        async with niquests.AsyncSession(disable_http3=True) as session:
            session.verify, session.trust_env = bundle, False
            answers = await asyncio.gather(*(session.get(f"{origin}/v1/echo", auth=auth) for _ in range(5)))
            return [(answer.status_code, answer.headers["x-http"]) for answer in answers]

    assert asyncio.run(main()) == [(200, "2")] * 5
    assert aries.refresh_count == 1
