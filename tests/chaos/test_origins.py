"""The token goes to the listed origins and nowhere else, whatever a URL or a redirect looks like.

Nothing is sent: what the libraries would connect to, and with which header, is recorded where they hand it over.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import httpx
import pytest
import requests
from requests.adapters import BaseAdapter
from urllib3.util import parse_url

from aries_auth import AriesAuth, FileTokenStore, InsecureTransportError, Token

TOKEN = "at-that-must-not-leave"
API = "https://api.aries.com"
FAR = "https://evil.example"
PORTS = {"https": 443, "http": 80}

pytestmark = pytest.mark.chaos

Origin = Any
Answer = Callable[[str], "tuple[int, dict[str, str]]"]


class Network:
    """What was sent where, with or without the token; answers by the URL."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.sent: list[tuple[Origin, bool]] = []

    def exchange(self, origin: Origin, url: str, headers: Any) -> tuple[int, dict[str, str]]:
        carried = any(TOKEN in str(value) for value in headers.values()) or TOKEN in url
        self.sent.append((origin, carried))
        return self._answer(url)

    @property
    def told(self) -> set[Origin]:
        """Who has seen the token."""
        return {origin for origin, carried in self.sent if carried}


class Adapter(BaseAdapter):
    """Stands where requests hands over to urllib3, which takes a URL apart in its own way."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        parts = parse_url(request.url or "")
        origin = (parts.scheme, (parts.host or "").strip("[]"), parts.port or PORTS.get(parts.scheme or ""))
        status, headers = self._network.exchange(origin, request.url or "", request.headers)
        response = requests.Response()
        response.status_code = status
        response.headers.update(headers)
        response.request = request
        response.url = request.url or ""
        response._content = b""
        response.raw = contextlib.nullcontext()  # type: ignore[assignment]
        response.connection = self  # type: ignore[attr-defined]
        return response

    def close(self) -> None:
        pass


def _with_requests(network: Network, auth: AriesAuth, url: str) -> int:
    with requests.Session() as session:
        session.mount("https://", Adapter(network))
        session.mount("http://", Adapter(network))
        return session.get(url, auth=auth).status_code


def _handler(network: Network, module: Any) -> Callable[[Any], Any]:
    def handle(request: Any) -> Any:
        port = request.url.port or PORTS.get(request.url.scheme)
        origin = (request.url.scheme, request.url.raw_host.decode("ascii"), port)
        status, headers = network.exchange(origin, str(request.url), request.headers)
        return module.Response(status, headers=headers)

    return handle


def _with_httpx(network: Network, auth: AriesAuth, url: str, module: Any = httpx) -> int:
    with module.Client(transport=module.MockTransport(_handler(network, module)), follow_redirects=True) as client:
        return int(client.get(url, auth=auth).status_code)


def _with_httpx2(network: Network, auth: AriesAuth, url: str) -> int:
    return _with_httpx(network, auth, url, pytest.importorskip("httpx2"))


def _with_async_httpx(network: Network, auth: AriesAuth, url: str) -> int:
    async def get() -> int:
        transport = httpx.MockTransport(_handler(network, httpx))
        async with httpx.AsyncClient(transport=transport, follow_redirects=True) as client:
            return (await client.get(url, auth=auth)).status_code

    return asyncio.run(get())


LIBRARIES = {
    "requests": _with_requests,
    "httpx": _with_httpx,
    "httpx, async": _with_async_httpx,
    **({"httpx2": _with_httpx2} if sys.version_info >= (3, 11) else {}),
}
REFUSALS = (requests.RequestException, httpx.HTTPError, httpx.InvalidURL, InsecureTransportError, ValueError)
with contextlib.suppress(ImportError):
    import httpx2

    REFUSALS = (*REFUSALS, httpx2.HTTPError, httpx2.InvalidURL)

library = pytest.mark.parametrize("library", LIBRARIES)


@pytest.fixture
def make_auth(tmp_path: Path) -> Callable[..., AriesAuth]:
    def make(*origins: str) -> AriesAuth:
        store = FileTokenStore(tmp_path / "store" / "t.json")
        now = time.time()
        # Old enough that a 401 would lead to a refresh, and with a token endpoint that nobody may ask.
        store.save(Token(TOKEN, "rt", obtained_at=now - 1000, expires_at=now + 3600))
        forbidden = requests.Session()
        forbidden.mount("https://", Adapter(Network(lambda url: (503, {"Retry-After": "60"}))))
        return AriesAuth(
            "id", "secret", f"{API}/callback", store=store, api_origins=origins or None, token_client=forbidden
        )

    return make


def _run(name: str, network: Network, auth: AriesAuth, url: str) -> int | None:
    try:
        return LIBRARIES[name](network, auth, url)
    except REFUSALS:
        return None


# Addresses that look like the API's, to people or to parsers.
LOOK_ALIKES = [
    "https://api.aries.com.evil.example/",
    "https://api.aries.com@evil.example/",
    "https://api.aries.com:443@evil.example/",
    "https://api.aries.com%40evil.example/",
    "https://user:pass@evil.example/?https://api.aries.com/",
    "https://evil.example/api.aries.com",
    "https://evil.example?@api.aries.com/",
    "https://evil.example#@api.aries.com/",
    "https://evil.example\\@api.aries.com/",
    "https://api.aries.com\\@evil.example/",
    "https://api.aries.com\\.evil.example/",
    "https://api.aries.com:443:443/",
    "https://api.aries.com:8443/",
    "https://api.aries.com:0/",
    "https://api.aries.com:99999/",
    "https://api.aries.com./",
    "https://.api.aries.com/",
    "https://api..aries.com/",
    "https://xapi.aries.com/",
    "https://aries.com/",
    "https://api.aries.com.:443/",
    "https://api.aries.com%2eevil.example/",
    "https://api.aries.com%00.evil.example/",
    "https://api.aries.com\x00.evil.example/",
    "https://api.aries.com\t.evil.example/",
    "https://api.aries.com\n.evil.example/",
    "https://api.aries.com .evil.example/",
    "https://\u0430pi.aries.com/",  # a Cyrillic a
    "https://ap\u0131.aries.com/",  # a dotless i
    "https://api.ar\u00edes.com/",
    "https://api.arie\u017f.com/",  # a long s, which case folding makes an s
    "https://api\u3002aries\u3002com/",  # ideographic full stops
    "https://\uff41pi.aries.com/",  # a fullwidth a
    "https://api.aries.\u2102om/",  # a double-struck C
    "https://api.aries.com\u2044evil.example/",  # a fraction slash
    "https://api.aries.com\u2100evil.example/",  # "a/c", which NFKC takes apart
    "https://api.aries.com\uff0fevil.example/",
    "https://api.aries.com\uff20evil.example/",
    "https://xn--pi-7kc.aries.com/",
    "https://[::1]/",
    "https://[::ffff:1.2.3.4]/",
    "https://[api.aries.com]/",
    "https://[::1%25api.aries.com]/",
    "https:/api.aries.com/",
    "https:///api.aries.com/",
    "https:////evil.example/",
    "https:evil.example/",
    "//evil.example/",
    "http://api.aries.com/",
    "http://api.aries.com:443/",
    "http://evil.example/",
    "ftp://api.aries.com/",
    "HTTPS://EVIL.EXAMPLE/",
]
# Other ways to write the API's own address.
SAME = [
    "https://api.aries.com/",
    "https://api.aries.com:443/",
    "https://api.aries.com",
    "https://API.ARIES.COM/",
    "HTTPS://Api.Aries.Com:443/",
    "https://api.aries.com?x=https://evil.example/",
    "https://api.aries.com/@evil.example/",
    "https://api.aries.com/\\evil.example/",
    "https://api.aries.com/#@evil.example/",
]
LISTED = {("https", "api.aries.com", 443)}


@library
@pytest.mark.parametrize("url", LOOK_ALIKES, ids=ascii)
def test_a_request_to_a_look_alike_carries_no_token(make_auth: Any, library: str, url: str) -> None:
    network = Network(lambda url: (200, {}))
    _run(library, network, make_auth(), url)
    assert network.told <= LISTED, f"the token went to {network.told - LISTED}"


@library
@pytest.mark.parametrize("url", SAME, ids=ascii)
def test_a_request_to_the_api_carries_it_however_the_address_is_written(make_auth: Any, library: str, url: str) -> None:
    network = Network(lambda url: (200, {}))
    assert _run(library, network, make_auth(), url) == 200
    assert network.told == LISTED


@library
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_a_look_alike_carries_no_token(make_auth: Any, library: str, status: int) -> None:
    auth = make_auth()
    for target in [*LOOK_ALIKES, *SAME, "/here", "//api.aries.com/", "?query"]:
        answered: Iterator[Any] = itertools.chain(
            [(status, {"Location": target.encode("unicode_escape").decode("ascii") if "\n" in target else target})],
            itertools.repeat((200, {})),
        )
        network = Network(lambda url, answered=answered: next(answered))  # type: ignore[misc]
        _run(library, network, auth, f"{API}/v1/start")
        assert network.sent[0] == (("https", "api.aries.com", 443), True)
        assert network.told <= LISTED, f"{status} to {target!r}: the token went to {network.told - LISTED}"


ROUTES = {
    "away": [FAR],
    "away and back": [FAR, API],
    "away, back and away again": [FAR, API, FAR],
    "away, further, and back": [FAR, "https://worse.example", API],
    "to another port and back": [f"{API}:8443", API],
    "to plain http": ["http://evil.example"],
    "to plain http of the API": ["http://api.aries.com"],
    "to plain http of the API and back": ["http://api.aries.com", API],
    "to itself with a user": ["https://user:pass@api.aries.com"],
    "away with a user": ["https://api.aries.com:x@evil.example"],
}


@library
@pytest.mark.parametrize("start", [API, FAR], ids=["from the API", "from elsewhere"])
@pytest.mark.parametrize("last", [200, 401], ids=["200 at the end", "401 at the end"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_chain_of_redirects_carries_the_token_to_listed_origins_alone(
    make_auth: Any, library: str, status: int, last: int, start: str
) -> None:
    for name, route in ROUTES.items():
        stops = [start, *route]
        # A request is known by its path, so that one that is resent after a 401 is answered like the first.
        answers = {
            f"/{number}": (status, {"Location": f"{stop}/{number + 1}"}) for number, stop in enumerate(stops[1:])
        }
        network = Network(lambda url, answers=answers: answers.get(f"/{url.rpartition('/')[2]}", (last, {})))  # type: ignore[misc]
        with contextlib.suppress(InsecureTransportError):
            _run(library, network, make_auth(), f"{start}/0")
        assert network.told <= LISTED, f"{name}, {status}: the token went to {network.told - LISTED}"


IPV6 = "https://[2001:db8::1]:8443"


@library
@pytest.mark.parametrize(
    "url, same",
    [
        ("https://[2001:db8::1]:8443/", True),
        ("https://[2001:DB8::1]:8443/", True),
        ("https://[2001:db8::1]/", False),
        ("https://[2001:db8::1]:8444/", False),
        ("https://[2001:db8::2]:8443/", False),
        ("https://[2001:db8::1%25eth0]:8443/", False),
        ("https://[::ffff:2001:db8]:8443/", False),
        ("https://user@[2001:db8::2]:8443/", False),
    ],
)
def test_ipv6_literals_are_told_apart(make_auth: Any, library: str, url: str, same: bool) -> None:
    network = Network(lambda url: (200, {}))
    _run(library, network, make_auth(IPV6), url)
    assert bool(network.told) is same
    assert {host.lower() for _, host, _ in network.told} <= {"2001:db8::1"}


@library
def test_a_401_from_elsewhere_is_handed_back_and_nothing_is_refreshed(make_auth: Any, library: str) -> None:
    network = Network(lambda url: (302, {"Location": f"{FAR}/"}) if "aries" in url else (401, {}))
    assert _run(library, network, make_auth(), f"{API}/") == 401
    assert [carried for _, carried in network.sent] == [True, False]
