"""What is said of requests alone, and every kind of body that it sends."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
import requests

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


@pytest.fixture
def session(auth: AriesAuth) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.auth = auth
        yield session


class Lines:
    """An iterable that gives a new iterator each time."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"one ", b"two"])


class Pipe:
    """A file that can't be rewound."""

    def __init__(self) -> None:
        self._data = io.BytesIO(b"piped")

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)


class Tape(io.BytesIO):
    """A file that looks seekable, and does not know where it is."""

    def tell(self) -> int:
        raise OSError("illegal seek")


class ClosedAtItsEnd(io.BytesIO):
    """A file that can't be rewound any more, once it has been read."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data:
            self.close()
        return data


class SaysNothingOfItself(io.BytesIO):
    """A file whose `seekable` fails."""

    def seekable(self) -> bool:
        raise ValueError("detached")


def file_at_an_offset(folder: Path) -> Any:
    path = folder / "body"
    path.write_bytes(b"skipped,sent")
    file = path.open("rb")
    file.seek(8)
    return file


@pytest.mark.parametrize(
    "body, sent",
    [
        (b"bytes", "bytes"),
        ("text", "text"),
        ({"a": "1"}, "a=1"),
        (bytearray(b"array"), "array"),
        (lambda: io.BytesIO(b"in memory"), "in memory"),
        (Lines(), "one two"),
    ],
    ids=["bytes", "text", "form", "bytearray", "BytesIO", "iterable"],
)
def test_a_body_that_can_be_read_again_is_resent(session: requests.Session, url: str, body: Any, sent: str) -> None:
    answer = session.post(url, data=body() if callable(body) else body)
    assert (answer.status_code, answer.json()["body"]) == (200, sent)
    assert len(answer.history) == 1


def test_json_is_resent(session: requests.Session, url: str) -> None:
    assert session.post(url, json={"a": 1}).json()["body"] == '{"a": 1}'


def test_a_seekable_file_is_rewound_to_where_it_stood(session: requests.Session, url: str, tmp_path: Path) -> None:
    with file_at_an_offset(tmp_path) as file:
        assert session.post(url, data=file).json()["body"] == "sent"


class Spooled:
    """A file that can be rewound and does not say so, as `tempfile.SpooledTemporaryFile` before Python 3.11."""

    def __init__(self) -> None:
        data = io.BytesIO(b"spooled")
        self.read, self.seek, self.tell, self.__iter__ = data.read, data.seek, data.tell, data.__iter__


def test_a_file_that_does_not_say_whether_it_is_seekable_is_rewound(session: requests.Session, url: str) -> None:
    assert session.post(url, data=Spooled()).json()["body"] == "spooled"


def test_multipart_is_resent_whole(session: requests.Session, url: str) -> None:
    body = session.post(url, files={"file": io.BytesIO(b"uploaded")}).json()["body"]
    assert body.count("uploaded") == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: iter([b"once"]),
        Pipe,
        lambda: (part for part in [b"once"]),
        lambda: Tape(b"once"),
        lambda: ClosedAtItsEnd(b"once"),
        lambda: SaysNothingOfItself(b"once"),
    ],
)
def test_a_body_that_cannot_be_replayed_is_not_resent(
    session: requests.Session, aries: AriesSandbox, url: str, make: Callable[[], Any]
) -> None:
    assert session.post(url, data=make()).status_code == 401
    assert len(aries.api_requests) == 1
    assert session.get(url).status_code == 200
    assert aries.refresh_count == 1, "the next call had its token"


def test_the_401_is_drained_and_stands_in_the_history(session: requests.Session, auth: AriesAuth, url: str) -> None:
    refused = auth.get_token()
    answer = session.get(url, stream=True)
    [first] = answer.history
    assert first.status_code == 401
    assert first._content_consumed  # type: ignore[attr-defined]
    assert first.request.headers["Authorization"] == f"Bearer {refused}"
    assert answer.request.headers["Authorization"] == f"Bearer {auth.get_token()}"


def test_a_401_that_breaks_off_is_resent_all_the_same(session: requests.Session, aries: AriesSandbox, url: str) -> None:
    aries.fail("api", status=401, body=b"no", headers={"Content-Length": 200, "Connection": "close"})
    assert session.get(url).status_code == 200
    assert aries.refresh_count == 1


def test_a_401_that_another_hook_has_read_is_resent_all_the_same(
    auth: AriesAuth, session: requests.Session, url: str
) -> None:
    class Reading(AriesAuth):
        def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
            r.register_hook("response", lambda response, **_: list(response.iter_content()) and None)
            return super().__call__(r)

    auth.__class__ = Reading
    assert session.get(url).status_code == 200


def test_a_file_that_was_closed_meanwhile_is_not_resent(
    auth: AriesAuth, session: requests.Session, aries: AriesSandbox, url: str
) -> None:
    file = io.BytesIO(b"closed")

    class Closing(AriesAuth):
        def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
            r.register_hook("response", lambda *_, **__: file.close())
            return super().__call__(r)

    auth.__class__ = Closing
    assert session.post(url, data=file).status_code == 401
    assert len(aries.api_requests) == 1


def test_the_connection_of_the_401_is_used_again(session: requests.Session, url: str) -> None:
    assert session.get(url).status_code == 200
    [pool] = session.adapters["http://"].poolmanager.pools._container.values()  # type: ignore[attr-defined]
    assert pool.num_connections == 1
    assert pool.num_requests == 2


@pytest.mark.parametrize("api_status", [200, 401])
def test_a_response_body_is_not_read_by_the_plugin(
    session: requests.Session, auth: AriesAuth, aries: AriesSandbox, url: str, api_status: int
) -> None:
    auth.refresh()
    if api_status == 401:  # of a young token: handed back
        aries.revoke_access_tokens()
    with session.get(url, stream=True) as answer:
        assert answer.status_code == api_status
        assert not answer._content_consumed  # type: ignore[attr-defined]


def test_the_callers_hooks_see_the_answer_of_the_resend(session: requests.Session, url: str) -> None:
    seen: list[int] = []
    session.hooks["response"].append(lambda response, **_: seen.append(response.status_code))
    session.get(url, hooks={"response": lambda response, **_: seen.append(response.status_code)})
    assert set(seen) == {200}


def test_cookies_set_by_the_401_are_kept(session: requests.Session, aries: AriesSandbox, url: str) -> None:
    aries.fail("api", status=401, headers={"Set-Cookie": "seen=1; Path=/"})
    assert session.get(url).status_code == 200
    assert session.cookies["seen"] == "1"


def test_a_session_without_auth_uses_it_for_one_call(auth: AriesAuth, url: str) -> None:
    assert requests.get(url, auth=auth).json()["token"] == fingerprint(auth.get_token())


def test_a_prepared_request_can_be_sent_again(session: requests.Session, aries: AriesSandbox, url: str) -> None:
    prepared = session.prepare_request(requests.Request("POST", url, data=b"body"))
    assert session.send(prepared).status_code == 200
    assert session.send(prepared).json()["body"] == "body"
    assert [request.status for request in aries.api_requests] == [401, 200, 200]


def test_the_history_is_that_of_requests_where_a_redirect_follows(
    session: requests.Session, aries: AriesSandbox, url: str
) -> None:
    aries.fail("api", status=401, path="/v1/redirect")
    answer = session.get(f"{aries.url}/v1/redirect", params={"to": url})
    assert answer.status_code == 200
    assert [hop.status_code for hop in answer.history] == [307]


def test_a_hop_that_has_dropped_its_body_is_resent(session: requests.Session, aries: AriesSandbox, url: str) -> None:
    aries.fail("api", status=303, headers={"Location": url}, path="/v1/elsewhere", processed=True)
    answer = session.post(f"{aries.api_url}/v1/elsewhere", data=iter([b"once"]))
    assert (answer.status_code, answer.json()["method"]) == (200, "GET")
    assert [request.status for request in aries.api_requests] == [303, 401, 200]


def test_a_body_that_came_after_the_token_and_can_be_read_once_is_not_resent(
    auth: AriesAuth, session: requests.Session, aries: AriesSandbox, url: str
) -> None:
    class Signing(AriesAuth):
        def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
            r = super().__call__(r)
            del r.headers["Content-Length"]
            r.prepare_body(iter([b"signed"]), None)
            return r

    auth.__class__ = Signing
    assert session.post(url).status_code == 401
    assert len(aries.api_requests) == 1


def test_an_adapter_without_a_connection_gets_its_401_back(auth: AriesAuth, aries: AriesSandbox, url: str) -> None:
    class Canned(requests.adapters.BaseAdapter):
        def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
            response = requests.Response()
            response.status_code, response.request, response.url = 401, request, request.url or ""
            response.raw = io.BytesIO()
            return response

        def close(self) -> None:
            pass

    with requests.Session() as session:
        session.mount("http://", Canned())
        assert session.get(url, auth=auth).status_code == 401
    assert aries.refresh_count == 1


def test_an_error_closes_the_401(session: requests.Session, aries: AriesSandbox, url: str) -> None:
    aries.revoke_grants()
    with pytest.raises(LoginRequired):
        session.get(url, stream=True)
    pools: Any = session.adapters["http://"].poolmanager.pools  # type: ignore[attr-defined]
    if not hasattr(pools, "keys"):
        pytest.skip("urllib3-future stands in urllib3's place, and keeps its connections otherwise")
    [pool] = pools._container.values()
    assert pool.pool.qsize() == pool.pool.maxsize, "its connection is back"
