"""A call that was answered 401: what it is sent again with, and whether it can be."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import lru_cache
from typing import Any, Mapping

import requests

from aries_auth.api_call.body import WHOLE, BodyPosition, drain, position_of_body, position_of_stream
from aries_auth.api_call.origins import Origins
from aries_auth.errors import ConfigurationError, LoginRequired, loggable
from aries_auth.log import logger
from aries_auth.refresh.policy import CachedToken
from aries_auth.refresh.source import TokenSource
from aries_auth.singleflight.flight import Steps, drive
from aries_auth.token import Secret
from aries_auth.token_endpoint.library import library_of
from aries_auth.token_endpoint.sender import Sender


def resend_with_requests(
    source: TokenSource,
    origins: Origins,
    response: requests.Response,
    position: BodyPosition | None,
    options: Mapping[str, Any],
) -> requests.Response:
    """The answer to the call sent once more, or the 401 itself if that can't be.

    Args:
        source: where the next token comes from.
        origins: where a token may go.
        response: the 401.
        position: that of the call's body, where it had one when it was sent for the first time.
        options: what requests sent it with.
    """
    request, connection = response.request, getattr(response, "connection", None)
    sent = bearer(request.headers.get("Authorization"))
    # requests keeps the hook across redirects, so this sees the answers of foreign hosts, too.
    if sent is None or not origins.cover(request.url or ""):
        return response
    try:
        cached = drive(token_after_401(source, sent, Sender.of_call("requests", request.url or "", options)))
    except BaseException:
        response.close()
        raise
    # The position is that of the first hop; a redirect may have dropped the body.
    kept = WHOLE if request.body is None else position or position_of_body(request.body)
    if cached is None or connection is None or not kept.rewind():
        return response
    drain(response)
    # requests prepares the next hop of a redirect from this very request: it must carry the new token, too.
    response.request = request.copy()
    request.headers["Authorization"] = cached.authorization
    start = time.perf_counter()
    resent: requests.Response = connection.send(request, **options)
    resent.elapsed = timedelta(seconds=time.perf_counter() - start)  # a session measures its own sending alone
    resent.history.append(response)
    resent.request = request
    return resent


def request_to_resend(
    source: TokenSource, origins: Origins, request: Any, response: Any, position: BodyPosition
) -> Steps[Any]:
    """Steps to the request that an auth flow of httpx sends again, with the next token; None: hand the 401 back.

    Args:
        source: where the next token comes from.
        origins: where a token may go.
        request: the call's first request.
        response: the 401.
        position: that of the first request's body.
    """
    # httpx follows redirects below its auth flow: what was refused may be a later hop, without a token.
    refused = response.request
    sent = bearer(refused.headers.get("Authorization"))
    if sent is None or not origins.cover_httpx(refused.url):
        return None
    cached = yield from token_after_401(source, sent, Sender(library_of(refused, "httpx")))
    if cached is None:
        return None
    kept = position if refused.stream is request.stream else position_of_stream(refused.stream)
    if not kept.rewind():
        return None
    refused.headers["Authorization"] = cached.authorization
    return refused


def warn_of_hook(error: BaseException | None) -> None:
    """Say once that an event hook of an httpx client raised for a 401, which then never reached the auth flow.

    Args:
        error: what ended a call before its answer came to the flow.
    """
    if getattr(getattr(error, "response", None), "status_code", None) == 401:
        _warn_of_hook_once()


@lru_cache(maxsize=1)
def _warn_of_hook_once() -> None:
    logger.warning(
        "An event hook raised for a 401 before AriesAuth saw it, so the call was not sent again with a new token. "
        "Call raise_for_status() on the answer instead, or leave 401 out in the hook."
    )


def token_after_401(source: TokenSource, sent: Secret, sender: Sender) -> Steps[CachedToken | None]:
    """Steps to the token after one that was answered 401; None if there is nothing newer.

    Raises:
        LoginRequired, ConfigurationError: a person has to do something.
    """
    try:
        cached = yield from source.after_401(sent, time.time(), sender)
    except (LoginRequired, ConfigurationError):
        raise
    except Exception as exc:  # noqa: BLE001 - whatever a store of the caller's raises
        logger.warning("A call was answered 401 and the token could not be refreshed: %s", loggable(exc))
        return None
    return None if Secret(cached.token.access_token) == sent else cached


def bearer(header: Any) -> Secret | None:
    """The token of an Authorization header; None for another scheme, or none at all."""
    scheme, _, value = (header or "").partition(" ")
    return Secret(value) if scheme.lower() == "bearer" and value else None
