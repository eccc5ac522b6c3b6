"""Whoever holds the store's lock is killed, stopped or slow: others go on, wait no longer than said, and say why."""

from __future__ import annotations

import signal
import time

import pytest

from aries_auth import FileTokenStore, LockTimeout, TokenRequestError
from aries_auth.testing import AriesSandbox

from .conftest import EXPIRED, IN_MARGIN, Bench, wait_landed, wait_until
from .zygote import Victim, Zygote

pytestmark = [pytest.mark.noisy, pytest.mark.chaos, pytest.mark.timeout(120)]


def _refreshing(bench: Bench, zygote: Zygote) -> Victim:
    """A process that holds the lock and has just sent its token request, which the server is to process yet."""
    aries: AriesSandbox = bench.aries
    aries.fail("token", hang=True, before=True)
    victim = zygote.start("caller", **bench.options)
    victim.say("refresh")
    aries.wait_for_requests()
    return victim


def test_a_holder_that_is_killed_frees_the_lock_and_the_others_refresh(bench: Bench, zygote: Zygote) -> None:
    bench.log_in(EXPIRED)
    victim = _refreshing(bench, zygote)
    caller = zygote.start("caller", **bench.options)
    caller.say("call")
    time.sleep(0.1)
    victim.kill()
    said = caller.hear()
    assert said["error"] is None
    assert said["took"] < 5.0
    assert bench.is_newest
    assert bench.aries.refresh_count == 1


def test_a_stopped_holder_hurts_no_call_while_the_token_lives(bench: Bench, zygote: Zygote) -> None:
    bench.log_in(IN_MARGIN)
    victim = _refreshing(bench, zygote)
    victim.kill(signal.SIGSTOP)
    auth = bench.auth()
    slowest = 0.0
    for _ in range(40):
        begun = time.monotonic()
        auth.get_token()
        slowest = max(slowest, time.monotonic() - begun)
        time.sleep(0.01)
    print(f"40 calls beside a stopped holder, the slowest {slowest * 1000:.1f} ms")
    assert slowest < 1.0
    assert not bench.aries.refresh_count
    bench.aries.heal()
    victim.kill(signal.SIGCONT)
    assert victim.hear()["error"] is None
    wait_until(lambda: auth.get_token() == bench.stored.access_token, 5.0, "the other's token was not adopted")
    wait_landed()
    assert bench.aries.refresh_count == len(bench.aries.token_requests) == 1
    victim.say(None)


def test_waiting_for_a_stopped_holder_is_bounded_by_the_calls_time_out(bench: Bench, zygote: Zygote) -> None:
    bench.log_in(EXPIRED)
    victim = _refreshing(bench, zygote)
    victim.kill(signal.SIGSTOP)
    auth = bench.auth(timeout=0.5)
    begun = time.monotonic()
    with pytest.raises(TokenRequestError, match=r"time-out of 0\.5 s") as caught:
        auth.get_token()
    took = time.monotonic() - begun
    print(f"gave up after {took:.2f} s")
    assert 0.4 < took < 2.0
    assert caught.value.retryable
    bench.aries.heal()
    victim.kill(signal.SIGCONT)
    assert victim.hear()["error"] is None
    assert bench.auth().get_token() == bench.stored.access_token
    wait_landed()
    assert bench.aries.refresh_count == len(bench.aries.token_requests) == 1
    victim.say(None)


def test_waiting_for_a_stopped_holder_is_bounded_by_the_stores_time_out(bench: Bench, zygote: Zygote) -> None:
    bench.log_in(EXPIRED)
    victim = zygote.start("hold", store=str(bench.path))
    victim.hear()
    victim.kill(signal.SIGSTOP)
    store = FileTokenStore(bench.path, lock_timeout=0.5)
    begun = time.monotonic()
    with pytest.raises(LockTimeout, match="another process") as caught:
        bench.auth(store=store).get_token()
    assert 0.4 < time.monotonic() - begun < 3.0
    assert str(bench.path) in str(caught.value)
    assert not bench.aries.token_requests
    victim.kill()
    victim.wait_gone()
    assert bench.auth(store=store).get_token() == bench.stored.access_token


@pytest.mark.parametrize("seconds", [0.8, pytest.param(20.0, marks=pytest.mark.soak)])
def test_a_slow_holder_is_waited_for_and_its_token_adopted(bench: Bench, zygote: Zygote, seconds: float) -> None:
    bench.log_in(EXPIRED)
    bench.aries.fail("token", delay=seconds)
    victim = zygote.start("caller", **bench.options)
    victim.say("refresh")
    bench.aries.wait_for_requests()
    others = [zygote.start("caller", **bench.options) for _ in range(4)]
    for other in others:
        other.say("call")
    assert [other.hear()["error"] for other in others] == [None] * 4
    assert victim.hear()["error"] is None
    assert bench.aries.refresh_count == len(bench.aries.token_requests) == 1
    for process in (victim, *others):
        process.say(None)
