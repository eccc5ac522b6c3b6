"""login: the one-time setup, for a person at a terminal or in a notebook."""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Sequence

import httpx
import requests

from aries_auth.auth import AriesAuth
from aries_auth.authorization import questions
from aries_auth.authorization.approval import approve
from aries_auth.authorization.login_request import LoginRequest
from aries_auth.authorization.talk import NoAnswer, Talk
from aries_auth.errors import ConfigurationError
from aries_auth.refresh.policy import TIMEOUT
from aries_auth.settings import saved_secret, stores, values
from aries_auth.settings.credentials import ClientCredentials, ClientSecret, SecretSource
from aries_auth.settings.report import lifetimes, report_of
from aries_auth.settings.stores import StoreChoice
from aries_auth.store import TokenStore, store_name
from aries_auth.store.checks import checked_store
from aries_auth.token import Secret, Token
from aries_auth.token_endpoint.library import SyncClient
from aries_auth.token_endpoint.protocol import join_scope


def login(
    client_id: str | None = None,
    client_secret: ClientSecret = None,
    redirect_uri: str | None = None,
    *,
    scope: str | Sequence[str] | None = None,
    authorize_url: str | None = None,
    token_url: str | None = None,
    token_client: requests.Session | httpx.Client | SyncClient | None = None,
    timeout: float = TIMEOUT,
    pkce: bool | None = None,
    profile: str | None = None,
    store: TokenStore | str | os.PathLike[str] | None = None,
    open_browser: bool = True,
    callback_timeout: float = 300.0,
    if_needed: bool = False,
    save_secret: bool | str | None = None,
    paste: bool = False,
    on_wait: Callable[[float], object] | None = None,
) -> AriesAuth:
    """Log in once: a person approves in a browser, and the token is saved before this returns.

    If the redirect URI is an ``http`` loopback address, this listens there for the browser to come back; at a terminal
    you can paste the address that it ended on meanwhile. Otherwise it asks for that address. It says what to do on
    standard error, in a notebook under the cell. It asks for what is missing if somebody is there to answer.

    Args:
        client_id: the registered client; else ``$ARIES_CLIENT_ID``, else the stored token's.
        client_secret: its secret, or a callable that returns it; else as `AriesAuth` finds it.
        redirect_uri: exactly as registered; else ``$ARIES_REDIRECT_URI``, else the stored token's.
        scope: what to ask for, as a sequence or as text separated by spaces; else ``$ARIES_SCOPE``.
        authorize_url: as for `AuthorizationCodeFlow`, like the next three and `pkce`.
        token_url: the token endpoint.
        token_client: sends the token request.
        timeout: the longest that the exchange of the code is waited for, in seconds; also the returned
            object's.
        pkce: whether to use PKCE.
        profile: as for `AriesAuth`.
        store: as for `AriesAuth`. It is proven writable before the browser opens.
        open_browser: whether to open the link; it is shown in any case.
        callback_timeout: seconds to listen for the browser to come back.
        if_needed: return at once if the stored grant still serves calls and has the scopes asked for.
        save_secret: keep the client secret, so that programs on this computer need no variable: True, False,
            ``"keyring"`` or ``"file"``. None asks a person who typed it, and nobody else.
        paste: ask for the address even if this could listen, for a browser on another computer.
        on_wait: called about once a second with the seconds left while this listens.

    Returns:
        The object for ``auth=``, as ``AriesAuth(…)`` with the same arguments would be.

    Raises:
        AuthorizationError: the login was denied, did not come back in time, or a wrong address was given.
        ConfigurationError: a parameter is missing or malformed, or the redirect URI's port is busy.
        StoreError: the store can't be read or written; nothing was sent.
        TokenRequestError: Aries refused the code, or no usable answer came in time.
    """
    # A Secret passes for a text below, and this frame is in the traceback of all that can go wrong.
    secret: Any = Secret(client_secret) if isinstance(client_secret, str) else client_secret
    client_secret = None
    store, fault = checked_store(store)  # for the same reason: a URL given for a path may hold a password
    if fault:
        raise ConfigurationError(fault)
    request = LoginRequest(
        client_id,
        secret,
        redirect_uri,
        scope,
        authorize_url=authorize_url,
        token_url=token_url,
        token_client=token_client,
        timeout=timeout,
        pkce=pkce,
        profile=profile,
        store=store,
        open_browser=open_browser,
        callback_timeout=callback_timeout,
        paste=paste,
        if_needed=if_needed,
        save_secret=save_secret,
        on_wait=on_wait,
    )
    return log_in(request, Talk())


def log_in(request: LoginRequest, talk: Talk) -> AriesAuth:
    """`login`, for whoever calls it: a program, or the command."""
    request.check()  # before anything is touched or asked
    choice = stores.choose_store(request.profile, request.store)
    saved_secret.check_place(choice.store, request.save_secret)

    stored = choice.store.load()
    source = SecretSource(request.client_secret)
    if request.if_needed and _serves(stored, request, choice, source):
        _report(stored, choice, talk)
        return request.auth(request.client_secret)
    client_id, redirect_uri, scope, secret = _ask(request, stored, source, choice.store, talk)
    flow = request.flow(client_id, secret.secret, redirect_uri, scope)
    approve(flow, redirect_uri, request, choice.store, talk)
    if secret.save_in:
        saved_secret.save(choice.store, client_id, secret.secret, secret.save_in)
    _report(choice.store.load(), choice, talk)
    return request.auth(request.client_secret if isinstance(secret.given, SecretSource) else secret.given)


def _ask(
    request: LoginRequest, stored: Token | None, source: SecretSource, store: TokenStore, talk: Talk
) -> tuple[str, str, str, questions.SecretToUse]:
    """Every question comes before the browser opens."""
    try:
        client_id = questions.client_id(request.client_id, stored, talk)
        redirect_uri = questions.redirect_uri(request.redirect_uri, stored, talk)
        scope = questions.scope(request.scope, request.added_scopes, stored, talk)
        return (
            client_id,
            redirect_uri,
            scope,
            questions.client_secret(source, client_id, store, talk, request.save_secret),
        )
    except NoAnswer:
        if talk.in_notebook:
            raise ConfigurationError(
                "client_id, client_secret, redirect_uri or scope is missing, and nobody answers in this notebook: pass "
                "it, or set $ARIES_CLIENT_ID, $ARIES_CLIENT_SECRET, $ARIES_REDIRECT_URI or $ARIES_SCOPE."
            ) from None
        raise


def _serves(stored: Token | None, request: LoginRequest, choice: StoreChoice, source: SecretSource) -> bool:
    """Whether no login is needed: calls work, for this client, with the scopes asked for."""
    credentials = ClientCredentials(request.client_id, source, request.redirect_uri)
    if stored is None or not report_of(stored, choice, credentials=credentials, token_url=request.token_url).serves:
        return False
    for given, known in ((request.client_id, stored.client_id), (request.redirect_uri, stored.redirect_uri)):
        if given is not None and known is not None and given != known:
            return False
    scope = values.variable("ARIES_SCOPE") if request.scope is None else request.scope
    wanted = {*join_scope(scope or "").split(), *join_scope(request.added_scopes).split()}
    return stored.scope is None or wanted <= set(stored.scope.split())


def _report(token: Token | None, choice: StoreChoice, talk: Talk) -> None:
    """The last line: who is logged in, and until when. The command says its own."""
    if token is None or talk.in_command:
        return
    whose = f"client {token.client_id or 'not known'}" + (f", profile {choice.profile}" if choice.profile else "")
    talk.say(f"Logged in: {whose}; {lifetimes(token, time.time())}. The token is in {store_name(choice.store)}.")
