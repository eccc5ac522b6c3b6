"""docs/architecture.md, "Newer": which of two tokens counts, and what a store that changes under us means."""

from __future__ import annotations

import datetime
import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

import freezegun
import pytest
import requests
import urllib3.util.connection

from aries_auth import AriesAuth, FileTokenStore, LoginRequired, Token
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED, FRESH, IN_MARGIN, LAST_CALL, Background, wait_until
from tests.inside import flight_of, start_over

Stored = Callable[..., Token]
MakeAuth = Callable[..., AriesAuth]


def changed(token: Token, **changes: Any) -> Token:
    return Token(**{**token.__dict__, **changes})


def test_a_stored_token_that_differs_is_the_newer_one_whatever_the_clocks_say(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, aries: AriesSandbox
) -> None:
    stored(age=LAST_CALL)
    auth = make_auth()
    older_clock = changed(aries.issue_token(), obtained_at=5.0)
    first = auth.get_token()
    auth.refresh()
    store.save(older_clock)
    assert auth.refresh() == older_clock
    assert first


def test_a_stored_token_that_has_expired_does_not_replace_a_living_one(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox
) -> None:
    living = stored(age=IN_MARGIN)
    auth = make_auth()
    aries.fail(status=400, body={"error": "invalid_client"})
    assert auth.get_token() == living.access_token
    wait_until(lambda: len(aries.token_requests) == 1)
    stored(age=EXPIRED)
    wait_until(lambda: auth.get_token() != living.access_token)
    assert aries.refresh_count == 1
    assert aries.token_requests[0].fingerprint == aries.token_requests[-1].fingerprint, "memory's was refreshed"


@pytest.mark.parametrize("age", [FRESH, EXPIRED], ids=["living", "expired"])
def test_a_restored_backup_does_not_bring_a_spent_refresh_token_back(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, aries: AriesSandbox, tmp_path: Path, age: float
) -> None:
    stored(age=age)
    shutil.copy(store.path, tmp_path / "backup")
    auth = make_auth()
    auth.get_token()
    auth.refresh()
    before = aries.refresh_count
    shutil.copy(tmp_path / "backup", store.path)
    newest = auth.refresh()
    assert store.load() == newest
    assert aries.refresh_count == before + 1
    assert aries.reused_refresh_tokens == 0


def test_a_spent_refresh_token_is_not_sent_even_where_nothing_else_is_known(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, aries: AriesSandbox
) -> None:
    old = stored(age=EXPIRED)
    auth = make_auth()
    auth.get_token()
    store.save(old)
    start_over(auth)
    with pytest.raises(LoginRequired, match=f"{store.path} was used before"):
        auth.get_token()
    assert aries.reused_refresh_tokens == 0


def test_after_a_logout_the_token_serves_until_it_expires_and_is_never_saved_again(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, aries: AriesSandbox
) -> None:
    token = stored(age=IN_MARGIN)
    auth = make_auth()
    aries.fail(status=400, body={"error": "invalid_client"})
    assert auth.get_token() == token.access_token
    wait_until(lambda: len(aries.token_requests) == 1)
    store.delete()
    assert auth.get_token() == token.access_token
    with pytest.raises(LoginRequired, match="no token"):
        auth.refresh()
    assert auth.get_token() == token.access_token
    assert not Path(store.path).exists()
    assert len(aries.token_requests) == 1


def test_after_a_logout_and_the_expiry_it_is_login_required(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, aries: AriesSandbox
) -> None:
    stored(age=FRESH)
    auth = make_auth(refresh_margin=0.0)
    with freezegun.freeze_time(datetime.datetime.now(datetime.timezone.utc)) as frozen:
        token = auth.get_token()
        store.delete()
        assert auth.get_token() == token
        frozen.tick(3600.0)
        with pytest.raises(LoginRequired, match="no token"):
            auth.get_token()
    assert aries.token_requests == ()


def test_a_login_by_somebody_else_is_taken_up(make_auth: MakeAuth, stored: Stored, store: FileTokenStore) -> None:
    auth = make_auth()
    with pytest.raises(LoginRequired):
        auth.get_token()
    assert auth.get_token.__self__.token is None  # type: ignore[attr-defined]
    newer = stored(age=FRESH)
    assert auth.get_token() == newer.access_token


def test_an_answer_without_a_refresh_token_keeps_the_old_one(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, aries: AriesSandbox
) -> None:
    aries.rules.rotate = False
    old = stored(age=EXPIRED)
    auth = make_auth()
    auth.get_token()
    auth.refresh()
    new = store.load()
    assert new is not None
    assert (new.refresh_token, new.refresh_token_expires_at) == (old.refresh_token, old.refresh_token_expires_at)
    assert aries.refresh_count == 2


def test_obtained_at_is_the_instant_just_before_the_request_was_sent(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox
) -> None:
    stored(age=EXPIRED)
    aries.fail(status=503)
    aries.fail(delay=0.3)
    token = make_auth().refresh()
    [_, request] = aries.token_requests
    assert token.obtained_at is not None
    assert -0.05 < request.at - token.obtained_at < 0.2


def test_a_lock_that_is_had_after_a_while_is_waited_for_and_the_wait_makes_no_token_older(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, aries: AriesSandbox
) -> None:
    stored(age=EXPIRED)
    auth = make_auth()
    with store.locked():
        waiting = Background(auth.get_token)
        time.sleep(0.6)
    assert waiting.outcome() == auth.get_token()
    [request] = aries.token_requests
    assert auth.token is not None
    assert -0.05 < request.at - (auth.token.obtained_at or 0.0) < 0.2


class Slices(FileTokenStore):
    """Tells how long its lock was to be waited for."""

    @contextmanager
    def locked(self, timeout: Any = None) -> Iterator[Any]:
        waits.append(timeout)
        with super().locked(timeout) as entry:
            yield entry


waits: list[Any] = []


@pytest.mark.parametrize("age, longest", [(IN_MARGIN, 0), (EXPIRED, 0.25)], ids=["ahead", "needed"])
def test_who_is_in_no_need_tries_the_lock_once_and_who_is_waits_in_slices(
    make_auth: MakeAuth, stored: Stored, store_path: Path, aries: AriesSandbox, age: float, longest: float
) -> None:
    stored(age=age)
    waits.clear()
    make_auth(store=Slices(store_path)).get_token()
    wait_until(lambda: aries.refresh_count == 1)
    assert waits == [longest]


class Plain:
    """A store of the caller's own, with what the protocol asks for and nothing more."""

    def __init__(self, store: FileTokenStore) -> None:
        self.load, self.save, self.delete, self.locked = store.load, store.save, store.delete, store.locked


def test_a_store_of_the_callers_own_needs_no_more_than_the_protocol(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, aries: AriesSandbox
) -> None:
    stored(age=EXPIRED)
    assert make_auth(store=Plain(store)).refresh() == store.load()
    assert aries.refresh_count == 1


def test_a_refreshed_token_is_stored_with_the_credentials_that_it_was_refreshed_with(
    make_auth: MakeAuth, store: FileTokenStore, aries: AriesSandbox
) -> None:
    store.save(changed(aries.issue_token(age=EXPIRED), client_id=None, redirect_uri=None))
    make_auth().get_token()
    token = store.load()
    assert token is not None
    assert (token.client_id, token.redirect_uri) == (aries.client_id, aries.redirect_uri)


def test_who_sends_the_first_refresh_keeps_the_connections_of_his_token_client(
    make_auth: MakeAuth, stored: Stored, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(age=EXPIRED)
    made: list[object] = []
    connect = urllib3.util.connection.create_connection
    monkeypatch.setattr(
        "urllib3.util.connection.create_connection", lambda *how, **more: (made.append(how), connect(*how, **more))[1]
    )
    with requests.Session() as session:
        session.get(url)
        make_auth(token_client=session).get_token()
    assert len(made) == 1


def test_the_body_of_a_refresh_has_the_five_fields(make_auth: MakeAuth, stored: Stored, aries: AriesSandbox) -> None:
    stored(age=EXPIRED)
    make_auth().get_token()
    [request] = aries.token_requests
    assert request.fields == ("client_id", "client_secret", "grant_type", "redirect_uri", "refresh_token")
    assert request.grant_type == "refresh_token"


def test_credentials_come_from_the_stored_token_before_the_environment(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(age=EXPIRED)
    monkeypatch.setenv("ARIES_CLIENT_ID", "another")
    monkeypatch.setenv("ARIES_REDIRECT_URI", "http://another.example")
    monkeypatch.setenv("ARIES_CLIENT_SECRET", aries.client_secret)
    auth = make_auth(client_id=None, client_secret=None, redirect_uri=None)
    assert auth.get_token()
    assert aries.refresh_count == 1


def test_an_idle_object_has_no_thread_and_no_connection(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox
) -> None:
    import requests

    stored(age=EXPIRED)
    with requests.Session() as session:
        auth = make_auth(token_client=session)
        Background(auth.get_token).outcome()
        flight = flight_of(auth)
        wait_until(lambda: flight.done)
        [pool] = session.adapters["http://"].poolmanager.pools._container.values()  # type: ignore[attr-defined]
        connections = [connection for connection in pool.pool.queue if connection is not None]
        assert [connection for connection in connections if connection.sock is not None] == []
