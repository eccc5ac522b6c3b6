"""A web backend with Django whose users connect their Aries accounts. See docs/django.md.

pip install aries-auth django waitress
SESSION_SECRET=... waitress-serve --listen=localhost:8000 django_app:app
"""

from __future__ import annotations

import hashlib
import logging
import os
from html import escape
from pathlib import Path
from typing import Callable
from urllib.parse import urlsplit

import django
import requests
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from aries_auth import (
    AriesAuth,
    AriesAuthError,
    AuthorizationCodeFlow,
    AuthorizationError,
    FileTokenStore,
    LoginRequired,
    TokenRequestError,
)

REDIRECT_URI = urlsplit(os.environ["ARIES_REDIRECT_URI"])
IS_HTTPS = REDIRECT_URI.scheme == "https"

if not settings.configured:  # your project has these in settings.py
    settings.configure(
        SECRET_KEY=os.environ["SESSION_SECRET"],
        ALLOWED_HOSTS=[REDIRECT_URI.hostname, "127.0.0.1"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", f"{__name__}.Trouble"],
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        # With this prefix browsers take the cookie from this very host alone, so that no
        # sibling can plant one.
        SESSION_COOKIE_NAME="__Host-session" if IS_HTTPS else "session",
        SESSION_COOKIE_SAMESITE="Lax",  # "Strict" would keep the cookie from the callback
        SESSION_COOKIE_SECURE=IS_HTTPS,
        SESSION_COOKIE_AGE=8 * 3600,
        LOGGING_CONFIG=None,  # Django's own would log a callback's code
        USE_TZ=True,
    )
    django.setup()

API = os.environ.get("ARIES_API_ORIGINS", "https://api.aries.com")
TOKENS = Path(os.environ.get("TOKEN_FOLDER", "tokens"))
TOKENS.mkdir(mode=0o700, parents=True, exist_ok=True)

START = '<p><a href="/">Back to the start</a></p>'
CONNECT = '<p><a href="/login">Connect Aries</a></p>'
SIGN_IN = '<form method="post" action="/sign-in"><input name="name" required><button>Sign in</button></form>'
LOGOUT = '<form method="post" action="/logout"><button>Log out</button></form>'

logger = logging.getLogger(__name__)
# Client id, secret and redirect URI come from $ARIES_CLIENT_ID and the other variables.
flow = AuthorizationCodeFlow(scope=["user:information", "position:information"])


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


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """What Aries knows of the user."""
    user = request.session.get("user")
    if user is None:
        return page("Who are you?", "", SIGN_IN)
    try:
        answer = requests.get(f"{API}/v1/users/me", auth=aries_of(user), timeout=20)
        answer.raise_for_status()
    except LoginRequired:
        return page("Not connected", f"{user}, your Aries account is not connected.", CONNECT, LOGOUT)
    except (TokenRequestError, requests.RequestException) as exc:
        logger.warning("Aries can't be asked: %s", exc)
        return page("Aries can't be asked now", "Try again in a minute.", LOGOUT, status=502)
    return page("Connected", f"{user}, at Aries you are {answer.json()['name']}.", LOGOUT)


@require_POST
def sign_in(request: HttpRequest) -> HttpResponse:
    """Stands for django.contrib.auth: here, whoever says a name is that user."""
    name = request.POST.get("name", "")[:80]
    request.session.flush()  # nothing that was planted in this browser outlives the sign-in
    if name:
        request.session["user"] = name
    return see_other("/")


@require_GET
def login(request: HttpRequest) -> HttpResponse:
    """Send the browser to Aries."""
    if "user" not in request.session:
        return see_other("/")
    url, request.session["state"] = flow.authorization_url()
    return see_other(url)


@require_GET
def callback(request: HttpRequest) -> HttpResponse:
    """The browser is back from Aries."""
    user, state = request.session.get("user"), request.session.pop("state", None)
    if user is None or state is None or not is_first_use(state):
        return page("No login is under way", "This one is over, or was begun elsewhere.", START, status=400)
    try:
        # Saves the token before it returns.
        flow.fetch_token(request.build_absolute_uri(), state, store=store_of(user))
    except AuthorizationError as exc:
        if exc.error == "access_denied":
            return page("Access was denied", "Nothing was connected.", CONNECT, status=403)
        return page("This is not the answer to your login", "Nothing was connected.", CONNECT, status=400)
    except TokenRequestError as exc:
        logger.warning("The login of a user failed: %s", exc)
        return page("The login did not work", "Aries gave no token.", CONNECT, status=502)
    return see_other("/")  # takes the code out of the address bar


@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    """Forget the login and the session."""
    user = request.session.get("user")
    if user is not None:
        store_of(user).delete()
    request.session.flush()
    return see_other("/")


class Trouble:
    """An unwritable store, a missing setting: the log says what, the page does not."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, _request: HttpRequest, exc: Exception) -> HttpResponse | None:
        """The answer to an error of this package; None leaves others to Django."""
        if not isinstance(exc, AriesAuthError):
            return None
        logger.error("%s", exc)
        return page("Something is wrong here", "It is our fault. Try again later.", START, status=500)


def see_other(url: str) -> HttpResponse:
    """A redirect after which the browser sends a GET."""
    response = HttpResponseRedirect(url)
    response.status_code = 303
    return response


def page(title: str, text: str, *parts: str, status: int = 200) -> HttpResponse:
    """A small page. Nothing of a callback's query is in it."""
    top = f"<!doctype html><title>{escape(title)}</title><h1>{escape(title)}</h1><p>{escape(text)}</p>"
    # The address of a callback holds a code.
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return HttpResponse(top + "".join(parts), status=status, headers=headers)


urlpatterns = [
    path("", index),
    path("sign-in", sign_in),
    path("login", login),
    path("callback", callback),
    path("logout", logout),
]
app = get_wsgi_application()
