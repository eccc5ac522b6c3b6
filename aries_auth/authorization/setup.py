"""login: the one-time setup, for a person at a terminal or in a notebook."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Sequence

import httpx
import requests

from aries_auth import settings
from aries_auth.auth import AriesAuth
from aries_auth.authorization import browser, pages, pasting, questions, ssh
from aries_auth.authorization.field import FieldPaste
from aries_auth.authorization.flow import AuthorizationCodeFlow
from aries_auth.authorization.kept import kept_logins
from aries_auth.authorization.listener import Listener
from aries_auth.authorization.sockets import loopback_authority
from aries_auth.authorization.talk import NoAnswer, Talk
from aries_auth.authorization.waiting import locked_with_notice
from aries_auth.errors import AuthorizationError, ConfigurationError
from aries_auth.settings import ClientCredentials, ClientSecret, SecretSource, StoreChoice, saved_secret
from aries_auth.settings.report import lifetimes, report_of
from aries_auth.store import TokenStore, store_name
from aries_auth.token import Secret, Token
from aries_auth.token_endpoint.library import SyncClient
from aries_auth.token_endpoint.protocol import join_scope


@dataclass(frozen=True)
class LoginRequest:
    """What `login` or the command was told. The secret is hidden."""

    client_id: str | None
    client_secret: Any
    redirect_uri: str | None
    scope: str | Sequence[str] | None
    flow: dict[str, Any]
    shared: dict[str, Any]
    profile: str | None
    store: Any
    added_scopes: Sequence[str] = ()
    open_browser: bool = True
    callback_timeout: float = 300.0
    paste: bool = False
    if_needed: bool = False
    save_secret: bool | str | None = None
    on_wait: Callable[[float], object] | None = None


def login(
    client_id: str | None = None,
    client_secret: ClientSecret = None,
    redirect_uri: str | None = None,
    *,
    scope: str | Sequence[str] | None = None,
    authorize_url: str | None = None,
    token_url: str | None = None,
    token_client: requests.Session | httpx.Client | SyncClient | None = None,
    timeout: float = 30.0,
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
    request = LoginRequest(
        client_id,
        secret,
        redirect_uri,
        scope,
        {"authorize_url": authorize_url, "pkce": pkce},
        {"token_url": token_url, "token_client": token_client, "timeout": timeout},
        profile,
        store,
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
    make_auth: Any = partial(AriesAuth, profile=request.profile, store=request.store, **request.shared)
    make_auth(request.client_id, request.client_secret, request.redirect_uri)
    make_flow: Any = partial(AuthorizationCodeFlow, **request.flow, **request.shared)
    # Refuses what is malformed before anything is touched or asked.
    make_flow(
        request.client_id,
        request.client_secret,
        request.redirect_uri,
        scope="x" if request.scope is None else request.scope,
    )
    settings.check_seconds("callback_timeout", request.callback_timeout)
    choice = settings.choose_store(request.profile, request.store)
    saved_secret.check_place(choice.store, request.save_secret)

    stored = choice.store.load()
    source = SecretSource(request.client_secret)
    if request.if_needed and _serves(stored, request, choice, source):
        _report(stored, choice, talk)
        return make_auth(request.client_id, request.client_secret, request.redirect_uri)  # type: ignore[no-any-return]
    client_id, redirect_uri, scope, secret = _ask(request, stored, source, choice.store, talk)
    flow = make_flow(client_id, secret.secret, redirect_uri, scope=scope)
    _approve(flow, redirect_uri, request, choice.store, talk)
    if secret.save_in:
        saved_secret.save(choice.store, client_id, secret.secret, secret.save_in)
    _report(choice.store.load(), choice, talk)
    given = request.client_secret if isinstance(secret.given, SecretSource) else secret.given
    return make_auth(request.client_id, given, request.redirect_uri)  # type: ignore[no-any-return]


def _given_scope(request: LoginRequest) -> str | Sequence[str] | None:
    return request.scope if request.scope is not None else settings.variable("ARIES_SCOPE")


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
    client = ClientCredentials(request.client_id, source, request.redirect_uri)
    if stored is None or not report_of(stored, choice, client=client, token_url=request.shared.get("token_url")).serves:
        return False
    for given, known in ((request.client_id, stored.client_id), (request.redirect_uri, stored.redirect_uri)):
        if given is not None and known is not None and given != known:
            return False
    wanted = join_scope([*join_scope(_given_scope(request) or "").split(), *request.added_scopes]).split()
    return stored.scope is None or set(wanted) <= set(stored.scope.split())


def _approve(
    flow: AuthorizationCodeFlow, redirect_uri: str, request: LoginRequest, store: TokenStore, talk: Talk
) -> None:
    """The person approves in the browser, and the code becomes a token in the store."""
    link, state = flow.authorization_url()
    if talk.in_notebook:
        link, state = kept_logins.go_on(link, state)
    authority = None if request.paste else loopback_authority(redirect_uri)
    if authority is None:
        _prove(store, talk)
        _show(link, "the browser", talk, open_browser=request.open_browser and not request.paste)
        talk.say("Then paste the whole address that the browser ended on, also if its page can't be reached:")
        address = pasting.ask_for_address(talk, redirect_uri)
        kept_logins.forget(state)
        flow.fetch_token(address.reveal(), state, store)
        return
    with Listener(redirect_uri, authority) as listener:
        _prove(store, talk)
        _show(link, "a browser on this computer", talk, open_browser=request.open_browser)
        typed = _explain_wait(redirect_uri, request.callback_timeout, talk)
        countdown = talk.countdown("Waiting for the browser")

        def on_wait(seconds: float) -> None:
            countdown.show(seconds)
            if request.on_wait is not None:
                request.on_wait(seconds)

        wait = partial(listener.wait, state, timeout=request.callback_timeout, on_wait=on_wait, typed=typed)
        try:
            response = typed.wait(wait) if isinstance(typed, FieldPaste) else wait()
        finally:
            countdown.clear()
        kept_logins.forget(state)
        _finish(listener, partial(flow.fetch_token, state=state, store=store), response)


def _explain_wait(redirect_uri: str, timeout: float, talk: Talk) -> pasting.TerminalPaste | FieldPaste | None:
    talk.say(f"Waiting for it to come back to {redirect_uri} ({timeout:g} s at most).")
    forward = ssh.forward_command(redirect_uri)
    if forward is not None:
        talk.say(
            "You are here over SSH. For the browser on your own computer to come back, run there, in another "
            f"terminal:\n\n    {forward}\n"
        )
    if talk.at_terminal:
        talk.say(
            "If your browser runs on another computer, paste here the whole address that it ended on, also if its "
            "page can't be reached."
        )
        return pasting.TerminalPaste(talk, redirect_uri)
    if talk.in_notebook and threading.current_thread() is threading.main_thread():
        talk.say(
            "If your browser runs on another computer, paste into the field the whole address that it ended on, also "
            "if its page can't be reached. If you stop the cell, run it again: the link stays good."
        )
        return FieldPaste(talk, redirect_uri)
    how = "--paste" if talk.in_command else "paste=True"
    talk.say(f"If your browser runs on another computer, stop this and use {how}.")
    return None


def _prove(store: TokenStore, talk: Talk) -> None:
    """Prove that the token can be saved before a person is troubled; no lock is held while they click."""
    with locked_with_notice(store, talk.warn) as entry:
        entry.load()
        entry.reserve()


def _finish(listener: Listener, fetch_token: Callable[[str], object], response: Secret) -> None:
    """Exchange the code, and only then tell the browser how the login went."""
    try:
        fetch_token(response.reveal())
    except AuthorizationError as exc:
        listener.conclude(pages.DENIED if exc.error == "access_denied" else pages.FAILED)
        raise
    except Exception:
        listener.conclude(pages.FAILED)
        raise
    except BaseException:
        listener.conclude(pages.STOPPED, linger=0.0)
        raise
    listener.conclude(pages.WORKED)


def _report(token: Token | None, choice: StoreChoice, talk: Talk) -> None:
    """The last line: who is logged in, and until when. The command says its own."""
    if token is None or talk.in_command:
        return
    whose = f"client {token.client_id or 'not known'}" + (f", profile {choice.profile}" if choice.profile else "")
    talk.say(f"Logged in: {whose}; {lifetimes(token, time.time())}. The token is in {store_name(choice.store)}.")


def _show(link: str, where: str, talk: Talk, *, open_browser: bool) -> None:
    talk.say(f"Open this link in {where} and approve the access:\n\n    {link}\n")
    if open_browser:
        browser.open_in_background(link)
