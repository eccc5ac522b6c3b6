"""Everything that parses what comes from elsewhere, as functions of bytes that must not raise but our own errors.

`test_fuzz.py` feeds them from hypothesis; ``python -m tests.fuzz.with_atheris`` feeds them for as long as one likes.
"""

from __future__ import annotations

import json
from typing import Any, Callable

from aries_auth import AriesAuthError, Token
from aries_auth.refresh import policy
from aries_auth.settings import urls
from aries_auth.store import check_profile
from aries_auth.store.document import decode
from aries_auth.token import Secret
from aries_auth.token_endpoint import backoff, protocol, verdict
from aries_auth.token_endpoint.protocol import Answer, Credentials

NOW = 1_700_000_000.0
PREVIOUS = Token("access-0", "refresh-0", obtained_at=NOW, expires_at=NOW + 3600)
CREDENTIALS = Credentials("client", Secret("the-client-secret"), "https://app.example/callback")
REQUEST = protocol.refresh_request("https://token.example/token", CREDENTIALS, Secret("refresh-0"))
SECRETS = ("the-client-secret", "refresh-0")


def _is_safe(token: Token) -> None:
    """What got through the parser can be sent, stored and read again."""
    f"Bearer {token.access_token}".encode("ascii")
    assert token.access_token
    assert not set(token.access_token) & set("\r\n\0 ")
    assert Token.from_dict(json.loads(json.dumps(token.to_dict()))) == token
    held = policy.cache(token, now=NOW, refresh_margin=300.0, spread=1.0, predecessor=PREVIOUS)
    assert held.fresh_until <= held.last_call_at <= held.expires_at


def _can_be_shown(error: AriesAuthError) -> None:
    assert str(error).isprintable()
    assert not any(secret in str(error) for secret in SECRETS)


def answer(data: bytes) -> None:
    """The body of a successful token answer."""
    document = verdict.parse_answer(Answer(200, {}, data), REQUEST)
    token = Token.from_response(document, now=NOW, previous=PREVIOUS, client_id="client")
    assert token.refresh_token
    _is_safe(token)


def refusal(data: bytes) -> None:
    """The status and body of a refused one."""
    statuses = (300, 302, 400, 401, 403, 404, 408, 425, 429, 500, 503)
    refused = Answer(statuses[data[0] % len(statuses)] if data else 400, {}, data[1:])
    error = verdict.refusal(refused, REQUEST)
    assert str(error).isprintable()
    for text in (str(error), error.error, error.error_description, error.request_id):
        assert text is None or not any(secret in text for secret in SECRETS)
    verdict.is_grant_dead(refused)
    verdict.is_final(refused)


def callback(data: bytes) -> None:
    """The address that a browser ended on."""
    text = data.decode("utf-8", "surrogateescape")
    code = protocol.parse_callback(Secret(text), redirect_uri="https://app.example/callback", state="the-state")
    assert code.reveal()


def stored(data: bytes) -> None:
    """The content of a token file."""
    token, fault = decode(data, cipher=None)
    assert (token is None) == bool(fault)
    assert not any(secret in fault for secret in SECRETS)
    if token is not None:
        _is_safe(token)


def origin(data: bytes) -> None:
    """The URL of a request: nothing but the listed origin's own URLs may pass for it."""
    url = data.decode("utf-8", "surrogateescape")
    found = urls.request_origin(url)
    if found is not None and found.host == "api.aries.com":
        assert "api.aries.com" in url.lower()
        assert "\\" not in url


def endpoint(data: bytes) -> None:
    """A URL that is given as an endpoint, an origin or a redirect URI."""
    text = data.decode("utf-8", "surrogateescape")
    checks: tuple[Callable[[], Any], ...] = (
        lambda: urls.check_endpoint("token_url", text),
        lambda: urls.parse_origins([text]),
        lambda: urls.check_redirect_uri(text),
        lambda: check_profile(text),
    )
    for check in checks:
        try:
            check()
        except AriesAuthError as exc:
            shown = str(exc)  # may repeat the address that was given, as it is the caller's own
            if not shown.isprintable():
                raise AssertionError(repr(shown)) from None


def retry_after(data: bytes) -> None:
    """The value of a Retry-After."""
    seconds = backoff.retry_after(data.decode("latin-1"), NOW)
    assert seconds is None or 0 <= seconds < 1e12


TARGETS: tuple[Callable[[bytes], None], ...] = (
    answer,
    refusal,
    callback,
    stored,
    origin,
    endpoint,
    retry_after,
)


def one(data: bytes) -> None:
    """Feed the target that the first byte names; the package's own errors are right answers."""
    if not data:
        return
    try:
        TARGETS[data[0] % len(TARGETS)](data[1:])
    except AriesAuthError as exc:
        _can_be_shown(exc)
