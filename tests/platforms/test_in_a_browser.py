"""What is different where Python runs in a browser. The real one runs in_browser.py: ``nox -s pyodide``."""

from __future__ import annotations

import sys

import pytest

from aries_auth.authorization.sockets import loopback_authority
from aries_auth.token_endpoint import retries
from aries_auth.token_endpoint.answer import Attempt


def test_a_login_listens_for_a_loopback_address_and_asks_for_it_in_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loopback_authority("http://127.0.0.1:8765/callback") is not None
    monkeypatch.setattr(sys, "platform", "emscripten")
    assert loopback_authority("http://127.0.0.1:8765/callback") is None


@pytest.mark.parametrize("attempt", [Attempt(fault="no TLS"), Attempt(fault="no socket", unsent=True, advice="other")])
def test_what_cannot_be_sent_from_a_browser_says_where_it_can(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Python in a browser" not in retries._advice(attempt, "refresh_token")
    monkeypatch.setattr(sys, "platform", "emscripten")
    assert "log in, and refresh, with Python outside of it" in retries._advice(attempt, "refresh_token")
