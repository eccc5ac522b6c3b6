"""docs/architecture.md, "Logging": one logger, levels that mean something, and never a secret."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import suppress
from typing import Any, Callable

import pytest
import requests

from aries_auth import AriesAuth, AriesAuthError, FileTokenStore, Token, TokenRequestError
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED, FRESH, IN_MARGIN, LAST_CALL, ROOT, wait_until
from tests.leaks import assert_no_secret

Stored = Callable[..., Token]
MakeAuth = Callable[..., AriesAuth]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def ours(log: pytest.LogCaptureFixture, level: int) -> list[str]:
    found = [record for record in log.records if record.name == "aries_auth" and record.levelno == level]
    return [record.getMessage() for record in found]


def test_a_refresh_is_told_at_info(make_auth: MakeAuth, stored: Stored, log: Any, store: FileTokenStore) -> None:
    stored(age=EXPIRED)
    make_auth().get_token()
    [message] = ours(log, logging.INFO)
    assert message.startswith("Refreshed the token")
    assert store.path in message
    [record] = [record for record in log.records if getattr(record, "event", "") == "refresh"]
    assert 0.0 < record.duration < 10.0


def test_an_adoption_is_told_at_debug(make_auth: MakeAuth, stored: Stored, log: Any) -> None:
    stored(age=FRESH)
    auth = make_auth()
    auth.get_token()
    stored(age=FRESH)
    auth.refresh()
    assert [message for message in ours(log, logging.DEBUG) if message.startswith("Adopted")]
    assert ours(log, logging.INFO) == []


def test_a_skip_is_told_at_debug(make_auth: MakeAuth, stored: Stored, store: FileTokenStore, log: Any) -> None:
    stored(age=IN_MARGIN)
    with store.locked():
        make_auth().get_token()
        wait_until(lambda: [message for message in ours(log, logging.DEBUG) if "Another holder" in message])
    assert ours(log, logging.WARNING) == []


def test_trouble_is_told_at_warning(make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, log: Any) -> None:
    stored(age=IN_MARGIN)
    aries.fail(status=400, body={"error": "invalid_client"})
    make_auth().get_token()
    wait_until(lambda: ours(log, logging.WARNING))


@pytest.mark.parametrize("age, serves", [(LAST_CALL, True), (EXPIRED, False)], ids=["living", "expired"])
def test_a_token_is_said_to_be_used_while_it_lives_where_it_lives(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, log: Any, age: float, serves: bool
) -> None:
    stored(age=age)
    aries.fail(status=400, body={"error": "invalid_client"})
    with suppress(TokenRequestError):
        make_auth().get_token()
    [record] = [record for record in log.records if getattr(record, "event", "") == "refresh"]
    assert ("and is used while it lives" in record.getMessage()) is serves
    assert record.levelno == (logging.WARNING if serves else logging.INFO)
    assert record.seconds_left == pytest.approx(3600.0 - age, abs=2.0)


def test_everything_is_logged_under_one_name_with_a_null_handler_and_no_other() -> None:
    code = """
import logging, aries_auth
logger = logging.getLogger("aries_auth")
assert [type(handler) for handler in logger.handlers] == [logging.NullHandler]
assert logger.level == logging.NOTSET and logger.propagate
assert logging.getLogger().handlers == []
logger.warning("nobody hears this")
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "fault",
    [
        None,
        {"status": 400, "body": {"error": "invalid_grant"}},
        {"status": 400, "body": {"error": "invalid_client"}},
        {"status": 200, "body": "no JSON"},
        {"status": 200, "body": {"access_token": "a\nb"}},
        {"drop": "after"},
        {"status": 307, "headers": {"Location": "http://127.0.0.1:1/"}},
    ],
    ids=["none", "grant", "client", "page", "header", "drop", "redirect"],
)
@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_no_log_line_and_no_error_shows_a_secret(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, log: Any, url: str, fault: Any, library: str
) -> None:
    token = stored(age=EXPIRED)
    secrets = [aries.client_secret, token.access_token, token.refresh_token or ""]
    if fault is not None:
        aries.fail(**fault)
    auth = make_auth()
    module = requests if library == "requests" else pytest.importorskip(library)
    try:
        module.get(url, auth=auth)
    except AriesAuthError as exc:
        assert_no_secret(exc, *secrets)
        assert fault is not None
    if auth.token is not None:
        secrets += [auth.token.access_token, auth.token.refresh_token or ""]
    for record in log.records:
        assert_no_secret(record, *secrets)
