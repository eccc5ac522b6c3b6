"""Threads that really run at once: first uses, expired tokens, refreshes. A Python without a GIL is its point."""

from __future__ import annotations

import asyncio
import importlib
import sys
import sysconfig
import threading
import time
from typing import Any, Callable, Iterator

import httpx
import pytest
import requests

from aries_auth import AriesAuth, Token
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED, FRESH, Background, in_threads, wait_until
from tests.inside import waiting_for

THREADS = 16
ROUNDS = 25

Stored = Callable[..., Token]
MakeAuth = Callable[..., AriesAuth]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def hasty() -> Iterator[None]:
    """With a GIL, threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def all_equal(outcomes: list[Any]) -> Any:
    """What each of the threads got: the same, and no error."""
    assert len(outcomes) == THREADS
    errors = [each for each in outcomes if isinstance(each, BaseException)]
    assert not errors, errors[:3]
    assert len(set(outcomes)) == 1
    return outcomes[0]


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python is built with a GIL")
def test_nothing_that_is_imported_turns_the_gil_on() -> None:
    for module in ("aries_auth", "aries_auth.cli", "aries_auth.authorization", "aries_auth.testing"):
        importlib.import_module(module)
    assert not sys._is_gil_enabled()  # type: ignore[attr-defined]  # Python 3.13


def test_the_first_uses_of_an_object_find_the_stored_token(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox
) -> None:
    token = stored(age=FRESH)
    for _ in range(4 * ROUNDS):
        assert all_equal(in_threads(THREADS, make_auth().get_token)) == token.access_token
    assert not aries.token_requests


def test_the_first_uses_with_an_expired_token_make_one_request(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox
) -> None:
    for life in range(1, ROUNDS + 1):
        old = stored(age=EXPIRED)
        assert all_equal(in_threads(THREADS, make_auth().get_token)) != old.access_token
        assert len(aries.token_requests) == life
    assert aries.reused_refresh_tokens == 0


@pytest.mark.slow
@pytest.mark.noisy  # a machine that is busy for a second gives one token two lives
def test_a_token_that_expires_under_its_users_is_refreshed_once(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox
) -> None:
    aries.rules.access_token_lifetime = 1.0
    stored(age=EXPIRED)
    auth = make_auth(refresh_margin=0.0)
    tokens = set()
    for life in range(1, 4):
        tokens.add(all_equal(in_threads(THREADS, auth.get_token)))
        assert len(tokens) == len(aries.token_requests) == life
        newest = auth.token
        assert newest is not None
        assert newest.expires_at is not None
        time.sleep(max(0.0, newest.expires_at - time.time() + 0.01))  # lives end by themselves
    assert aries.reused_refresh_tokens == 0


def test_an_object_for_each_thread_makes_no_second_request(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox
) -> None:
    for _ in range(ROUNDS):
        stored(age=EXPIRED)
        objects = [make_auth() for _ in range(THREADS)]
        all_equal(in_threads(THREADS, lambda objects=objects: objects.pop().get_token()))
    assert len(aries.token_requests) == ROUNDS
    assert aries.reused_refresh_tokens == 0


def _by_requests(auth: AriesAuth, url: str) -> int:
    with requests.Session() as session:
        return session.get(url, auth=auth, timeout=60).status_code


def _by_httpx(auth: AriesAuth, url: str) -> int:
    with httpx.Client(auth=auth, timeout=60, verify=False) as client:
        return client.get(url).status_code


def _by_asyncio(auth: AriesAuth, url: str) -> int:
    async def call() -> int:
        async with httpx.AsyncClient(auth=auth, timeout=60, verify=False) as client:
            return (await client.get(url)).status_code

    return asyncio.run(call())


@pytest.mark.parametrize("trouble", ["expired", "rejected"])
def test_calls_of_every_kind_share_one_request(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, url: str, trouble: str
) -> None:
    auth = make_auth()
    for life in range(1, 6):
        if trouble == "expired":
            stored(age=EXPIRED)
        else:  # it lives by its own account, and the API says 401
            stored(age=FRESH)
            aries.expire_access_tokens()
        ways = [way for way in (_by_requests, _by_httpx, _by_asyncio, _by_requests) for _ in range(THREADS // 4)]
        assert all_equal(in_threads(THREADS, lambda ways=ways, auth=auth: ways.pop()(auth, url))) == 200
        assert len(aries.token_requests) == life
        auth = make_auth()
    assert aries.reused_refresh_tokens == 0


def test_refreshes_that_are_asked_for_at_once_are_one(make_auth: MakeAuth, stored: Stored, aries: AriesSandbox) -> None:
    stored(age=FRESH)
    auth = make_auth()
    before = auth.get_token()
    for number in range(1, 6):
        aries.fail("token", hang=True)
        asking = [Background(lambda: auth.refresh().access_token) for _ in range(THREADS)]
        aries.wait_for_requests(number)
        wait_until(lambda: waiting_for(auth) == THREADS, complaint="not all of them wait")
        aries.heal()
        after = all_equal([one.outcome() for one in asking])
        assert after not in ("", before)
        before = after
        assert len(aries.token_requests) == number
    assert aries.reused_refresh_tokens == 0


def test_a_login_beside_calls_is_seen_whole(make_auth: MakeAuth, stored: Stored, aries: AriesSandbox) -> None:
    stored(age=FRESH)
    auth = make_auth()
    ended = threading.Event()
    seen: list[str] = []

    def call() -> int:
        count = 0
        while not ended.is_set():
            seen.append(auth.get_token(refused=seen[-1] if seen and count % 50 == 0 else None))
            count += 1
        return count

    calling = [Background(call) for _ in range(THREADS)]
    issued = {stored(age=FRESH).access_token for _ in range(ROUNDS)}
    ended.set()
    assert all(one.outcome() for one in calling)
    auth.wait(20)
    refreshed = len(aries.token_requests)
    assert aries.reused_refresh_tokens == 0
    assert len(set(seen)) <= len(issued) + 1 + refreshed
