"""CodeExchange: what a flight does for a login: lock and prove the store, send the code once, save the token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aries_auth.errors import AriesAuthError, StoreError, TokenRequestError
from aries_auth.log import logger
from aries_auth.settings.credentials import ClientCredentials
from aries_auth.singleflight.clock import monotonic
from aries_auth.singleflight.flight import Flight
from aries_auth.store import StoreEntry, TokenStore, locked_in_slices, store_name
from aries_auth.token import Secret, Token
from aries_auth.token_endpoint import pkce, protocol, retries, verdict
from aries_auth.token_endpoint.sender import HTTPX

_SAVE_ATTEMPTS = 3
_SAVE_INTERVAL = 1.0


@dataclass(frozen=True)
class CodeExchange:
    """One exchange of an authorization code (RFC 6749 section 4.1.3).

    Attributes:
        code: the code, which is single use.
        client: who asks; client_id and redirect_uri are known.
        token_url: the token endpoint.
        token_client: the caller's own client for token requests, or None.
        store: where the token is saved before anybody gets it, or None.
        now: the caller's reading of the clock.
        at: the same instant on the clock that waits are measured with.
        pkce_state: the state that the PKCE verifier is derived from, or None without PKCE.
    """

    code: Secret
    given: ClientCredentials
    token_url: str
    token_client: Any = field(repr=False)
    store: TokenStore | None
    now: float
    at: float
    pkce_state: str | None = None

    def work(self, flight: Flight[Token]) -> Token:
        """Exchange the code and save the token.

        Raises:
            AriesAuthError: it can't be done. If the store is at fault, the code was not sent.
        """
        token = self._exchange(self.given.credentials(None, self.store), flight)
        fault = verdict.unusable_type(token, self.token_url)
        if fault is not None:
            raise fault
        return token

    def _exchange(self, credentials: protocol.Credentials, flight: Flight[Token]) -> Token:
        if self.store is None:
            return self._send(credentials, flight)
        with locked_in_slices(self.store, should_stop=flight.should_stop) as entry:
            entry.load()
            entry.reserve()
            token = self._send(credentials, flight)
            _save(entry, token, self.store, flight)
        logger.info("Logged in; the token is in %s", store_name(self.store))
        return token

    def _send(self, credentials: protocol.Credentials, flight: Flight[Token]) -> Token:
        verifier = None
        if self.pkce_state is not None:
            verifier = pkce.code_verifier(credentials.client_secret, self.pkce_state)
        request = protocol.code_request(self.token_url, credentials, self.code, verifier)
        begun = monotonic()
        outcome = retries.send(request, client=self.token_client, sender=HTTPX, pause=flight.pause)
        if outcome.error is not None or outcome.answer is None:
            raise _refused(outcome)
        return Token.from_response(
            verdict.parse_answer(outcome.answer, request),
            now=self.now + (begun - self.at) + outcome.sent_after,
            client_id=credentials.client_id,
            redirect_uri=credentials.redirect_uri,
            token_url=self.token_url,
        )


def _refused(outcome: retries.Outcome) -> TokenRequestError:
    error = outcome.error
    assert error is not None  # noqa: S101
    if outcome.answer is None or not verdict.is_grant_dead(outcome.answer):
        return error
    return TokenRequestError(
        f"{error} Then start the login again: a code can be used once, within about ten minutes.",
        status_code=error.status_code,
        error=error.error,
        error_description=error.error_description,
        request_id=error.request_id,
    )


def _save(entry: StoreEntry, token: Token, store: TokenStore, flight: Flight[Token]) -> None:
    """Save the token, and again where that fails: the code is spent, and this is the only copy."""
    fault: Exception | None = None
    for attempt in range(_SAVE_ATTEMPTS):
        if attempt and not flight.pause(_SAVE_INTERVAL):
            break
        try:
            entry.save(token)
            return
        except Exception as exc:  # noqa: BLE001 - a store of the caller's may raise anything
            fault = exc
    # A foreign error may quote what it was given to save, and so may its frames.
    said = f"{fault}" if isinstance(fault, AriesAuthError) else f"it raised {type(fault).__name__}."
    fault = fault if isinstance(fault, AriesAuthError) else None
    raise StoreError(
        f"Aries gave a token, but it could not be saved in {store_name(store)}, and is lost: {said} "
        "Mend that, and log in again."
    ) from fault
