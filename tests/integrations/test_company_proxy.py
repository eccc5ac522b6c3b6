"""Behind a company proxy: a real one that reads TLS (mitmproxy), and a real one with credentials (tinyproxy)."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple

import pytest

from aries_auth import AriesAuth, Token, TokenRequestError
from aries_auth.testing import AriesSandbox
from aries_auth.token_endpoint.sender import Sender
from tests.cli_process import clean_environment
from tests.conftest import EXPIRED, ROOT

from .conftest import Front, free_port, wait_for_port

pytestmark = pytest.mark.slow

ORIGIN = "https://api.aries.test"  # known to the proxy alone
OLD = 100.0  # seconds; beyond the youth of 30
LIBRARIES = ["requests", "httpx", "httpx2", "niquests"]
NETWORK_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "NO_PROXY", "HTTPS_PROXY")


class Reader(NamedTuple):
    url: str
    authority: str


@pytest.fixture(autouse=True)
def _own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NETWORK_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@contextmanager
def mitmproxy(front: Front, folder: Path, **more: str) -> Iterator[Reader]:
    """A proxy that reads TLS with a CA of its own, and is the only way to ``ORIGIN``."""
    mitmdump = shutil.which("mitmdump")
    if mitmdump is None:
        pytest.skip("needs mitmproxy")
    port = free_port()
    options = {
        "confdir": str(folder),
        "ssl_verify_upstream_trusted_ca": front.bundle,
        "connection_strategy": "lazy",
        "map_remote": f"|{ORIGIN}/|{front.url}/",
        **more,
    }
    command = [mitmdump, "-q", "--listen-host", "127.0.0.1", "-p", str(port)]
    for name, value in options.items():
        command += ["--set", f"{name}={value}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as proxy:
        wait_for_port(port)
        yield Reader(f"http://127.0.0.1:{port}", str(folder / "mitmproxy-ca-cert.pem"))
        proxy.terminate()


@pytest.fixture
def reader(front: Front, tmp_path: Path) -> Iterator[Reader]:
    with mitmproxy(front, tmp_path / "mitmproxy") as proxy:
        yield proxy


@pytest.fixture
def behind(make_auth: Callable[..., AriesAuth]) -> Callable[..., AriesAuth]:
    return lambda **changes: make_auth(api_origins=[ORIGIN], token_url=f"{ORIGIN}/v1/oauth2/token", **changes)


def session_of(library: str) -> Any:
    module = pytest.importorskip(library)
    session = module.Session()
    session.trust_env = False
    return session


def use(auth: AriesAuth, library: str, origin: str, authority: str | None = None) -> None:
    """Let a token request be sent by this library. `authority` is for the call itself, which no variable need serve."""
    if library == "httpx":
        auth.get_token()
        return
    module = pytest.importorskip(library)
    options: dict[str, Any] = {}
    if authority is not None:
        options["verify"] = ssl.create_default_context(cafile=authority) if library == "httpx2" else authority
    assert module.get(f"{origin}/v1/echo", auth=auth, timeout=20, **options).status_code == 200


@pytest.mark.parametrize("library", ["requests", "niquests"])
def test_the_refresh_after_a_401_takes_the_sessions_own_proxy_and_authority(
    library: str, behind: Callable[..., AriesAuth], reader: Reader, aries: AriesSandbox, stored: Callable[..., Token]
) -> None:
    stored(age=OLD)
    aries.revoke_access_tokens()
    with session_of(library) as session:
        session.verify, session.proxies, session.auth = reader.authority, {"https": reader.url}, behind()
        assert session.get(f"{ORIGIN}/v1/echo", timeout=20).status_code == 200
    assert aries.refresh_count == 1


@pytest.mark.parametrize("library", ["requests", "niquests"])
def test_a_session_as_token_client_takes_its_own_proxy_and_authority_for_every_refresh(
    library: str, behind: Callable[..., AriesAuth], reader: Reader, aries: AriesSandbox, stored: Callable[..., Token]
) -> None:
    stored(age=EXPIRED)
    with session_of(library) as session:
        session.verify, session.proxies = reader.authority, {"https": reader.url}
        auth = behind(token_client=session)
        auth.get_token()
        auth.refresh()
    assert aries.refresh_count == 2
    assert [f"({library}/" in (request.user_agent or "") for request in aries.token_requests] == [True, True]


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_either_variable_alone_is_enough_for_a_token_request(
    library: str,
    variable: str,
    behind: Callable[..., AriesAuth],
    reader: Reader,
    aries: AriesSandbox,
    stored: Callable[..., Token],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored(age=EXPIRED)
    monkeypatch.setenv(variable, reader.authority)
    monkeypatch.setenv("HTTPS_PROXY", reader.url)
    use(behind(), library, ORIGIN, reader.authority)
    assert f"({library}/" in (aries.token_requests[0].user_agent or "")
    assert aries.refresh_count == 1


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_authority_that_is_not_trusted_is_named_with_the_cure_and_not_tried_again(
    library: str,
    behind: Callable[..., AriesAuth],
    reader: Reader,
    stored: Callable[..., Token],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored(age=EXPIRED)
    monkeypatch.setenv("HTTPS_PROXY", reader.url)
    at = time.monotonic()
    with pytest.raises(TokenRequestError, match=r"\$REQUESTS_CA_BUNDLE or \$SSL_CERT_FILE.*token_client=") as raised:
        use(behind(), library, ORIGIN)
    assert not raised.value.retryable
    assert time.monotonic() - at < 10


# The proxy's CA stands in the system's store as truststore sees it: a test must not change the real one.
TRUSTSTORE = """
import contextlib, sys
import truststore

@contextlib.contextmanager
def system_store(context):
    context.load_verify_locations(cafile=sys.argv[1])
    yield

sys.modules["truststore._api"]._configure_context = system_store
"""


@pytest.mark.parametrize("injected", [True, False])
@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_truststore_decides_whom_a_token_request_trusts(
    library: str,
    injected: bool,
    reader: Reader,
    aries: AriesSandbox,
    stored: Callable[..., Token],
    store_path: Path,
    tmp_path: Path,
) -> None:
    pytest.importorskip("truststore")
    stored(age=EXPIRED)
    call = f"{library}.get('{ORIGIN}/v1/echo', auth=AriesAuth(), timeout=20).raise_for_status()"
    program = f"from aries_auth import AriesAuth\nimport {library}\n{call}"
    inject = "truststore.inject_into_ssl()\n" if injected else ""
    variables = clean_environment(
        tmp_path,
        **{**aries.environ, "ARIES_TOKEN_URL": f"{ORIGIN}/v1/oauth2/token", "ARIES_API_ORIGINS": ORIGIN},
        ARIES_TOKEN_FILE=str(store_path),
        HTTPS_PROXY=reader.url,
        PYTHONPATH=str(ROOT),
    )
    command = [sys.executable, "-c", f"{TRUSTSTORE}{inject}{program}", reader.authority]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    if injected:
        assert done.returncode == 0, done.stderr
        assert aries.refresh_count == 1
    else:
        assert "certificate is not trusted" in done.stderr
        assert aries.token_requests == ()


def test_a_session_that_checks_no_certificate_says_nothing_of_another_host() -> None:
    sender = Sender.of_call("requests", "https://api.aries.test/v1/echo", {"verify": False, "proxies": {"https": "p"}})
    assert sender.options_at("https://api.aries.test/v1/oauth2/token") == {"verify": False, "proxies": {"https": "p"}}
    assert sender.options_at("https://login.aries.test/v1/oauth2/token") == {"proxies": {"https": "p"}}


# Credentials


@pytest.fixture
def guarded(front: Front, tmp_path: Path) -> Iterator[str]:
    """The host and port of a proxy that wants a user and a password."""
    tinyproxy = shutil.which("tinyproxy")
    if tinyproxy is None:
        pytest.skip("needs tinyproxy")
    port = free_port()
    settings = tmp_path / "tinyproxy.conf"
    settings.write_text(f"Port {port}\nListen 127.0.0.1\nBasicAuth user pass-word\nTimeout 60\nMaxClients 20\n")
    with subprocess.Popen([tinyproxy, "-d", "-c", str(settings)], stdout=subprocess.DEVNULL) as proxy:
        wait_for_port(port)
        yield f"127.0.0.1:{port}"
        proxy.terminate()


@pytest.fixture
def guarded_reader(front: Front, tmp_path: Path) -> Iterator[Reader]:
    """A proxy that reads TLS, too."""
    with mitmproxy(front, tmp_path / "mitmproxy", proxyauth="user:pass@word") as proxy:
        yield proxy


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_proxy_with_credentials_is_passed(
    library: str,
    guarded_reader: Reader,
    behind: Callable[..., AriesAuth],
    aries: AriesSandbox,
    stored: Callable[..., Token],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored(age=EXPIRED)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", guarded_reader.authority)
    monkeypatch.setenv("HTTPS_PROXY", guarded_reader.url.replace("//", "//user:pass%40word@"))
    use(behind(), library, ORIGIN, guarded_reader.authority)
    assert aries.refresh_count == 1


@pytest.mark.parametrize("library", ["requests", "niquests"])
def test_a_sessions_own_proxy_with_credentials_is_passed_after_a_401(
    library: str,
    behind: Callable[..., AriesAuth],
    guarded_reader: Reader,
    aries: AriesSandbox,
    stored: Callable[..., Token],
) -> None:
    stored(age=OLD)
    aries.revoke_access_tokens()
    with session_of(library) as session:
        session.proxies = {"https": guarded_reader.url.replace("//", "//user:pass%40word@")}
        session.verify, session.auth = guarded_reader.authority, behind()
        assert session.get(f"{ORIGIN}/v1/echo", timeout=20).status_code == 200
    assert aries.refresh_count == 1


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("credentials", ["", "user:wrong-word@"])
def test_a_proxy_that_wants_credentials_is_named_with_the_cure(
    library: str,
    credentials: str,
    front: Front,
    guarded: str,
    make_auth: Callable[..., AriesAuth],
    stored: Callable[..., Token],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored(age=EXPIRED)
    monkeypatch.setenv("HTTPS_PROXY", f"http://{credentials}{guarded}")
    # Another host: a token request to this computer uses no proxy.
    auth = make_auth(api_origins=[front.url], token_url="https://aries.invalid/v1/oauth2/token")
    with pytest.raises(TokenRequestError, match=r"\$HTTPS_PROXY.*user:password@host:port.*token_client=") as raised:
        use(auth, library, front.url)
    assert not raised.value.retryable, "the same credentials are refused again"
    assert "wrong-word" not in str(raised.value)
