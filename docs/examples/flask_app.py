"""A web backend with Flask whose users connect their Aries accounts. See docs/flask.md.

pip install aries-auth flask waitress
SESSION_SECRET=... waitress-serve --listen=localhost:8000 flask_app:app
"""

from __future__ import annotations

import hashlib
import os
from html import escape
from pathlib import Path

import requests
from flask import Flask, redirect, request, session
from werkzeug.wrappers import Response

from aries_auth import (
    AriesAuth,
    AriesAuthError,
    AuthorizationCodeFlow,
    AuthorizationError,
    FileTokenStore,
    LoginRequired,
    TokenRequestError,
)

API = os.environ.get("ARIES_API_ORIGINS", "https://api.aries.com")
TOKENS = Path(os.environ.get("TOKEN_FOLDER", "tokens"))
TOKENS.mkdir(mode=0o700, parents=True, exist_ok=True)
IS_HTTPS = os.environ["ARIES_REDIRECT_URI"].startswith("https:")

START = '<p><a href="/">Back to the start</a></p>'
CONNECT = '<p><a href="/login">Connect Aries</a></p>'
SIGN_IN = '<form method="post" action="/sign-in"><input name="name" required><button>Sign in</button></form>'
LOGOUT = '<form method="post" action="/logout"><button>Log out</button></form>'

# Client id, secret and redirect URI come from $ARIES_CLIENT_ID and the other variables.
flow = AuthorizationCodeFlow(scope=["user:information", "position:information"])
app = Flask(__name__)
app.config.update(
    SECRET_KEY=os.environ["SESSION_SECRET"],
    # With this prefix browsers take the cookie from this very host alone, so that no
    # sibling can plant one.
    SESSION_COOKIE_NAME="__Host-session" if IS_HTTPS else "session",
    SESSION_COOKIE_SAMESITE="Lax",  # "Strict" would keep the cookie from the callback
    SESSION_COOKIE_SECURE=IS_HTTPS,
)


def store_of(user: str) -> FileTokenStore:
    """One login per user. On several hosts: SQLTokenStore(engine, key=user)."""
    return FileTokenStore(TOKENS / f"{hashlib.sha256(user.encode()).hexdigest()}.json")


def aries_of(user: str) -> AriesAuth:
    """Costs next to nothing. Made for each request, so that no deleted token is used."""
    return AriesAuth(store=store_of(user))


def is_first_use(state: str) -> bool:
    """Whether no callback has brought this state yet, to any worker.

    The session alone can't tell: it is in the browser, which still has the state when it
    reloads a slow callback. A code that is sent twice can cost the login.
    """
    spent = TOKENS / f"{hashlib.sha256(state.encode()).hexdigest()}.spent"
    try:
        spent.touch(0o600, exist_ok=False)
    except FileExistsError:
        return False
    return True


@app.get("/")
def index() -> Response:
    """What Aries knows of the user."""
    user = session.get("user")
    if user is None:
        return page("Who are you?", "", SIGN_IN)
    try:
        answer = requests.get(f"{API}/v1/users/me", auth=aries_of(user), timeout=20)
        answer.raise_for_status()
    except LoginRequired:
        return page("Not connected", f"{user}, your Aries account is not connected.", CONNECT, LOGOUT)
    except (TokenRequestError, requests.RequestException) as exc:
        app.logger.warning("Aries can't be asked: %s", exc)
        return page("Aries can't be asked now", "Try again in a minute.", LOGOUT, status=502)
    return page("Connected", f"{user}, at Aries you are {answer.json()['name']}.", LOGOUT)


@app.post("/sign-in")
def sign_in() -> Response:
    """Stands for your own sign-in: here, whoever says a name is that user."""
    name = request.form.get("name", "")[:80]
    session.clear()  # nothing that was planted in this browser outlives the sign-in
    if name:
        session["user"] = name
    return redirect("/", 303)


@app.get("/login")
def login() -> Response:
    """Send the browser to Aries."""
    if "user" not in session:
        return redirect("/", 303)
    url, session["state"] = flow.authorization_url()
    return redirect(url, 303)


@app.get("/callback")
def callback() -> Response:
    """The browser is back from Aries."""
    user, state = session.get("user"), session.pop("state", None)
    if user is None or state is None or not is_first_use(state):
        return page("No login is under way", "This one is over, or was begun elsewhere.", START, status=400)
    try:
        # Saves the token before it returns.
        flow.fetch_token(request.url, state, store=store_of(user))
    except AuthorizationError as exc:
        if exc.error == "access_denied":
            return page("Access was denied", "Nothing was connected.", CONNECT, status=403)
        return page("This is not the answer to your login", "Nothing was connected.", CONNECT, status=400)
    except TokenRequestError as exc:
        app.logger.warning("The login of a user failed: %s", exc)
        return page("The login did not work", "Aries gave no token.", CONNECT, status=502)
    return redirect("/", 303)  # takes the code out of the address bar


@app.post("/logout")
def logout() -> Response:
    """Forget the login and the session."""
    user = session.get("user")
    if user is not None:
        store_of(user).delete()
    session.clear()
    return redirect("/", 303)


@app.errorhandler(AriesAuthError)
def trouble(exc: AriesAuthError) -> Response:
    """An unwritable store, a missing setting: the log says what, the page does not."""
    app.logger.error("%s", exc)
    return page("Something is wrong here", "It is our fault. Try again later.", START, status=500)


def page(title: str, text: str, *parts: str, status: int = 200) -> Response:
    """A small page. Nothing of a callback's query is in it."""
    top = f"<!doctype html><title>{escape(title)}</title><h1>{escape(title)}</h1><p>{escape(text)}</p>"
    # The address of a callback holds a code.
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return Response(top + "".join(parts), status, headers, content_type="text/html; charset=utf-8")
