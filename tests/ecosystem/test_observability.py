"""Whoever watches the logger hears of every refresh, with fields, and in time of a login that is due."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest
import requests

from aries_auth import AriesAuth, FileTokenStore, LoginRequired, TokenRequestError
from aries_auth.testing import AriesSandbox

DAY = 86400.0
FIELDS = {"event", "store", "reason", "outcome", "seconds_left", "duration", "error"}


@pytest.fixture(autouse=True)
def _listening(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="aries_auth")


def events(caplog: pytest.LogCaptureFixture, kind: str = "refresh") -> list[Any]:
    return [record for record in caplog.records if getattr(record, "event", None) == kind]


def only(caplog: pytest.LogCaptureFixture, kind: str = "refresh") -> Any:
    (record,) = events(caplog, kind)
    return record


def join_refreshes() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("aries-auth-refresh"):
            thread.join(10)


def test_a_refresh_has_all_fields(
    caplog: pytest.LogCaptureFixture, aries_client_auth: AriesAuth, aries_store: FileTokenStore
) -> None:
    aries_client_auth.get_token()
    aries_client_auth.refresh()
    record = only(caplog)
    assert set(record.__dict__) >= FIELDS
    assert (record.levelname, record.reason, record.outcome, record.error) == ("INFO", "forced", "refreshed", None)
    assert record.store == aries_store.path
    assert record.seconds_left == pytest.approx(3540, abs=10)
    assert 0 < record.duration < 10


def test_a_refresh_ahead_says_how_far_ahead(
    caplog: pytest.LogCaptureFixture,
    aries_client_auth: AriesAuth,
    aries_store: FileTokenStore,
    aries_sandbox: AriesSandbox,
) -> None:
    aries_store.save(aries_sandbox.issue_token(age=3500))
    aries_client_auth.get_token()
    join_refreshes()
    record = only(caplog)
    assert (record.reason, record.outcome) == ("ahead", "refreshed")
    assert record.seconds_left == pytest.approx(100, abs=10)


def test_a_refresh_of_an_expired_token_and_one_after_a_401_say_so(
    caplog: pytest.LogCaptureFixture,
    aries_client_auth: AriesAuth,
    aries_store: FileTokenStore,
    aries_sandbox: AriesSandbox,
) -> None:
    aries_store.save(aries_sandbox.issue_token(age=3610))
    aries_client_auth.get_token()
    assert (only(caplog).reason, only(caplog).outcome) == ("needed", "refreshed")
    assert only(caplog).seconds_left == pytest.approx(-10, abs=5)
    caplog.clear()
    aries_store.save(aries_sandbox.issue_token(age=60))
    other = AriesAuth(**settings(aries_sandbox, aries_store))
    aries_sandbox.revoke_access_tokens()
    requests.get(f"{aries_sandbox.api_url}/v1/users/me", auth=other, timeout=10)
    assert (only(caplog).reason, only(caplog).outcome) == ("refused", "refreshed")


def settings(aries: AriesSandbox, store: FileTokenStore) -> dict[str, Any]:
    return {
        "client_secret": aries.client_secret,
        "store": store,
        "token_url": aries.token_url,
        "api_origins": [aries.api_url],
    }


def test_a_failure_that_reaches_the_caller_is_recorded_once_and_quietly(
    caplog: pytest.LogCaptureFixture, aries_client_auth: AriesAuth, aries_sandbox: AriesSandbox
) -> None:
    aries_sandbox.fail(status=500, body={"error": "invalid"}, headers={"Retry-After": 90})
    with pytest.raises(TokenRequestError):
        aries_client_auth.refresh()
    record = only(caplog)
    assert (record.levelname, record.outcome, record.error) == ("INFO", "failed", "TokenRequestError")
    assert record.duration > 0


def test_a_failure_that_a_living_token_hides_is_a_warning(
    caplog: pytest.LogCaptureFixture,
    aries_client_auth: AriesAuth,
    aries_store: FileTokenStore,
    aries_sandbox: AriesSandbox,
) -> None:
    aries_store.save(aries_sandbox.issue_token(age=3500))
    aries_sandbox.fail(status=503, headers={"Retry-After": 90})
    aries_client_auth.get_token()
    join_refreshes()
    record = only(caplog)
    assert (record.levelname, record.reason, record.outcome) == ("WARNING", "ahead", "failed")
    assert "is used while it lives" in record.getMessage()


def test_a_lost_grant_is_told_by_its_outcome_and_later_calls_without_a_request_whisper(
    caplog: pytest.LogCaptureFixture, aries_client_auth: AriesAuth, aries_sandbox: AriesSandbox
) -> None:
    aries_sandbox.revoke_grants()
    for _ in range(2):
        with pytest.raises(LoginRequired):
            aries_client_auth.refresh()
    first, second = events(caplog)
    assert (first.levelname, first.outcome, first.error) == ("INFO", "login_required", "LoginRequired")
    assert (second.levelname, second.outcome, second.duration) == ("DEBUG", "login_required", None)


def test_a_token_of_somebody_else_is_an_adoption_and_no_refresh(
    caplog: pytest.LogCaptureFixture,
    aries_client_auth: AriesAuth,
    aries_store: FileTokenStore,
    aries_sandbox: AriesSandbox,
) -> None:
    aries_client_auth.get_token()
    aries_store.save(aries_sandbox.issue_token())
    aries_client_auth.refresh()
    assert only(caplog, "adoption").store == aries_store.path
    assert events(caplog) == []


def test_while_another_process_refreshes_it_is_busy(
    caplog: pytest.LogCaptureFixture,
    aries_client_auth: AriesAuth,
    aries_store: FileTokenStore,
    aries_sandbox: AriesSandbox,
) -> None:
    aries_store.save(aries_sandbox.issue_token(age=3500))
    with FileTokenStore(aries_store.path).locked():
        aries_client_auth.get_token()
        join_refreshes()
    record = only(caplog)
    assert (record.levelname, record.outcome, record.duration) == ("DEBUG", "busy", None)


def test_the_store_is_free_when_the_record_comes(
    caplog: pytest.LogCaptureFixture, aries_client_auth: AriesAuth, aries_store: FileTokenStore
) -> None:
    free = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if getattr(record, "event", None) == "refresh":
                with FileTokenStore(aries_store.path).locked(0) as entry:
                    free.append(entry.load())

    logger, handler = logging.getLogger("aries_auth"), Handler()
    logger.addHandler(handler)
    try:
        token = aries_client_auth.refresh()
    finally:
        logger.removeHandler(handler)
    assert free == [token]


def test_a_handler_that_raises_hurts_no_call(
    monkeypatch: pytest.MonkeyPatch, aries_client_auth: AriesAuth, aries_store: FileTokenStore
) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                raise OSError("the metrics server is away")
            except OSError:
                self.handleError(record)

    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger, handler = logging.getLogger("aries_auth"), Broken()
    logger.addHandler(handler)
    try:
        assert aries_client_auth.refresh() == aries_store.load()
    finally:
        logger.removeHandler(handler)


# The refresh token's end


def test_a_login_that_is_due_is_warned_of_once_a_day(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    aries_client_auth: AriesAuth,
    aries_store: FileTokenStore,
    aries_sandbox: AriesSandbox,
) -> None:
    aries_sandbox.rules.refresh_token_lifetime = 2.9 * DAY
    aries_store.save(aries_sandbox.issue_token(age=3601))
    start = time.time()
    for hours in (0, 1, 2, 23, 25, 26):
        monkeypatch.setattr(time, "time", lambda hours=hours: start + hours * 3600 + 1)
        aries_client_auth.refresh()
    first, second = events(caplog, "login_due")
    assert (first.levelname, first.store) == ("WARNING", aries_store.path)
    assert first.seconds_left == pytest.approx(2.9 * DAY, abs=10)
    assert f"aries-auth login --store {aries_store.path}" in first.getMessage()
    assert second.levelname == "WARNING"


def test_a_refresh_that_renews_the_refresh_token_keeps_the_warning_away(
    caplog: pytest.LogCaptureFixture,
    aries_client_auth: AriesAuth,
    aries_store: FileTokenStore,
    aries_sandbox: AriesSandbox,
) -> None:
    aries_store.save(aries_sandbox.issue_token(age=28 * DAY))
    aries_client_auth.get_token()
    assert only(caplog).outcome == "refreshed"
    assert events(caplog, "login_due") == []


def test_an_adopted_token_that_lives_is_looked_at_too(
    caplog: pytest.LogCaptureFixture,
    aries_client_auth: AriesAuth,
    aries_store: FileTokenStore,
    aries_sandbox: AriesSandbox,
) -> None:
    aries_store.save(aries_sandbox.issue_token(refresh_expires_in=DAY))
    aries_client_auth.get_token()
    assert only(caplog, "login_due").seconds_left == pytest.approx(DAY, abs=10)


def test_a_refresh_token_of_unknown_life_is_no_cause_for_alarm(
    caplog: pytest.LogCaptureFixture,
    aries_client_auth: AriesAuth,
    aries_sandbox: AriesSandbox,
    aries_store: FileTokenStore,
) -> None:
    aries_sandbox.rules.edit_answer = lambda answer: {
        name: value for name, value in answer.items() if name != "refresh_token_expires_in"
    }
    aries_store.save(aries_sandbox.issue_token(age=60))
    aries_client_auth.refresh()
    assert events(caplog, "login_due") == []


def test_no_record_has_a_token_or_the_secret(
    caplog: pytest.LogCaptureFixture, aries_client_auth: AriesAuth, aries_sandbox: AriesSandbox
) -> None:
    aries_client_auth.get_token()
    tokens = [aries_client_auth.token, aries_client_auth.refresh()]
    echo = f"no {aries_sandbox.client_secret} {aries_client_auth.refresh().refresh_token}"
    tokens.append(aries_client_auth.token)
    aries_sandbox.fail(status=400, body={"error": echo})
    with pytest.raises((TokenRequestError, LoginRequired)):
        aries_client_auth.refresh()
    said = "".join(str(record.__dict__) for record in caplog.records)
    assert aries_sandbox.client_secret not in said
    for token in filter(None, tokens):
        assert token.access_token not in said
        assert token.refresh_token not in said
