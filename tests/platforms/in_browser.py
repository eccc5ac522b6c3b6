"""What works, and what can't, without threads, processes and sockets: ``nox -s pyodide`` runs it in Pyodide.

It is a program and no test of pytest: Pyodide has no thread that a time-out could use. The token endpoint is an object
in the place of a client: a browser's page reaches no other network either.
"""

from __future__ import annotations

import builtins
import io
import os
import re
import sys
import tempfile
import time
import traceback
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, Callable
from unittest import mock

import httpx
import requests

from aries_auth import (
    AriesAuth,
    AuthorizationCodeFlow,
    FileTokenStore,
    Token,
    TokenRequestError,
    login,
)

API, TOKEN_URL = "https://api.aries.com/v1/accounts", "https://api.aries.com/v1/oauth2/token"
REDIRECT_URI = "http://localhost:8765/callback"
CREDENTIALS: dict[str, Any] = {"client_id": "id", "client_secret": "secret", "redirect_uri": REDIRECT_URI}


def stored(folder: Path, left: float) -> FileTokenStore:
    """A store whose token has so many seconds left."""
    store = FileTokenStore(folder / "token.json")
    now = time.time()
    times: dict[str, float] = {"obtained_at": now - 3600 + left, "expires_at": now + left}
    store.save(Token("at-1", "rt-1", client_id="id", redirect_uri=REDIRECT_URI, token_url=TOKEN_URL, **times))
    return store


def answer(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"access_token": "at-2", "refresh_token": "rt-2", "expires_in": 3600})


def a_living_token_is_put_on_a_request(folder: Path) -> None:
    auth = AriesAuth(**CREDENTIALS, store=stored(folder, 3000))
    assert auth.get_token() == "at-1"
    prepared = requests.Request("GET", API, auth=auth).prepare()
    assert prepared.headers["Authorization"] == "Bearer at-1"
    request = next(auth.sync_auth_flow(httpx.Request("GET", API)))
    assert request.headers["Authorization"] == "Bearer at-1"


async def a_living_token_is_handed_out_in_a_loop(folder: Path) -> None:
    assert await AriesAuth(**CREDENTIALS, store=stored(folder, 3000)).get_token_async() == "at-1"


def a_token_in_its_margin_is_used(folder: Path) -> None:
    assert AriesAuth(**CREDENTIALS, store=stored(folder, 200)).get_token() == "at-1"


def a_pasted_address_becomes_a_saved_token(folder: Path) -> None:
    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        flow = AuthorizationCodeFlow(**CREDENTIALS, scope="account:information", token_client=client)
        _, state = flow.authorization_url()
        pasted = f"{REDIRECT_URI}?code=c&state={state}"
        token = flow.fetch_token(authorization_response=pasted, state=state, store=folder / "token.json")
    assert FileTokenStore(folder / "token.json").load() == token
    assert token.access_token == "at-2"


def a_login_takes_what_a_person_pastes(folder: Path) -> None:
    """Unasked for, at a redirect URI that it would listen on elsewhere: nothing listens in a browser."""
    said = io.StringIO()

    def person(_: str = "") -> str:
        state = re.search(r"state=([^&\s]+)", said.getvalue())
        assert state, said.getvalue()
        return f"  '{REDIRECT_URI}?code=c&state={state[1]}'  "

    typed = mock.patch.object(builtins, "input", person)
    with httpx.Client(transport=httpx.MockTransport(answer)) as client, redirect_stderr(said), typed:
        auth = login(**CREDENTIALS, scope="x", store=folder / "token.json", token_client=client)
    assert auth.get_token() == "at-2"


def a_refresh_is_a_clear_error_and_spends_nothing(folder: Path) -> None:
    store = stored(folder, -60)
    with requests.Session() as session:
        calls = (AriesAuth.get_token, lambda auth: session.get(API, auth=auth), lambda auth: httpx.get(API, auth=auth))
        for call in calls:
            begun = time.monotonic()
            said = ""
            try:
                call(AriesAuth(**CREDENTIALS, store=store))
            except TokenRequestError as exc:
                said = str(exc)
            print("   ", said)
            assert "Python in a browser has no connection of its own" in said
            assert time.monotonic() - begun < 5
    kept = store.load()
    assert kept is not None
    assert kept.refresh_token == "rt-1"


CHECKS: list[Callable[[Path], Any]] = [
    a_living_token_is_put_on_a_request,
    a_living_token_is_handed_out_in_a_loop,
    a_token_in_its_margin_is_used,
    a_pasted_address_becomes_a_saved_token,
    a_login_takes_what_a_person_pastes,
    a_refresh_is_a_clear_error_and_spends_nothing,
]


async def main() -> int:
    os.environ["ARIES_TOKEN_FILE"] = ""  # unset, and nothing of the computer's own
    failed = 0
    for check in CHECKS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                result = check(Path(folder))
                if result is not None:
                    await result
                print("ok     ", check.__name__.replace("_", " "))
            except BaseException:
                failed += 1
                print("failed ", check.__name__.replace("_", " "))
                traceback.print_exc(file=sys.stdout)
    print(f"{len(CHECKS) - failed} passed, {failed} failed, on {sys.platform}, Python {sys.version.split()[0]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(await main())  # type: ignore[top-level-await]  # noqa: F704, PLE1142 - Pyodide's programs may
