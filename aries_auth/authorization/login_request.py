"""What a login was told: by the parameters of `login`, or by the options of the command."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Callable, Sequence

import httpx
import requests

from aries_auth.auth import AriesAuth
from aries_auth.authorization.flow import AuthorizationCodeFlow
from aries_auth.refresh.policy import TIMEOUT
from aries_auth.singleflight.clock import check_seconds
from aries_auth.store import TokenStore
from aries_auth.token_endpoint.library import SyncClient


@dataclass(frozen=True)
class LoginRequest:
    """The parameters of `login`, which documents them; of the secret, one that is a text comes as a `Secret`.

    `added_scopes` are asked for besides the granted ones.
    """

    client_id: str | None
    client_secret: Any
    redirect_uri: str | None
    scope: str | Sequence[str] | None
    authorize_url: str | None = None
    token_url: str | None = None
    token_client: requests.Session | httpx.Client | SyncClient | None = field(default=None, repr=False)
    timeout: float = TIMEOUT
    pkce: bool | None = None
    profile: str | None = None
    store: TokenStore | str | os.PathLike[str] | None = None
    added_scopes: Sequence[str] = ()
    open_browser: bool = True
    callback_timeout: float = 300.0
    paste: bool = False
    if_needed: bool = False
    save_secret: bool | str | None = None
    on_wait: Callable[[float], object] | None = None

    def check(self) -> None:
        """Refuse what is malformed. Raises ConfigurationError, InsecureTransportError."""
        self.auth(self.client_secret)
        self.flow(self.client_id, self.client_secret, self.redirect_uri, "x" if self.scope is None else self.scope)
        check_seconds("callback_timeout", self.callback_timeout)

    def auth(self, client_secret: Any) -> AriesAuth:
        """What the login returns; the secret may have been asked for."""
        return AriesAuth(
            self.client_id,
            client_secret,
            self.redirect_uri,
            profile=self.profile,
            store=self.store,
            token_url=self.token_url,
            token_client=self.token_client,
            timeout=self.timeout,
        )

    def flow(
        self, client_id: str | None, client_secret: Any, redirect_uri: str | None, scope: str | Sequence[str]
    ) -> AuthorizationCodeFlow:
        """What sends the person to the browser; all four may have been asked for."""
        return AuthorizationCodeFlow(
            client_id,
            client_secret,
            redirect_uri,
            scope=scope,
            authorize_url=self.authorize_url,
            token_url=self.token_url,
            token_client=self.token_client,
            timeout=self.timeout,
            pkce=self.pkce,
        )
