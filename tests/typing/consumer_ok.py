"""A user's program: everything in it must pass mypy --strict and pyright's strict mode."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
from pathlib import Path
from typing import Any, Callable, ContextManager, Mapping

import httpx
import requests
import requests.auth

import aries_auth
from aries_auth import (
    AriesAuth,
    AriesAuthError,
    AuthorizationCodeFlow,
    AuthorizationError,
    ConfigurationError,
    FileTokenStore,
    InsecureTransportError,
    LockTimeout,
    LoginRequired,
    StoreError,
    Token,
    TokenRequestError,
    TokenStore,
    login,
)
from aries_auth.testing import AriesSandbox

# Construction: nothing, texts, callables, each kind of store and of client.
plain = AriesAuth()
full = AriesAuth(
    "id",
    "secret",
    "http://127.0.0.1:8765/callback",
    profile="work",
    store=Path("token.json"),
    refresh_margin=120,
    token_url="https://api.aries.com/v1/oauth2/token",
    api_origins=["https://api.aries.com"],
    token_client=requests.Session(),
    timeout=10.0,
)
from_vault = AriesAuth(client_secret=lambda: os.environ["SECRET"], store="token.json", api_origins=("https://a.test",))
with_store = AriesAuth(store=FileTokenStore("token.json", mode=0o640, lock_timeout=5.0), token_client=httpx.Client())

# It is what both libraries take for auth.
requests_auth: requests.auth.AuthBase = plain
httpx_auth: httpx.Auth = plain
session = requests.Session()
session.auth = plain
answer: requests.Response = requests.get("https://api.aries.com/v1/users/me", auth=plain, timeout=10)
client = httpx.Client(auth=plain)
async_client = httpx.AsyncClient(auth=plain)
again: AriesAuth = pickle.loads(pickle.dumps(plain))

# Tokens out.
text: str = plain.get_token()
provider: Callable[[], str] = plain.get_token
refreshed: Token = plain.refresh()
in_memory: Token | None = plain.token


async def websocket_token(auth: AriesAuth) -> str:
    return await auth.get_token_async()


asyncio.run(websocket_token(plain))


# Token: a value.
def remaining(token: Token, now: float) -> float | None:
    return None if token.expires_at is None else token.expires_at - now


made = Token(
    "access",
    refresh_token="refresh",
    token_type="Bearer",
    scope="user:information",
    expires_at=1764003600.0,
    refresh_token_expires_at=None,
    obtained_at=1764000000,
    client_id="id",
    redirect_uri="http://127.0.0.1:8765/callback",
    extra={"note": 1},
)
parsed: Token = Token.from_response({"access_token": "a", "expires_in": 3600}, now=1764000000.0)
document: Mapping[str, Any] = parsed.to_dict()
back: Token = Token.from_dict(document)
fields: tuple[str, str | None, str | None] = (back.access_token, back.refresh_token, back.scope)


# A store of one's own: the protocol is structural.
class Entry:
    def load(self) -> Token | None:
        return None

    def save(self, token: Token) -> None: ...

    def delete(self) -> None: ...

    def reserve(self) -> None: ...


class OwnStore:
    def load(self) -> Token | None:
        return None

    def save(self, token: Token) -> None: ...

    def delete(self) -> None: ...

    def locked(self, timeout: float | None = None) -> ContextManager[Entry]:
        return contextlib.nullcontext(Entry())


own: TokenStore = OwnStore()
file: TokenStore = FileTokenStore(Path("token.json"))
AriesAuth(store=own)


def move(source: TokenStore, target: TokenStore) -> None:
    with source.locked() as entry, target.locked(timeout=0) as other:
        other.reserve()
        token = entry.load()
        if token is not None:
            other.save(token)
        entry.delete()


# The login.
flow = AuthorizationCodeFlow("id", lambda: "secret", "https://app.test/callback", scope=["user:information"])
url, state = flow.authorization_url()
fetched: Token = flow.fetch_token(authorization_response=url, state=state)
fetched = flow.fetch_token(authorization_response=url, state=state, store="token.json")
fetched = flow.fetch_token(authorization_response=url, state=state, store=own)


async def callback(query: str) -> Token:
    return await flow.fetch_token_async(authorization_response=query, state=state, store=Path("token.json"))


logged_in: AriesAuth = login(scope="user:information order:execution", open_browser=False, callback_timeout=60)
logged_in = login("id", "secret", "http://localhost:1/", scope=["user:information"], profile="work", store=None)


# Errors: one base, and what each carries.
def explain(error: AriesAuthError) -> str | int | bool | None:
    if isinstance(error, TokenRequestError):
        status: int | None = error.status_code
        words: list[str | None] = [error.error, error.error_description, error.request_id]
        return error.retryable or status or words[0]
    if isinstance(error, AuthorizationError):
        return error.error or error.error_description
    return str(error)


def run() -> None:
    try:
        plain.get_token()
    except (LoginRequired, ConfigurationError, InsecureTransportError) as error:
        base: AriesAuthError = error
        explain(base)
    except LockTimeout as error:
        store_error: StoreError = error
        explain(store_error)


with AriesSandbox() as aries:
    sandbox: AriesSandbox = aries

module_name: str = aries_auth.__name__
