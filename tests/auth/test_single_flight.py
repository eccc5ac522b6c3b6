"""docs/architecture.md, "Single flight": one request for one expired token, whoever shares the store."""

from __future__ import annotations

import asyncio
import json
import threading
from functools import partial
from pathlib import Path
from typing import Any, Callable

import pytest
import trio

from aries_auth import AriesAuth, FileTokenStore, LoginRequired, Token
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED, FRESH, IN_MARGIN, Background, Program, in_threads, our_threads, wait_until
from tests.inside import source_of, waiting_for

Stored = Callable[..., Token]
MakeAuth = Callable[..., AriesAuth]


@pytest.fixture
def auth(make_auth: MakeAuth, stored: Stored, aries: AriesSandbox) -> AriesAuth:
    stored(age=EXPIRED)
    aries.fail(delay=0.1)
    return make_auth()


def test_threads_share_one_token_request(auth: AriesAuth, aries: AriesSandbox) -> None:
    tokens = in_threads(32, auth.get_token)
    assert len(set(tokens)) == 1
    assert len(aries.token_requests) == 1


class MeetingPlace(FileTokenStore):
    """Lets two threads come to the first use of an object at once, and counts how often its file is read."""

    both_there = threading.Barrier(2)
    loads = 0

    @property
    def command_options(self) -> str:
        self.both_there.wait(10)
        return "--profile meeting"

    def load(self) -> Token | None:
        self.loads += 1
        return super().load()


def test_threads_at_the_first_use_of_an_object_share_what_it_makes(
    make_auth: MakeAuth, stored: Stored, store_path: Path
) -> None:
    stored(age=FRESH)
    store = MeetingPlace(store_path)
    assert len(set(in_threads(2, make_auth(store=store).get_token))) == 1
    assert store.loads == 1


class SlowLook(FileTokenStore):
    """A store whose answer arrives when it is out of date."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.looked, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def load(self) -> Token | None:
        token = super().load()
        self.looked.set()
        self.go_on.wait(10)
        return token


def test_a_call_after_a_login_does_not_share_the_end_of_a_look_before_it(
    make_auth: MakeAuth, stored: Stored, store_path: Path, aries: AriesSandbox
) -> None:
    stored(age=EXPIRED)
    aries.revoke_grants()
    store = SlowLook(store_path)
    auth = make_auth(store=store)
    with pytest.raises(LoginRequired):
        auth.get_token()
    store.looked.clear()
    store.go_on.clear()
    before = Background(auth.get_token)
    assert store.looked.wait(10)
    new = stored(age=FRESH)
    after = Background(auth.get_token)
    wait_until(lambda: waiting_for(auth) == 2)
    store.go_on.set()
    assert after.outcome() == new.access_token
    with pytest.raises(LoginRequired):
        before.outcome()
    assert len(aries.token_requests) == 1


def test_threads_that_wait_share_one_flight(make_auth: MakeAuth, stored: Stored, aries: AriesSandbox) -> None:
    stored(age=EXPIRED)
    auth = make_auth()
    before = len(our_threads())
    aries.fail(hang=True)
    waiting = [Background(auth.get_token) for _ in range(16)]
    aries.wait_for_requests(1)
    assert len(our_threads()) - before <= 2, "one that works, and one that sends"
    aries.heal()
    assert len({one.outcome() for one in waiting}) == 1


def test_asyncio_tasks_share_one_token_request(auth: AriesAuth, aries: AriesSandbox) -> None:
    async def main() -> Any:
        return await asyncio.gather(*(auth.get_token_async() for _ in range(100)))

    assert len(set(asyncio.run(main()))) == 1
    assert len(aries.token_requests) == 1


def test_trio_tasks_share_one_token_request(auth: AriesAuth, aries: AriesSandbox) -> None:
    tokens = set()

    async def task() -> None:
        tokens.add(await auth.get_token_async())

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(task)

    trio.run(main)
    assert len(tokens) == 1
    assert len(aries.token_requests) == 1


def test_threads_and_loops_share_one_token_request(auth: AriesAuth, aries: AriesSandbox) -> None:
    ways = [auth.get_token, lambda: asyncio.run(auth.get_token_async()), lambda: trio.run(auth.get_token_async)]
    turns = iter(ways * 6)
    tokens = in_threads(18, next(turns))
    assert len(set(tokens)) == 1, tokens
    assert len(aries.token_requests) == 1


def test_objects_that_share_a_store_share_one_token_request(
    auth: AriesAuth, make_auth: MakeAuth, aries: AriesSandbox
) -> None:
    auths = iter([make_auth() for _ in range(12)])
    assert len(set(in_threads(12, lambda: next(auths).get_token()))) == 1
    assert len(aries.token_requests) == 1


def test_the_first_callers_of_an_object_share_its_source(make_auth: MakeAuth, stored: Stored) -> None:
    stored(age=FRESH)
    for _ in range(20):
        auth = make_auth()
        assert len(set(map(id, in_threads(4, partial(source_of, auth))))) == 1


def test_processes_share_one_token_request(auth: AriesAuth, aries: AriesSandbox, program: Program) -> None:
    code = """
        from concurrent.futures import ThreadPoolExecutor
        import json
        auth = make_auth()
        sys.stdin.readline()
        with ThreadPoolExecutor(4) as pool:
            print(json.dumps(list(pool.map(lambda _: auth.get_token(), range(4)))))
    """
    processes = [program.start(code) for _ in range(4)]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    tokens = [token for process in processes for token in json.loads(process.communicate(timeout=90)[0])]
    assert len(tokens) == 16
    assert len(set(tokens)) == 1
    assert len(aries.token_requests) == 1
    assert aries.reused_refresh_tokens == 0


def test_a_token_found_newer_after_the_wait_for_the_lock_is_adopted_without_a_request(
    auth: AriesAuth, store: FileTokenStore, aries: AriesSandbox
) -> None:
    with store.locked() as entry:
        waiting = Background(auth.get_token)
        wait_until(lambda: auth.token is not None)
        newer = aries.issue_token()
        entry.save(newer)
    assert waiting.outcome() == newer.access_token
    assert aries.token_requests == ()


def test_who_needs_a_token_joins_the_refresh_that_runs_ahead(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox
) -> None:
    stored(age=98.0 - 20.0, expires_in=100.0)
    auth = make_auth(refresh_margin=1000.0)
    aries.fail(hang=True)
    auth.get_token()
    aries.wait_for_requests(1)
    waiting = [Background(auth.refresh) for _ in range(3)]
    aries.heal()
    assert len({one.outcome() for one in waiting}) == 1
    assert aries.refresh_count == 1


def test_a_refused_call_joins_the_refresh_that_runs_ahead(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, url: str
) -> None:
    import requests

    stored(age=IN_MARGIN)
    auth = make_auth()
    aries.revoke_access_tokens()
    aries.fail(hang=True)
    waiting = Background(lambda: requests.get(url, auth=auth, timeout=20).status_code)
    aries.wait_for_requests(1)
    aries.heal()
    assert waiting.outcome() == 200
    assert aries.refresh_count == 1


class TestRefresh:
    """Section 7, "refresh()"."""

    def test_sends_whatever_the_life_of_the_token(
        self, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox
    ) -> None:
        token = stored(age=FRESH)
        auth = make_auth()
        auth.get_token()
        assert auth.refresh() != token
        assert aries.refresh_count == 1

    def test_sends_with_nothing_in_memory(self, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox) -> None:
        token = stored(age=FRESH)
        assert make_auth().refresh() != token
        assert aries.refresh_count == 1

    def test_adopts_what_is_newer_than_memory(self, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox) -> None:
        stored(age=FRESH)
        auth = make_auth()
        auth.get_token()
        newer = stored(age=FRESH)
        assert auth.refresh() == newer
        assert aries.refresh_count == 0

    def test_at_once_from_many_threads_sends_once(
        self, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox
    ) -> None:
        stored(age=FRESH)
        auth = make_auth()
        auth.get_token()
        aries.fail(delay=0.2)
        assert len(set(in_threads(16, auth.refresh))) == 1
        assert aries.refresh_count == 1

    def test_tries_at_once_after_a_remembered_failure(
        self, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox
    ) -> None:
        stored(age=IN_MARGIN)
        auth = make_auth()
        aries.fail(status=503, headers={"Retry-After": "600"})
        auth.get_token()
        wait_until(lambda: len(aries.token_requests) == 1)
        assert auth.refresh().access_token == auth.get_token()
        assert aries.refresh_count == 1

    def test_does_not_disturb_callers(self, make_auth: MakeAuth, stored: Stored, aries: AriesSandbox) -> None:
        token = stored(age=FRESH)
        auth = make_auth()
        auth.get_token()
        aries.fail(hang=True)
        refreshing = Background(auth.refresh)
        aries.wait_for_requests(1)
        assert in_threads(8, auth.get_token) == [token.access_token] * 8
        aries.heal()
        assert refreshing.outcome().access_token == auth.get_token()


def test_a_storm_of_every_kind_of_wish_spends_each_refresh_token_once(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, url: str
) -> None:
    import requests

    stored(age=IN_MARGIN)
    auths = [make_auth() for _ in range(3)]
    stop = threading.Event()

    def calls(auth: AriesAuth) -> int:
        worst = 200
        with requests.Session() as session:
            while not stop.is_set():
                worst = max(worst, session.get(url, auth=auth, timeout=20).status_code)
        return worst

    callers = [Background(lambda auth=auth: calls(auth)) for auth in auths * 2]  # type: ignore[misc]
    refreshing = [Background(lambda auth=auth: [auth.refresh() for _ in range(8)]) for auth in auths]  # type: ignore[misc]
    for one in refreshing:
        one.outcome()
    stop.set()
    assert [one.outcome() for one in callers] == [200] * 6
    assert aries.reused_refresh_tokens == 0
    assert aries.max_concurrent_token_requests == 1
