"""docs/architecture.md, "Refresh ahead": use the token, use it and refresh in the background, or wait."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any, Callable

import pytest
import trio

from aries_auth import AriesAuth, FileTokenStore, LoginRequired, Token, TokenRequestError
from aries_auth.singleflight.pool import MOST_IN_BACKGROUND
from aries_auth.testing import AriesSandbox, fingerprint
from tests.conftest import EXPIRED, FRESH, IN_MARGIN, LAST_CALL, in_threads, our_threads, wait_until
from tests.inside import source_of

from .conftest import Caller, with_requests

Stored = Callable[..., Token]
MakeAuth = Callable[..., AriesAuth]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "aries_auth")
    return caplog


def settle(auth: AriesAuth) -> None:
    """Until nothing goes on in the background for this object."""
    assert auth.wait(20)


def margin_of(auth: AriesAuth, token: Token) -> float:
    """The seconds before the token's end from which on this object refreshes it."""
    return (token.expires_at or 0.0) - source_of(auth).slot.cached.fresh_until


def test_a_fresh_token_is_used_without_lock_io_or_thread(
    make_auth: MakeAuth,
    stored: Stored,
    store: FileTokenStore,
    call: Caller,
    aries: AriesSandbox,
    url: str,
    tmp_path: Path,
) -> None:
    stored(age=FRESH)
    auth = make_auth()
    call(auth, url)
    settle(auth)
    (tmp_path / "store").rename(tmp_path / "gone")
    before = our_threads()
    with FileTokenStore(tmp_path / "gone" / "token.json").locked(0):
        assert call(auth, url).status == 200
        assert our_threads() <= before
    assert aries.token_requests == ()


def test_no_call_waits_for_a_refresh_in_the_margin(
    make_auth: MakeAuth, stored: Stored, call: Caller, aries: AriesSandbox, url: str
) -> None:
    token = stored(age=IN_MARGIN)
    auth = make_auth()
    aries.fail(hang=True, before=True)
    for _ in range(3):
        assert call(auth, url).json["token"] == fingerprint(token.access_token)
    aries.wait_for_requests(1)
    assert aries.refresh_count == 0
    aries.heal()
    wait_until(lambda: auth.token != token)
    assert aries.refresh_count == 1


def test_the_last_call_waits_for_the_refresh(
    make_auth: MakeAuth, stored: Stored, call: Caller, aries: AriesSandbox, url: str
) -> None:
    token = stored(age=LAST_CALL)
    auth = make_auth()
    assert call(auth, url).json["token"] != fingerprint(token.access_token)
    assert aries.refresh_count == 1


def test_an_expired_token_is_never_used(
    make_auth: MakeAuth, stored: Stored, call: Caller, aries: AriesSandbox, url: str
) -> None:
    stored(age=EXPIRED)
    assert call(make_auth(), url).status == 200
    assert [request.status for request in aries.api_requests] == [200]


@pytest.mark.parametrize("memory", [True, False], ids=["in memory", "in the store alone"])
def test_in_last_call_the_token_is_used_when_the_refresh_fails(
    make_auth: MakeAuth, stored: Stored, call: Caller, aries: AriesSandbox, url: str, memory: bool
) -> None:
    auth = make_auth()
    if memory:
        stored(age=0.0, expires_in=30.0)
        auth.get_token()
    token = stored(age=LAST_CALL)
    aries.fail(status=401, body={"error": "invalid_client"}, times=None)
    assert call(auth, url).json["token"] in (fingerprint(token.access_token), fingerprint(auth.get_token()))
    assert call(auth, url).status == 200


@pytest.mark.parametrize("way", ["thread", "asyncio", "trio"])
def test_in_last_call_the_token_is_used_when_the_refresh_takes_longer_than_it_lives(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, way: str
) -> None:
    token = stored(age=98.5, expires_in=100.0)
    auth = make_auth()
    aries.fail(hang=True, times=None)
    ways = {
        "thread": auth.get_token,
        "asyncio": lambda: asyncio.run(auth.get_token_async()),
        "trio": lambda: trio.run(auth.get_token_async),
    }
    assert ways[way]() == token.access_token
    assert time.time() < (token.expires_at or 0.0), "early enough to be used"
    aries.heal()


def test_after_the_expiry_a_failing_refresh_is_an_error(
    make_auth: MakeAuth, stored: Stored, call: Caller, aries: AriesSandbox, url: str
) -> None:
    stored(age=EXPIRED)
    aries.revoke_grants()
    with pytest.raises(LoginRequired):
        call(make_auth(), url)
    assert aries.api_requests == ()


def test_another_process_that_refreshes_is_left_alone_and_looked_at_again(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, aries: AriesSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "aries_auth")
    old = stored(age=IN_MARGIN)
    auth = make_auth()
    with store.locked() as entry:
        assert auth.get_token() == old.access_token
        wait_until(lambda: "Another holder of the lock" in caplog.text)
        settle(auth)
        assert auth.get_token() == old.access_token
        newer = aries.issue_token()
        entry.save(newer)
        wait_until(lambda: auth.get_token() == newer.access_token, timeout=3.0)
    assert aries.token_requests == ()
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


@pytest.mark.parametrize("due, looks", [(60.0, 1), (0.0, 5)])
def test_while_another_process_refreshes_it_is_looked_at_whenever_that_is_due_and_not_more_often(
    make_auth: MakeAuth,
    stored: Stored,
    store: FileTokenStore,
    log: Any,
    monkeypatch: pytest.MonkeyPatch,
    due: float,
    looks: int,
) -> None:
    monkeypatch.setattr("aries_auth.refresh.policy.look_again", lambda _held, _now: due)
    stored(age=IN_MARGIN)
    auth = make_auth()
    with store.locked():
        for _ in range(5):
            auth.get_token()
            settle(auth)
    assert log.text.count("Another holder of the lock") == looks


def test_while_a_refresh_ahead_is_under_way_no_other_is_started(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aries_auth.refresh.policy.look_again", lambda _held, _now: 0.0)
    stored(age=IN_MARGIN)
    auth = make_auth()
    aries.fail(hang=True)
    auth.get_token()
    aries.wait_for_requests(1)
    before = our_threads()
    for _ in range(10):
        auth.get_token()
    assert our_threads() <= before
    aries.heal()
    settle(auth)
    assert aries.refresh_count == 1


def test_a_refresh_ahead_is_sent_by_the_library_of_its_call(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, url: str
) -> None:
    stored(age=IN_MARGIN)
    assert with_requests(make_auth(), url).status == 200
    wait_until(lambda: aries.token_requests)
    assert "(requests/" in (aries.token_requests[0].user_agent or "")


def test_a_failed_attempt_is_logged_and_retried_with_back_off_and_hurts_no_caller(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    old = stored(age=IN_MARGIN)
    auth = make_auth()
    aries.fail(status=400, body={"error": "invalid_client"})
    begun = time.monotonic()
    while auth.get_token() == old.access_token:
        assert time.monotonic() - begun < 15.0
        time.sleep(0.001)
    assert time.monotonic() - begun > 0.5, "the first back-off is from half a second to a second"
    assert [request.status for request in aries.token_requests] == [400, 200]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "used while it lives" in warnings[0]


def test_the_back_off_after_a_failed_attempt_is_kept_to(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aries_auth.refresh.policy.ahead_back_off", lambda _failures, _chance: 60.0)
    stored(age=3600.0 - 11.0)  # soon in last call, where the other processes are looked for often
    auth = make_auth()
    aries.fail(status=400, body={"error": "invalid_client"}, times=None)
    for _ in range(20):
        auth.get_token()
        settle(auth)
        time.sleep(0.07)
    assert len(aries.token_requests) == 1


PAGE = {"status": 400, "body": "<h1>Sign in to the hotel</h1>"}  # a failure that is not remembered


def test_the_back_off_counts_the_failures_since_the_last_success(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []

    def back_off(failures: int, chance: float) -> float:
        assert 0.0 <= chance < 1.0
        counted.append(failures)
        return 0.0

    monkeypatch.setattr("aries_auth.refresh.policy.ahead_back_off", back_off)
    monkeypatch.setattr("aries_auth.refresh.policy.look_again", lambda _held, _now: 0.0)
    stored(age=IN_MARGIN)
    auth = make_auth()
    for times in (3, 2):
        aries.fail(**PAGE, times=times)
        for _ in range(times + 1):
            auth.get_token()
            settle(auth)
        stored(age=IN_MARGIN)
        source_of(auth)._memory.cached = None
    assert counted == [0, 1, 2, 0, 1]


def test_a_refresh_that_failed_for_a_caller_of_its_own_holds_none_ahead_back(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aries_auth.refresh.policy.ahead_back_off", lambda _failures, _chance: 60.0)
    stored(age=IN_MARGIN)
    auth = make_auth()
    aries.fail(**PAGE)
    with pytest.raises(TokenRequestError):
        auth.refresh()
    auth.get_token()
    wait_until(lambda: aries.refresh_count == 1)


def test_who_joined_a_refresh_ahead_that_fails_has_one_of_his_own(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox
) -> None:
    stored(age=IN_MARGIN)
    auth = make_auth()
    aries.fail(**PAGE, delay=0.3)
    auth.get_token()
    aries.wait_for_requests(1)
    assert auth.refresh().access_token == auth.get_token()
    assert [request.status for request in aries.token_requests] == [400, 200]


def test_in_an_outage_no_call_fails_while_the_token_lives_and_nothing_storms(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox
) -> None:
    old = stored(age=IN_MARGIN)
    auth = make_auth()
    aries.fail(status=503, times=None)
    end = time.monotonic() + 1.5

    def calls() -> set[str]:
        tokens = set()
        while time.monotonic() < end:
            tokens.add(auth.get_token())
        return tokens

    assert in_threads(8, calls) == [{old.access_token}] * 8
    assert len(aries.token_requests) <= 5
    aries.heal()
    wait_until(lambda: auth.get_token() != old.access_token)


def test_many_callers_in_last_call_of_a_failing_endpoint_count_as_one_failure(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    stored(age=LAST_CALL)
    auth = make_auth()
    aries.fail(status=400, body={"error": "invalid_client"}, delay=0.3)
    in_threads(20, auth.get_token)
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    wait_until(lambda: auth.get_token() and aries.refresh_count == 1)


def test_an_unknown_expiry_is_never_refreshed_ahead(
    make_auth: MakeAuth, stored: Stored, call: Caller, aries: AriesSandbox, url: str
) -> None:
    aries.rules.expires_in = None
    stored(age=FRESH)
    auth = make_auth()
    for _ in range(2):
        assert call(auth, url).status == 200
    settle(auth)
    assert aries.token_requests == ()
    aries.revoke_access_tokens()
    assert call(auth, url).status == 200
    assert aries.refresh_count == 1


@pytest.mark.parametrize("claim", ["soon", 0, -5, "NaN", 1e300, [], True])
def test_an_expires_in_that_says_nothing_is_an_unknown_expiry(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, claim: Any
) -> None:
    stored(age=EXPIRED)
    aries.rules.expires_in = claim
    auth = make_auth()
    auth.get_token()
    assert auth.token is not None
    assert auth.token.expires_at is None
    auth.get_token()
    assert aries.refresh_count == 1


def test_a_token_that_arrives_expired_is_used_for_the_request_at_hand_and_not_looped_on(
    make_auth: MakeAuth, stored: Stored, call: Caller, aries: AriesSandbox, url: str
) -> None:
    stored(age=EXPIRED)
    aries.rules.expires_in = 1e-6
    auth = make_auth()
    for count in (1, 2):
        assert call(auth, url).status == 200
        assert aries.refresh_count == count


def test_the_same_access_token_again_starts_no_loop(make_auth: MakeAuth, stored: Stored, aries: AriesSandbox) -> None:
    token = stored(age=IN_MARGIN)
    aries.rules.edit_answer = lambda answer: {**answer, "access_token": token.access_token, "expires_in": 200}
    auth = make_auth(refresh_margin=10_000.0)
    auth.get_token()
    wait_until(lambda: aries.refresh_count == 1)
    settle(auth)
    for _ in range(200):
        assert auth.get_token() == token.access_token
    settle(auth)
    assert aries.refresh_count == 1


def test_margins_are_spread_by_up_to_a_tenth_downwards_per_instance(make_auth: MakeAuth, stored: Stored) -> None:
    token = stored()
    margins = []
    for _ in range(60):
        auth = make_auth()
        auth.get_token()
        margins.append(margin_of(auth, token))
    assert 270.0 <= min(margins) < 280.0
    assert 290.0 < max(margins) <= 300.0


def test_the_margin_is_kept_after_a_refresh_too(make_auth: MakeAuth, stored: Stored) -> None:
    stored(age=EXPIRED)
    auth = make_auth()
    token = auth.refresh()
    assert 270.0 <= margin_of(auth, token) <= 300.0


def test_a_token_that_took_most_of_its_life_to_come_starts_no_refresh_at_once(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox
) -> None:
    stored(age=EXPIRED)
    aries.rules.expires_in = 2.0
    aries.fail(delay=1.6)
    auth = make_auth()
    token = auth.refresh()  # its margin, half a second, has begun
    assert margin_of(auth, token) == pytest.approx(0.2, abs=0.05)


def test_a_hundred_tokens_that_fall_due_together_start_few_threads_and_no_waiting_caller_stands_behind_them(
    aries: AriesSandbox, make_auth: MakeAuth, tmp_path: Path
) -> None:
    auths = []
    for number in range(100):
        store = FileTokenStore(tmp_path / f"{number}.json")
        store.save(aries.issue_token(age=IN_MARGIN))
        auths.append(make_auth(store=store))
    waiting = FileTokenStore(tmp_path / "waiting.json")
    waiting.save(aries.issue_token(age=EXPIRED))
    before = len(our_threads())
    aries.fail(hang=True, times=MOST_IN_BACKGROUND)
    for auth in auths:
        auth.get_token()
    aries.wait_for_requests(MOST_IN_BACKGROUND)
    assert len(our_threads()) - before <= 32
    make_auth(store=waiting).get_token()  # while all that may run in the background hang
    queued = auths[-1]
    queued.refresh()  # and one of theirs skips the queue
    aries.heal()
    wait_until(lambda: aries.refresh_count == 101, timeout=20.0)
    wait_until(lambda: len(our_threads()) <= before)


def test_a_background_refresh_in_the_queue_is_pulled_forward_by_who_needs_it(
    aries: AriesSandbox, make_auth: MakeAuth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aries_auth.singleflight.pool.MOST_IN_BACKGROUND", 1)
    auths = []
    for number in range(2):
        store = FileTokenStore(tmp_path / f"{number}.json")
        store.save(aries.issue_token(age=IN_MARGIN))
        auths.append(make_auth(store=store))
    aries.fail(hang=True)
    for auth in auths:
        auth.get_token()
    aries.wait_for_requests(1)
    token = auths[1].refresh()
    assert (token.expires_at or 0.0) > time.time() + 3000.0
    aries.heal()
    wait_until(lambda: aries.refresh_count == 2)
    settle(auth)
    assert aries.refresh_count == 2
