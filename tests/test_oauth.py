"""The protocol without I/O: the authorization URL, request bodies, callbacks, answers and refusals."""

from __future__ import annotations

import json
import pickle
import re
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aries_auth import AuthorizationError, TokenRequestError
from aries_auth.token import Secret, Token, is_bearer
from aries_auth.token_endpoint import protocol, verdict
from aries_auth.token_endpoint.addresses import AUTHORIZE_URL
from aries_auth.token_endpoint.protocol import Answer, Credentials
from tests.leaks import assert_no_secret

SECRET, CODE, REFRESH, ACCESS = "SECRET/planted+0=", "CODE-planted-1", "REFRESH-planted-2", "ACCESS-planted-3"
STATE = "state-of-this-login"
REDIRECT = "http://localhost:8000/callback"
CREDENTIALS = Credentials("client-1", Secret(SECRET), REDIRECT)
URL = "https://api.aries.com/v1/oauth2/token"
REQUEST = protocol.refresh_request(URL, CREDENTIALS, Secret(REFRESH))


def answer(status: int, body: Any = b"", headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, headers or {}, body if isinstance(body, bytes) else json.dumps(body).encode())


# What is sent


def test_the_authorization_url_has_the_five_parameters_and_the_scope_separated_by_spaces() -> None:
    url = protocol.authorization_url(
        AUTHORIZE_URL,
        client_id="c&1",
        redirect_uri=REDIRECT,
        scope="user:information order:execution",
        state="s+/=",
    )
    assert url.startswith("https://app.aries.com/oauth2/authorize?")
    assert parse_qs(urlsplit(url).query, strict_parsing=True) == {
        "response_type": ["code"],
        "client_id": ["c&1"],
        "redirect_uri": [REDIRECT],
        "scope": ["user:information order:execution"],
        "state": ["s+/="],
    }


def test_an_authorize_url_keeps_the_query_that_it_has() -> None:
    url = protocol.authorization_url("https://a/?x=1", client_id="c", redirect_uri="r", scope="s", state="t")
    assert url.startswith("https://a/?x=1&response_type=code&")


@pytest.mark.parametrize(
    "scope",
    [
        "user:information order:execution",
        " user:information   order:execution\n",
        ["user:information", "order:execution"],
        ("user:information order:execution", "user:information"),
    ],
)
def test_scope_is_a_text_or_a_sequence_and_sent_space_separated(scope: Any) -> None:
    assert protocol.join_scope(scope) == "user:information order:execution"


def test_all_documented_scopes_are_known() -> None:
    assert len(protocol.SCOPES) == len(set(protocol.SCOPES)) == 12


def test_a_refresh_has_all_five_fields() -> None:
    assert REQUEST.body == {
        "grant_type": "refresh_token",
        "client_id": "client-1",
        "client_secret": SECRET,
        "refresh_token": REFRESH,
        "redirect_uri": REDIRECT,
    }
    assert (REQUEST.url, REQUEST.grant_type) == (URL, "refresh_token")


def test_an_exchange_has_all_five_fields() -> None:
    request = protocol.code_request(URL, CREDENTIALS, Secret(CODE))
    assert request.body == {
        "grant_type": "authorization_code",
        "client_id": "client-1",
        "client_secret": SECRET,
        "code": CODE,
        "redirect_uri": REDIRECT,
    }
    assert (request.url, request.grant_type) == (URL, "authorization_code")
    assert set(request.secrets) == {SECRET, CODE}


def test_no_repr_shows_a_secret_a_code_or_a_token() -> None:
    shown = [
        REQUEST,
        protocol.code_request(URL, CREDENTIALS, Secret(CODE)),
        CREDENTIALS,
        answer(200, {"access_token": ACCESS}),
    ]
    assert_no_secret(shown, SECRET, CODE, REFRESH, ACCESS)
    assert set(REQUEST.secrets) == {SECRET, REFRESH}


# Callbacks


def parse(callback: str, *, redirect_uri: str = REDIRECT, state: str = STATE) -> str:
    return protocol.parse_callback(Secret(callback), redirect_uri=redirect_uri, state=state).reveal()


def test_a_callback_with_the_state_the_address_and_one_code_gives_its_code() -> None:
    assert parse(f"{REDIRECT}?code={CODE}&state={STATE}") == CODE
    assert parse(f"  {REDIRECT}?state={STATE}&code={CODE}&extra=1#fragment\n") == CODE
    assert parse(f"{REDIRECT}?code=a%2Fb%2Bc&state={STATE}") == "a/b+c"


@pytest.mark.parametrize(
    "redirect_uri, address",
    [
        ("https://app.example.com/cb", "HTTPS://APP.example.com:443/cb"),
        ("http://localhost/", "http://localhost:80"),
        ("http://[::1]:8000/cb", "http://[::1]:8000/cb"),
        ("com.example.app:/cb", "com.example.app:/cb"),
    ],
)
def test_scheme_and_host_compare_without_case_and_default_ports_are_the_same(redirect_uri: str, address: str) -> None:
    assert parse(f"{address}?code={CODE}&state={STATE}", redirect_uri=redirect_uri) == CODE


@pytest.mark.parametrize(
    "address",
    [
        "https://localhost:8000/callback",
        "http://localhost:8001/callback",
        "http://localhost/callback",
        "http://localhost:0/callback",
        "http://127.0.0.1:8000/callback",
        "http://localhost.:8000/callback",
        "http://localhost.evil.com:8000/callback",
        "http://localhost:8000@evil.com/callback",
        "http://localhost:8000/callback/",
        "http://localhost:8000/Callback",
        "http://localhost:8000/",
        "//localhost:8000/callback",
        "/callback",
        "",
    ],
)
def test_a_callback_whose_scheme_host_port_or_path_is_not_the_redirect_uris_is_refused(address: str) -> None:
    with pytest.raises(AuthorizationError, match=f"another address than the redirect URI {REDIRECT}") as caught:
        parse(f"{address}?code={CODE}&state={STATE}")
    assert caught.value.error is None
    assert_no_secret(caught.value, CODE)


@pytest.mark.parametrize(
    "query",
    [
        "code={code}",
        "code={code}&state=",
        "code={code}&state=another",
        "code={code}&state={state}&state={state}",
        "code={code}&state={state}&state=another",
        "code={code}&state=%ED%A0%80",
        "code={code}&state=\ud800",
        "code={code}&State={state}",
        "code={code}#state={state}",
        "error=access_denied&error_description={code}&state=another",
        "error=access_denied",
        "",
        "code={code}&state=%ff",
        "&&&=;=",
    ],
)
@pytest.mark.parametrize("address", [REDIRECT, "https://evil.example/"])
def test_the_state_is_looked_at_before_everything_else_in_a_callback(query: str, address: str) -> None:
    with pytest.raises(AuthorizationError, match="state") as caught:
        parse(f"{address}?{query}".format(code=CODE, state=STATE))
    assert caught.value.error is None
    assert_no_secret(caught.value, CODE)


@pytest.mark.parametrize(
    "callback",
    [
        f"code={CODE}&state={STATE}",
        f"{REDIRECT}&code={CODE}&state={STATE}",
        f"{REDIRECT}/{CODE}",
        f"http://[{CODE}/?code={CODE}&state={STATE}",
        f"http://localhost:{CODE}/callback?code={CODE}&state={STATE}",
        f"http://{CODE}/callback?code={CODE}&state={STATE}",
        f"{REDIRECT}?code={CODE}&sta",
        "http://\u2100.example/?code=" + CODE,
        f"\x00{REDIRECT}?code={CODE}\x00",
        CODE,
        "x" * 100_000 + CODE,
    ],
)
def test_a_callback_that_is_truncated_or_no_url_is_refused_and_not_shown(callback: str) -> None:
    with pytest.raises(AuthorizationError) as caught:
        parse(callback)
    assert_no_secret(caught.value, CODE)


def test_an_empty_state_of_ours_matches_nothing() -> None:
    with pytest.raises(AuthorizationError):
        parse(f"{REDIRECT}?code={CODE}&state=", state="")


@pytest.mark.parametrize(
    "codes, what",
    [
        ("", "no"),
        ("&CODE={code}", "no"),
        ("&code=", "an empty or more than one"),
        ("&code={code}&code={code}", "an empty or more than one"),
        ("&code={code}&code=", "an empty or more than one"),
        ("&code&code={code}", "an empty or more than one"),
    ],
)
def test_a_callback_without_exactly_one_code_that_is_not_empty_is_refused(codes: str, what: str) -> None:
    with pytest.raises(
        AuthorizationError, match=f"^The callback has {what} authorization code; nothing was sent"
    ) as caught:
        parse(f"{REDIRECT}?state={STATE}{codes}".format(code=CODE))
    assert_no_secret(caught.value, CODE)


def test_a_denied_callback_is_an_authorization_error_with_error_and_error_description() -> None:
    with pytest.raises(AuthorizationError, match="access_denied") as caught:
        parse(f"{REDIRECT}?error=access_denied&error_description=The+user+said+no&state={STATE}")
    assert (caught.value.error, caught.value.error_description) == ("access_denied", "The user said no")
    there = pickle.loads(pickle.dumps(caught.value))
    assert (there.error, there.error_description) == ("access_denied", "The user said no")
    assert str(there).startswith("Aries did not authorize the login: access_denied (The user said no). ")


def test_a_denied_callback_needs_no_error_description() -> None:
    with pytest.raises(AuthorizationError) as caught:
        parse(f"{REDIRECT}?error=access_denied&state={STATE}")
    assert (caught.value.error, caught.value.error_description) == ("access_denied", None)
    assert str(caught.value).startswith("Aries did not authorize the login: access_denied. ")


def test_a_denial_without_a_reason_says_so() -> None:
    with pytest.raises(AuthorizationError, match="did not authorize the login: it gave no reason") as caught:
        parse(f"{REDIRECT}?error=&state={STATE}")
    assert caught.value.error == ""


def test_a_callback_elsewhere_shows_its_address_even_if_the_code_is_a_word_of_it() -> None:
    elsewhere = "http://elsewhere.example" + urlsplit(REDIRECT).path
    code = urlsplit(REDIRECT).path.strip("/")
    with pytest.raises(AuthorizationError, match=f"went to {re.escape(elsewhere)}, which"):
        parse(f"{elsewhere}?code={code}&state={STATE}")
    with pytest.raises(AuthorizationError, match="something that is no whole address"):
        parse(f"/callback?code=x&state={STATE}")


def test_an_error_in_a_callback_comes_before_its_code_which_no_text_repeats() -> None:
    with pytest.raises(AuthorizationError) as caught:
        parse(f"{REDIRECT}?error=e-{CODE}&error_description=for+{CODE}&code={CODE}&state={STATE}")
    assert (caught.value.error, caught.value.error_description) == ("e-[hidden]", "for [hidden]")
    assert_no_secret(caught.value, CODE)


def test_control_characters_of_a_callback_reach_no_terminal() -> None:
    with pytest.raises(AuthorizationError) as caught:
        parse(f"{REDIRECT}?error=%1b%5b2J%0d%0aevil&error_description=%00&state={STATE}")
    assert str(caught.value).isprintable()
    assert (caught.value.error or "").isprintable()


pairs = st.lists(
    st.tuples(
        st.sampled_from(["code", "state", "error", "error_description", "x"]), st.text(max_size=6) | st.just(STATE)
    ),
    max_size=5,
)
addresses = st.sampled_from(
    [REDIRECT, "http://localhost:8000", "https://localhost:8000/callback", "http://[", "x"]
) | st.text(max_size=12)


@given(addresses, pairs, st.text(max_size=5))
def test_any_callback_gives_its_one_code_or_an_authorization_error(
    address: str, query: list[tuple[str, str]], tail: str
) -> None:
    callback = f"{address}?{urlencode(query, errors='replace')}{tail}"
    try:
        code = parse(callback)
    except AuthorizationError:
        return
    assert address == REDIRECT
    assert [value for name, value in query if name == "state"] == [STATE]
    assert "error" not in [name for name, _ in query]
    assert code


@given(st.text(max_size=60))
@example(f"{REDIRECT}?state=\ud800&code=x")
@example("http://[::1%25]:x/?")
@example("//[")
def test_any_text_as_a_callback_is_refused_with_an_authorization_error(text: str) -> None:
    with pytest.raises(AuthorizationError):
        parse(text)


# Answers


def test_a_number_that_python_refuses_to_read_does_not_cost_the_token() -> None:
    body = b'{"access_token": "t", "expires_in": ' + b"9" * 5000 + b', "refresh_token_expires_in": 60}'
    token = Token.from_response(verdict.parse_answer(answer(200, body), REQUEST), now=1000.0)
    assert (token.access_token, token.expires_at, token.refresh_token_expires_at) == ("t", None, 1060.0)


def test_a_json_object_is_an_answer() -> None:
    assert verdict.parse_answer(answer(200, {"access_token": ACCESS}), REQUEST) == {"access_token": ACCESS}
    assert verdict.parse_answer(answer(200, b'\xef\xbb\xbf{"a": NaN}'), REQUEST)["a"] != 0


BAD_BODIES = [
    b"",
    b"<html>proxy</html>",
    b"null",
    b'["' + ACCESS.encode() + b'"]',
    b'"' + ACCESS.encode() + b'"',
    b'{"access_token": "' + ACCESS.encode(),
    b"[" * 200_000,
    b'{"a":' * 200_000,
    b"\xff\xfe{\x00}\x00",
    b"\x1f\x8b\x08\x00",
    b'X{"access_token": "' + ACCESS.encode() + b'"}',
]


@pytest.mark.parametrize("body", BAD_BODIES)
def test_an_answer_that_is_no_json_object_is_a_token_request_error_that_shows_nothing(body: bytes) -> None:
    with pytest.raises(TokenRequestError, match="not with a JSON object") as caught:
        verdict.parse_answer(answer(200, body), REQUEST)
    assert (caught.value.status_code, caught.value.retryable) == (200, False)
    assert_no_secret(caught.value, ACCESS, SECRET, REFRESH)


# Refusals

NESTED = {
    "error": {"type": "AUTHENTICATION", "code": "INVALID_TOKEN", "message": "No.", "request_id": "req-9", "details": {}}
}
FLAT = {
    "error": "The client is unknown",
    "codes": [{"code": "invalid_client", "description": "d", "field": "f"}],
    "metadata": {},
}
RFC = {"error": "invalid_grant", "error_description": "The token was used."}


@pytest.mark.parametrize(
    "body, error, description, request_id",
    [
        (RFC, "invalid_grant", "The token was used.", None),
        (NESTED, "INVALID_TOKEN", "No.", "req-9"),
        ({"error": {"type": "VALIDATION", "message": "m"}}, "VALIDATION", "m", None),
        ({"error": {"type": "VALIDATION", "code": ""}}, "VALIDATION", None, None),
        ({"error": {"message": "m"}}, None, "m", None),
        (FLAT, "invalid_client", "The client is unknown", None),
        ({"error": "text", "codes": [], "request_id": "q"}, "text", None, "q"),
        ({"error": "text", "codes": [{"code": 5}, None, {"code": "second"}]}, "second", "text", None),
        ({"error": "text", "codes": "abc"}, "text", None, None),
        ({"error": 5, "error_description": 6}, None, None, None),
        ({}, None, None, None),
        (["error"], None, None, None),
        (b"", None, None, None),
        (b"<html>", None, None, None),
        (b"[" * 200_000, None, None, None),
    ],
)
def test_error_is_rfc_6749s_or_a_nested_errors_code_else_type_or_the_first_of_codes_else_the_text(
    body: Any, error: str | None, description: str | None, request_id: str | None
) -> None:
    refused = verdict.refusal(answer(400, body), REQUEST)
    assert (refused.error, refused.error_description, refused.request_id) == (error, description, request_id)
    assert refused.status_code == 400
    assert "answered 400" in str(refused)


@pytest.mark.parametrize(
    "body, detail",
    [
        (RFC, ": invalid_grant (The token was used.)"),
        ({"error": "invalid_scope"}, ": invalid_scope"),
        ({"error": {"message": "No."}}, " (No.)"),
        (b"", ""),
    ],
)
def test_the_text_of_a_refusal_has_what_aries_said_and_no_more(body: Any, detail: str) -> None:
    assert str(verdict.refusal(answer(400, body), REQUEST)).startswith(f"{URL} answered 400{detail}. Check client id")


@pytest.mark.parametrize(
    "status, advice",
    [
        (299, "Check client id"),
        (300, "Redirects of a token request are not followed"),
        (399, "Redirects of a token request are not followed"),
        (400, "Check client id"),
        (403, "It did not answer with Aries' JSON: a firewall"),
        (429, "Try again later."),
        (500, "Try again later."),
    ],
)
def test_the_text_of_a_refusal_says_what_to_do(status: int, advice: str) -> None:
    assert f". {advice}" in str(verdict.refusal(answer(status), REQUEST))


def test_a_rate_limit_that_comes_as_a_400_is_for_later() -> None:
    refused = verdict.refusal(answer(400, {"error": {"code": "RATE_LIMIT", "message": "Slow down"}}), REQUEST)
    assert str(refused).endswith("Try again later.")


def test_the_request_id_is_the_headers_where_the_body_has_none() -> None:
    headers = {"x-request-id": "from-header"}
    assert verdict.refusal(answer(500, RFC, headers), REQUEST).request_id == "from-header"
    assert verdict.refusal(answer(500, NESTED, headers), REQUEST).request_id == "req-9"


@pytest.mark.parametrize(
    "body",
    [
        {"error": f"bad {SECRET}", "error_description": f"{REFRESH} was used"},
        {"error": {"code": REFRESH, "type": SECRET, "message": SECRET, "request_id": REFRESH}},
        {"error": SECRET, "codes": [{"code": REFRESH}]},
        {"error": quote(SECRET, safe=""), "error_description": quote(SECRET)},
    ],
)
def test_a_server_that_echoes_a_secret_or_a_token_is_masked_before_the_text_is_kept(body: Any) -> None:
    refused = verdict.refusal(answer(400, body, {"x-request-id": SECRET}), REQUEST)
    assert_no_secret(refused, SECRET, REFRESH)
    assert "[hidden]" in str(refused)


def test_control_characters_of_an_error_text_are_escaped() -> None:
    body = {"error": "\x1b[2J", "error_description": "a\r\nb\u202e", "request_id": "\x00"}
    refused = verdict.refusal(answer(400, body), REQUEST)
    assert str(refused).isprintable()
    assert "".join([refused.error or "", refused.error_description or "", refused.request_id or ""]).isprintable()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_status_that_says_later_is_retryable(status: int) -> None:
    assert verdict.is_later(status)
    assert verdict.refusal(answer(status), REQUEST).retryable


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 409, 410, 422, 451])
def test_any_other_status_is_not(status: int) -> None:
    assert not verdict.is_later(status)
    assert not verdict.refusal(answer(status), REQUEST).retryable


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize(
    "body",
    [
        {"error": "invalid_grant"},
        {"error": "INVALID_GRANT"},
        {"error": "invalid_grant", "codes": [{"code": "invalid_client"}]},
        {"error": {"code": "invalid_grant", "type": "VALIDATION"}},
        {"error": "text", "codes": [{"code": "other"}, {"code": "Invalid_Grant"}]},
        NESTED,
        {"error": {"type": "AUTHENTICATION"}},
        {"error": "a text that mentions invalid_client"},
        {},
        [],
        b"",
        b" \r\n",
    ],
)
def test_invalid_grant_an_empty_body_or_json_that_names_no_other_cause_means_that_the_grant_is_gone(
    status: int, body: Any
) -> None:
    assert verdict.is_grant_dead(answer(status, body))


OTHER_CAUSES = [
    "invalid_request",
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "VALIDATION",
    "RATE_LIMIT",
    "INTERNAL",
]


@pytest.mark.parametrize("cause", OTHER_CAUSES + [cause.swapcase() for cause in OTHER_CAUSES])
@pytest.mark.parametrize("status", [400, 401])
def test_json_that_names_another_cause_in_any_case_and_shape_is_no_word_on_the_grant(status: int, cause: str) -> None:
    for body in (
        {"error": cause},
        {"error": {"type": cause}},
        {"error": {"code": cause}},
        {"error": "x", "codes": [{"code": cause}]},
        {"error": {"code": "x"}, "codes": [{"code": cause}]},
    ):
        assert not verdict.is_grant_dead(answer(status, body)), body


@pytest.mark.parametrize("body", [b"<html>401</html>", b"Unauthorized", b"{", b"\xff", b"[" * 200_000])
def test_a_page_that_is_not_json_is_no_word_of_aries(body: bytes) -> None:
    assert not verdict.is_grant_dead(answer(401, body))
    assert not verdict.is_final(answer(401, body))


@pytest.mark.parametrize("status", [200, 302, 403, 404, 429, 500])
def test_invalid_grant_with_another_status_than_400_or_401_is_no_word_on_the_grant(status: int) -> None:
    assert not verdict.is_grant_dead(answer(status, RFC))


@pytest.mark.parametrize(
    "status, final",
    [
        (400, True),
        (401, True),
        (403, True),
        (404, True),
        (408, False),
        (425, False),
        (429, False),
        (200, True),
        (302, False),
        (500, False),
    ],
)
def test_a_refusal_in_json_that_is_not_later_is_sure_to_come_again(status: int, final: bool) -> None:
    assert verdict.is_final(answer(status, FLAT)) is final


@pytest.mark.parametrize("status, advice", [(503, "later"), (307, "not followed"), (401, "Client Center")])
def test_the_message_says_what_to_do(status: int, advice: str) -> None:
    assert advice in str(verdict.refusal(answer(status), REQUEST))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([*OTHER_CAUSES, SECRET]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "code", "type", "message", "codes", "request_id", "error_description"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.integers(100, 599), json_values.map(lambda body: json.dumps(body).encode()) | st.binary(max_size=40))
@example(400, b'{"error": {"code": "\\ud800"}}')
@example(401, b"1" * 5000)
def test_any_error_body_is_a_refusal_that_can_be_printed_and_shows_no_secret(status: int, body: bytes) -> None:
    refused = verdict.refusal(answer(status, body), REQUEST)
    for text in (str(refused), refused.error, refused.error_description, refused.request_id):
        assert text is None or (text.isprintable() and SECRET not in text)
    assert refused.status_code == status
    assert isinstance(verdict.is_grant_dead(answer(status, body)), bool)
    if verdict.is_grant_dead(answer(status, body)):
        assert status in (400, 401)
    if verdict.is_final(answer(status, body)):
        assert 200 <= status < 300 or 400 <= status < 500


@given(st.binary(max_size=60) | json_values.map(lambda body: json.dumps(body).encode()))
def test_any_answer_is_a_json_object_or_a_token_request_error(body: bytes) -> None:
    try:
        document = verdict.parse_answer(answer(200, body), REQUEST)
    except TokenRequestError:
        return
    assert isinstance(document, dict)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_page_is_said_to_be_one_and_not_blamed_on_the_credentials(status: int) -> None:
    said = str(verdict.refusal(answer(status, b"<html>Blocked</html>"), REQUEST))
    assert "a firewall, a proxy or a login page" in said
    assert "client id" not in said


def test_a_proxy_that_asks_for_a_login_is_named() -> None:
    assert "user name and a password" in str(verdict.refusal(answer(407, b"<html>"), REQUEST))


@pytest.mark.parametrize(
    "body, succeeds",
    [
        ({"access_token": "a"}, True),
        ({"access_token": "a", "error": None}, True),
        ({"access_token": "a", "error": ""}, True),
        ({"access_token": "a", "error": "a warning"}, True),  # it may be the only copy of a rotated token
        ({"error": "invalid_grant"}, False),
        ({"error": {"code": "X", "type": "Y"}}, False),
        ({"error": "x", "access_token": None}, False),
        ({}, True),  # parse_answer and Token say what is wrong with it
        (b"<html>", True),
    ],
)
def test_a_200_that_names_an_error_is_no_success(body: Any, succeeds: bool) -> None:
    assert verdict.is_success(answer(200, body)) is succeeds
    assert not verdict.is_success(answer(400, body))


@pytest.mark.parametrize(
    "status, body, sure",
    [
        (400, {"error": "invalid_client"}, True),
        (200, {"error": "invalid_client"}, True),
        (400, b"<html>", False),
        (401, b"<html>", False),
        (404, b"<html>", False),
        (403, b"<html>", True),
        (407, b"<html>", True),
        (451, b"", True),
        (429, {"error": "slow_down"}, False),
        (503, {"error": "down"}, False),
    ],
)
def test_what_is_sure_to_come_again(status: int, body: Any, sure: bool) -> None:
    assert verdict.is_final(answer(status, body)) is sure


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_token_can_be_sent_whatever_its_case(kind: str) -> None:
    token = Token("a", token_type=kind)
    assert is_bearer(token)
    assert verdict.unusable_type(token, URL) is None


@pytest.mark.parametrize("kind", ["mac", "DPoP", "Bearer x", "\x1b[2J"])
def test_a_token_of_another_type_is_an_error_that_names_it(kind: str) -> None:
    token = Token("secret-access-token", "secret-refresh-token", token_type=kind)
    assert not is_bearer(token)
    error = verdict.unusable_type(token, URL)
    assert error is not None
    assert not error.retryable
    assert kind.replace("\x1b", "\\x1b") in str(error)
    assert "\x1b" not in str(error)
    assert "secret" not in str(error)
