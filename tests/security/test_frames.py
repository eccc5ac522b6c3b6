"""Frames: what a traceback with its local variables shows of a token, when a call to the API fails on its way.

Sentry, `pytest --showlocals` and rich print the local variables of every frame. A frame of ours holds no token; the
frames of an HTTP library hold the header. The value that `AriesAuth` puts there hides itself, for as long as the
library keeps it as text. http.client makes bytes of it, and holds them while it connects or writes.
"""

from __future__ import annotations

import asyncio
import io
import pprint
import socket
import ssl
import struct
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import httpx
import pytest
import requests

from aries_auth import AriesAuth, FileTokenStore, Token
from aries_auth.token_endpoint.sender import Sender

trustme = pytest.importorskip("trustme", reason="needs cryptography")

TOKEN = "eyJhbGciOiJub25lIn0." + "c2VjcmV0" * 20
SECRETS = (TOKEN, TOKEN[:30], "refresh-token-secret", "client-secret-secret")
FAULTS = ["refused", "reset", "timed out"]


class Line:
    """An address that answers no call: `how` says what happens to one."""

    def __init__(self, how: str, context: ssl.SSLContext | None = None) -> None:
        self._how = how
        self._context = context
        self._held: list[Any] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        if how == "refused":
            self._listener.close()
        else:
            threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection: Any = self._listener.accept()[0]
                if self._context is not None:
                    connection = self._context.wrap_socket(connection, server_side=True)
                connection.recv(65536)
            except OSError:
                return
            if self._how == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
            self._held.append(connection)

    def close(self) -> None:
        if self._how != "refused":
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for connection in self._held:
            connection.close()


@pytest.fixture(params=FAULTS)
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def line(how: str) -> Iterator[Line]:
    line = Line(how)
    yield line
    line.close()


@pytest.fixture
def bundle(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return context, str(tmp_path / "ca.pem")


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], AriesAuth]:
    """An `AriesAuth` with a token that lives for an hour, for one origin."""

    def make(origin: str, **changes: Any) -> AriesAuth:
        store = FileTokenStore(tmp_path / "token.json")
        now = time.time()
        store.save(
            Token(
                TOKEN,
                "refresh-token-secret",
                obtained_at=now,
                expires_at=now + 3600,
                client_id="c",
                redirect_uri="http://127.0.0.1/",
            )
        )
        return AriesAuth("c", "client-secret-secret", store=store, api_origins=[origin], **changes)

    return make


def shown(exc: BaseException | None) -> list[str]:
    """Where the frames of an exception and of all behind it show a secret: module, function, variable, type."""
    places: list[str] = []
    seen: set[int] = set()
    pending = [exc]
    while pending:
        exc = pending.pop()
        if exc is None or id(exc) in seen:
            continue
        seen.add(id(exc))
        pending += [exc.__cause__, exc.__context__]
        if any(secret in f"{exc} {exc!r} {exc.args!r}" for secret in SECRETS):
            places.append("the exception itself")
        step = exc.__traceback__
        while step is not None:
            frame, step = step.tb_frame, step.tb_next
            if frame.f_globals.get("__name__") == __name__:
                continue  # of this module, which names the secrets
            for name, value in frame.f_locals.items():
                if any(secret in _repr(value) for secret in SECRETS):
                    where = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}"
                    places.append(f"{where}: {name}, {type(value).__name__}")
    return places


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception:
        return ""


def failing(call: Callable[[], Any]) -> BaseException:
    with pytest.raises((requests.RequestException, httpx.HTTPError)) as failed:
        call()
    return failed.value


def only_bytes_of_http_client(places: list[str]) -> bool:
    return all(place.startswith("http.client.") and place.endswith(", bytes") for place in places)


@pytest.mark.parametrize("body", [None, {"a": 1}], ids=["GET", "POST"])
def test_requests_shows_no_token_but_in_the_bytes_of_http_client(
    how: str, line: Line, make: Callable[[str], AriesAuth], body: Any
) -> None:
    origin = f"http://127.0.0.1:{line.port}"
    auth = make(origin)
    method = "GET" if body is None else "POST"
    places = shown(failing(lambda: requests.request(method, f"{origin}/v1/x", json=body, auth=auth, timeout=0.3)))
    assert only_bytes_of_http_client(places), places
    if how != "refused":  # then it has written them, and no frame that is left holds them
        assert places == []


def test_over_https_requests_shows_none(
    how: str, bundle: tuple[ssl.SSLContext, str], make: Callable[[str], AriesAuth]
) -> None:
    context, trusted = bundle
    line = Line(how, context)
    origin = f"https://localhost:{line.port}"
    auth = make(origin)
    exc = failing(lambda: requests.get(f"{origin}/v1/x", auth=auth, timeout=0.5, verify=trusted))
    line.close()
    places = shown(exc)
    assert only_bytes_of_http_client(places), places
    # urllib3 2 connects before it hands the header on; 1.26 does so for http alone.
    assert places == []


def test_httpx_shows_none(how: str, line: Line, make: Callable[[str], AriesAuth]) -> None:
    origin = f"http://127.0.0.1:{line.port}"
    auth = make(origin)
    assert shown(failing(lambda: httpx.get(f"{origin}/v1/x", auth=auth, timeout=0.3))) == []


def test_httpx_async_shows_none(how: str, line: Line, make: Callable[[str], AriesAuth]) -> None:
    origin = f"http://127.0.0.1:{line.port}"
    auth = make(origin)

    async def call() -> None:
        async with httpx.AsyncClient(auth=auth, timeout=0.3) as client:
            await client.get(f"{origin}/v1/x")

    assert shown(failing(lambda: asyncio.run(call()))) == []


def test_the_walk_would_find_a_plain_header() -> None:
    line = Line("reset")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    places = shown(failing(lambda: requests.get(f"http://127.0.0.1:{line.port}/x", headers=headers, timeout=0.3)))
    line.close()
    assert len(places) >= 4


def test_a_token_request_that_fails_shows_nothing(line: Line, make: Callable[..., AriesAuth]) -> None:
    auth = make("http://127.0.0.1", token_url=f"http://127.0.0.1:{line.port}/token", timeout=0.5)
    with pytest.raises(Exception) as failed:  # noqa: PT011 - whichever it is
        auth.refresh()
    assert shown(failed.value) == []


def test_a_proxys_password_that_a_call_told_is_not_shown_by_what_prints_variables() -> None:
    sender = Sender.of_call("requests", "https://api.aries.com", {"proxies": {"https": "http://user:secret@proxy:1"}})
    assert sender.options_at("https://api.aries.com")["proxies"]["https"] == "http://user:secret@proxy:1"
    for printed in (repr(sender), pprint.pformat(sender)):
        assert "requests" in printed
        assert "secret" not in printed


class TestPrinters:
    """The value in the header under the programs that print local variables."""

    @pytest.fixture
    def header(self, make: Callable[[str], AriesAuth]) -> str:
        auth = make("https://api.aries.com")
        prepared = requests.Request("GET", "https://api.aries.com/v1/x", auth=auth).prepare()
        return prepared.headers["Authorization"]

    def test_requests_and_httpx_send_it_as_it_is(self, header: str, make: Callable[[str], AriesAuth]) -> None:
        assert header.encode("latin-1") == f"Bearer {TOKEN}".encode()
        flow = make("https://api.aries.com").sync_auth_flow(httpx.Request("GET", "https://api.aries.com/v1/x"))
        sent = next(flow)
        flow.close()
        assert sent.headers["Authorization"] == f"Bearer {TOKEN}"
        assert TOKEN not in repr(sent.headers)

    def test_repr_hides_it_alone_and_inside_what_holds_it(self, header: str) -> None:
        kept = requests.structures.CaseInsensitiveDict({"Authorization": header})
        for value in (header, kept, {"a": [header]}, (header,)):
            assert TOKEN[:10] not in repr(value)

    def test_rich_hides_it_although_it_cuts_long_text(self, header: str) -> None:
        rich = pytest.importorskip("rich.traceback", reason="pip install rich")
        from rich.console import Console

        def act(value: str) -> None:
            raise ValueError

        printed = io.StringIO()
        try:
            act(header)
        except ValueError as exc:
            trace = rich.Traceback.from_exception(type(exc), exc, exc.__traceback__.tb_next, show_locals=True)  # type: ignore[union-attr]
            Console(file=printed, width=200).print(trace)
        assert "value" in printed.getvalue()
        assert TOKEN[:10] not in printed.getvalue()

    @pytest.mark.ci
    def test_pytest_hides_it_with_showlocals(self, tmp_path: Path) -> None:
        (tmp_path / "test_it.py").write_text(
            textwrap.dedent(
                f"""
                import time
                import requests
                from aries_auth import AriesAuth, FileTokenStore, Token

                def header(tmp_path):
                    store = FileTokenStore(tmp_path / "token.json")
                    token = "".join(("{TOKEN[:40]}", "{TOKEN[40:]}"))
                    store.save(Token(token, expires_at=time.time() + 3600, client_id="c"))
                    auth = AriesAuth("c", "s", "http://127.0.0.1/", store=store)
                    return requests.Request("GET", "https://api.aries.com/v1/x", auth=auth).prepare().headers

                def test_it(tmp_path):
                    headers = header(tmp_path)
                    value = headers["Authorization"]
                    assert False
                """
            )
        )
        for verbose in ("-l", "-lvv"):
            done = subprocess.run(
                [sys.executable, "-m", "pytest", verbose, "-p", "no:cacheprovider", str(tmp_path / "test_it.py")],
                capture_output=True, text=True, check=False, timeout=60, env=None,
            )  # fmt: skip
            assert "headers" in done.stdout
            assert "1 failed" in done.stdout
            # The names of the two halves stand in the source of the helper, which is not in the traceback.
            assert TOKEN[:20] not in done.stdout
