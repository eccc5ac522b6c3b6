"""What is said of httpx alone, and every kind of body that it sends. httpx2 is the same code under another name."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any, AsyncIterator, Callable, Iterator

import httpx
import pytest
import trio

from aries_auth import AriesAuth, LoginRequired, Token
from aries_auth.testing import AriesSandbox, fingerprint
from tests.conftest import FRESH

MakeAuth = Callable[..., AriesAuth]
Stored = Callable[..., Token]


@pytest.fixture
def auth(make_auth: MakeAuth, stored: Stored, aries: AriesSandbox) -> AriesAuth:
    """Holds a living token that the API refuses."""
    stored(age=FRESH)
    auth = make_auth()
    auth.get_token()
    aries.revoke_access_tokens()
    return auth


@pytest.fixture(params=["httpx", "httpx2"])
def module(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param, reason="needs Python 3.10")


@pytest.fixture
def client(module: Any, auth: AriesAuth) -> Iterator[Any]:
    with module.Client(auth=auth, follow_redirects=True, verify=False) as client:
        yield client


class Lines:
    """An iterable that gives a new iterator each time."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"one ", b"two"])


class AsyncLines:
    """The same for event loops."""

    async def parts(self) -> AsyncIterator[bytes]:
        for part in Lines():
            yield part

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.parts()


@pytest.mark.parametrize(
    "how, sent",
    [
        ({"content": b"bytes"}, "bytes"),
        ({"content": "text"}, "text"),
        ({"json": {"a": 1}}, None),
        ({"data": {"a": "1"}}, "a=1"),
        ({"content": lambda: io.BytesIO(b"in memory")}, "in memory"),
        ({"content": Lines()}, "one two"),
    ],
    ids=["bytes", "text", "json", "form", "BytesIO", "iterable"],
)
def test_a_body_that_can_be_read_again_is_resent(client: Any, url: str, how: Any, sent: str | None) -> None:
    answer = client.post(url, **{name: value() if callable(value) else value for name, value in how.items()})
    assert answer.status_code == 200
    assert answer.json()["body"].replace(" ", "") == (sent or '{"a":1}').replace(" ", "")
    assert len(answer.history) == 1


def test_a_seekable_file_is_rewound_to_where_it_stood(client: Any, url: str, tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(b"skipped,sent")
    with path.open("rb") as file:
        file.seek(8)
        headers = {"Content-Length": "4"}  # httpx takes the size of the whole file
        assert client.post(url, content=file, headers=headers).json()["body"] == "sent"


def test_multipart_is_resent_whole(client: Any, url: str) -> None:
    body = client.post(url, files={"file": io.BytesIO(b"uploaded")}, data={"field": "1"}).json()["body"]
    assert body.count("uploaded") == 1


class Pipe(io.RawIOBase):
    """A file that can't be rewound."""

    def __init__(self) -> None:
        self._data = io.BytesIO(b"piped")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)

    def __iter__(self) -> Iterator[bytes]:  # type: ignore[override]
        return iter(self._data)


def generator() -> Iterator[bytes]:
    yield b"once"


@pytest.mark.parametrize("make", [generator, lambda: iter([b"once"]), Pipe])
def test_a_body_that_cannot_be_replayed_is_not_resent(
    client: Any, aries: AriesSandbox, url: str, make: Callable[[], Any]
) -> None:
    assert client.post(url, content=make()).status_code == 401
    assert len(aries.api_requests) == 1
    assert client.get(url).status_code == 200
    assert aries.refresh_count == 1, "the next call had its token"


def test_a_multipart_upload_from_a_pipe_is_not_resent(client: Any, aries: AriesSandbox, url: str) -> None:
    assert client.post(url, files={"file": Pipe()}).status_code == 401
    assert len(aries.api_requests) == 1


@pytest.mark.parametrize("once, status", [(False, 200), (True, 401)])
def test_async_bodies(module: Any, auth: AriesAuth, url: str, once: bool, status: int) -> None:
    async def main() -> Any:
        async with module.AsyncClient(auth=auth, verify=False) as client:
            return await client.post(url, content=AsyncLines().parts() if once else AsyncLines())

    answer = asyncio.run(main())
    assert answer.status_code == status
    if not once:
        assert answer.json()["body"] == "one two"


def test_a_call_that_was_given_another_authorization_meanwhile_is_handed_back(
    module: Any, auth: AriesAuth, aries: AriesSandbox, url: str
) -> None:
    hooks = {"request": [lambda request: request.headers.update({"Authorization": "Basic eDp5"})]}
    with module.Client(auth=auth, event_hooks=hooks, verify=False) as client:
        assert client.get(url).status_code == 401
    assert len(aries.api_requests) == 1
    assert aries.token_requests == ()


def test_a_hop_that_has_dropped_its_body_is_resent(client: Any, aries: AriesSandbox, url: str) -> None:
    aries.fail("api", status=303, headers={"Location": url}, path="/v1/elsewhere", processed=True)
    answer = client.post(f"{aries.api_url}/v1/elsewhere", content=generator())
    assert (answer.status_code, answer.json()["method"]) == (200, "GET")
    assert [request.status for request in aries.api_requests] == [303, 401, 200]


class AsyncFile:
    """What a library of asynchronous files may give: read with `aread`, and but once."""

    def __init__(self) -> None:
        self._parts = AsyncLines().parts()

    async def aread(self, _size: int) -> bytes:
        async for part in self._parts:
            return part
        return b""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._parts


def test_an_asynchronous_file_is_not_resent(module: Any, auth: AriesAuth, aries: AriesSandbox, url: str) -> None:
    async def main() -> int:
        async with module.AsyncClient(auth=auth, verify=False) as client:
            return (await client.post(url, content=AsyncFile())).status_code

    assert asyncio.run(main()) == 401
    assert len(aries.api_requests) == 1


def test_a_file_of_trio_is_not_resent(
    module: Any, auth: AriesAuth, aries: AriesSandbox, url: str, tmp_path: Path
) -> None:
    (tmp_path / "body").write_bytes(b"sent")

    async def main() -> int:
        async with module.AsyncClient(auth=auth, verify=False) as client, await trio.open_file(
            tmp_path / "body", "rb"
        ) as file:
            return (await client.post(url, content=file)).status_code

    assert trio.run(main) == 401
    assert len(aries.api_requests) == 1


def test_a_stream_of_the_callers_own_that_says_nothing_of_itself_is_not_resent(
    module: Any, client: Any, aries: AriesSandbox, url: str
) -> None:
    class Own(module.SyncByteStream):  # type: ignore[misc,name-defined]
        def __iter__(self) -> Iterator[bytes]:
            yield b"own"

    headers = {"Host": url.split("/")[2], "Transfer-Encoding": "chunked"}
    assert client.send(module.Request("POST", url, headers=headers, stream=Own())).status_code == 401
    assert len(aries.api_requests) == 1


@pytest.mark.parametrize("name", ["ByteStream", "MultipartStream", "Own"])
def test_a_stream_of_the_callers_own_is_not_taken_for_the_librarys_by_its_name(
    module: Any, client: Any, aries: AriesSandbox, url: str, name: str
) -> None:
    own = type(name, (module.SyncByteStream,), {"__iter__": lambda self: self.parts})()
    own.parts = iter([b"once"])
    headers = {"Host": url.split("/")[2], "Transfer-Encoding": "chunked"}
    assert client.send(module.Request("POST", url, headers=headers, stream=own)).status_code == 401
    assert len(aries.api_requests) == 1


@pytest.mark.parametrize("api_status", [200, 401])
def test_a_response_body_is_not_read_by_the_plugin(
    client: Any, auth: AriesAuth, aries: AriesSandbox, url: str, api_status: int
) -> None:
    auth.refresh()
    if api_status == 401:  # of a young token: handed back
        aries.revoke_access_tokens()
    with client.stream("GET", url) as answer:
        assert answer.status_code == api_status
        assert not answer.is_stream_consumed


def test_a_streamed_answer_of_a_resend_is_whole(client: Any, auth: AriesAuth, url: str) -> None:
    with client.stream("GET", url) as answer:
        assert answer.status_code == 200
        answer.read()
        assert answer.json()["token"] == fingerprint(auth.get_token())


def test_the_history_holds_the_401(client: Any, url: str) -> None:
    assert [response.status_code for response in client.get(url).history] == [401]


def test_event_hooks_see_both_answers(module: Any, auth: AriesAuth, url: str) -> None:
    seen: list[int] = []
    hooks = {"response": [lambda response: seen.append(response.status_code)]}
    with module.Client(auth=auth, event_hooks=hooks) as client:
        client.get(url)
    assert seen == [401, 200]


def test_an_error_closes_the_401(module: Any, client: Any, aries: AriesSandbox, url: str) -> None:
    aries.revoke_grants()
    with pytest.raises(LoginRequired):
        client.get(url)
    assert all(connection.is_idle() or connection.is_closed() for connection in client._transport._pool.connections)


def test_a_call_may_name_it_for_itself(auth: AriesAuth, url: str) -> None:
    assert httpx.get(url, auth=auth).json()["token"] == fingerprint(auth.get_token())
