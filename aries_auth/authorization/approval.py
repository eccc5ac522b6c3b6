"""The approval: a person approves in the browser, it comes back or is pasted, and its code becomes a token."""

from __future__ import annotations

import threading
from functools import partial
from typing import Callable

from aries_auth.authorization import browser, pages, pasting, ssh
from aries_auth.authorization.field import FieldPaste
from aries_auth.authorization.flow import AuthorizationCodeFlow
from aries_auth.authorization.kept import kept_logins
from aries_auth.authorization.listener import Listener
from aries_auth.authorization.login_request import LoginRequest
from aries_auth.authorization.sockets import loopback_authority
from aries_auth.authorization.talk import Talk
from aries_auth.errors import AuthorizationError
from aries_auth.store import TokenStore, locked_in_slices
from aries_auth.token import Secret


def approve(
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
    with locked_in_slices(store, on_wait=talk.warn) as entry:
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


def _show(link: str, where: str, talk: Talk, *, open_browser: bool) -> None:
    talk.say(f"Open this link in {where} and approve the access:\n\n    {link}\n")
    if open_browser:
        browser.open_in_background(link)
