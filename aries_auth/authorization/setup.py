"""login: the one-time setup, for a person at a terminal or a notebook."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import PurePath
from typing import Any, Callable, Sequence

import httpx
import requests

from aries_auth import settings
from aries_auth.auth import AriesAuth
from aries_auth.authorization import pages
from aries_auth.authorization.flow import AuthorizationCodeFlow
from aries_auth.authorization.listener import Listener
from aries_auth.authorization.sockets import loopback_authority
from aries_auth.errors import AuthorizationError
from aries_auth.settings import ClientSecret, SecretSource
from aries_auth.store import TokenStore
from aries_auth.token import Secret

# They would take over the terminal, and don't run the scripts of Aries' page.
_TERMINAL_BROWSERS = frozenset({"www-browser", "links", "elinks", "lynx", "w3m", "links2", "browsh"})


def login(
    client_id: str | None = None,
    client_secret: ClientSecret = None,
    redirect_uri: str | None = None,
    *,
    scope: str | Sequence[str],
    authorize_url: str | None = None,
    token_url: str | None = None,
    token_client: requests.Session | httpx.Client | None = None,
    timeout: float = 30.0,
    profile: str | None = None,
    store: TokenStore | str | os.PathLike[str] | None = None,
    open_browser: bool = True,
    callback_timeout: float = 300.0,
    paste: bool = False,
    on_wait: Callable[[float], object] | None = None,
) -> AriesAuth:
    """Log in once: a person approves in a browser, and the token is saved before this returns.

    Where the redirect URI is an ``http`` loopback address, this listens there for the browser to come back.
    Else it asks for the address that the browser ended on. What to do is said on standard error.

    Args:
        client_id: the registered client; else ``$ARIES_CLIENT_ID``, else the stored token's.
        client_secret: its secret, or a callable that returns it; else as `AuthorizationCodeFlow` finds it.
        redirect_uri: exactly as registered; else ``$ARIES_REDIRECT_URI``, else the stored token's.
        scope: what to ask for, as a sequence or as text separated by spaces.
        authorize_url: as for `AuthorizationCodeFlow`, like the next three.
        token_url: the token endpoint.
        token_client: sends the token request.
        timeout: the longest that the exchange of the code is waited for, in seconds; also the returned
            object's.
        profile: as for `AriesAuth`.
        store: as for `AriesAuth`. It is proven writable before the browser opens.
        open_browser: whether to open the link; it is shown in any case.
        callback_timeout: seconds to listen for the browser to come back.
        paste: ask for the address even where this could listen, for a browser on another computer.
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
    shared: Any = {"token_url": token_url, "token_client": token_client, "timeout": timeout}
    auth = AriesAuth(client_id, secret, redirect_uri, profile=profile, store=store, **shared)
    make_flow: Any = partial(AuthorizationCodeFlow, scope=scope, authorize_url=authorize_url, **shared)
    make_flow(client_id, secret, redirect_uri)  # refuses what is malformed before anything is touched
    callback_timeout = settings.check_seconds("callback_timeout", callback_timeout)

    kept_in = settings.resolve_store(profile, store)
    stored = kept_in.load()
    client_id = client_id or settings.variable("ARIES_CLIENT_ID") or (stored.client_id if stored else None)
    redirect_uri = redirect_uri or settings.variable("ARIES_REDIRECT_URI")
    redirect_uri = redirect_uri or (stored.redirect_uri if stored else None)
    flow: AuthorizationCodeFlow = make_flow(client_id, secret, redirect_uri)
    link, state = flow.authorization_url()
    SecretSource(secret).read()  # where it is missing, say so before the browser opens
    authority = None if paste else loopback_authority(redirect_uri or "")
    if authority is None:
        _prove(kept_in)
        _show(link, "the browser", open_browser=open_browser and not paste)
        flow.fetch_token(_pasted().reveal(), state, kept_in)
        return auth
    with Listener(redirect_uri or "", authority) as listener:
        _prove(kept_in)
        _show(link, "a browser on this computer", open_browser=open_browser)
        _say(f"Waiting for it to come back to {redirect_uri} ({callback_timeout:g} s at most).")
        _say("If your browser runs on another computer, stop this and use paste=True (the command's --paste).")
        response = listener.wait(state, timeout=callback_timeout, on_wait=on_wait)
        _finish(listener, partial(flow.fetch_token, state=state, store=kept_in), response)
    return auth


def _prove(store: TokenStore) -> None:
    """Prove that the token can be saved before a person is troubled; no lock is held while they click."""
    with store.locked() as entry:
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


def _pasted() -> Secret:
    _say("Then paste the whole address that the browser ended on, also where its page can't be reached:")
    response = Secret("")
    with suppress(EOFError, OSError, RuntimeError, ValueError):  # no terminal, a notebook without input, no text
        response = Secret(input())
    if not response.reveal().strip():
        raise AuthorizationError("No address was given, so nothing was sent. Start the login again.")
    return response


def _show(link: str, where: str, *, open_browser: bool) -> None:
    _say(f"Open this link in {where} and approve the access:\n\n    {link}\n")
    if open_browser:
        threading.Thread(target=_open, args=(link,), name="aries-auth-browser", daemon=True).start()


def _open(link: str) -> None:
    """Open the link; in a thread of its own, since some browsers return when they are closed."""
    import webbrowser  # noqa: PLC0415 - only who logs in pays for it

    # Whatever goes wrong here, the link is on the screen.
    with suppress(Exception):
        if not _is_terminal_browser(webbrowser):
            webbrowser.open(link)


def _is_terminal_browser(module: Any) -> bool:
    try:
        name = str(getattr(module.get(), "name", ""))
    except module.Error:
        return False
    return PurePath(name).name in _TERMINAL_BROWSERS


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a person is being talked to
