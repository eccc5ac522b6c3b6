"""A web backend with FastAPI whose users connect their Aries accounts. See docs/fastapi.md.

pip install aries-auth fastapi itsdangerous python-multipart uvicorn
SESSION_SECRET=... uvicorn fastapi_app:app --host localhost --port 8000 --no-access-log
"""

from __future__ import annotations

import hashlib
import logging
import os
from html import escape
from pathlib import Path

import httpx
from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.middleware.sessions import SessionMiddleware

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

logger = logging.getLogger(__name__)
# Client id, secret and redirect URI come from $ARIES_CLIENT_ID and the other variables.
flow = AuthorizationCodeFlow(scope=["user:information", "position:information"])
app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
app.add_middleware(
    SessionMiddleware,
    secret_key=os.environ["SESSION_SECRET"],
    # With this prefix browsers take the cookie from this very host alone, so that no
    # sibling can plant one.
    session_cookie="__Host-session" if IS_HTTPS else "session",
    same_site="lax",  # "strict" would keep the cookie from the callback
    https_only=IS_HTTPS,
    max_age=8 * 3600,
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
async def index(request: Request) -> Response:
    """What Aries knows of the user."""
    user = request.session.get("user")
    if user is None:
        return page("Who are you?", "", SIGN_IN)
    try:
        async with httpx.AsyncClient(auth=aries_of(user), base_url=API, timeout=20) as aries:
            me = (await aries.get("/v1/users/me")).raise_for_status().json()
    except LoginRequired:
        return page("Not connected", f"{user}, your Aries account is not connected.", CONNECT, LOGOUT)
    except (TokenRequestError, httpx.HTTPError) as exc:
        logger.warning("Aries can't be asked: %s", exc)
        return page("Aries can't be asked now", "Try again in a minute.", LOGOUT, status=502)
    return page("Connected", f"{user}, at Aries you are {me['name']}.", LOGOUT)


@app.post("/sign-in")
async def sign_in(request: Request, name: str = Form(min_length=1, max_length=80)) -> Response:
    """Stands for your own sign-in: here, whoever says a name is that user."""
    request.session.clear()  # nothing that was planted in this browser outlives the sign-in
    request.session["user"] = name
    return RedirectResponse("/", 303)


@app.get("/login")
async def login(request: Request) -> Response:
    """Send the browser to Aries."""
    if "user" not in request.session:
        return RedirectResponse("/", 303)
    url, request.session["state"] = flow.authorization_url()
    return RedirectResponse(url, 303)


@app.get("/callback")
async def callback(request: Request) -> Response:
    """The browser is back from Aries."""
    user, state = request.session.get("user"), request.session.pop("state", None)
    if user is None or state is None or not is_first_use(state):
        return page("No login is under way", "This one is over, or was begun elsewhere.", START, status=400)
    try:
        # Saves the token before it returns, also when the browser hangs up and this task is
        # cancelled.
        await flow.fetch_token_async(str(request.url), state, store=store_of(user))
    except AuthorizationError as exc:
        if exc.error == "access_denied":
            return page("Access was denied", "Nothing was connected.", CONNECT, status=403)
        return page("This is not the answer to your login", "Nothing was connected.", CONNECT, status=400)
    except TokenRequestError as exc:
        logger.warning("The login of a user failed: %s", exc)
        return page("The login did not work", "Aries gave no token.", CONNECT, status=502)
    return RedirectResponse("/", 303)  # takes the code out of the address bar


@app.post("/logout")
def logout(request: Request) -> Response:
    """Forget the login and the session. No `async`: it waits for a lock and the disk."""
    user = request.session.get("user")
    if user is not None:
        store_of(user).delete()
    request.session.clear()
    return RedirectResponse("/", 303)


@app.exception_handler(AriesAuthError)
async def trouble(_: Request, exc: AriesAuthError) -> Response:
    """An unwritable store, a missing setting: the log says what, the page does not."""
    logger.error("%s", exc)
    return page("Something is wrong here", "It is our fault. Try again later.", START, status=500)


def page(title: str, text: str, *parts: str, status: int = 200) -> HTMLResponse:
    """A small page. Nothing of a callback's query is in it."""
    top = f"<!doctype html><title>{escape(title)}</title><h1>{escape(title)}</h1><p>{escape(text)}</p>"
    # The address of a callback holds a code.
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return HTMLResponse(top + "".join(parts), status, headers)
