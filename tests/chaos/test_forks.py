"""Forks in the middle of a refresh, and pools of processes with a pickled auth."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest

from .conftest import EXPIRED, FRESH, Bench
from .zygote import Zygote

PHASES = ("waiting for the lock", "before the commit", "after the commit", "saving")
MORE_POOLS = [("fork", True), ("forkserver", True), ("spawn", False)]

pytestmark = [pytest.mark.noisy, pytest.mark.chaos, pytest.mark.timeout(120)]


@pytest.mark.parametrize(
    "phase, from_thread, times",
    [
        ("waiting for the lock", True, 1),
        ("before the commit", False, 1),
        ("after the commit", True, 1),
        ("saving", False, 1),
        *(pytest.param(*each, 20, marks=pytest.mark.soak) for each in itertools.product(PHASES, (False, True))),
    ],
)
def test_a_fork_in_the_middle_of_a_refresh_neither_hangs_nor_sends_a_token_twice(
    bench: Bench, zygote: Zygote, phase: str, from_thread: bool, times: int
) -> None:
    aries = bench.aries
    for _ in range(times):
        aries.reset()
        bench.log_in(EXPIRED)
        held = bench.store.locked()
        if phase == "waiting for the lock":
            held.__enter__()
        elif phase in ("before the commit", "after the commit"):
            aries.fail("token", hang=True, before=phase == "before the commit")
        slow_disk = 0.3 if phase == "saving" else 0.0
        parent = zygote.start("forking", **bench.options, slow_disk=slow_disk, from_thread=from_thread)
        assert parent.hear() == "wanted"
        if phase == "waiting for the lock":
            time.sleep(0.1)
        else:
            aries.wait_for_requests()
            time.sleep(2 * slow_disk / 3)
        assert parent.ask("fork") == "forked"
        child = zygote._accept()
        if phase == "waiting for the lock":
            held.__exit__(None, None, None)
        else:
            aries.heal()
        said = [parent.hear(), child.hear()]
        assert [each["error"] for each in said] == [None, None], said
        assert max(each["took"] for each in said) < 10.0
        assert aries.refresh_count == len(aries.token_requests) == 1
        assert bench.is_newest
        parent.wait_gone()
        with bench.store.locked(0):
            pass


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(
    "method, client",
    [
        ("fork", False),
        ("forkserver", False),
        ("spawn", True),
        *(pytest.param(method, client, marks=pytest.mark.soak) for method, client in MORE_POOLS),
    ],
)
def test_a_pool_of_processes_shares_the_grant_of_a_pickled_auth(
    bench: Bench, zygote: Zygote, method: str, client: bool
) -> None:
    aries = bench.aries
    bench.log_in(EXPIRED)
    process = zygote.start("pool", **bench.options, method=method, client=client)
    tokens: Any = process.hear()
    assert tokens == [bench.stored.access_token]
    assert len(aries.token_requests) == (2 if method == "fork" else 1)
    assert aries.reused_refresh_tokens == 0


@pytest.mark.parametrize("library", ["requests", "niquests", "httpx"])
@pytest.mark.parametrize("times", [1, pytest.param(50, marks=pytest.mark.soak)])
def test_a_forked_child_does_not_use_the_open_connections_of_its_parents_token_client(
    bench: Bench, zygote: Zygote, library: str, times: int
) -> None:
    pytest.importorskip(library, reason=f"needs {library}")
    aries = bench.aries
    for _ in range(times):
        aries.reset()
        bench.log_in(FRESH)
        aries.fail("token", delay=0.3)
        parent = zygote.start("shared_client", **bench.options, library=library)
        child = zygote._accept()
        aries.wait_for_requests()
        # On a shared connection, this would get the child's token, or wait behind it.
        said = parent.ask("call")
        assert said["statuses"] == [404] * 3
        assert not child.hear()["error"]
        assert bench.is_newest
        assert aries.refresh_count == len(aries.token_requests) == 1
