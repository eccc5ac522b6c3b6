"""The middleware for aiohttp, in what the tests of every library (tests/auth) don't see: hops, bodies, websockets."""

from __future__ import annotations

import asyncio
import io
import logging
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, AsyncIterator, Awaitable, Callable, TypeVar

import pytest

from aries_auth import AriesAuth, ConfigurationError, FileTokenStore, InsecureTransportError, LoginRequired, Token
from aries_auth.integrations.aiohttp import AriesMiddleware
from aries_auth.testing import AriesSandbox, fingerprint

aiohttp = pytest.importorskip("aiohttp", minversion="3.12", reason="needs aiohttp 3.12")

T = TypeVar("T")
OLD = 100.0  # seconds; beyond the youth of 30


@pytest.fixture
def auth(make_auth: Callable[..., AriesAuth], stored: Callable[..., Token]) -> AriesAuth:
    stored(age=OLD)
    return make_auth()


@pytest.fixture
def other() -> Any:
    with AriesSandbox() as sandbox:
        yield sandbox


def in_session(auth: AriesAuth, act: Callable[[Any], Awaitable[T]]) -> T:
    async def main() -> T:
        async with aiohttp.ClientSession(middlewares=(AriesMiddleware(auth),)) as session:
            return await act(session)

    return asyncio.run(main())


async def get(session: Any, url: str, **options: Any) -> tuple[int, Any]:
    async with session.get(url, **options) as response:
        return response.status, await response.json()


def test_20_calls_that_are_refused_at_once_make_one_refresh(auth: AriesAuth, aries: AriesSandbox, url: str) -> None:
    auth.get_token()
    aries.revoke_access_tokens()
    aries.fail("api", status=401, delay=0.3, times=10)  # half of the refusals come when the refresh is over

    async def act(session: Any) -> Any:
        return await asyncio.gather(*(get(session, url) for _ in range(20)))

    assert [status for status, _ in in_session(auth, act)] == [200] * 20
    assert aries.refresh_count == 1
    assert len(aries.token_requests) == 1


def test_a_refused_connection_is_used_again(auth: AriesAuth, aries: AriesSandbox, url: str) -> None:
    aries.revoke_access_tokens()

    async def act(session: Any) -> Any:
        await get(session, url)
        return sum(len(group) for group in session.connector._conns.values())

    assert in_session(auth, act) == 1


def test_after_a_redirect_to_another_origin_nothing_is_added_back(
    auth: AriesAuth, aries: AriesSandbox, other: AriesSandbox, url: str
) -> None:
    """api -> a foreign host -> api: the last hop is of a listed origin, and goes out as the foreign host sent it."""
    back = f"{other.url}/v1/redirect"
    status, _ = in_session(
        auth, lambda session: get(session, f"{aries.url}/v1/redirect?to={back}%3Fto%3D{url}", max_redirects=5)
    )
    assert status == 401
    assert [request.fingerprint for request in other.api_requests] == [None]
    assert [request.fingerprint is not None for request in aries.api_requests] == [True, False]
    assert aries.token_requests == (), "a 401 to a call without a token says nothing about the token"


def test_a_redirect_that_a_program_follows_itself_is_a_new_call(
    auth: AriesAuth, aries: AriesSandbox, other: AriesSandbox, url: str
) -> None:
    async def act(session: Any) -> Any:
        async with session.get(f"{other.url}/v1/redirect?to={url}", allow_redirects=False) as response:
            assert response.status == 307
        return await get(session, url)

    assert in_session(auth, act)[0] == 200


def test_two_middlewares_of_a_session_keep_to_their_own_origins(
    auth: AriesAuth, aries: AriesSandbox, other: AriesSandbox, url: str, tmp_path: Path
) -> None:
    """Live trading and paper trading, say. Nothing is added back after a redirect by either."""
    store = FileTokenStore(tmp_path / "other.json")
    token = other.issue_token(age=OLD)
    store.save(token)

    async def main() -> list[int]:
        both = (AriesMiddleware(auth), AriesMiddleware(other.auth(store=store)))
        async with aiohttp.ClientSession(middlewares=both) as session:
            away = f"{other.url}/v1/redirect?to={url}"
            urls = [url, f"{other.url}/v1/echo", f"{aries.url}/v1/redirect?to={away}"]
            return [(await get(session, each))[0] for each in urls]

    assert asyncio.run(main()) == [200, 200, 401]
    own, others = fingerprint(auth.get_token()), fingerprint(token.access_token)
    assert [request.fingerprint for request in aries.api_requests] == [own, own, None]
    assert [request.fingerprint for request in other.api_requests] == [others, None]


def test_plain_http_to_a_listed_host_is_refused(make_auth: Callable[..., AriesAuth], stored: Any) -> None:
    stored()
    auth = make_auth(api_origins=["https://api.aries.com"])
    for scheme, call in (("http", "get"), ("ws", "ws_connect")):
        with pytest.raises(InsecureTransportError, match=r"api\.aries\.com"):
            in_session(auth, lambda session, c=call, s=scheme: getattr(session, c)(f"{s}://api.aries.com/v1"))


def test_another_host_gets_no_token(auth: AriesAuth, other: AriesSandbox) -> None:
    in_session(auth, lambda session: get(session, f"{other.url}/v1/echo"))
    assert [request.fingerprint for request in other.api_requests] == [None]


@pytest.mark.parametrize("kind", ["bytes", "json", "form", "multipart", "file", "file from the middle"])
def test_a_body_that_can_be_sent_again_is(auth: AriesAuth, aries: AriesSandbox, url: str, kind: str, tmp_path) -> None:
    (tmp_path / "body").write_bytes(b"the body")
    file = (tmp_path / "body").open("rb")
    if kind == "file from the middle":
        file.seek(4)
    form = aiohttp.FormData()
    form.add_field("part", io.BytesIO(b"the body"), filename="name")
    options = {
        "bytes": {"data": b"the body"},
        "json": {"json": "the body"},
        "form": {"data": {"a": "the body"}},
        "multipart": {"data": form},
        "file": {"data": file},
        "file from the middle": {"data": file},
    }[kind]
    aries.revoke_access_tokens()

    async def act(session: Any) -> Any:
        async with session.post(url, **options) as response:
            return response.status, await response.json()

    status, seen = in_session(auth, act)
    file.close()
    if kind in ("multipart", "file", "file from the middle") and not hasattr(aiohttp.Payload, "consumed"):
        assert status == 401, "this aiohttp (3.12.0 and 3.12.1) closes what it has sent"
        return
    assert status == 200
    assert ("body" if kind == "file from the middle" else "the") in seen["body"].replace("+", " ")
    assert [request.status for request in aries.api_requests] == [401, 200]


class Pipe(io.RawIOBase):
    """A file that can't be rewound."""

    def __init__(self) -> None:
        self._left = b"once"

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        read, self._left = self._left, b""
        return read


async def generated() -> AsyncIterator[bytes]:
    yield b"once"


def form_with(part: Any) -> Any:
    form = aiohttp.FormData()
    form.add_field("part", part, filename="name", content_type="text/plain")
    return form


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(generated, id="generator"),
        pytest.param(Pipe, id="pipe"),
        pytest.param(lambda: form_with(generated()), id="multipart with a generator"),
        pytest.param(lambda: form_with(Pipe()), id="multipart with a pipe"),
    ],
)
def test_a_body_that_can_be_read_once_is_handed_back_and_the_next_call_has_the_new_token(
    auth: AriesAuth, aries: AriesSandbox, url: str, body: Callable[[], Any]
) -> None:
    async def act(session: Any) -> Any:
        answers = []
        for _ in range(2):
            async with session.post(url, data=body()) as response:
                answers.append((response.status, "once" in await response.text()))
        return answers

    auth.get_token()
    aries.revoke_access_tokens()
    assert in_session(auth, act) == [(401, False), (200, True)]
    assert aries.refresh_count == 1


def test_a_dead_grant_is_login_required(auth: AriesAuth, aries: AriesSandbox, url: str) -> None:
    aries.revoke_grants()
    with pytest.raises(LoginRequired, match="aries-auth login"):
        in_session(auth, lambda session: get(session, url))


def test_a_websocket_gets_the_token_and_a_refused_handshake_is_sent_again(auth: AriesAuth, aries: AriesSandbox) -> None:
    refused = auth.get_token()
    aries.fail("api", status=401, path="/v1/market/ws")

    async def act(session: Any) -> Any:
        async with session.ws_connect(f"{aries.url.replace('http', 'ws')}/v1/market/ws") as socket:
            return socket.closed

    assert in_session(auth, act) is False
    new = fingerprint(auth.get_token())
    assert [(r.status, r.fingerprint) for r in aries.api_requests] == [(401, fingerprint(refused)), (101, new)]
    assert aries.refresh_count == 1


def test_fsspec_reads_through_its_client_kwargs(auth: AriesAuth, aries: AriesSandbox) -> None:
    fsspec = pytest.importorskip("fsspec", reason="needs fsspec")
    if "trio_asyncio" in sys.modules:  # only where a later file was named first
        pytest.skip("trio-asyncio, once loaded, breaks the loop of fsspec's thread")
    auth.get_token()
    aries.revoke_access_tokens()
    filesystem = fsspec.filesystem(
        "http", client_kwargs={"middlewares": (AriesMiddleware(auth),)}, skip_instance_cache=True
    )
    content = filesystem.cat(f"{aries.url}/v1/echo")
    assert fingerprint(auth.get_token()).encode() in content
    assert aries.refresh_count == 1


def test_gql_takes_it_in_its_client_session_args(auth: AriesAuth, aries: AriesSandbox) -> None:
    gql = pytest.importorskip("gql", reason="needs gql")
    from gql.transport.aiohttp import AIOHTTPTransport
    from gql.transport.exceptions import TransportError

    async def main() -> None:
        transport = AIOHTTPTransport(
            f"{aries.url}/v1/echo", client_session_args={"middlewares": [AriesMiddleware(auth)]}
        )
        async with gql.Client(transport=transport) as client:
            with pytest.raises(TransportError):  # an echo is no GraphQL answer
                await client.execute(gql.gql("{ me }"))

    aries.revoke_access_tokens()
    asyncio.run(main())
    assert [request.status for request in aries.api_requests] == [401, 200]


def test_neither_the_token_nor_the_secret_is_in_its_repr_or_a_log(
    auth: AriesAuth, aries: AriesSandbox, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        in_session(auth, lambda session: get(session, url))
    assert auth.get_token() not in caplog.text + repr(AriesMiddleware(auth))


def test_what_is_no_aries_auth_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="takes an AriesAuth, not str"):
        AriesMiddleware("token")  # type: ignore[arg-type]


@pytest.mark.parametrize("version", ["3.11.18", "3.9.0rc1", "2.3"])
def test_an_old_aiohttp_is_named_with_the_command_that_helps(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    old = types.ModuleType("aiohttp")
    old.__version__ = version  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "aiohttp", old)
    with pytest.raises(ConfigurationError, match=rf"3\.12 or later.*{version} is installed.*pip install --upgrade"):
        AriesMiddleware(AriesAuth())


def test_without_aiohttp_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['aiohttp'] = None\n"
        "from aries_auth import AriesAuth, ConfigurationError\n"
        "from aries_auth.integrations.aiohttp import AriesMiddleware\n"
        "try: AriesMiddleware(AriesAuth())\n"
        "except ConfigurationError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "pip install 'aiohttp>=3.12'" in done.stdout
