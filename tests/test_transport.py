"""Transport: when a token request is sent again, for how long, with which library, and what stays off it."""

from __future__ import annotations

import http.server
import re
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import httpx
import pytest
import requests
import urllib3
import urllib3.exceptions

from aries_auth import AriesAuth, ConfigurationError, Token, TokenRequestError
from aries_auth.testing import AriesSandbox
from aries_auth.token import Secret
from aries_auth.token_endpoint import protocol, retries
from aries_auth.token_endpoint.attempt import drop_inherited_connections, send_once
from aries_auth.token_endpoint.protocol import Credentials, TokenRequest
from aries_auth.token_endpoint.sender import Sender
from tests.conftest import EXPIRED

Stored = Callable[..., Token]
MakeAuth = Callable[..., AriesAuth]
LIBRARIES = ["requests", "niquests", "httpx", "httpx2"]
WITH_SESSIONS = ("requests", "niquests")


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param, reason=f"needs {request.param}")
    return str(request.param)


class VirtualTime:
    """A clock that only `pause` moves on."""

    def __init__(self, answer: bool = True) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self._answer = answer

    def monotonic(self) -> float:
        return self.now

    def pause(self, seconds: float) -> bool:
        if seconds:
            self.pauses.append(seconds)
        self.now += seconds
        return self._answer or not seconds


def request_for(aries: AriesSandbox, token: Token, url: str | None = None) -> TokenRequest:
    credentials = Credentials(aries.client_id, Secret(aries.client_secret), aries.redirect_uri)
    return protocol.refresh_request(url or aries.token_url, credentials, Secret(token.refresh_token or ""))


def send(
    request: TokenRequest, clock: VirtualTime, chance: float = 1.0, client: Any = None, library: str = "requests"
) -> retries.Outcome:
    return retries.send(
        request,
        client=client,
        sender=Sender(library),
        pause=clock.pause,
        monotonic=clock.monotonic,
        wall=lambda: 1_764_000_000.0,
        chance=lambda: chance,
    )


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_an_outage_is_ridden_out_for_30_s_and_the_last_attempt_falls_in_the_second_half(
    aries: AriesSandbox, chance: float
) -> None:
    aries.fail(status=503, times=None)
    clock = VirtualTime()
    outcome = send(request_for(aries, aries.issue_token()), clock, chance)
    assert outcome.error is not None
    assert (outcome.error.status_code, outcome.error.retryable) == (503, True)
    assert 15.0 <= outcome.sent_after <= clock.now <= 30.0
    assert len(aries.token_requests) == len(clock.pauses) + 1 <= 12


def test_the_back_off_is_exponential_with_jitter(aries: AriesSandbox) -> None:
    aries.fail(status=503, times=None)
    longest, shortest = VirtualTime(), VirtualTime()
    send(request_for(aries, aries.issue_token()), longest, 1.0)
    send(request_for(aries, aries.issue_token()), shortest, 0.0)
    assert longest.pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert shortest.pauses[:4] == [0.25, 0.5, 1.0, 2.0]


def test_the_last_attempt_has_time_for_its_answer(aries: AriesSandbox) -> None:
    aries.fail(status=503, times=None)
    for tenths in range(11):
        clock = VirtualTime()
        assert send(request_for(aries, aries.issue_token()), clock, tenths / 10).sent_after <= 27.0


@pytest.mark.parametrize("value", ["0", "Thu, 01 Jan 1970 00:00:00 GMT", "-1", "soon", ""])
def test_a_retry_after_that_asks_for_no_wait_is_no_invitation_to_storm(aries: AriesSandbox, value: str) -> None:
    aries.fail(status=503, headers={"Retry-After": value}, times=None)
    send(request_for(aries, aries.issue_token()), VirtualTime())
    assert 5 <= len(aries.token_requests) <= 12


@pytest.mark.parametrize("value, wait", [("7", 7.0), ("Mon, 24 Nov 2025 16:00:09 GMT", 9.0)])
def test_retry_after_counts_in_seconds_and_as_a_date(aries: AriesSandbox, value: str, wait: float) -> None:
    aries.fail(status=429, headers={"Retry-After": value})
    clock = VirtualTime()
    assert send(request_for(aries, aries.issue_token()), clock).error is None
    assert clock.pauses == [wait]


@pytest.mark.parametrize("value", ["31", "3600", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_retry_after_beyond_what_is_left_fails_at_once_and_is_remembered_for_a_minute_at_most(
    aries: AriesSandbox, value: str
) -> None:
    aries.fail(status=429, headers={"Retry-After": value})
    clock = VirtualTime()
    outcome = send(request_for(aries, aries.issue_token()), clock)
    assert outcome.error is not None
    assert outcome.error.retryable
    assert clock.pauses == []
    assert 31.0 <= outcome.remember <= 60.0


def test_no_attempt_is_started_when_the_interpreter_is_ending(aries: AriesSandbox) -> None:
    outcome = send(request_for(aries, aries.issue_token()), VirtualTime(), library="requests")
    assert outcome.error is None
    ended = retries.send(
        request_for(aries, aries.issue_token()), client=None, sender=Sender("requests"), pause=lambda _: False
    )
    assert ended.error is not None
    assert ended.error.retryable
    assert len(aries.token_requests) == 1


def test_a_back_off_that_is_cut_short_sends_no_more(aries: AriesSandbox) -> None:
    aries.fail(status=503, times=None)
    outcome = send(request_for(aries, aries.issue_token()), VirtualTime(answer=False))
    assert outcome.error is not None
    assert len(aries.token_requests) == 1


@pytest.mark.parametrize("drop", ["before", "after"])
def test_what_was_sent_and_not_answered_is_not_sent_again(aries: AriesSandbox, library: str, drop: str) -> None:
    aries.fail(drop=drop)
    clock = VirtualTime()
    outcome = send(request_for(aries, aries.issue_token()), clock, library=library)
    assert outcome.error is not None
    assert outcome.error.retryable
    assert clock.pauses == []
    assert len(aries.token_requests) == 1


def test_an_answer_that_breaks_off_is_not_sent_for_again(aries: AriesSandbox, library: str) -> None:
    aries.fail(headers={"Content-Length": "100000", "Connection": "close"})
    outcome = send(request_for(aries, aries.issue_token()), VirtualTime(), library=library)
    assert outcome.error is not None
    assert outcome.error.retryable
    assert len(aries.token_requests) == 1


def test_a_refusal_whose_reason_breaks_off_is_no_verdict(aries: AriesSandbox, library: str) -> None:
    # With no body at all it would be: the user would be sent to log in.
    aries.fail(status=401, headers={"Content-Length": "60", "Connection": "close"})
    outcome = send(request_for(aries, aries.issue_token()), VirtualTime(), library=library)
    assert outcome.answer is None
    assert outcome.error is not None
    assert outcome.error.retryable


def test_a_connection_that_is_refused_is_tried_again(aries: AriesSandbox, library: str) -> None:
    request = request_for(aries, aries.issue_token())
    aries.stop()
    clock = VirtualTime()
    outcome = send(request, clock, library=library)
    assert outcome.error is not None
    assert outcome.error.retryable
    assert len(clock.pauses) >= 5


def test_a_name_that_does_not_resolve_is_tried_again(aries: AriesSandbox, library: str) -> None:
    request = request_for(aries, aries.issue_token(), "https://aries.invalid/token")
    clock = VirtualTime()
    send(request, clock, library=library)
    assert len(clock.pauses) >= 5


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", b""])
def test_a_proxy_that_gives_no_tunnel_is_tried_again(
    aries: AriesSandbox, library: str, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.recv(65536)
                connection.sendall(answer)
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listener.getsockname()[1]}")
        clock = VirtualTime()
        outcome = send(request_for(aries, aries.issue_token(), "https://api.aries.com/token"), clock, library=library)
        listener.shutdown(socket.SHUT_RDWR)
    assert outcome.error is not None
    if answer:
        assert len(clock.pauses) >= 5, "certainly not sent"


def test_a_broken_connection_that_urllib3_blames_on_the_proxy_may_have_been_sent(aries: AriesSandbox) -> None:
    class Broken(requests.adapters.HTTPAdapter):
        """As urllib3 1.26 has it where there is a proxy and the connection breaks under the answer."""

        def send(self, *_: Any, **__: Any) -> requests.Response:  # type: ignore[override]
            reason = urllib3.exceptions.ProxyError("Cannot connect to proxy.", ConnectionResetError("reset by peer"))
            raise requests.exceptions.ProxyError(
                urllib3.exceptions.MaxRetryError(None, "/", reason)  # type: ignore[arg-type]
            )

    with requests.Session() as session:
        session.mount("http://", Broken())
        clock = VirtualTime()
        send(request_for(aries, aries.issue_token()), clock, client=session)
    assert clock.pauses == []


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A server whose certificate nobody trusts: its URL, and the bundle that would trust it."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = b'{"access_token": "a", "expires_in": 3600}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass

    authority = pytest.importorskip("trustme", reason="needs cryptography").CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://localhost:{server.server_port}/token", str(tmp_path / "ca.pem")
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_certificate_that_is_not_trusted_fails_at_once_and_is_not_retryable(
    aries: AriesSandbox, library: str, tls: tuple[str, str]
) -> None:
    clock = VirtualTime()
    outcome = send(request_for(aries, aries.issue_token(), tls[0]), clock, library=library)
    assert outcome.error is not None
    assert not outcome.error.retryable
    assert "certificate is not trusted" in str(outcome.error)
    assert clock.pauses == []


def test_a_certificate_of_another_name_is_not_trusted(aries: AriesSandbox, library: str, tls: tuple[str, str]) -> None:
    url, bundle = tls
    request = request_for(aries, aries.issue_token(), url.replace("localhost", "127.0.0.1"))
    client = _trusting(library, bundle)
    outcome = send(request, VirtualTime(), client=client)
    assert outcome.error is not None
    assert "certificate is not trusted" in str(outcome.error)
    client.close()


def _trusting(library: str, bundle: str) -> Any:
    if library in WITH_SESSIONS:
        session = _module(library).Session()
        session.verify = bundle
        return session
    return pytest.importorskip(library).Client(verify=ssl.create_default_context(cafile=bundle))


def test_a_private_ca_comes_with_the_token_client(aries: AriesSandbox, library: str, tls: tuple[str, str]) -> None:
    with _trusting(library, tls[1]) as client:
        assert send(request_for(aries, aries.issue_token(), tls[0]), VirtualTime(), client=client).error is None


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_librarys_own_variable_for_a_private_ca_works(
    aries: AriesSandbox, tls: tuple[str, str], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, tls[1])
    library = "requests" if variable.startswith("REQUESTS") else "httpx"
    assert send(request_for(aries, aries.issue_token(), tls[0]), VirtualTime(), library=library).error is None


class TestTheTokenClient:
    """A client's own auth, netrc and Authorization header stay off token requests, and it stays the caller's."""

    @pytest.fixture(autouse=True)
    def netrc(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
        (tmp_path / "netrc").chmod(0o600)
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    def client(self, library: str, **given: Any) -> Any:
        if library not in WITH_SESSIONS:
            return _module(library).Client(**given)
        session = _module(library).Session()
        for name, value in given.items():
            setattr(session, name, value)
        return session

    @pytest.mark.parametrize("given", [{}, {"auth": ("a", "b")}, {"headers": {"Authorization": "Basic eDp5"}}])
    def test_sends_no_credentials_but_the_bodys(
        self, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, library: str, given: Any
    ) -> None:
        stored(age=EXPIRED)
        with self.client(library, **given) as client:
            auth = make_auth(token_client=client)
            auth.get_token()
            auth.refresh()
        assert [request.had_authorization for request in aries.token_requests] == [False, False]

    def test_may_carry_another_content_type(
        self, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, library: str
    ) -> None:
        stored(age=EXPIRED)
        with self.client(library, headers={"Content-Type": "application/x-www-form-urlencoded"}) as client:
            assert make_auth(token_client=client).get_token()

    def test_may_follow_redirects_by_itself_and_does_not_here(
        self, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, library: str
    ) -> None:
        stored(age=EXPIRED)
        aries.fail(status=307, headers={"Location": aries.token_url})
        given = {} if library in WITH_SESSIONS else {"follow_redirects": True}
        with self.client(library, **given) as client, pytest.raises(TokenRequestError, match="Redirects"):
            make_auth(token_client=client).get_token()
        assert len(aries.token_requests) == 1

    def test_may_have_hooks_that_raise_for_status(
        self, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, library: str
    ) -> None:
        def check(response: Any, **_: Any) -> None:
            response.raise_for_status()

        hooks = {"hooks": {"response": [check]}} if library in WITH_SESSIONS else {"event_hooks": {"response": [check]}}
        stored(age=EXPIRED)
        aries.fail(status=503)
        with self.client(library, **hooks) as client:
            assert make_auth(token_client=client).get_token()

    def test_stays_open(self, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, library: str) -> None:
        stored(age=EXPIRED)
        with self.client(library) as client:
            make_auth(token_client=client).get_token()
            drop_inherited_connections(client)
            assert client.get(f"{aries.url}/v1/echo").status_code == 401

    @pytest.mark.parametrize("client", [object(), "requests", httpx.AsyncClient, requests])
    def test_must_be_one(self, client: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"requests\.Session or an httpx\.Client"):
            AriesAuth(token_client=client)


def test_which_library_sends_is_that_of_the_call_and_says_who_it_is(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, url: str, library: str
) -> None:
    stored(age=EXPIRED)
    module = _module(library)
    module.get(url, auth=make_auth())
    [agent] = [request.user_agent for request in aries.token_requests]
    assert re.fullmatch(rf"aries-auth/\S+ \({library}/{module.__version__}; python/[\d.]+\S*\)", agent or "")


@pytest.mark.parametrize("act", ["get_token", "refresh"])
def test_httpx_sends_for_get_token_and_refresh(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, act: str
) -> None:
    stored(age=EXPIRED)
    getattr(make_auth(), act)()
    assert "(httpx/" in (aries.token_requests[0].user_agent or "")


def test_the_token_client_goes_before_the_library_of_the_call(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, url: str
) -> None:
    class Own(requests.Session):
        """A subclass from a module of the caller's."""

    stored(age=EXPIRED)
    with Own() as session:
        httpx.get(url, auth=make_auth(token_client=session))
    assert "(requests/" in (aries.token_requests[0].user_agent or "")


def test_an_attempt_that_hangs_is_left_behind(aries: AriesSandbox, library: str) -> None:
    request = request_for(aries, aries.issue_token())
    aries.fail(hang=True)
    begun = time.monotonic()
    attempt = send_once(request, None, Sender(library), 0.3)
    assert attempt.answer is None
    assert not attempt.unsent
    assert time.monotonic() - begun < 2.0
    aries.heal()


# Proxies


class Proxy:
    """A proxy that refuses every tunnel with a status, and keeps what it was asked."""

    def __init__(self, status: str) -> None:
        self.asked: list[bytes] = []
        self._status = status
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.asked.append(connection.recv(65536))
                connection.sendall(f"HTTP/1.1 {self._status}\r\nContent-Length: 0\r\n\r\n".encode())

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def make_proxy() -> Iterator[Callable[[str], Proxy]]:
    proxies: list[Proxy] = []

    def make(status: str) -> Proxy:
        proxies.append(Proxy(status))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 Forbidden"])
def test_a_proxy_that_says_no_is_asked_once_and_its_password_sent_once(
    aries: AriesSandbox,
    library: str,
    status: str,
    scheme: str,
    make_proxy: Callable[[str], Proxy],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = make_proxy(status)
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://me:hunter2@127.0.0.1:{proxy.port}")
    monkeypatch.setenv(f"{scheme}_proxy", f"http://me:hunter2@127.0.0.1:{proxy.port}")
    clock = VirtualTime()
    outcome = send(request_for(aries, aries.issue_token(), f"{scheme}://aries.invalid/token"), clock, library=library)
    assert len(proxy.asked) == 1
    assert clock.pauses == []
    assert outcome.error is not None
    assert not outcome.error.retryable
    assert "hunter2" not in str(outcome.error)
    if status.startswith("407"):
        assert re.search("user name and a password|user:password", str(outcome.error))


@pytest.mark.parametrize(
    "password",
    ["zQ#zX7", "zQ/zX7", "zQ?zX7", "zQ100%", "zQ%23zX", "zQ@zX", "[zQzX", "zQ:zX", "zQ zX", "zQ\u00e4zX"],
)
@pytest.mark.parametrize("place", ["environment", "session"])
def test_a_proxys_password_is_in_no_error(
    aries: AriesSandbox, library: str, password: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://somebody:{password}@127.0.0.1:9"
    request = request_for(aries, aries.issue_token(), "https://aries.invalid/token")
    client = None
    if place == "environment":
        monkeypatch.setenv("HTTPS_PROXY", url)
    elif library in WITH_SESSIONS:
        client = _module(library).Session()
        client.proxies = {"https": url}
    else:
        pytest.skip("httpx parses a proxy's URL when the client is made, which is the caller's call")
    outcome = send(request, VirtualTime(answer=False), client=client, library=library)
    assert outcome.error is not None
    for part in (password, *re.split("[#/?@:%]", password)):
        assert len(part) < 2 or part not in str(outcome.error)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("with_client", [False, True], ids=["no client", "token client"])
def test_a_token_request_to_this_machine_goes_to_no_proxy(
    aries: AriesSandbox,
    library: str,
    variable: str,
    with_client: bool,
    make_proxy: Callable[[str], Proxy],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = make_proxy("200 OK")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
    client = _new_client(library) if with_client else None
    outcome = send(request_for(aries, aries.issue_token()), VirtualTime(), client=client, library=library)
    assert outcome.error is None
    assert proxy.asked == []
    if client is not None:
        client.close()


def _module(library: str) -> Any:
    return pytest.importorskip(library)


def _new_client(library: str) -> Any:
    module = _module(library)
    return module.Session() if library in WITH_SESSIONS else module.Client()


def test_nor_to_one_that_the_token_client_names(
    aries: AriesSandbox, library: str, make_proxy: Callable[[str], Proxy]
) -> None:
    proxy = make_proxy("200 OK")
    url = f"http://127.0.0.1:{proxy.port}"
    if library in WITH_SESSIONS:
        client: Any = _new_client(library)
        client.proxies = {"http": url, "http://127.0.0.1": url, "all": url}
    else:
        module = _module(library)
        client = module.Client(mounts={"http://": module.HTTPTransport(proxy=url)})
    with client:
        assert send(request_for(aries, aries.issue_token()), VirtualTime(), client=client).error is None
        assert proxy.asked == []
        assert client.get(f"{aries.url}/v1/echo").status_code == 200, "the caller's own requests still go there"
    assert len(proxy.asked) == 1


# Retries of the caller's own


@pytest.mark.parametrize("own_class", [False, True], ids=["HTTPAdapter", "a subclass"])
def test_an_adapter_whose_retries_cover_post_does_not_send_a_refresh_token_twice(
    aries: AriesSandbox, own_class: bool
) -> None:
    retry = urllib3.Retry(total=3, allowed_methods=None, status_forcelist=[500], backoff_factor=0)

    class Own(requests.adapters.HTTPAdapter):
        def send(self, *given: Any, **options: Any) -> requests.Response:
            return super().send(*given, **options)

    adapter = (Own if own_class else requests.adapters.HTTPAdapter)(max_retries=retry)
    with requests.Session() as session:
        session.mount("http://", adapter)
        for fault in ({"drop": "after"}, {"drop": "before"}):
            aries.reset()
            aries.fail(**fault, times=None)  # type: ignore[arg-type]
            send(request_for(aries, aries.issue_token()), VirtualTime(), client=session)
            assert len(aries.token_requests) == 1
        aries.heal()
        assert adapter.max_retries is retry
        aries.fail("api", status=500)
        assert session.get(f"{aries.url}/v1/echo").status_code == 401, "the caller's own requests are retried"


def test_a_certificate_that_only_the_other_librarys_variable_names_is_trusted(
    aries: AriesSandbox, library: str, tls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "SSL_CERT_FILE" if library in WITH_SESSIONS else "REQUESTS_CA_BUNDLE"
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(other, tls[1])
    outcome = send(request_for(aries, aries.issue_token(), tls[0]), VirtualTime(), library=library)
    assert outcome.error is None


@pytest.mark.parametrize("again", [1, 2])
def test_a_200_that_names_an_error_is_a_refusal(aries: AriesSandbox, library: str, again: int) -> None:
    aries.fail(body={"error": "invalid_client", "error_description": "no"}, times=again)
    outcome = send(request_for(aries, aries.issue_token()), VirtualTime(), library=library)
    assert outcome.error is not None
    assert (outcome.error.status_code, outcome.error.error, outcome.error.retryable) == (200, "invalid_client", False)
    assert outcome.remember == 1.0


def test_a_firewalls_page_is_remembered_for_a_second(aries: AriesSandbox, library: str) -> None:
    aries.fail(status=403, body="<h1>Blocked</h1>")
    outcome = send(request_for(aries, aries.issue_token()), VirtualTime(), library=library)
    assert outcome.remember == 1.0
    assert "firewall" in str(outcome.error)


class _Odd(Exception):
    """What a transport of the caller's own may raise."""

    response = type("NoAnswer", (), {"status_code": None})


class _Mute(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize("error", [_Odd("odd"), _Mute()], ids=["no status", "no text"])
def test_whatever_a_transport_raises_is_a_failure_and_is_not_sent_again(aries: AriesSandbox, error: Exception) -> None:
    class Transport(httpx.BaseTransport):
        calls = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            self.calls += 1
            raise error

    transport = Transport()
    with httpx.Client(transport=transport) as client:
        outcome = send(request_for(aries, aries.issue_token()), VirtualTime(), client=client)
    assert isinstance(outcome.error, TokenRequestError)
    assert type(error).__name__ in str(outcome.error)
    assert transport.calls == 1
