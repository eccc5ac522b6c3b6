"""A secret and a store that need what the caller's context has: flask's `current_app`, as its programs write it."""

from __future__ import annotations

from typing import Any, Callable, ContextManager

import httpx
import pytest
import requests

from aries_auth import AriesAuth, ConfigurationError, FileTokenStore, StoreEntry, Token
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED, IN_MARGIN

flask = pytest.importorskip("flask", reason="needs flask")

OLD = 100.0  # seconds; beyond the youth of 30


@pytest.fixture
def app(aries: AriesSandbox, store: FileTokenStore) -> Any:
    app = flask.Flask("report")
    app.config.update(ARIES_SECRET=aries.client_secret, ARIES_STORE=store)
    return app


class StoreOfApp:
    """A store whose place the app's configuration says."""

    @property
    def _store(self) -> FileTokenStore:
        found: FileTokenStore = flask.current_app.config["ARIES_STORE"]
        return found

    def load(self) -> Token | None:
        return self._store.load()

    def save(self, token: Token) -> None:
        self._store.save(token)

    def delete(self) -> None:
        self._store.delete()

    def locked(self, timeout: float | None = None) -> ContextManager[StoreEntry]:
        return self._store.locked(timeout)


@pytest.fixture
def auth(make_auth: Callable[..., AriesAuth], stored: Callable[..., Token]) -> AriesAuth:
    """Made when the module is imported, where there is no app yet."""
    return make_auth(client_secret=lambda: flask.current_app.config["ARIES_SECRET"], store=StoreOfApp())


@pytest.mark.parametrize("library", [requests, httpx], ids=["requests", "httpx"])
@pytest.mark.parametrize("age", [IN_MARGIN, EXPIRED, OLD], ids=["ahead", "needed", "refused"])
def test_a_view_calls_with_what_its_app_says(
    app: Any, auth: AriesAuth, stored: Callable[..., Token], aries: AriesSandbox, url: str, library: Any, age: float
) -> None:
    stored(age=age)
    if age == OLD:
        aries.revoke_access_tokens()

    @app.route("/")
    def view() -> str:
        return str(library.get(url, auth=auth, timeout=20).status_code)

    assert app.test_client().get("/").text == "200"
    with app.app_context():
        assert auth.wait(20)
    assert aries.refresh_count == 1


def test_an_async_view_calls_with_what_its_app_says(
    app: Any, auth: AriesAuth, stored: Callable[..., Token], aries: AriesSandbox, url: str
) -> None:
    pytest.importorskip("asgiref", reason="needs asgiref")
    stored(age=EXPIRED)

    @app.route("/")
    async def view() -> str:
        async with httpx.AsyncClient(auth=auth, timeout=20) as client:
            return str((await client.get(url)).status_code)

    assert app.test_client().get("/").text == "200"
    assert aries.refresh_count == 1


def test_out_of_every_context_it_is_an_error_that_names_the_callable(
    app: Any, make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox
) -> None:
    stored(age=EXPIRED)
    auth = make_auth(client_secret=lambda: flask.current_app.config["ARIES_SECRET"])
    with pytest.raises(ConfigurationError, match="client_secret callable raised RuntimeError"):
        auth.get_token()
    assert aries.token_requests == ()
    with app.app_context():
        assert auth.get_token()
