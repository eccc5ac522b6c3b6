"""Attach: putting a living token on a request, with each library's own hook driven by hand."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import time
from typing import Any, Callable

import httpx
import requests

from benchmarks import floors, ours, peers
from benchmarks.timing import Contender

URL = "https://api.aries.com/v1/accounts/A-1/positions"
BEARER = f"Bearer {peers.ACCESS_TOKEN}"


def prepared(count: int) -> list[requests.PreparedRequest]:
    request = requests.Request("GET", URL, headers={"Accept": "application/json"}).prepare()
    return [request.copy() for _ in range(count)]


def _with_requests(name: str, attach: Callable[[Any], Any]) -> Contender:
    def run(batch: list[requests.PreparedRequest]) -> None:
        for request in batch:
            attach(request)

    def answers() -> bool:
        (request,) = prepared(1)
        attach(request)
        return bool(request.headers.get("Authorization") == BEARER)

    return Contender(name, prepared, run, answers)


def requests_contenders() -> list[Contender]:
    """``auth(prepared)``; google-auth has no auth object, and is asked as its own session does."""
    google = peers.google_credentials(peers.token_dict())
    return [
        _with_requests("static bearer", floors.StaticRequests(peers.ACCESS_TOKEN)),
        _with_requests("contract", floors.ContractRequests(peers.ACCESS_TOKEN, time.time() + 3000)),
        _with_requests("aries-auth", ours.living_auth()),
        _with_requests("Authlib", peers.authlib_requests(peers.token_dict()).token_auth),
        _with_requests("requests-oauthlib", peers.requests_oauthlib_auth()),
        _with_requests("requests_oauth2client", peers.requests_oauth2client_auth(peers.token_dict())),
        _with_requests("google-auth", lambda r: google.before_request(None, r.method, r.url, r.headers)),
    ]


def _httpx_requests(module: Any) -> Callable[[int], list[Any]]:
    url, headers = module.URL(URL), {"Accept": "application/json", "Host": "api.aries.com"}
    return lambda count: [module.Request("GET", url, headers=headers) for _ in range(count)]


def _with_httpx(name: str, auth: Any, module: Any = httpx, before: Callable[[], object] | None = None) -> Contender:
    make, answer = _httpx_requests(module), module.Response(200)

    def attach(request: Any) -> Any:
        if before is not None:
            before()
        flow = auth.sync_auth_flow(request)
        sent = next(flow)
        try:  # noqa: SIM105 - suppress would cost as much as what is measured
            flow.send(answer)
        except StopIteration:
            pass
        flow.close()
        return sent

    def run(batch: list[Any]) -> None:
        for request in batch:
            attach(request)

    def answers() -> bool:
        return bool(attach(make(1)[0]).headers.get("Authorization") == BEARER)

    return Contender(name, make, run, answers)


def _with_async_httpx(name: str, auth: Any, module: Any = httpx, before: Any = None) -> Contender:
    make, answer = _httpx_requests(module), module.Response(200)
    loop = asyncio.new_event_loop()

    async def attach(request: Any) -> Any:
        if before is not None:
            await before()
        flow = auth.async_auth_flow(request)
        sent = await flow.__anext__()
        try:  # noqa: SIM105
            await flow.asend(answer)
        except StopAsyncIteration:
            pass
        await flow.aclose()
        return sent

    async def attach_all(batch: list[Any]) -> None:
        for request in batch:
            await attach(request)

    def answers() -> bool:
        return bool(loop.run_until_complete(attach(make(1)[0])).headers.get("Authorization") == BEARER)

    return Contender(name, make, lambda batch: loop.run_until_complete(attach_all(batch)), answers)


def authlib_module() -> Any:
    """What Authlib's httpx client builds on: httpx2 where that is installed, from version 1.9 on."""
    from authlib.integrations.httpx_client import OAuth2Client

    base = next(base for base in OAuth2Client.__mro__ if base.__module__.partition(".")[0] in ("httpx", "httpx2"))
    return importlib.import_module(base.__module__.partition(".")[0])


def httpx_contenders() -> list[Contender]:
    """The flow of an ``httpx.Client`` through one 200."""
    client, module = peers.authlib_httpx(peers.token_dict()), authlib_module()
    found = [
        _with_httpx("static bearer", floors.StaticHttpx(peers.ACCESS_TOKEN)),
        _with_httpx("contract", floors.ContractHttpx(peers.ACCESS_TOKEN, time.time() + 3000)),
        _with_httpx("aries-auth", ours.living_auth()),
        _with_httpx("httpx_auth", peers.httpx_auth_code(peers.token_dict())),
        # Its client asks for a living token before every request, outside the flow.
        _with_httpx("Authlib", client.token_auth, module, lambda: client.ensure_active_token(client.token)),
    ]
    if importlib.util.find_spec("finance_dev"):
        found.append(_finance_dev())
    return found


def _finance_dev() -> Contender:
    sdk, make = peers.FinanceDev(peers.token_dict()), _httpx_requests(httpx)

    def run(batch: list[Any]) -> None:
        for request in batch:
            sdk.authorize(request)

    return Contender("finance-dev", make, run, lambda: sdk.authorize(make(1)[0]).headers.get("Authorization") == BEARER)


def async_httpx_contenders() -> list[Contender]:
    """The flow of an ``httpx.AsyncClient`` through one 200, on asyncio."""
    client, module = peers.authlib_httpx_async(peers.token_dict()), authlib_module()
    return [
        _with_async_httpx("static bearer", floors.StaticHttpx(peers.ACCESS_TOKEN)),
        _with_async_httpx("contract", floors.ContractHttpx(peers.ACCESS_TOKEN, time.time() + 3000)),
        _with_async_httpx("aries-auth", ours.living_auth()),
        _with_async_httpx("httpx_auth", peers.httpx_auth_code(peers.token_dict())),
        _with_async_httpx("Authlib", client.token_auth, module, lambda: client.ensure_active_token(client.token)),
    ]
