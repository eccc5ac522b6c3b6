"""The backends of docs/examples, on real servers, with a person at Chromium in front of them."""

from __future__ import annotations

import json
import re
import socket
import stat
from urllib.parse import urlencode, urlsplit

import pytest

from tests.browser.conftest import EXAMPLES, Backend, Browser, query_of
from tests.conftest import wait_until

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="needs docs/, which the sdist leaves out")


@pytest.fixture
def consent(backend: Backend, browser: Browser) -> Browser:
    """Alice has signed in, and stands before Aries' consent page."""
    with backend.client("alice") as alice:
        browser.plant(backend.origin, alice.cookies["session"])
    browser.open(f"{backend.origin}/login")
    return browser


# In the browser


def test_from_the_sign_in_to_what_aries_says(backend: Backend, browser: Browser) -> None:
    browser.open(backend.origin)
    browser.driver.find_element("css selector", "input[name=name]").send_keys("alice")
    browser.click("form[action='/sign-in'] button")
    assert browser.title == "Not connected"
    browser.click("a[href='/login']")
    assert "asks for" in browser.text
    browser.decide("approve")
    assert browser.title == "Connected"
    assert "alice, at Aries you are Sandbox User." in browser.text
    assert browser.url == f"{backend.origin}/"
    (path,) = backend.saved
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(backend.aries.token_requests) == 1


def test_deny_says_so_and_saves_nothing(backend: Backend, consent: Browser) -> None:
    consent.decide("deny")
    assert consent.title == "Access was denied"
    assert query_of(consent.url)["state"] not in consent.source
    assert backend.saved == []
    assert backend.aries.token_requests == ()
    consent.click("a[href='/login']")
    consent.decide("approve")
    assert consent.title == "Connected"


def test_back_and_approve_again_sends_nothing_and_leaves_the_account_connected(
    backend: Backend, consent: Browser
) -> None:
    consent.decide("approve")
    before = backend.saved[0].read_bytes()
    consent.back()
    consent.decide("approve")
    assert consent.title == "No login is under way"
    assert query_of(consent.url)["code"] not in consent.source
    assert len(backend.aries.token_requests) == 1
    consent.click("a[href='/']")
    assert consent.title == "Connected"
    assert backend.saved[0].read_bytes() == before


def test_a_replayed_callback_sends_nothing(backend: Backend, consent: Browser) -> None:
    consent.decide("approve")
    consent.open(consent.callback())
    assert consent.title == "No login is under way"
    assert len(backend.aries.token_requests) == 1
    assert backend.aries.live_grants == 1


def test_logout_deletes_the_grant_and_ends_the_session(backend: Backend, consent: Browser) -> None:
    consent.decide("approve")
    consent.click("form[action='/logout'] button")
    assert consent.title == "Who are you?"
    assert backend.saved == []


def test_a_session_planted_before_the_sign_in_gets_nothing(backend: Backend, browser: Browser) -> None:
    with backend.client("mallory") as mallory:
        forged = backend.aries.approve(mallory.get("/login").headers["location"])
        browser.plant(backend.origin, mallory.cookies["session"])
        browser.open(backend.origin)
        assert "mallory" in browser.text
        browser.driver.execute_script(
            "document.body.innerHTML = '<form method=post action=/sign-in><input name=name value=alice><button>';"
        )
        browser.click("button")
        browser.open(forged)  # its state was in the planted cookie
        assert browser.title == "No login is under way"
        browser.click("a[href='/']")
        browser.click("a[href='/login']")
        browser.decide("approve")
        assert "alice, at Aries" in browser.text
        assert "mallory, your Aries account is not connected" in mallory.get("/").text


def test_an_answer_to_somebody_elses_login_is_refused(backend: Backend, consent: Browser) -> None:
    """Else a link to mallory's callback would make alice trade on mallory's account."""
    with backend.client("mallory") as mallory:
        forged = backend.aries.approve(mallory.get("/login").headers["location"])
    consent.open(forged)
    assert consent.title == "This is not the answer to your login"
    assert backend.saved == []
    assert backend.aries.token_requests == ()


# Without a screen


def callback(backend: Backend, **query: str) -> str:
    return f"{backend.aries.redirect_uri}?{urlencode(query)}"


def test_a_callback_out_of_nowhere_is_refused(backend: Backend) -> None:
    with backend.client("alice") as alice:
        answer = alice.get(callback(backend, code="c", state="s"))
    assert answer.status_code == 400
    assert "No login is under way" in answer.text


def test_a_wrong_state_ends_the_login(backend: Backend) -> None:
    with backend.client("alice") as alice:
        right = backend.aries.approve(alice.get("/login").headers["location"])
        wrong = alice.get(callback(backend, code="c", state="wrong"))
        late = alice.get(right)
    assert (wrong.status_code, late.status_code) == (400, 400)
    assert "This is not the answer to your login" in wrong.text
    assert "No login is under way" in late.text
    assert backend.aries.token_requests == ()


def test_an_old_cookie_does_not_bring_a_spent_state_back(backend: Backend) -> None:
    with backend.client("alice") as alice:
        address = backend.aries.approve(alice.get("/login").headers["location"])
        old = alice.cookies["session"]
        assert alice.get(address).status_code == 303
        alice.cookies.clear()
        again = alice.get(address, headers={"Cookie": f"session={old}"})
    assert again.status_code == 400
    assert len(backend.aries.token_requests) == 1
    assert backend.aries.live_grants == 1


def test_a_browser_that_hangs_up_in_the_callback_finds_the_account_connected(backend: Backend) -> None:
    with backend.client("alice") as alice:
        address = backend.aries.approve(alice.get("/login").headers["location"])
        backend.aries.fail(delay=0.5)
        target = urlsplit(address)
        request = f"GET {target.path}?{target.query} HTTP/1.1\r\nHost: {target.netloc}\r\n"
        with socket.create_connection(("127.0.0.1", target.port or 0)) as hasty:
            hasty.sendall(f"{request}Cookie: session={alice.cookies['session']}\r\n\r\n".encode())
            backend.aries.wait_for_requests(1)
        assert backend.saved == []
        reloaded = alice.get(address)
        wait_until(lambda: backend.saved)
        assert reloaded.status_code == 400
        assert "alice, at Aries you are Sandbox User." in alice.get("/").text
    assert len(backend.aries.token_requests) == 1


def test_a_token_endpoint_that_refuses_is_said_without_its_words(backend: Backend) -> None:
    with backend.client("alice") as alice:
        address = backend.aries.approve(alice.get("/login").headers["location"])
        backend.aries.fail(status=400, body={"error": "invalid_client", "error_description": "<b>internal</b>"})
        answer = alice.get(address)
    assert answer.status_code == 502
    assert "The login did not work" in answer.text
    assert "internal" not in answer.text
    assert backend.saved == []


def test_a_store_that_cannot_be_written_costs_no_code(backend: Backend) -> None:
    with backend.client("alice") as alice:
        address = backend.aries.approve(alice.get("/login").headers["location"])
        assert alice.get(address).status_code == 303
        backend.saved[0].write_text("{")
        address = backend.aries.approve(alice.get("/login").headers["location"])
        answer = alice.get(address)
    assert answer.status_code == 500
    assert "Something is wrong here" in answer.text
    assert len(backend.aries.token_requests) == 1


def test_users_do_not_share_a_grant(backend: Backend) -> None:
    with backend.client("alice") as alice, backend.client("bob") as bob:
        alice.get(backend.aries.approve(alice.get("/login").headers["location"]))
        assert "Not connected" in bob.get("/").text
        bob.get(backend.aries.approve(bob.get("/login").headers["location"]))
        alice.post("/logout")
        assert "Connected" in bob.get("/").text
    assert len(backend.saved) == 1


def test_an_expired_token_is_refreshed_by_the_page(backend: Backend) -> None:
    with backend.client("alice") as alice:
        alice.get(backend.aries.approve(alice.get("/login").headers["location"]))
        stored = json.loads(backend.saved[0].read_text())
        backend.saved[0].write_text(json.dumps({**stored, "obtained_at": 1.0, "expires_at": 2.0}))
        assert "Connected" in alice.get("/").text
    assert backend.aries.refresh_count == 1


def test_what_a_user_typed_is_escaped(backend: Backend) -> None:
    with backend.client("<script>alert(1)</script>") as user:
        page = user.get("/").text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_pages_are_not_kept_and_tell_no_other_site_of_their_address(backend: Backend) -> None:
    with backend.client("alice") as alice:
        answer = alice.get(callback(backend, code="c", state="s"))
        cookie = alice.post("/sign-in", data={"name": "alice"}).headers["set-cookie"].lower()
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


def test_no_code_and_no_token_is_in_the_log_or_the_cookie(backend: Backend) -> None:
    with backend.client("alice") as alice:
        address = backend.aries.approve(alice.get("/login").headers["location"])
        alice.get(address)
        alice.get("/")
        seen = backend.log.read_text() + alice.cookies["session"]
    stored = json.loads(backend.saved[0].read_text())
    for secret in (query_of(address)["code"], stored["access_token"], stored["refresh_token"]):
        assert secret not in seen
    assert not re.search(re.escape(backend.aries.client_secret), seen)
