"""A whole call through each library's client, over a transport that answers 200 without a socket."""

from __future__ import annotations

import io
from typing import Any, Callable

import httpx
import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from benchmarks import floors, ours, peers
from benchmarks.attach import BEARER, URL, authlib_module
from benchmarks.timing import Contender


def null_httpx(module: Any = httpx, seen: Callable[[Any], object] = lambda _request: None) -> Any:
    """A transport of httpx or httpx2, for both kinds of client."""

    class NullTransport(module.BaseTransport, module.AsyncBaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            seen(request)
            return module.Response(200)

        async def handle_async_request(self, request: Any) -> Any:
            seen(request)
            return module.Response(200)

    return NullTransport()


class NullAdapter(BaseAdapter):
    """The same for requests."""

    def __init__(self, seen: Callable[[requests.PreparedRequest], object] = lambda _request: None) -> None:
        super().__init__()
        self.seen = seen

    def send(self, request: requests.PreparedRequest, **_options: Any) -> requests.Response:  # type: ignore[override]
        self.seen(request)
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, request.url or ""
        response.raw = HTTPResponse(io.BytesIO(), status=200, preload_content=False)
        response.connection = self  # type: ignore[assignment]
        return response

    def close(self) -> None:
        pass


class _Witness:
    """Remembers the Authorization header of the last request."""

    header: str | None = None

    def __call__(self, request: Any) -> None:
        self.header = request.headers.get("Authorization")


def _contender(name: str, get: Callable[[str], object], witness: _Witness, expected: str | None = BEARER) -> Contender:
    def run(batch: range) -> None:
        for _ in batch:
            get(URL)

    def answers() -> bool:
        get(URL)
        return witness.header == expected

    return Contender(name, range, run, answers)


def httpx_contenders() -> list[Contender]:
    """``client.get(url)`` with each auth."""
    auths: dict[str, Any] = {
        "no auth": None,
        "static bearer": floors.StaticHttpx(peers.ACCESS_TOKEN),
        "aries-auth": ours.living_auth(),
        "httpx_auth": peers.httpx_auth_code(peers.token_dict()),
    }
    found = []
    for name, auth in auths.items():
        witness = _Witness()
        client = httpx.Client(transport=null_httpx(seen=witness), auth=auth, trust_env=False)
        found.append(_contender(name, client.get, witness, None if auth is None else BEARER))
    witness = _Witness()
    transport = null_httpx(authlib_module(), witness)
    authlib = peers.authlib_httpx(peers.token_dict(), transport=transport, trust_env=False)
    return [*found, _contender("Authlib", authlib.get, witness)]


def requests_contenders() -> list[Contender]:
    """``session.get(url)`` with each auth, or each library's own session."""

    def with_auth(auth: Any) -> requests.Session:
        session = requests.Session()
        session.auth = auth
        return session

    sessions = {
        "no auth": requests.Session(),
        "static bearer": with_auth(floors.StaticRequests(peers.ACCESS_TOKEN)),
        "aries-auth": with_auth(ours.living_auth()),
        "Authlib": peers.authlib_requests(peers.token_dict()),
        "requests-oauthlib": peers.requests_oauthlib_session(peers.token_dict(), peers.TOKEN_URL, print),
        "requests_oauth2client": with_auth(peers.requests_oauth2client_auth(peers.token_dict())),
        "google-auth": peers.google_session(peers.token_dict()),
    }
    found = []
    for name, session in sessions.items():
        witness = _Witness()
        session.trust_env = False
        session.mount("https://", NullAdapter(witness))
        found.append(_contender(name, session.get, witness, None if name == "no auth" else BEARER))
    return found
