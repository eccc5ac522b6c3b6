"""docs/architecture.md, "Copies": configuration travels, locks and tokens do not. And its repr."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any, Callable

import httpx
import pytest
import requests

from aries_auth import AriesAuth, FileTokenStore, Token
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED, FRESH, our_threads
from tests.leaks import assert_no_secret

Stored = Callable[..., Token]
MakeAuth = Callable[..., AriesAuth]


def pickled(auth: AriesAuth) -> Any:
    return pickle.loads(pickle.dumps(auth))


@pytest.mark.parametrize("duplicate", [pickled, copy.deepcopy, copy.copy])
def test_configuration_travels_and_tokens_do_not(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, duplicate: Callable[[AriesAuth], AriesAuth]
) -> None:
    token = stored(age=EXPIRED)
    auth = make_auth(refresh_margin=7.0, timeout=3.0)
    auth.get_token()
    other = duplicate(auth)
    assert other.token is None
    assert other.get_token() == auth.get_token() != token.access_token
    assert aries.refresh_count == 1
    assert other.refresh() != auth.token


class Named(AriesAuth):
    """A subclass with an attribute of its own."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(**options)
        self.name = name


@pytest.mark.parametrize("duplicate", [pickled, copy.deepcopy, copy.copy])
def test_what_a_subclass_added_travels(
    stored: Stored, store_path: Path, duplicate: Callable[[AriesAuth], AriesAuth]
) -> None:
    token = stored(age=FRESH)
    auth = Named("mine", store=store_path)
    auth.get_token()
    other = duplicate(auth)
    assert isinstance(other, Named)
    assert (other.name, other.token) == ("mine", None)
    assert other.get_token() == token.access_token


def test_no_token_is_in_the_pickle(make_auth: MakeAuth, stored: Stored, aries: AriesSandbox) -> None:
    token = stored(age=FRESH)
    auth = make_auth(client_secret=secret_of_a_vault)
    auth.get_token()
    data = pickle.dumps(auth)
    assert token.access_token.encode() not in data
    assert (token.refresh_token or "").encode() not in data


def secret_of_a_vault() -> str:
    return "secret"


def test_a_secret_given_as_text_travels_too(make_auth: MakeAuth, aries: AriesSandbox) -> None:
    assert aries.client_secret.encode() in pickle.dumps(make_auth())


def test_a_store_object_travels(make_auth: MakeAuth, stored: Stored, store_path: Path) -> None:
    token = stored(age=FRESH)
    assert pickled(make_auth(store=FileTokenStore(store_path, lock_timeout=3.0))).get_token() == token.access_token


def test_a_prepared_request_travels_and_is_resent_where_it_arrives(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, url: str
) -> None:
    stored(age=FRESH)
    request = requests.Request("GET", url, auth=make_auth()).prepare()
    aries.revoke_access_tokens()
    with requests.Session() as session:
        assert session.send(pickle.loads(pickle.dumps(request)), timeout=20).status_code == 200
    assert aries.refresh_count == 1


@pytest.mark.parametrize("library", ["requests", "niquests"])
def test_a_session_as_token_client_travels(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, library: str
) -> None:
    stored(age=EXPIRED)
    with pytest.importorskip(library).Session() as session:
        session.headers["X-Own"] = "1"
        assert pickled(make_auth(token_client=session)).get_token()
    assert f"({library}/" in (aries.token_requests[0].user_agent or "")


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.deepcopy, copy.copy])
def test_an_httpx_client_as_token_client_does_not_and_says_so(
    make_auth: MakeAuth, duplicate: Callable[[AriesAuth], Any]
) -> None:
    with httpx.Client() as client, pytest.raises(TypeError, match=r"httpx\.Client as token_client can't be pickled"):
        duplicate(make_auth(token_client=client))


def test_the_constructor_does_no_io_and_starts_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("os.stat", None)
    monkeypatch.setattr("os.open", None)
    before = our_threads()
    for number in range(1000):
        AriesAuth("client", "secret", "http://127.0.0.1/callback", profile=f"user{number}")
    monkeypatch.undo()
    assert our_threads() <= before
    assert list(tmp_path.iterdir()) == []


def test_the_token_in_memory_needs_no_io(make_auth: MakeAuth, stored: Stored, store_path: Path) -> None:
    auth = make_auth()
    assert auth.token is None
    token = stored(age=FRESH)
    assert auth.token is None
    auth.get_token()
    store_path.unlink()
    assert auth.token == token


def test_the_repr_shows_client_store_and_expiry_and_never_a_secret(
    make_auth: MakeAuth, stored: Stored, store_path: Path, aries: AriesSandbox
) -> None:
    token = stored(age=FRESH)
    auth = make_auth(client_id=None)
    assert repr(str(store_path)) in repr(auth)
    auth.get_token()
    assert aries.client_id in repr(auth)
    assert str(token.expires_at) in repr(auth)
    assert "profile='sim'" in repr(AriesAuth(profile="sim"))
    assert repr(FileTokenStore(store_path)) in repr(make_auth(store=FileTokenStore(store_path))) or str(store_path)
    assert_no_secret(repr(auth), aries.client_secret, token.access_token, token.refresh_token or "")
