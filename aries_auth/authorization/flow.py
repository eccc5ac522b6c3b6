"""AuthorizationCodeFlow: where to send the browser, and what its callback is worth (RFC 6749 section 4.1).

The checks are made here, in the caller's thread; what is sent and saved is in `code_exchange`.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from typing import Sequence

import httpx
import requests

from aries_auth.authorization.code_exchange import CodeExchange
from aries_auth.errors import AuthorizationError, ConfigurationError, TokenRequestError
from aries_auth.refresh.policy import TIMEOUT
from aries_auth.settings import stores, urls, values
from aries_auth.settings.credentials import NOTHING_GIVEN, ClientCredentials, ClientSecret, SecretSource
from aries_auth.singleflight.clock import check_seconds, monotonic
from aries_auth.singleflight.flight import Flight, Steps, drive, drive_async
from aries_auth.store import TokenStore, store_name
from aries_auth.store.checks import checked_store
from aries_auth.token import Secret, Token
from aries_auth.token_endpoint import protocol
from aries_auth.token_endpoint.library import SyncClient, check_client
from aries_auth.token_endpoint.pkce import code_verifier

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+\Z")  # RFC 6749 section 3.3
_STATE = re.compile(r"[\x20-\x7e]+\Z")  # RFC 6749 appendix A.5


class AuthorizationCodeFlow:
    """The authorization code flow, for a program that receives the callback itself.

    The constructor does no I/O. Parameters left out are looked up when they are first needed.

    Args:
        client_id: the registered client; else ``$ARIES_CLIENT_ID``.
        client_secret: its secret, or a callable that returns it; else ``$ARIES_CLIENT_SECRET``, else the
            content of the file named by ``$ARIES_CLIENT_SECRET_FILE``.
        redirect_uri: where Aries sends the browser back to, exactly as registered; else
            ``$ARIES_REDIRECT_URI``.
        scope: what to ask for, as a sequence or as text separated by spaces.
        authorize_url: the authorization endpoint; else ``$ARIES_AUTHORIZE_URL``, else Aries'.
        token_url: the token endpoint; else ``$ARIES_TOKEN_URL``, else Aries'.
        token_client: a requests.Session or httpx.Client that sends the token request.
        timeout: the longest that `fetch_token` waits, in seconds, lock included.
        pkce: whether to use PKCE (RFC 7636, S256); else ``$ARIES_PKCE`` (1 or 0), else not. Aries has not documented it
            beside a client secret.

    Raises:
        ConfigurationError: a parameter is malformed.
        InsecureTransportError: an endpoint or the redirect URI is plain http and no loopback address.
    """

    __module__ = "aries_auth"

    # For the repr of one that its constructor refused, which a traceback with local variables shows.
    _credentials = NOTHING_GIVEN
    _scope = ""

    def __init__(
        self,
        client_id: str | None = None,
        client_secret: ClientSecret = None,
        redirect_uri: str | None = None,
        *,
        scope: str | Sequence[str],
        authorize_url: str | None = None,
        token_url: str | None = None,
        token_client: requests.Session | httpx.Client | SyncClient | None = None,
        timeout: float = TIMEOUT,
        pkce: bool | None = None,
    ) -> None:
        # The secret goes first: what is refused below is raised from a frame that no longer holds it.
        secret, client_secret = SecretSource(client_secret), None
        secret.check()
        self._credentials = ClientCredentials(
            values.check_text("client_id", client_id),
            secret,
            None if redirect_uri is None else urls.check_redirect_uri(redirect_uri),
        )
        self._scope = _check_scope(scope)
        self._authorize_url = None if authorize_url is None else urls.check_endpoint("authorize_url", authorize_url)
        self._token_url = None if token_url is None else urls.check_endpoint("token_url", token_url)
        check_client(token_client)
        self._token_client = token_client
        self._timeout = check_seconds("timeout", timeout)
        self._pkce = None if pkce is None else values.check_flag("pkce", pkce)

    def authorization_url(self) -> tuple[str, str]:
        """The address to send the user's browser to, and the state to keep in the user's session; new at each call.

        With PKCE the client secret is read here, too, wherever it is kept.

        Raises:
            ConfigurationError: client_id or redirect_uri is missing; with PKCE, the secret, too.
        """
        state = secrets.token_urlsafe(32)
        verifier = None
        if self._uses_pkce:
            verifier = code_verifier(self._credentials.client_secret.read(), state)
        url = protocol.authorization_url(
            urls.authorize_url(self._authorize_url),
            client_id=_needed("client_id", self._credentials.client_id),
            redirect_uri=self._redirect_uri(),
            scope=self._scope,
            state=state,
            verifier=verifier,
        )
        return url, state

    @property
    def _uses_pkce(self) -> bool:
        return bool(values.flag_variable("ARIES_PKCE") if self._pkce is None else self._pkce)

    def fetch_token(
        self,
        authorization_response: str,
        state: str,
        store: TokenStore | str | os.PathLike[str] | None = None,
    ) -> Token:
        """Verify a callback, and exchange its code once.

        Args:
            authorization_response: the whole address that the browser was sent to.
            state: what `authorization_url` returned with the link of this very login.
            store: where to save the token, a path or a `TokenStore`. It is proven writable before the code is
                sent, and the token is saved there also when the caller is interrupted meanwhile.

        Raises:
            AuthorizationError: the callback is denied, forged, incomplete, or for another address.
            TokenRequestError: Aries refused the code, or no usable answer came in time.
            StoreError: the store can't be read or written.
            ConfigurationError: a credential is missing, or an argument is malformed.
        """
        # Wrapped at once: an error below shows this frame's variables in its traceback.
        response, authorization_response = _wrapped(authorization_response), ""
        store, fault = checked_store(store)
        return drive(self._steps(response, state, store, fault))

    async def fetch_token_async(
        self,
        authorization_response: str,
        state: str,
        store: TokenStore | str | os.PathLike[str] | None = None,
    ) -> Token:
        """`fetch_token` for asyncio and trio; nothing blocks the loop."""
        response, authorization_response = _wrapped(authorization_response), ""
        store, fault = checked_store(store)
        return await drive_async(self._steps(response, state, store, fault))

    def _steps(
        self, response: Secret | None, state: str, store: TokenStore | str | os.PathLike[str] | None, fault: str
    ) -> Steps[Token]:
        if response is None:
            raise ConfigurationError("authorization_response must be a text: the whole address of the callback.")
        if fault:
            raise ConfigurationError(fault)
        _check_state(state)
        client_id, redirect_uri = _needed("client_id", self._credentials.client_id), self._redirect_uri()
        exchange = CodeExchange(
            code=protocol.parse_callback(response, redirect_uri=redirect_uri, state=state),
            given=ClientCredentials(client_id, self._credentials.client_secret, redirect_uri),
            token_url=urls.token_url(self._token_url),
            token_client=self._token_client,
            store=None if store is None else stores.resolve_store(None, store),
            now=time.time(),
            at=monotonic(),
            pkce_state=state if self._uses_pkce else None,
        )
        flight = Flight(exchange.work)
        flight.start()
        yield flight, self._timeout
        if not flight.done:
            raise self._too_late(exchange.store)
        return flight.result()

    def _too_late(self, store: TokenStore | None) -> TokenRequestError:
        goes_on = (
            "start the login again"
            if store is None
            else f"the exchange goes on, and what comes is saved in {store_name(store)}"
        )
        return TokenRequestError(f"No token within the time-out of {self._timeout:g} s; {goes_on}.", retryable=True)

    def _redirect_uri(self) -> str:
        return urls.check_redirect_uri(_needed("redirect_uri", self._credentials.redirect_uri))

    def __repr__(self) -> str:
        given = self._credentials
        return (
            f"AuthorizationCodeFlow(client_id={given.client_id!r}, redirect_uri={given.redirect_uri!r}, "
            f"scope={self._scope!r})"
        )


def _needed(parameter: str, given: str | None) -> str:
    name = f"ARIES_{parameter.upper()}"
    value = given or values.variable(name)
    if value is None:
        raise values.missing(parameter, name)
    return value


def _wrapped(authorization_response: object) -> Secret | None:
    """The callback as a Secret, without lone surrogates, which no URL has; None if it is no text."""
    if not isinstance(authorization_response, str):
        return None
    return Secret(authorization_response.encode("utf-8", "replace").decode("utf-8"))


def _check_state(state: object) -> None:
    if not isinstance(state, str) or not _STATE.match(state):
        raise AuthorizationError(
            "There is no state to compare the callback with: state must be the text that authorization_url() returned "
            "for this login. Keep it in the user's session, and start the login again if the session was lost."
        )


def _check_scope(scope: object) -> str:
    is_sequence = isinstance(scope, Sequence) and all(isinstance(item, str) for item in scope)  # pyright: ignore[reportUnknownVariableType]
    joined = protocol.join_scope(scope) if is_sequence else ""  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    if joined and all(_SCOPE.match(word) for word in joined.split(" ")):
        return joined
    raise ConfigurationError(
        "scope must be a text or a sequence of texts such as ['user:information', 'market:information'], not "
        "empty, of printable ASCII without quotes and backslashes (RFC 6749 section 3.3)."
    )
