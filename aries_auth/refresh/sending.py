"""Sends the refresh token of a grant to its token endpoint. What it brings comes back as one value."""

from __future__ import annotations

from typing import Any, NamedTuple

from aries_auth.errors import AriesAuthError, TokenRequestError
from aries_auth.refresh.grant import Grant
from aries_auth.refresh.request import RefreshRequest
from aries_auth.singleflight.clock import monotonic
from aries_auth.singleflight.flight import Flight
from aries_auth.token import Secret, Token
from aries_auth.token_endpoint import protocol, retries, verdict
from aries_auth.token_endpoint.protocol import Credentials


class Reply(NamedTuple):
    """What a refresh token brought.

    Attributes:
        token: the new token, to be saved whatever `error` says; None: there is none.
        error: why there is none, or why it can't be used.
        sent_at: when the request was sent, on the clock of waits.
        is_dead: whether the endpoint has refused the grant.
        remember: seconds for which the same failure is sure to come again.
    """

    token: Token | None
    error: AriesAuthError | None
    sent_at: float
    is_dead: bool = False
    remember: float = 0.0


def send_refresh_token(
    request: RefreshRequest, flight: Flight[Any], grant: Grant, spent: Token, credentials: Credentials
) -> Reply:
    """Send the refresh token of `spent`. What goes wrong is returned: this frame holds what must not be shown."""
    token_request = protocol.refresh_request(grant.token_url, credentials, Secret(spent.refresh_token or ""))
    sent_at = monotonic()
    outcome = retries.send(
        token_request,
        client=grant.token_client,
        sender=request.sender,
        pause=flight.pause_of_one_attempt if request.one_attempt else flight.pause,
    )
    answer = outcome.answer
    if outcome.error is not None or answer is None:
        is_dead = answer is not None and verdict.is_grant_dead(answer)
        return Reply(None, outcome.error, sent_at, is_dead, outcome.remember)
    try:
        token = Token.from_response(
            verdict.parse_answer(answer, token_request),
            now=request.wall_time(sent_at + outcome.sent_after),
            previous=spent,
            client_id=credentials.client_id,
            redirect_uri=credentials.redirect_uri,
            token_url=grant.token_url,
        )
    except TokenRequestError as exc:
        return Reply(None, exc, sent_at)
    return Reply(token, verdict.unusable_type(token, grant.token_url), sent_at)
