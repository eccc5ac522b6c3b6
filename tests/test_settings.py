"""What the caller and the environment say: credentials, endpoints, origins, profile and store."""

from __future__ import annotations

import codecs
import functools
import math
import os
import pickle
from pathlib import Path
from typing import Any, Iterator

import httpcore
import httpx
import pytest
import requests
import urllib3.util.connection
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from aries_auth import (
    AriesAuth,
    ConfigurationError,
    FileTokenStore,
    InsecureTransportError,
    LoginRequired,
    Token,
)
from aries_auth.settings import stores, urls, values
from aries_auth.settings.credentials import ClientCredentials, SecretSource
from aries_auth.settings.urls import Origin
from aries_auth.singleflight.clock import check_seconds
from aries_auth.store import check_profile, profile_path
from aries_auth.token import Secret
from aries_auth.token_endpoint.addresses import is_loopback
from aries_auth.token_endpoint.protocol import Credentials
from tests.leaks import assert_no_secret

SECRET = "SECRET-planted-1"
API = "https://api.aries.com"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("ARIES_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return monkeypatch


# The client secret


def test_the_secret_is_the_parameter_else_the_variable_else_the_content_of_the_file_that_is_named(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("from-file")
    environment.setenv("ARIES_CLIENT_SECRET_FILE", str(tmp_path / "secret"))
    assert SecretSource(None).read() == Secret("from-file")
    environment.setenv("ARIES_CLIENT_SECRET", "from-variable")
    assert SecretSource(None).read() == Secret("from-variable")
    assert SecretSource("given").read() == Secret("given")
    assert SecretSource(lambda: "called").read() == Secret("called")


def test_an_empty_variable_is_unset(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-file")
    environment.setenv("ARIES_CLIENT_SECRET", "")
    environment.setenv("ARIES_CLIENT_SECRET_FILE", str(tmp_path / "secret"))
    assert SecretSource(None).read() == Secret("from-file")
    environment.setenv("ARIES_CLIENT_SECRET_FILE", "")
    environment.setenv("ARIES_PROFILE", "")
    environment.setenv("ARIES_TOKEN_URL", "")
    environment.setenv("ARIES_API_ORIGINS", "")
    with pytest.raises(ConfigurationError):
        SecretSource(None).read()
    assert stores.profile_name(None) == "default"
    assert urls.token_url(None) == "https://api.aries.com/v1/oauth2/token"
    assert urls.api_origins(None) == (Origin("https", "api.aries.com", 443),)


@pytest.mark.parametrize("end", ["\n", "\r\n", " \t\n"])
def test_a_line_break_at_the_end_of_the_variable_is_no_part_of_the_secret(
    end: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("ARIES_CLIENT_SECRET", f"s3cret{end}")
    assert SecretSource(None).read() == Secret("s3cret")


def test_a_variable_of_white_space_is_unset(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ARIES_CLIENT_SECRET", " \n")
    with pytest.raises(ConfigurationError, match=r"\$ARIES_CLIENT_SECRET"):
        SecretSource(None).read()


@pytest.mark.parametrize("content", [b"s3cret\n", b"s3cret \t\r\n\r\n", b"s3cret", b"\xef\xbb\xbfs3cret\r\n"])
def test_trailing_white_space_and_the_signature_of_a_secret_file_are_dropped(
    content: bytes, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(content)
    environment.setenv("ARIES_CLIENT_SECRET_FILE", str(tmp_path / "secret"))
    assert SecretSource(None).read() == Secret("s3cret")


@pytest.mark.parametrize(
    "content, why",
    [(b"", "empty"), (b" \n", "empty"), (SECRET.encode() + b"\xff\xfe", "UTF-8"), (None, "No such file")],
)
def test_a_secret_file_that_cannot_be_used_is_a_configuration_error_that_names_it(
    content: bytes | None, why: str, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    environment.setenv("ARIES_CLIENT_SECRET_FILE", str(tmp_path / "secret"))
    with pytest.raises(ConfigurationError, match=why) as caught:
        SecretSource(None).read()
    assert str(tmp_path / "secret") in str(caught.value)
    assert_no_secret(caught.value, SECRET)


def test_a_secret_file_that_is_a_directory_is_a_configuration_error(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("ARIES_CLIENT_SECRET_FILE", str(tmp_path))
    with pytest.raises(ConfigurationError, match="directory"):
        SecretSource(None).read()


def fails(secret: str) -> str:
    raise RuntimeError(f"keyring refused {secret}")


@pytest.mark.parametrize(
    "result, why",
    [
        ("", "returned no text"),
        (None, "returned no text"),
        (SECRET.encode(), "returned no text"),
        (5, "returned no text"),
    ],
)
def test_a_callable_that_returns_no_text_is_a_configuration_error(result: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        SecretSource(lambda: result).read()
    assert_no_secret(caught.value, SECRET)


def test_what_a_callable_raises_is_named_and_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="raised RuntimeError") as caught:
        SecretSource(lambda: fails(SECRET)).read()
    assert caught.value.__context__ is None
    assert_no_secret(caught.value, SECRET)


@pytest.mark.parametrize("given_secret", ["", SECRET.encode(), [SECRET], 5])
def test_what_can_be_no_secret_is_refused_and_not_shown(given_secret: Any) -> None:
    with pytest.raises(ConfigurationError, match="client_secret") as caught:
        SecretSource(given_secret).check()
    assert_no_secret(caught.value, SECRET)


def test_what_can_be_a_secret_is_taken() -> None:
    for given_secret in (None, "text", lambda: "text"):
        SecretSource(given_secret).check()


def test_a_secret_given_as_text_travels_and_is_not_shown() -> None:
    there = pickle.loads(pickle.dumps(SecretSource(SECRET)))
    assert there.read() == Secret(SECRET)
    assert_no_secret(there, SECRET)


# The client


def stored(**fields: Any) -> Token:
    return Token("t", "r", client_id="stored-id", redirect_uri="http://localhost/stored", **fields)


def test_client_id_and_redirect_uri_are_the_parameters_else_the_tokens_else_the_variables(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("ARIES_CLIENT_ID", "variable-id")
    environment.setenv("ARIES_REDIRECT_URI", "http://localhost/variable")
    secret = SecretSource(SECRET)
    given_client = ClientCredentials("given-id", secret, "http://localhost/given")
    open_client = ClientCredentials(None, secret, None)
    assert given_client.credentials(stored()) == Credentials("given-id", Secret(SECRET), "http://localhost/given")
    assert open_client.credentials(stored()) == Credentials("stored-id", Secret(SECRET), "http://localhost/stored")
    for token in (None, Token("t")):
        expected = Credentials("variable-id", Secret(SECRET), "http://localhost/variable")
        assert open_client.credentials(token) == expected


@pytest.mark.parametrize(
    "parameter, variable",
    [
        ("client_id", "ARIES_CLIENT_ID"),
        ("redirect_uri", "ARIES_REDIRECT_URI"),
        ("client_secret", "ARIES_CLIENT_SECRET"),
    ],
)
def test_a_missing_credential_is_a_configuration_error_that_names_the_parameter_and_the_variable(
    parameter: str, variable: str
) -> None:
    values = {"client_id": "c", "redirect_uri": "http://localhost/", "client_secret": "s", parameter: None}
    client = ClientCredentials(values["client_id"], SecretSource(values["client_secret"]), values["redirect_uri"])
    with pytest.raises(ConfigurationError, match=f"{parameter} is missing") as caught:
        client.credentials(None)
    assert f"${variable}" in str(caught.value)


@pytest.mark.parametrize("name", ["ARIES_CLIENT_ID", "ARIES_REDIRECT_URI"])
def test_a_variable_that_no_request_could_carry_is_refused_before_anything_is_sent(
    name: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("ARIES_CLIENT_ID", "c")
    environment.setenv("ARIES_REDIRECT_URI", "http://localhost/")
    environment.setenv(name, os.fsdecode(b"http://localhost/\xff"))
    with pytest.raises(ConfigurationError):
        ClientCredentials(None, SecretSource("s"), None).credentials(None)


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
def test_a_stored_client_id_or_redirect_uri_that_differs_is_a_configuration_error(name: str) -> None:
    client = ClientCredentials(
        **{"client_id": "stored-id", "redirect_uri": "http://localhost/stored", name: "http://other/"},  # type: ignore[arg-type]
        client_secret=SecretSource(None),
    )
    with pytest.raises(ConfigurationError, match=f"{name} is http://other/.*belongs to.*nothing was sent"):
        client.check(stored(), "/here")


def test_what_is_the_same_or_not_said_does_not_differ() -> None:
    ClientCredentials("stored-id", SecretSource(None), "http://localhost/stored").check(stored(), "/here")
    ClientCredentials(None, SecretSource(None), None).check(stored(), "/here")
    ClientCredentials("any", SecretSource(None), "http://any/").check(Token("t"), "/here")


# Parameters


@pytest.mark.parametrize("value", ["", 5, b"c", "a\nb", "a\x1b", "\ud800"])
def test_a_text_parameter_is_a_text_that_is_not_empty_and_has_no_control_characters(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="client_id"):
        values.check_text("client_id", value)
    assert values.check_text("client_id", "c") == "c"
    assert values.check_text("client_id", None) is None


@pytest.mark.parametrize("value", ["5", None, True, math.nan, math.inf, -math.inf, [1], -1, -0.5, -(10**400)])
def test_seconds_are_a_finite_number_from_zero_on(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="refresh_margin"):
        check_seconds("refresh_margin", value, zero=True)


def test_zero_seconds_are_refused_where_nothing_could_be_done_in_them() -> None:
    with pytest.raises(ConfigurationError, match="more than zero"):
        check_seconds("timeout", 0)
    assert check_seconds("refresh_margin", 0, zero=True) == 0.0


@pytest.mark.parametrize("value", [10**400, 1e300, 1e12])
def test_seconds_beyond_what_a_thread_can_wait_are_as_long_as_it_can(value: float) -> None:
    import threading

    seconds = check_seconds("timeout", value)
    assert 1e6 < seconds < threading.TIMEOUT_MAX
    event = threading.Event()
    event.set()
    assert event.wait(seconds)


@pytest.mark.parametrize("name", ["default", "a", "A-b_c.9", "-x", "_", "x" * 64, "a..b", "a."])
def test_a_profile_is_1_to_64_of_the_allowed_characters(name: str) -> None:
    assert check_profile(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden",
        "x" * 65,
        "a/b",
        "../x",
        "a\\b",
        "a b",
        "a\n",
        "\x00",
        "ü",
        "a:b",
        None,
        5,
        b"a",
        "C:",
        "~",
    ],
)
def test_a_profile_name_with_path_parts_or_a_dot_at_its_start_is_a_configuration_error(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="no profile name") as caught:
        check_profile(name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example.com/cb",
        "http://localhost:8000/callback",
        "http://127.0.0.1:1/",
        "http://[::1]:8000/",
        "com.app:/cb",
        "myapp://callback",
        "https://h/p?x=1",
        "https://h",
    ],
)
def test_a_redirect_uri_is_absolute(uri: str) -> None:
    assert urls.check_redirect_uri(uri) == uri


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/callback",
        "localhost:8000/callback",
        "callback",
        "http://",
        "http:///cb",
        "http://[::1/",
        "http://h:x/",
        "http://h:0/",
        "http://h:99999/",
        " http://h/",
        "http://h/ x",
        "http://h/\n",
        "http://h/\x00",
        None,
        5,
        b"http://h/",
        "urn:x",
        "//h/cb",
    ],
)
def test_what_is_no_absolute_url_is_no_redirect_uri(uri: Any) -> None:
    with pytest.raises(ConfigurationError, match="redirect URI"):
        urls.check_redirect_uri(uri)


@pytest.mark.parametrize("uri", ["https://h/cb#x", "https://h/cb#", "com.app:/cb#f"])
def test_a_redirect_uri_with_a_fragment_is_a_configuration_error(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="fragment"):
        urls.check_redirect_uri(uri)


# Endpoints and origins


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1"])
def test_a_loopback_address_can_only_mean_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "localhost.",
        "localhost.evil.com",
        "127.1",
        "0.0.0.0",
        "::",
        "128.0.0.1",
        "2130706433",
        "127.0.0.1.nip.io",
        "0x7f.1",
    ],
)
def test_anything_else_is_no_loopback_address(host: str | None) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "url", ["http://api.aries.com/v1", "HTTP://api.aries.com", "http://localhost.evil.com/", "http://0.0.0.0:80/"]
)
def test_a_plain_http_url_raises_insecure_transport_error(url: str) -> None:
    with pytest.raises(InsecureTransportError, match="token_url"):
        urls.check_endpoint("token_url", url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/v1", "http://localhost/", "http://[::1]:9/x", "https://api.aries.com/v1?x=1"]
)
def test_https_or_a_loopback_address_is_an_endpoint(url: str) -> None:
    assert urls.check_endpoint("token_url", url) == url


@pytest.mark.parametrize(
    "url",
    [
        None,
        5,
        "",
        "api.aries.com",
        "ftp://h/",
        "https://",
        "https:///x",
        "https://h:x/",
        "https://h:0/",
        "https://[::1/",
        "https://h\\x",
        "https://h/\n",
        "https://h/#f",
        "https://ünï.example/",
        "https://a b/",
        "https://h%2e/",
        "javascript:alert(1)",
        b"https://h/",
    ],
)
def test_what_is_no_url_is_no_endpoint(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="token_url"):
        urls.check_endpoint("token_url", url)


@pytest.mark.parametrize("url", ["https://user:PASSWORD-planted@h/", "http://PASSWORD-planted@127.0.0.1/"])
def test_an_endpoint_with_a_password_in_it_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="no password") as caught:
        urls.check_endpoint("token_url", url)
    assert "PASSWORD-planted" not in str(caught.value)


def test_api_origins_are_scheme_host_and_port() -> None:
    origins = urls.parse_origins([API, "https://API.aries.com:8443/", "http://127.0.0.1:9000", "http://[::1]"])
    assert origins == (
        Origin("https", "api.aries.com", 443),
        Origin("https", "api.aries.com", 8443),
        Origin("http", "127.0.0.1", 9000),
        Origin("http", "::1", 80),
    )


@pytest.mark.parametrize(
    "origins",
    [
        None,
        [],
        (),
        API,
        API.encode(),
        5,
        {API},
        [None],
        [5],
        [""],
        ["api.aries.com"],
        [f"{API}/v1"],
        [f"{API}/?x"],
        [f"{API}/#f"],
        [f"{API}/?x=1"],
        ["https://u:p@api.aries.com"],
        ["https://*.aries.com"],
        ["https://faß.de"],
        ["https://api.aries.com\\.evil"],
        [API, "nonsense"],
        ["wss://api.aries.com"],
        ["https://api.aries.com:0"],
    ],
)
def test_what_is_no_list_of_origins_is_a_configuration_error(origins: Any) -> None:
    with pytest.raises(ConfigurationError, match="api_origins"):
        urls.parse_origins(origins)


def test_an_http_entry_in_api_origins_raises_insecure_transport_error_except_on_a_loopback_address() -> None:
    with pytest.raises(InsecureTransportError):
        urls.parse_origins([API, "http://api.aries.com"])
    assert urls.parse_origins(["http://localhost:8000"]) == (Origin("http", "localhost", 8000),)


def test_the_variables_for_endpoints_serve_the_sandbox_and_are_held_to_the_same_rules(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("ARIES_TOKEN_URL", "http://127.0.0.1:1/token")
    environment.setenv("ARIES_AUTHORIZE_URL", "http://127.0.0.1:1/authorize")
    environment.setenv("ARIES_API_ORIGINS", " http://127.0.0.1:1 , https://api.aries.com ,")
    assert urls.token_url(None) == "http://127.0.0.1:1/token"
    assert urls.authorize_url(None) == "http://127.0.0.1:1/authorize"
    assert [origin.port for origin in urls.api_origins(None)] == [1, 443]
    for name in ("ARIES_TOKEN_URL", "ARIES_AUTHORIZE_URL", "ARIES_API_ORIGINS"):
        environment.setenv(name, "http://api.aries.com")
    for resolve in (urls.token_url, urls.authorize_url, urls.api_origins):
        with pytest.raises(InsecureTransportError):
            resolve(None)  # type: ignore[operator]
    environment.setenv("ARIES_API_ORIGINS", ",")
    with pytest.raises(ConfigurationError):
        urls.api_origins(None)


def test_a_parameter_beats_its_variable(environment: pytest.MonkeyPatch) -> None:
    for name in ("ARIES_TOKEN_URL", "ARIES_AUTHORIZE_URL", "ARIES_API_ORIGINS"):
        environment.setenv(name, "http://nonsense")
    assert urls.token_url("https://given/") == urls.authorize_url("https://given/") == "https://given/"
    assert urls.api_origins((Origin("https", "given", 443),)) == (Origin("https", "given", 443),)


def test_prefixes_are_how_urls_of_the_origin_begin() -> None:
    assert Origin("https", "h", 443).prefixes == ("https://h/", "https://h:443/")
    assert Origin("http", "::1", 80).prefixes == ("http://[::1]/", "http://[::1]:80/")
    assert Origin("https", "h", 8443).prefixes == ("https://h:8443/",)


@pytest.mark.parametrize(
    "url, origin",
    [
        ("https://api.aries.com", ("https", "api.aries.com", 443)),
        ("HTTPS://API.Aries.COM/x", ("https", "api.aries.com", 443)),
        ("https://api.aries.com:443/x?y#z", ("https", "api.aries.com", 443)),
        ("https://api.aries.com:/x", ("https", "api.aries.com", 443)),
        ("https://user:pw@api.aries.com/", ("https", "api.aries.com", 443)),
        ("https://api.aries.com@evil.com/", ("https", "evil.com", 443)),
        ("https://api.aries.com./", ("https", "api.aries.com.", 443)),
        ("https://api.aries.com:0/", ("https", "api.aries.com", 0)),
        ("http://api.aries.com/", ("http", "api.aries.com", 80)),
        ("http://[::1]:9/", ("http", "::1", 9)),
    ],
)
def test_the_origin_of_a_request_is_compared_exactly(url: str, origin: tuple[str, str, int]) -> None:
    assert urls.request_origin(url) == Origin(*origin)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/v1",
        "ftp://api.aries.com/",
        "https://",
        "https://api.aries.com\\@evil.com/",
        "https://api.aries.com:x/",
        "https://api%2earies.com/",
        "https://api.aries.com\u3002evil/",
        "https://api.aries。com/",
        "https://[::1]evil/",
        "https://a:b:c/",
        "https://api.aries.com\t/",
        "https://api.aries.com\n.evil.com/",
        "https://api.aries.com:99999/",
        "https://api.aries.com:4+3/",
    ],
)
def test_an_odd_authority_is_on_no_list(url: str) -> None:
    assert urls.request_origin(url) is None


# What a URL's origin is, and where the libraries really connect to


class _Reached(Exception):
    """Raised in place of a connection."""


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int]]]:
    reached: list[tuple[str, int]] = []

    def by_urllib3(address: tuple[str, int], *_args: Any, **_options: Any) -> None:
        reached.append((address[0].strip("[]"), address[1]))
        raise _Reached

    def by_httpcore(_self: Any, host: str, port: int, *_args: Any, **_options: Any) -> None:
        reached.append((host.strip("[]"), port))
        raise _Reached

    monkeypatch.setattr(urllib3.util.connection, "create_connection", by_urllib3)
    monkeypatch.setattr(httpcore._backends.sync.SyncBackend, "connect_tcp", by_httpcore)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return reached


hosts = st.sampled_from(
    [
        "api.aries.com",
        "API.aries.COM",
        "api.aries.com.",
        "evil.com",
        "[::1]",
        "127.0.0.1",
        "api.aries.com%2eevil.com",
        "xn--80ak6aa92e.com",
        "api.aries.com\\evil.com",
        "api.aries.com ",
        "api。aries.com",
        "\uff41pi.aries.com",
        "api.aries.com;evil.com",
        "api.aries.com&evil.com",
        "",
        "api.aries.com%00evil.com",
        "api.aries.com,evil.com",
    ]
)
userinfos = st.sampled_from(
    [
        "",
        "",
        "",
        "u@",
        "u:p@",
        "api.aries.com@",
        "api.aries.com:443@",
        "@",
        "a@b@",
        "evil.com/@",
        "evil.com?@",
        "evil.com#@",
    ]
)
ports = st.sampled_from(
    [
        "",
        "",
        "",
        ":",
        ":443",
        ":80",
        ":0443",
        ":0",
        ":8443",
        ":443x",
        ":\uff14\uff14\uff13",
        ":4_43",
        ":-1",
        ":443@evil.com",
    ]
)
tails = st.sampled_from(
    ["", "/", "/v1?x=1", "?x", "#f", "/@evil.com", "/\\@evil.com", "\\@evil.com/", "//evil.com/", "/..//evil.com"]
)
schemes = st.sampled_from(
    ["https://", "https://", "http://", "HTTPS://", "https:/", "https:", "https:\\\\", "//", " https://", "https:///"]
)
any_urls = st.builds("{}{}{}{}{}".format, schemes, userinfos, hosts, ports, tails) | st.builds(
    "https://{}/".format, st.text("api.resevlcom@:/\\?#[]%0143 \t", max_size=24)
)
many = hypothesis_settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@functools.lru_cache(maxsize=1)
def _context() -> Any:
    return httpx.create_ssl_context()


@many
@given(any_urls)
@example("https://api.aries.com/v1")
@example("https://api.aries.com:0/")
@example("https://evil.com#@api.aries.com/")
@example("https://api.aries.com\\@evil.com/")
def test_a_request_of_requests_with_a_listed_origin_connects_to_that_very_host_and_port(
    connections: list[tuple[str, int]], url: str
) -> None:
    connections.clear()
    with requests.Session() as session:
        session.trust_env = False
        try:
            prepared = session.prepare_request(requests.Request("GET", url))
            session.send(prepared, allow_redirects=False)
        except (_Reached, requests.RequestException, ValueError, urllib3.exceptions.HTTPError):
            pass
        else:
            pytest.fail("nothing can have answered")
    assert connections or url != "https://api.aries.com/v1"
    if connections and prepared.url is not None:
        origin = urls.request_origin(prepared.url)
        assert origin is None or origin.port == 0 or connections[0] == (origin.host, origin.port)
        listed = Origin("https", "api.aries.com", 443)
        assert origin == listed or not prepared.url.startswith(listed.prefixes)


@many
@given(any_urls)
@example("https://api.aries.com/v1")
@example("https://api.aries.com:443@evil.com/")
def test_a_request_of_httpx_with_a_listed_origin_connects_to_that_very_host_and_port(
    connections: list[tuple[str, int]], url: str
) -> None:
    connections.clear()
    with httpx.Client(trust_env=False, verify=_context()) as client:
        try:
            request = client.build_request("GET", url)
            client.send(request)
        except (_Reached, httpx.HTTPError, httpx.InvalidURL, ValueError):
            pass
        else:
            pytest.fail("nothing can have answered")
    assert connections or url != "https://api.aries.com/v1"
    if connections:
        origin = urls.request_origin(str(request.url))
        assert origin is None or origin.port == 0 or connections[0] == (origin.host, origin.port)


@given(st.text(max_size=40) | any_urls)
def test_any_text_has_an_origin_or_none(text: str) -> None:
    origin = urls.request_origin(text)
    assert origin is None or (origin.scheme in ("http", "https") and origin.host == origin.host.lower() and origin.host)


@given(st.one_of(st.none(), st.integers(), st.text(max_size=30), any_urls, st.binary(max_size=5)))
def test_any_entry_of_api_origins_is_an_origin_that_urls_match_or_a_clear_error(entry: Any) -> None:
    try:
        (origin,) = urls.parse_origins([entry])
    except (ConfigurationError, InsecureTransportError) as exc:
        said = str(exc)
    else:
        assert all(urls.request_origin(f"{prefix}v1") == origin for prefix in origin.prefixes)
        return
    assert said.isprintable()


# Profile and store


def test_an_explicit_store_beats_an_explicit_profile_which_beats_the_token_file_which_beats_the_profile_variable(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("ARIES_PROFILE", "from-variable")
    folder = tmp_path / "data" / "aries-auth"

    def path(profile: str | None, store: Any) -> str:
        return str(stores.resolve_store(profile, store).path)  # type: ignore[attr-defined]

    assert path(None, None) == str(folder / "from-variable.json")
    environment.setenv("ARIES_TOKEN_FILE", str(tmp_path / "variable.json"))
    assert path(None, None) == str(tmp_path / "variable.json")
    assert path("given", None) == str(folder / "given.json")
    assert path("given", tmp_path / "store.json") == str(tmp_path / "store.json")
    assert path(None, str(tmp_path / "store.json")) == str(tmp_path / "store.json")


@pytest.mark.parametrize(
    "parameter, value, named",
    [
        ("client_id", "", "client_id"),
        ("client_secret", "", "client_secret"),
        ("redirect_uri", "not a URL", "redirect URI"),
        ("profile", "../up", "profile name"),
        ("refresh_margin", -1.0, "refresh_margin"),
        ("token_url", "not a URL", "token_url"),
        ("api_origins", [], "api_origins"),
        ("timeout", 0.0, "timeout"),
        ("token_client", object(), "token_client"),
    ],
)
def test_a_malformed_parameter_is_named_at_construction(parameter: str, value: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"\b{named}\b"):
        AriesAuth(**{parameter: value})


def test_a_profile_is_where_the_token_is_and_what_to_log_in_to() -> None:
    FileTokenStore(profile_path("paper")).save(Token("of-the-profile"))
    assert AriesAuth(profile="paper").get_token() == "of-the-profile"
    with pytest.raises(LoginRequired, match=r"Run: aries-auth login --profile other$"):
        AriesAuth(profile="other").get_token()


def test_the_default_is_the_profile_default(tmp_path: Path) -> None:
    store = stores.resolve_store(None, None)
    assert isinstance(store, FileTokenStore)
    assert store.path == str(tmp_path / "data" / "aries-auth" / "default.json")


def test_a_token_store_is_taken_as_it_is(tmp_path: Path) -> None:
    store = FileTokenStore(tmp_path / "t.json")
    assert stores.resolve_store("given", store) is store


@pytest.mark.parametrize("store", ["", "a\0b"])
def test_a_path_that_names_no_file_is_a_configuration_error(store: str) -> None:
    with pytest.raises(ConfigurationError, match="path"):
        stores.resolve_store(None, store)


def test_a_bad_profile_variable_is_a_configuration_error(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ARIES_PROFILE", "../x")
    with pytest.raises(ConfigurationError):
        stores.resolve_store(None, None)


@pytest.mark.parametrize(
    "profile, store, command",
    [
        (None, None, "aries-auth login"),
        ("default", None, "aries-auth login"),
        ("paper", None, "aries-auth login --profile paper"),
        (None, "/tmp/a b.json", "aries-auth login --store '/tmp/a b.json'"),
    ],
)
def test_the_login_command_names_the_store_that_is_used(profile: str | None, store: str | None, command: str) -> None:
    assert stores.login_command(profile, stores.resolve_store(profile, store)) == command


def test_the_login_command_names_the_profile_of_the_variable(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ARIES_PROFILE", "live")
    assert stores.login_command(None, stores.resolve_store(None, None)) == "aries-auth login --profile live"


def test_a_url_in_the_place_of_a_path_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="SQLTokenStore") as caught:
        stores.resolve_store(None, "postgresql://aries:s3cret-word@db.example/prod")
    assert "s3cret-word" not in str(caught.value)


# One resolver


def test_every_store_of_the_resolver_is_encrypted_under_the_key_of_the_environment(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fernet = pytest.importorskip("cryptography.fernet")
    given_store = FileTokenStore(tmp_path / "own.json")
    environment.setenv("ARIES_STORE_KEY", fernet.Fernet.generate_key().decode())
    for profile, store in ((None, None), ("paper", None), (None, tmp_path / "t.json")):
        assert stores.resolve_store(profile, store).cipher is not None  # type: ignore[attr-defined]
    assert stores.resolve_store(None, given_store).cipher is None  # type: ignore[attr-defined]
    environment.setenv("ARIES_STORE_KEY", "")
    assert stores.resolve_store(None, None).cipher is None  # type: ignore[attr-defined]


def test_aries_auth_login_and_the_command_use_the_database_of_the_environment_with_the_profile_as_the_key(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("sqlalchemy")
    environment.setenv("ARIES_STORE_URL", f"sqlite:///{tmp_path / 'tokens.db'}")
    environment.setenv("ARIES_TOKEN_FILE", str(tmp_path / "not-this.json"))
    environment.setenv("ARIES_PROFILE", "live")
    choice = stores.choose_store(None, None)
    assert (choice.profile, choice.source) == ("live", "$ARIES_STORE_URL")
    assert stores.choose_store("paper", None).profile == "paper"
    assert stores.choose_store(None, tmp_path / "t.json").profile is None
    choice.store.save(Token("of-the-row", client_id="c", redirect_uri="http://127.0.0.1:1/"))
    assert AriesAuth().get_token() == "of-the-row"
    with pytest.raises(LoginRequired, match=r"Run: aries-auth login --profile paper\Z"):
        AriesAuth(profile="paper").get_token()


@pytest.mark.parametrize("url", ["nonsense://", "postgresql://user:pass-word@h:port/x", "sqlite://"])
def test_a_malformed_store_url_names_its_variable_and_shows_no_password(
    environment: pytest.MonkeyPatch, url: str
) -> None:
    pytest.importorskip("sqlalchemy")
    environment.setenv("ARIES_STORE_URL", url)
    with pytest.raises(ConfigurationError, match=r"\$ARIES_STORE_URL") as caught:
        stores.resolve_store(None, None).load()
    assert "pass-word" not in str(caught.value)


def test_a_store_url_without_its_extra_names_what_to_install(environment: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.startswith("aries_auth.sql")]:
        environment.delitem(sys.modules, name)
    environment.setitem(sys.modules, "sqlalchemy", None)
    environment.setenv("ARIES_STORE_URL", "postgresql://me:pass-word@db/x")
    with pytest.raises(ConfigurationError, match=r"\$ARIES_STORE_URL.*aries-auth\[sql\]") as caught:
        stores.resolve_store(None, None)
    assert_no_secret(caught.value, "pass-word")


@pytest.mark.skipif(os.name != "posix", reason="permission bits of POSIX")
def test_the_mode_of_the_environment_is_that_of_every_file_store_that_is_found(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("ARIES_TOKEN_FILE_MODE", "0660")
    for profile, store in ((None, None), ("paper", None), (None, tmp_path / "t.json")):
        found = stores.resolve_store(profile, store)
        found.save(Token("a"))
        assert Path(found.path).stat().st_mode & 0o777 == 0o660 & ~_umask()  # type: ignore[attr-defined]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("text", ["rw", "600x", "0200", "07777", "-600", "0o999"])
def test_a_mode_that_is_none_is_a_configuration_error_that_names_the_variable(
    environment: pytest.MonkeyPatch, text: str
) -> None:
    environment.setenv("ARIES_TOKEN_FILE_MODE", text)
    with pytest.raises(ConfigurationError, match=r"\$ARIES_TOKEN_FILE_MODE"):
        stores.resolve_store(None, None)


@pytest.mark.parametrize(
    "name, value",
    [
        ("ARIES_PROFILE", "../x"),
        ("ARIES_TOKEN_FILE", "postgresql://me:pass-word@db/x"),
        ("ARIES_TOKEN_URL", "ftp://x"),
        ("ARIES_AUTHORIZE_URL", "ftp://x"),
        ("ARIES_API_ORIGINS", "https://x/path"),
        ("ARIES_API_ORIGINS", "x"),
        ("ARIES_REDIRECT_URI", "nonsense"),
        ("ARIES_CLIENT_ID", "a\nb"),
        ("ARIES_CLIENT_SECRET_FILE", "/nowhere/secret"),
        ("ARIES_STORE_KEY_FILE", "/nowhere/keys"),
        ("ARIES_PKCE", "maybe"),
    ],
)
def test_an_error_about_a_value_names_the_variable_it_came_from(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv("ARIES_CLIENT_ID", "c")
    environment.setenv("ARIES_REDIRECT_URI", "http://127.0.0.1:1/")
    environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=rf"\${name}") as caught:
        read_every_variable()
    assert "pass-word" not in str(caught.value)


def read_every_variable() -> None:
    stores.resolve_store(None, None)
    urls.token_url(None)
    urls.authorize_url(None)
    urls.api_origins(None)
    values.flag_variable("ARIES_PKCE")
    ClientCredentials(None, SecretSource(None), None).credentials(None)


@pytest.mark.parametrize("uri", ["http://app.example/callback", "http://192.0.2.1:8765/", "http://127.0.0.1.example/"])
def test_a_plain_http_redirect_uri_off_loopback_is_an_insecure_transport_error(
    environment: pytest.MonkeyPatch, uri: str
) -> None:
    with pytest.raises(InsecureTransportError, match="authorization code"):
        urls.check_redirect_uri(uri)
    with pytest.raises(InsecureTransportError):
        AriesAuth(redirect_uri=uri)
    environment.setenv("ARIES_REDIRECT_URI", uri)
    with pytest.raises(InsecureTransportError, match=r"\$ARIES_REDIRECT_URI"):
        ClientCredentials("c", SecretSource("s"), None).credentials(None)


@pytest.mark.parametrize("name", ["nul", "CON", "aux", "com1", "LPT9", "prn.old", "nul.json"])
def test_a_profile_that_is_a_device_of_windows_is_refused_everywhere(name: str) -> None:
    with pytest.raises(ConfigurationError, match="device"):
        check_profile(name)
    with pytest.raises(ConfigurationError, match="device"):
        FileTokenStore.for_profile(name)


@pytest.mark.parametrize("name", ["null", "console", "com", "com10", "a.nul"])
def test_what_only_looks_like_a_device_is_a_profile(name: str) -> None:
    assert check_profile(name) == name
    assert FileTokenStore.for_profile(name).path == profile_path(name)


# A secret file


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
@pytest.mark.parametrize("name", ["ARIES_CLIENT_SECRET_FILE", "ARIES_STORE_KEY_FILE"])
def test_a_secret_file_that_is_a_named_pipe_is_refused_at_once(
    environment: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    environment.setenv("ARIES_CLIENT_ID", "c")
    environment.setenv("ARIES_REDIRECT_URI", "http://127.0.0.1:1/")
    environment.setenv(name, str(tmp_path / "pipe"))
    with pytest.raises(ConfigurationError, match="no regular file"):
        read_every_variable()


@pytest.mark.skipif(os.name != "posix", reason="permission bits of POSIX")
def test_a_secret_file_that_others_can_read_gets_a_warning_once(
    environment: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "open-to-all"
    path.write_text(SECRET)
    path.chmod(0o644)
    environment.setenv("ARIES_CLIENT_SECRET_FILE", str(path))
    for _ in range(3):
        assert SecretSource(None).read() == Secret(SECRET)
    (record,) = caplog.records
    assert "chmod 600" in record.getMessage()
    path.chmod(0o600)


def test_a_secret_file_beyond_any_secret_is_refused(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 100_000)
    environment.setenv("ARIES_CLIENT_SECRET_FILE", str(tmp_path / "large"))
    with pytest.raises(ConfigurationError, match="larger"):
        SecretSource(None).read()


# Commands that work


@pytest.mark.parametrize(
    "path, argument",
    [
        (r"C:\Users\me\t.json", r"C:\Users\me\t.json"),
        (r"C:\My Tokens\it's.json", '"C:\\My Tokens\\it\'s.json"'),
        (r"C:\100%\t.json", None),
        ("C:\\$x\\t.json", None),
    ],
)
def test_a_path_is_quoted_as_cmd_and_powershell_both_read_it_or_not_at_all(path: str, argument: str | None) -> None:
    from aries_auth.terminal import quoted

    assert quoted(path, windows=True) == argument


class Rot13:
    """A cipher of the caller's own, whose keys no command can have."""

    def encrypt(self, data: bytes) -> bytes:
        return codecs.encode(data.decode(), "rot13").encode()

    def decrypt(self, token: bytes) -> bytes:
        return self.encrypt(token)


def test_a_store_that_no_command_can_reach_is_told_in_the_words_of_its_program(tmp_path: Path) -> None:
    class Own:
        pass

    own: Any = Own()
    assert stores.login_command(None, own).startswith("in the program that has this store")
    encrypted = FileTokenStore(tmp_path / "t.json", cipher=Rot13())
    assert "aries-auth" not in stores.login_command(None, encrypted).replace("aries_auth", "")


def test_a_variable_that_leads_elsewhere_is_kept_out_of_the_way_by_the_option(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("ARIES_TOKEN_FILE", str(tmp_path / "other.json"))
    store = stores.resolve_store("default", None)
    assert stores.login_command("default", store) == "aries-auth login --profile default"
