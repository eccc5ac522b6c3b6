"""docs/architecture.md, "Failure": what goes wrong, as which error, and what is remembered."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from aries_auth import (
    AriesAuth,
    AriesAuthError,
    ConfigurationError,
    FileTokenStore,
    LockTimeout,
    LoginRequired,
    StoreError,
    Token,
    TokenRequestError,
)
from aries_auth.testing import AriesSandbox, flat_error, nested_error, oauth_error
from tests.conftest import EXPIRED, FRESH, IN_MARGIN, LAST_CALL, Background, wait_until
from tests.inside import source_of
from tests.leaks import assert_no_secret

from .conftest import Caller

Stored = Callable[..., Token]
MakeAuth = Callable[..., AriesAuth]


@pytest.fixture
def expired(stored: Stored) -> Token:
    return stored(age=EXPIRED)


def refused(auth: AriesAuth, error: type[AriesAuthError] = TokenRequestError) -> Any:
    with pytest.raises(error) as caught:
        auth.get_token()
    assert type(caught.value) is error
    return caught.value


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_an_answer_that_says_later_is_retried(
    expired: Token, make_auth: MakeAuth, aries: AriesSandbox, status: int
) -> None:
    aries.fail(status=status, body="<h1>Later</h1>")
    assert make_auth().get_token() != expired.access_token
    assert [request.status for request in aries.token_requests] == [status, 200]


def test_a_connection_that_was_never_made_is_retried(
    call_sync: Caller, expired: Token, make_auth: MakeAuth, aries: AriesSandbox
) -> None:
    auth = make_auth()
    aries.stop()
    waiting = Background(auth.get_token)
    time.sleep(0.2)
    aries.start()
    assert waiting.outcome() != expired.access_token
    assert aries.refresh_count == 1


def test_retry_after_is_honoured(expired: Token, make_auth: MakeAuth, aries: AriesSandbox) -> None:
    aries.fail(status=429, headers={"Retry-After": "1"})
    begun = time.monotonic()
    make_auth().get_token()
    assert time.monotonic() - begun > 0.95
    assert [request.status for request in aries.token_requests] == [429, 200]


def test_a_retry_after_beyond_the_30_s_fails_at_once_and_is_kept_to(
    expired: Token, make_auth: MakeAuth, aries: AriesSandbox
) -> None:
    auth = make_auth()
    aries.fail(status=503, headers={"Retry-After": "3600"}, times=None)
    begun = time.monotonic()
    for _ in range(3):
        error = refused(auth)
        assert (error.status_code, error.retryable) == (503, True)
    assert time.monotonic() - begun < 1.0
    assert len(aries.token_requests) == 1
    with pytest.raises(TokenRequestError):
        auth.refresh()
    assert len(aries.token_requests) == 2, "refresh() tries at once"
    restraints = source_of(auth)._memory.restraints
    assert restraints.failure is not None
    assert restraints.failure_until - time.monotonic() <= 60.0, "for a minute at most"


@pytest.mark.parametrize("age", [FRESH, EXPIRED], ids=["living", "expired"])
def test_a_remembered_failure_ends_when_the_store_changes(
    expired: Token, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, age: float
) -> None:
    auth = make_auth()
    aries.fail(status=503, headers={"Retry-After": "3600"})
    refused(auth)
    stored(age=age)
    assert auth.get_token() != expired.access_token
    assert aries.refresh_count == (1 if age == EXPIRED else 0)


def test_a_refusal_that_is_sure_to_come_again_is_remembered_for_a_second(
    expired: Token, make_auth: MakeAuth, aries: AriesSandbox
) -> None:
    auth = make_auth(client_secret="wrong")
    begun = time.monotonic()
    error = refused(auth)
    assert (error.status_code, error.error, error.retryable) == (401, "invalid_client", False)
    refused(auth)
    so_far = len(aries.token_requests)
    assert so_far == 1 or time.monotonic() - begun > 1.0
    time.sleep(1.2)
    refused(auth)
    assert len(aries.token_requests) == so_far + 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_of_a_token_request_are_never_followed(
    call_sync: Caller, expired: Token, make_auth: MakeAuth, aries: AriesSandbox, url: str, status: int
) -> None:
    with AriesSandbox() as thief:
        aries.fail(status=status, headers={"Location": thief.token_url}, body=b"x" * 100)
        with pytest.raises(TokenRequestError) as caught:
            call_sync(make_auth(), url)
        assert caught.value.status_code == status
        assert thief.token_requests == ()
    assert len(aries.token_requests) == 1


def padded(size: int) -> bytes:
    """A good answer but for its size."""
    return b'{"access_token": "a", "padding": "' + b"0" * size + b'"}'


BOMB = gzip.compress(padded(50_000_000))
GZIP = {"Content-Encoding": "gzip"}

BAD_ANSWERS = {
    "2 MiB": {"body": padded(2 << 20)},
    "not JSON": {"body": "<h1>Welcome to the hotel</h1>"},
    "empty": {"status": 200},
    "no object": {"body": [1]},
    "no access token": {"body": {"refresh_token": "r", "expires_in": 3600}},
    "an access token that is no text": {"body": {"access_token": 5}},
    "an access token that splits the header": {"body": {"access_token": "a\r\nX-Evil: 1"}},
    "an access token beyond ASCII": {"body": {"access_token": "ä"}},
    "not UTF-8": {"body": b'{"access_token": "\xff"}'},
    "deep": {"body": b"[" * 100_000},
    "gzip bomb": {"body": BOMB, "headers": GZIP},
    "a redirect's bomb": {"status": 302, "body": BOMB, "headers": {**GZIP, "Location": "/"}},
    "brotli": {"body": padded(1), "headers": {"Content-Encoding": "br"}},
    "layers of gzip": {"body": gzip.compress(gzip.compress(padded(1))), "headers": {"Content-Encoding": "gzip, gzip"}},
    "broken gzip": {"body": b"no gzip", "headers": GZIP},
    "204": {"status": 204},
}


@pytest.mark.parametrize("what", sorted(BAD_ANSWERS))
def test_a_bad_answer_is_a_token_request_error_and_the_stored_token_stays(
    call_sync: Caller,
    expired: Token,
    make_auth: MakeAuth,
    store: FileTokenStore,
    aries: AriesSandbox,
    url: str,
    what: str,
) -> None:
    aries.fail(**BAD_ANSWERS[what])
    auth = make_auth()
    with pytest.raises(TokenRequestError) as caught:
        call_sync(auth, url)
    assert store.load() == expired
    assert len(aries.token_requests) == 1
    assert_no_secret(caught.value, aries.client_secret, expired.refresh_token or "", expired.access_token)


@pytest.mark.parametrize("what", ["gzip bomb", "a redirect's bomb", "2 MiB"])
def test_a_bomb_takes_little_memory(
    call_sync: Caller, expired: Token, make_auth: MakeAuth, aries: AriesSandbox, url: str, what: str
) -> None:
    aries.fail(**BAD_ANSWERS[what])
    auth = make_auth()
    tracemalloc = pytest.importorskip("tracemalloc", reason="PyPy has none")
    tracemalloc.start()
    try:
        with pytest.raises(TokenRequestError):
            call_sync(auth, url)
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()


def test_an_answer_that_comes_compressed_unasked_is_read(
    call_sync: Caller, expired: Token, make_auth: MakeAuth, aries: AriesSandbox, url: str
) -> None:
    aries.fail(body=gzip.compress(padded(1)), headers=GZIP)
    auth = make_auth()
    call_sync(auth, url)
    assert auth.get_token() == "a"


@pytest.mark.parametrize("headers", [{"Content-Encoding": "br"}, {}], ids=["brotli", "2 MiB"])
def test_later_is_said_by_the_status_whatever_page_is_under_it(
    call_sync: Caller, expired: Token, make_auth: MakeAuth, aries: AriesSandbox, url: str, headers: Any
) -> None:
    aries.fail(status=503, body=b"x" * (2 << 20), headers=headers)
    assert call_sync(make_auth(), url).status == 200


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 400, "body": oauth_error("invalid_grant", "gone")},
        {"status": 401, "body": oauth_error("INVALID_GRANT", "gone")},
        {"status": 400},
        {"status": 401},
        {"status": 400, "body": flat_error("Nope", {"code": "TOKEN_GONE"})},
        {"status": 401, "body": nested_error("AUTHENTICATION", "GRANT_REVOKED", "gone")},
        {"status": 400, "body": ["what?"]},
    ],
    ids=["400", "401", "no body 400", "no body 401", "flat", "nested", "array"],
)
def test_a_refused_grant_is_login_required_and_fails_at_once_without_a_request_until_the_store_changes(
    expired: Token, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, fault: Any
) -> None:
    aries.fail(**fault)
    auth = make_auth()
    assert "aries-auth login" in str(refused(auth, LoginRequired))
    refused(auth, LoginRequired)
    with pytest.raises(LoginRequired):
        auth.refresh()
    assert len(aries.token_requests) == 1
    newer = stored()
    assert auth.get_token() == newer.access_token


@pytest.mark.parametrize(
    "body, named", [(oauth_error("invalid_grant", "gone"), " (invalid_grant)"), (None, "")], ids=["named", "not named"]
)
def test_what_login_required_says_is_what_aries_named_and_then_what_is_known(
    expired: Token, make_auth: MakeAuth, store: FileTokenStore, body: Any, named: str, aries: AriesSandbox
) -> None:
    aries.fail(status=400, body=body)
    auth = make_auth()
    run = f"a person has to log in. Run: aries-auth login --store {store.path}"
    first, second = str(refused(auth, LoginRequired)), str(refused(auth, LoginRequired))
    assert first == f"Aries refused the refresh token in {store.path}{named}: {run}"
    assert second == f"The refresh token in {store.path} is no longer valid: {run}"


@pytest.mark.parametrize(
    "cause",
    ["invalid_request", "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"],
)
@pytest.mark.parametrize("status", [400, 401])
def test_a_refusal_that_names_another_cause_is_no_verdict_on_the_grant(
    expired: Token, make_auth: MakeAuth, aries: AriesSandbox, cause: str, status: int
) -> None:
    aries.fail(status=status, body=oauth_error(cause, "because"))
    error = refused(make_auth())
    assert (error.status_code, error.error, error.error_description) == (status, cause, "because")


@pytest.mark.parametrize("kind", ["VALIDATION", "RATE_LIMIT", "INTERNAL", "validation"])
def test_the_types_of_aries_that_are_no_verdict_on_the_grant(
    expired: Token, make_auth: MakeAuth, aries: AriesSandbox, kind: str
) -> None:
    aries.fail(status=400, body=nested_error(kind, "CODE", "because", request_id="r-1"))
    error = refused(make_auth())
    assert (error.error, error.error_description, error.request_id) == ("CODE", "because", "r-1")


@pytest.mark.parametrize("status", [400, 401])
def test_a_page_that_is_not_json_is_a_proxys_and_the_refresh_token_is_not_dead(
    expired: Token, make_auth: MakeAuth, aries: AriesSandbox, status: int
) -> None:
    aries.fail(status=status, body="<h1>Sign in to the hotel</h1>")
    auth = make_auth()
    refused(auth)
    assert auth.get_token() != expired.access_token


def test_invalid_grant_with_another_status_is_a_token_request_error(
    expired: Token, make_auth: MakeAuth, aries: AriesSandbox
) -> None:
    aries.fail(status=403, body=oauth_error("invalid_grant", "gone"))
    assert refused(make_auth()).status_code == 403


def test_after_invalid_grant_the_store_is_looked_at_once_more(
    expired: Token, make_auth: MakeAuth, store: FileTokenStore, aries: AriesSandbox
) -> None:
    aries.fail(status=400, body=oauth_error("invalid_grant", "gone"), delay=0.3)
    waiting = Background(make_auth().get_token)
    aries.wait_for_requests(1)
    newer = aries.issue_token()
    other = store.path + ".other"
    FileTokenStore(other).save(newer)
    Path(other).replace(store.path)  # somebody who takes no lock
    assert waiting.outcome() == newer.access_token


@pytest.mark.parametrize(
    "age, what", [(None, "There is no token in {}"), (EXPIRED, "The refresh token in {} has expired")]
)
def test_no_stored_token_or_no_living_refresh_token_is_login_required(
    call: Caller,
    make_auth: MakeAuth,
    stored: Stored,
    store: FileTokenStore,
    aries: AriesSandbox,
    url: str,
    age: Any,
    what: str,
) -> None:
    if age is not None:
        stored(age=age, refresh_expires_in=3000.0)
    with pytest.raises(
        LoginRequired, match=rf"{re.escape(what.format(store.path))}: .* Run: aries-auth login --store \S+"
    ):
        call(make_auth(), url)
    assert aries.token_requests == aries.api_requests == ()


def test_an_expired_token_without_a_refresh_token_is_login_required(
    make_auth: MakeAuth, store: FileTokenStore, aries: AriesSandbox
) -> None:
    store.save(Token("a", obtained_at=1.0, expires_at=2.0))
    assert "is missing" in str(refused(make_auth(), LoginRequired))


@pytest.mark.parametrize("parameter", ["client_id", "client_secret", "redirect_uri"])
def test_a_credential_missing_when_first_needed_names_parameter_and_variable(
    make_auth: MakeAuth, store: FileTokenStore, aries: AriesSandbox, parameter: str
) -> None:
    token = aries.issue_token(age=EXPIRED)
    store.save(Token(**{**token.__dict__, "client_id": None, "redirect_uri": None}))
    auth = make_auth(**{parameter: None})
    message = str(refused(auth, ConfigurationError))
    assert parameter in message
    assert f"ARIES_{parameter.upper()}" in message
    assert aries.token_requests == ()


@pytest.mark.parametrize("age", [FRESH, EXPIRED], ids=["living", "expired"])
@pytest.mark.parametrize("parameter", ["client_id", "redirect_uri"])
def test_a_stored_token_of_another_client_is_a_configuration_error_and_nothing_is_sent(
    call: Caller,
    make_auth: MakeAuth,
    stored: Stored,
    store: FileTokenStore,
    aries: AriesSandbox,
    url: str,
    parameter: str,
    age: float,
) -> None:
    stored(age=age)
    with pytest.raises(ConfigurationError, match=rf"(?s)(?=.*{parameter})(?=.*{re.escape(str(store.path))})"):
        call(make_auth(**{parameter: "http://127.0.0.1:1/other"}), url)
    assert aries.token_requests == aries.api_requests == ()


def test_a_call_gives_up_after_its_timeout_and_the_refresh_goes_on_and_saves(
    call: Caller, expired: Token, make_auth: MakeAuth, store: FileTokenStore, aries: AriesSandbox, url: str
) -> None:
    aries.fail(hang=True)
    begun = time.monotonic()
    with pytest.raises(TokenRequestError) as caught:
        call(make_auth(timeout=0.2), url)
    assert caught.value.retryable
    assert time.monotonic() - begun < 2.0
    aries.heal()
    wait_until(lambda: store.load() != expired)
    assert aries.refresh_count == 1


def test_an_answer_that_was_lost_is_not_sent_for_again_and_the_next_call_tries_what_it_finds(
    expired: Token, make_auth: MakeAuth, aries: AriesSandbox
) -> None:
    aries.fail(drop="before")
    auth = make_auth()
    assert refused(auth).retryable
    assert len(aries.token_requests) == 1
    assert auth.get_token() != expired.access_token


@pytest.mark.parametrize("drip_of", ["headers", "body"])
def test_an_endpoint_that_drips_does_not_outlast_the_time_in_all(
    call_sync: Caller,
    expired: Token,
    make_auth: MakeAuth,
    aries: AriesSandbox,
    url: str,
    drip_of: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("aries_auth.token_endpoint.backoff.SENDING_TIME", 0.5)
    aries.fail(drip=0.05, drip_of=drip_of)
    begun = time.monotonic()
    with pytest.raises(TokenRequestError) as caught:
        call_sync(make_auth(), url)
    assert caught.value.retryable
    assert time.monotonic() - begun < 3.0


def test_a_lock_not_had_in_time_is_a_lock_timeout(
    expired: Token, make_auth: MakeAuth, store: FileTokenStore, aries: AriesSandbox
) -> None:
    auth = make_auth(store=FileTokenStore(store.path, lock_timeout=0.3))
    with store.locked():
        assert f"{store.path} stayed locked for 0.3 s" in str(refused(auth, LockTimeout))
    assert aries.token_requests == ()
    assert auth.get_token() != expired.access_token


def test_a_timeout_before_the_locks_is_a_retryable_token_request_error(
    expired: Token, make_auth: MakeAuth, store: FileTokenStore, aries: AriesSandbox
) -> None:
    with store.locked():
        error = refused(make_auth(timeout=0.2))
    assert error.retryable
    assert "within the call's time-out of 0.2 s" in str(error)
    assert aries.token_requests == ()


def test_the_time_that_the_first_look_takes_is_part_of_a_calls_timeout(
    expired: Token, make_auth: MakeAuth, store: FileTokenStore, aries: AriesSandbox
) -> None:
    class Slow(FileTokenStore):
        def load(self) -> Token | None:
            time.sleep(0.5)
            return super().load()

    aries.fail(hang=True, times=None)
    begun = time.monotonic()
    refused(make_auth(store=Slow(store.path), timeout=0.7))
    assert time.monotonic() - begun < 1.1
    aries.heal()


def test_a_lock_not_had_while_the_token_lives_hurts_nobody(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, aries: AriesSandbox
) -> None:
    token = stored(age=LAST_CALL)
    auth = make_auth(store=FileTokenStore(store.path, lock_timeout=0.2))
    with store.locked():
        assert auth.get_token() == token.access_token


def test_a_store_that_cannot_be_read_is_a_store_error_and_hurts_nobody_while_the_token_lives(
    call: Caller, make_auth: MakeAuth, stored: Stored, store_path: Any, aries: AriesSandbox, url: str
) -> None:
    token = stored(age=IN_MARGIN)
    auth = make_auth()
    auth.get_token()
    wait_until(lambda: auth.token != token)
    store_path.write_text("{")
    assert call(auth, url).status == 200
    with pytest.raises(StoreError):
        call(make_auth(), url)
    assert store_path.read_text() == "{"
    assert aries.refresh_count == 1


def test_a_server_that_echoes_secrets_is_masked(expired: Token, make_auth: MakeAuth, aries: AriesSandbox) -> None:
    echo = f"{aries.client_secret} and {expired.refresh_token}"
    aries.fail(status=400, body=oauth_error("invalid_client", echo))
    error = refused(make_auth())
    assert "[hidden] and [hidden]" in error.error_description
    assert_no_secret(error, aries.client_secret, expired.refresh_token or "", expired.access_token)


def test_every_waiter_raises_an_error_of_its_own(expired: Token, make_auth: MakeAuth, aries: AriesSandbox) -> None:
    aries.fail(status=400, body=oauth_error("invalid_client", "wrong"), delay=0.2)
    auth = make_auth()
    waiting = [Background(auth.get_token) for _ in range(4)]
    errors = set()
    for one in waiting:
        with pytest.raises(TokenRequestError) as caught:
            one.outcome()
        errors.add(id(caught.value))
    assert len(aries.token_requests) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, which tells who holds a lock")
def test_a_call_that_gave_up_names_who_holds_the_lock(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, store_path: Path
) -> None:
    stored(age=EXPIRED)
    program = """
import sys, aries_auth
with aries_auth.FileTokenStore(sys.argv[1]).locked():
    print("locked", flush=True)
    input()
"""
    command = [sys.executable, "-c", program, str(store_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            with pytest.raises(TokenRequestError, match=rf"which process {holder.pid} holds") as raised:
                make_auth(timeout=0.5).get_token()
            assert raised.value.retryable
        finally:
            holder.communicate(b"\n", timeout=20)
