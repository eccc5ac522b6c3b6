"""What `store=` may be, and that anything else is refused where it is given, before anything is sent or touched."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import pytest

from aries_auth import AriesAuth, AuthorizationCodeFlow, ConfigurationError, FileTokenStore, Token, login
from aries_auth.testing import AriesSandbox
from tests.leaks import assert_no_secret

MAY_BE = r"store must be a path, a FileTokenStore, a SQLTokenStore, or another object with the methods load, save, "

URL = "postgresql://aries:s3cret-word@db.example/prod"


class InMemory:
    """A store of a caller's own, of no class of the package."""

    def __init__(self, token: Token | None = None) -> None:
        self.token = token

    def load(self) -> Token | None:
        return self.token

    def save(self, token: Token) -> None:
        self.token = token

    def delete(self) -> None:
        self.token = None

    def reserve(self) -> None:
        pass

    @contextmanager
    def locked(self, timeout: float | None = None) -> Iterator[InMemory]:
        yield self


class WithoutLock:
    load = save = delete = lambda self: None
    locked = False


WRONG = {
    "int": (5, "not an object of type int, which has no load and no save and no delete and no locked"),
    "bytes": (b"t.json", "type bytes"),
    "list": (["t.json"], "type list"),
    "without a lock": (WithoutLock(), "type WithoutLock, which has no locked"),
    "a class": (FileTokenStore, "not the class FileTokenStore itself"),
}
wrong = pytest.mark.parametrize("store, says", WRONG.values(), ids=WRONG)


@wrong
def test_an_auth_refuses_what_is_no_store_at_construction(store: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=MAY_BE + ".*" + says):
        AriesAuth(store=store)


@wrong
def test_login_refuses_what_is_no_store_before_it_asks_or_opens_anything(store: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=MAY_BE + ".*" + says):
        login(store=store)


@wrong
def test_a_flow_refuses_what_is_no_store_before_the_code_is_sent(aries: AriesSandbox, store: Any, says: str) -> None:
    flow = AuthorizationCodeFlow(
        aries.client_id, aries.client_secret, "http://127.0.0.1:9/callback", scope="a", token_url=aries.token_url
    )
    callback = "http://127.0.0.1:9/callback?code=c&state=s"
    with pytest.raises(ConfigurationError, match=MAY_BE + ".*" + says):
        flow.fetch_token(callback, "s", store)
    with pytest.raises(ConfigurationError, match=MAY_BE + ".*" + says):
        asyncio.run(flow.fetch_token_async(callback, "s", store))
    assert aries.token_requests == ()


@pytest.mark.parametrize(
    "store, says",
    [
        (URL, "store is a URL"),
        (URL.encode(), "must be a path"),
        ("", "must not be empty"),
        ("a\0b", "can't have a NUL"),
    ],
    ids=["url", "bytes", "empty", "NUL"],
)
def test_a_url_or_a_malformed_path_is_refused_when_it_is_given_and_its_password_not_shown(
    aries: AriesSandbox, store: Any, says: str
) -> None:
    flow = AuthorizationCodeFlow(aries.client_id, aries.client_secret, "http://127.0.0.1:9/callback", scope="a")
    callback = "http://127.0.0.1:9/callback?code=c&state=s"
    for act in (
        lambda: AriesAuth(store=store),
        lambda: flow.fetch_token(callback, "s", store),
        lambda: asyncio.run(flow.fetch_token_async(callback, "s", store)),
    ):
        with pytest.raises(ConfigurationError, match=says) as caught:
            act()
        assert_no_secret(caught.value, "s3cret-word")
    if isinstance(store, str):
        with pytest.raises(ConfigurationError, match=says) as caught:
            FileTokenStore(store)
        assert_no_secret(caught.value, "s3cret-word")


def test_a_store_of_the_callers_own_serves(aries: AriesSandbox) -> None:
    store = InMemory(aries.issue_token(age=4000.0))
    auth = AriesAuth(
        aries.client_id, aries.client_secret, store=store, token_url=aries.token_url, api_origins=[aries.api_url]
    )
    assert store.token is not None
    assert auth.get_token() == store.token.access_token
    assert aries.refresh_count == 1


class Proxy:
    """As `werkzeug.local.LocalProxy` and Django's `SimpleLazyObject`: it asks for its object whenever it is touched."""

    there: Any = None

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._object())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._object(), name)

    def _object(self) -> Any:
        if Proxy.there is None:
            raise RuntimeError("working outside of application context")
        return Proxy.there


def test_a_proxy_of_a_store_is_not_asked_before_it_is_used(
    aries: AriesSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Any = Proxy()
    auth = AriesAuth(store=store)
    token = aries.issue_token()
    monkeypatch.setattr(Proxy, "there", InMemory(token))
    assert auth.token is None
    assert AriesAuth(store=store, token_url=aries.token_url).get_token() == token.access_token


@pytest.mark.parametrize("kind", [str, Path, FileTokenStore])
def test_a_path_and_a_file_store_pass(tmp_path: Path, kind: Any) -> None:
    assert AriesAuth(store=kind(str(tmp_path / "t.json"))).token is None
    assert list(tmp_path.iterdir()) == []  # and nothing was touched
