"""The floors, hand-written: the least code that authorizes at all, and the least that keeps the contract.

*static* sets a header. *contract* does what docs/architecture.md, "Attach" and "Refresh ahead" ask of a request with a
living token, and nothing else: is the origin one of ours, one clock read, the header, and a look at the answer for a
401. Neither can refresh.
"""

from __future__ import annotations

import time
from typing import Any, AsyncGenerator, Generator

import httpx
import requests
import requests.auth

ORIGIN = "https://api.aries.com"


class StaticRequests(requests.auth.AuthBase):
    """A bearer header."""

    def __init__(self, token: str) -> None:
        self.authorization = f"Bearer {token}"

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["Authorization"] = self.authorization
        return r


class StaticHttpx(httpx.Auth):
    """A bearer header."""

    def __init__(self, token: str) -> None:
        self.authorization = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self.authorization
        yield request


class ContractRequests(requests.auth.AuthBase):
    """Origin, clock, header, response hook."""

    def __init__(self, token: str, fresh_until: float, origin: str = ORIGIN) -> None:
        self.authorization = f"Bearer {token}"
        self.fresh_until = fresh_until
        self.prefix = f"{origin}/"

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        if not r.url.startswith(self.prefix):  # type: ignore[union-attr]
            return r
        if time.time() >= self.fresh_until:
            raise RuntimeError("the floor can't refresh")
        r.headers["Authorization"] = self.authorization
        r.hooks["response"].append(self.on_response)
        return r

    def on_response(self, response: requests.Response, **_options: Any) -> requests.Response:
        if response.status_code == 401:
            raise RuntimeError("the floor can't refresh")
        return response


class ContractHttpx(httpx.Auth):
    """Origin (the parts that httpx connects to), clock, header, a look at the status; both flows overridden."""

    def __init__(self, token: str, fresh_until: float) -> None:
        self.authorization = f"Bearer {token}"
        self.fresh_until = fresh_until
        self.origin = ("https", b"api.aries.com", None)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        url = request.url
        if (url.scheme, url.raw_host, url.port) != self.origin:
            yield request
            return
        if time.time() >= self.fresh_until:
            raise RuntimeError("the floor can't refresh")
        request.headers["Authorization"] = self.authorization
        response = yield request
        if response.status_code == 401:
            raise RuntimeError("the floor can't refresh")

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        url = request.url
        if (url.scheme, url.raw_host, url.port) != self.origin:
            yield request
            return
        if time.time() >= self.fresh_until:
            raise RuntimeError("the floor can't refresh")
        request.headers["Authorization"] = self.authorization
        response = yield request
        if response.status_code == 401:
            raise RuntimeError("the floor can't refresh")
