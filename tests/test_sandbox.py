"""The sandbox's authorization server is as strict as Aries documents itself, over real HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from aries_auth.testing import SCOPES, AriesSandbox, fingerprint

HOSTILE = "\"><script>alert('x')</script>&"


class Clock:
    def __init__(self) -> None:
        self.now = 1_764_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def aries(clock: Clock) -> Iterator[AriesSandbox]:
    uris = ("http://127.0.0.1:8765/callback", "https://app.example/cb?tenant=1")
    with AriesSandbox(redirect_uris=uris, clock=clock) as running:
        yield running


def authorization_url(aries: AriesSandbox, **changes: Any) -> str:
    parameters: dict[str, Any] = {
        "response_type": "code",
        "client_id": aries.client_id,
        "redirect_uri": aries.redirect_uri,
        "scope": "user:information market:information",
        "state": "the-state",
        **changes,
    }
    given = {name: value for name, value in parameters.items() if value is not None}
    return f"{aries.authorize_url}?{urlencode(given, doseq=True)}"


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def exchange(aries: AriesSandbox, code: str, **changes: Any) -> requests.Response:
    body = {
        "grant_type": "authorization_code",
        "client_id": aries.client_id,
        "client_secret": aries.client_secret,
        "code": code,
        "redirect_uri": aries.redirect_uri,
        **changes,
    }
    return requests.post(aries.token_url, json=body, timeout=10)


def refresh(aries: AriesSandbox, refresh_token: Any, **changes: Any) -> requests.Response:
    body = {
        "grant_type": "refresh_token",
        "client_id": aries.client_id,
        "client_secret": aries.client_secret,
        "refresh_token": refresh_token,
        "redirect_uri": aries.redirect_uri,
        **changes,
    }
    given = {name: value for name, value in body.items() if value is not None}
    return requests.post(aries.token_url, json=given, timeout=10)


def me(aries: AriesSandbox, access_token: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {access_token}"}
    return requests.get(f"{aries.api_url}/v1/users/me", headers=headers, timeout=10)


def new_code(aries: AriesSandbox) -> str:
    return query_of(aries.approve(authorization_url(aries)))["code"]


# The authorization endpoint


def test_approve_sends_the_browser_back_with_a_code_and_the_state(aries: AriesSandbox) -> None:
    callback = aries.approve(authorization_url(aries, state="a b&c=d"))
    assert callback.startswith(f"{aries.redirect_uri}?")
    assert set(query_of(callback)) == {"code", "state"}
    assert query_of(callback)["state"] == "a b&c=d"


def test_deny_sends_the_browser_back_with_access_denied(aries: AriesSandbox) -> None:
    query = query_of(aries.deny(authorization_url(aries)))
    assert query["error"] == "access_denied"
    assert query["error_description"]
    assert query["state"] == "the-state"
    assert "code" not in query


def test_a_redirect_uri_with_a_query_keeps_it(aries: AriesSandbox) -> None:
    uri = "https://app.example/cb?tenant=1"
    assert aries.approve(authorization_url(aries, redirect_uri=uri)).startswith(f"{uri}&code=")


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "somebody-else"},
        {"client_id": None},
        {"redirect_uri": None},
        {"redirect_uri": "http://127.0.0.1:8765/callback/"},
        {"redirect_uri": "https://127.0.0.1:8765/callback"},
        {"redirect_uri": "http://localhost:8765/callback"},
        {"redirect_uri": "http://127.0.0.1:8765/callback?x=1"},
        {"redirect_uri": ["http://127.0.0.1:8765/callback", "http://127.0.0.1:8765/callback"]},
        {"redirect_uri": HOSTILE},
    ],
)
def test_an_unknown_client_or_redirect_uri_is_an_error_page_and_no_redirect(
    aries: AriesSandbox, changes: dict[str, Any]
) -> None:
    url = authorization_url(aries, **changes)
    page = requests.get(url, allow_redirects=False, timeout=10)
    assert page.status_code == 400
    assert "Location" not in page.headers
    assert "<script>" not in page.text
    with pytest.raises(RuntimeError, match="no consent page to approve: status 400, The "):
        aries.approve(url)


@pytest.mark.parametrize(
    "changes, error",
    [
        ({"scope": None}, "invalid_request"),
        ({"scope": " "}, "invalid_request"),
        ({"state": None}, "invalid_request"),
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "user:information root:everything"}, "invalid_scope"),
        ({"scope": ["user:information", "user:information"]}, "invalid_request"),
    ],
)
def test_other_faults_redirect_with_an_error(aries: AriesSandbox, changes: dict[str, Any], error: str) -> None:
    callback = aries.approve(authorization_url(aries, **changes))
    assert callback.startswith(f"{aries.redirect_uri}?")
    assert query_of(callback)["error"] == error
    assert "code" not in query_of(callback)


def test_the_consent_page_escapes_what_it_shows(aries: AriesSandbox) -> None:
    url = authorization_url(aries, state=HOSTILE)
    page = requests.get(url, timeout=10)
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    assert query_of(aries.approve(url))["state"] == HOSTILE


def test_the_form_is_checked_again_when_it_is_sent(aries: AriesSandbox) -> None:
    fields = {**query_of(authorization_url(aries)), "decision": "approve"}
    url = aries.authorize_url

    def post(**changes: str) -> requests.Response:
        return requests.post(url, data={**fields, **changes}, allow_redirects=False, timeout=10)

    assert post().status_code == 303
    assert post(redirect_uri="https://evil.example/").status_code == 400
    assert post(decision="perhaps").status_code == 400
    assert requests.post(url, json=fields, allow_redirects=False, timeout=10).status_code == 415
    assert requests.delete(url, timeout=10).status_code == 405


# The token endpoint: codes


def test_a_code_becomes_the_documented_answer(aries: AriesSandbox) -> None:
    answer = exchange(aries, new_code(aries))
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert body.pop("access_token") != body.pop("refresh_token")
    assert body == {
        "token_type": "Bearer",
        "expires_in": 3600,
        "refresh_token_expires_in": 2592000,
        "scope": "user:information market:information",
    }


def test_a_code_used_twice_is_refused_and_revokes_its_grant(aries: AriesSandbox) -> None:
    code = new_code(aries)
    tokens = exchange(aries, code).json()
    assert me(aries, tokens["access_token"]).status_code == 200
    again = exchange(aries, code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert me(aries, tokens["access_token"]).status_code == 401
    assert refresh(aries, tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert aries.live_grants == 0


def test_an_unknown_code_is_invalid_grant(aries: AriesSandbox) -> None:
    assert exchange(aries, "unknown").json()["error"] == "invalid_grant"


def test_a_code_expires(aries: AriesSandbox, clock: Clock) -> None:
    code = new_code(aries)
    clock.now += 600
    assert exchange(aries, code).json()["error"] == "invalid_grant"


def test_a_code_is_bound_to_its_redirect_uri(aries: AriesSandbox) -> None:
    other = exchange(aries, new_code(aries), redirect_uri="https://app.example/cb?tenant=1")
    assert (other.status_code, other.json()["error"]) == (400, "invalid_grant")


def test_of_many_exchanges_of_one_code_one_succeeds(aries: AriesSandbox) -> None:
    code = new_code(aries)
    with ThreadPoolExecutor(20) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda _: exchange(aries, code), range(20))]
    assert sorted(statuses) == [200] + [400] * 19


# The token endpoint: refreshes


def test_a_refresh_rotates_and_the_spent_token_revokes_the_grant(aries: AriesSandbox) -> None:
    first = aries.issue_token()
    second = refresh(aries, first.refresh_token).json()
    assert second["refresh_token"] != first.refresh_token
    assert me(aries, second["access_token"]).status_code == 200
    assert refresh(aries, first.refresh_token).json()["error"] == "invalid_grant"
    assert me(aries, second["access_token"]).status_code == 401
    assert refresh(aries, second["refresh_token"]).json()["error"] == "invalid_grant"
    assert (aries.refresh_count, aries.reused_refresh_tokens, aries.live_grants) == (1, 1, 0)


def test_without_rotation_the_answer_carries_no_refresh_token_and_the_old_one_lives(
    aries: AriesSandbox,
) -> None:
    aries.rules.rotate = False
    token = aries.issue_token()
    for _ in range(2):
        answer = refresh(aries, token.refresh_token)
        assert answer.status_code == 200
        assert "refresh_token" not in answer.json()
    assert aries.reused_refresh_tokens == 0


@pytest.mark.parametrize("field", ["grant_type", "client_id", "client_secret", "refresh_token", "redirect_uri"])
@pytest.mark.parametrize("value", [None, "", 5])
def test_each_of_the_five_refresh_fields_is_required(aries: AriesSandbox, field: str, value: Any) -> None:
    token = aries.issue_token()
    answer = (
        refresh(aries, token.refresh_token, **{field: value}) if field != "refresh_token" else refresh(aries, value)
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert refresh(aries, token.refresh_token).status_code == 200


@pytest.mark.parametrize("changes", [{"client_secret": "wrong"}, {"client_id": "wrong"}, {"client_secret": "\ud800"}])
def test_a_wrong_client_is_401_in_the_shape_of_rfc_6749(aries: AriesSandbox, changes: dict[str, Any]) -> None:
    answer = refresh(aries, aries.issue_token().refresh_token, **changes)
    assert answer.status_code == 401
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.json()["error"] == "invalid_client"


def test_a_refresh_is_bound_to_the_redirect_uri_of_its_grant(aries: AriesSandbox) -> None:
    token = aries.issue_token()
    other = refresh(aries, token.refresh_token, redirect_uri="https://app.example/cb?tenant=1")
    assert (other.status_code, other.json()["error"]) == (400, "invalid_grant")
    assert refresh(aries, token.refresh_token).status_code == 200


def test_a_refresh_token_expires(aries: AriesSandbox, clock: Clock) -> None:
    token = aries.issue_token(refresh_expires_in=100, age=40)
    clock.now += 59
    assert aries.live_grants == 1
    clock.now += 1
    assert refresh(aries, token.refresh_token).json()["error"] == "invalid_grant"
    assert aries.live_grants == 0


@pytest.mark.parametrize("refresh_token", ["unknown", "\ud800"])
def test_an_unknown_refresh_token_is_invalid_grant(aries: AriesSandbox, refresh_token: str) -> None:
    assert refresh(aries, refresh_token).json()["error"] == "invalid_grant"


def test_form_bodies_are_refused(aries: AriesSandbox) -> None:
    token = aries.issue_token()
    form = {"grant_type": "refresh_token", "refresh_token": token.refresh_token}
    answer = requests.post(aries.token_url, data=form, timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (415, "invalid_request")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"null", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(aries: AriesSandbox, body: bytes) -> None:
    answer = requests.post(
        aries.token_url, data=body, headers={"Content-Type": "application/json; charset=utf-8"}, timeout=10
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_other_grants_and_methods_are_refused(aries: AriesSandbox) -> None:
    assert refresh(aries, "x", grant_type="password").json()["error"] == "unsupported_grant_type"
    assert requests.get(aries.token_url, timeout=10).status_code == 405


def test_what_an_answer_claims_can_be_changed(aries: AriesSandbox) -> None:
    aries.rules.expires_in = None
    token = aries.issue_token()
    assert token.expires_at is None
    assert "expires_in" not in refresh(aries, token.refresh_token).json()
    aries.rules.expires_in = "soon"
    aries.rules.edit_answer = lambda answer: {**answer, "token_type": "bearer"}
    answer = refresh(aries, aries.issue_token(expires_in=60).refresh_token).json()
    assert (answer["expires_in"], answer["token_type"]) == ("soon", "bearer")


def test_an_issued_token_is_as_old_as_it_is_said_to_be(aries: AriesSandbox, clock: Clock) -> None:
    token = aries.issue_token(scope="user:information", expires_in=100, age=99)
    assert token.obtained_at == clock.now - 99
    assert token.expires_at == clock.now + 1
    assert (token.client_id, token.redirect_uri) == (aries.client_id, aries.redirect_uri)
    assert aries.issue_token().scope == " ".join(SCOPES)
    assert me(aries, token.access_token).status_code == 200
    clock.now += 1
    assert me(aries, token.access_token).json()["error"]["code"] == "TOKEN_EXPIRED"
    assert fingerprint(token.access_token) == aries.api_requests[-1].fingerprint
