"""One way to make a call, whichever library makes it. No certificates: reading the CA bundle takes most of the time."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Callable, NamedTuple

import httpx
import pytest
import requests
import trio


class Answer(NamedTuple):
    status: int
    response: Any

    @property
    def json(self) -> dict[str, Any]:
        return self.response.json()


Caller = Callable[..., Answer]


def with_requests(auth: Any, url: str, method: str = "GET", **options: Any) -> Answer:
    if "content" in options:
        options["data"] = options.pop("content")
    with requests.Session() as session:
        session.trust_env = False
        response = session.request(method, url, auth=auth, timeout=20, **options)
    return Answer(response.status_code, response)


def with_client(module: Any, auth: Any, url: str, method: str = "GET", **options: Any) -> Answer:
    with module.Client(auth=auth, follow_redirects=True, timeout=20, verify=False) as client:
        response = client.request(method, url, **options)
    return Answer(response.status_code, response)


async def with_async_client(module: Any, auth: Any, url: str, method: str = "GET", **options: Any) -> Answer:
    async with module.AsyncClient(auth=auth, follow_redirects=True, timeout=20, verify=False) as client:
        response = await client.request(method, url, **options)
    return Answer(response.status_code, response)


def with_niquests(auth: Any, url: str, method: str = "GET", **options: Any) -> Answer:
    import niquests

    if "content" in options:
        options["data"] = options.pop("content")
    with niquests.Session() as session:
        session.trust_env = False
        response = session.request(method, url, auth=auth, timeout=20, **options)
    return Answer(response.status_code, response)


async def with_async_niquests(auth: Any, url: str, method: str = "GET", **options: Any) -> Answer:
    import niquests

    if "content" in options:
        options["data"] = options.pop("content")
    async with niquests.AsyncSession() as session:
        session.trust_env = False
        response = await session.request(method, url, auth=auth, timeout=20, **options)
    return Answer(response.status_code, response)


class Read:
    """What came of a call of aiohttp, read while its session was open."""

    def __init__(self, response: Any, body: bytes) -> None:
        self.headers, self.content = response.headers, body

    def json(self) -> Any:
        return json.loads(self.content)


async def with_aiohttp(auth: Any, url: str, method: str = "GET", **options: Any) -> Answer:
    import aiohttp

    from aries_auth.integrations.aiohttp import AriesMiddleware

    if "content" in options:
        options["data"] = options.pop("content")
    middlewares = () if auth is None else (AriesMiddleware(auth),)
    session = aiohttp.ClientSession(middlewares=middlewares, timeout=aiohttp.ClientTimeout(20))
    async with session, session.request(method, url, **options) as response:
        return Answer(response.status, Read(response, await response.read()))


# How a call is made, and the library that its token requests are sent by.
LIBRARIES = {
    "requests": "requests",
    "httpx": "httpx",
    "asyncio": "httpx",
    "trio": "httpx",
    "httpx2": "httpx2",
    "httpx2-asyncio": "httpx2",
    "niquests": "niquests",
    "niquests-asyncio": "niquests",
    "aiohttp": "httpx",
}


def caller(library: str) -> Caller:
    if library == "requests":
        return with_requests
    if library.startswith("niquests"):
        pytest.importorskip("niquests", minversion="3.14", reason="needs niquests 3.14")
        if library == "niquests":
            return with_niquests
        return lambda auth, url, method="GET", **options: asyncio.run(with_async_niquests(auth, url, method, **options))
    if library == "aiohttp":
        pytest.importorskip("aiohttp", minversion="3.12", reason="needs aiohttp 3.12")
        return lambda auth, url, method="GET", **options: asyncio.run(with_aiohttp(auth, url, method, **options))
    module = pytest.importorskip("httpx2", reason="needs Python 3.11") if library.startswith("httpx2") else httpx

    def call(auth: Any, url: str, method: str = "GET", **options: Any) -> Answer:
        async def main() -> Answer:
            return await with_async_client(module, auth, url, method, **options)

        if library == "trio":
            return trio.run(main)
        if library.endswith("asyncio"):
            return asyncio.run(main())
        return with_client(module, auth, url, method, **options)

    return call


@pytest.fixture(params=LIBRARIES)
def call(request: pytest.FixtureRequest) -> Caller:
    """``call(auth, url, method, **options)`` with each library in turn."""
    return caller(request.param)


@pytest.fixture(params=("requests", "httpx"))
def call_sync(request: pytest.FixtureRequest) -> Caller:
    """The same for what does not depend on how the call waits."""
    return caller(request.param)
