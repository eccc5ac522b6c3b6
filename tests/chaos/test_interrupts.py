"""Ctrl-C, `sys.exit` and the interpreter's end at every line of a refresh, and in each phase of a real one."""

from __future__ import annotations

import asyncio
import itertools
import signal
import ssl
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Callable

import httpx
import pytest
import requests

from aries_auth import AriesAuth

from .conftest import EXPIRED, FRESH, IN_MARGIN, Bench, wait_landed, wait_until
from .instants import AtInstant
from .zygote import Victim, Zygote

pytestmark = [pytest.mark.noisy, pytest.mark.chaos, pytest.mark.timeout(900)]

AT_ONCE = 0.2  # what is promised
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # read for each client, they would take all the time
BUSY = 0.8  # what a test machine that is busy with other things may add


def _get_token(auth: AriesAuth, _url: str) -> None:
    auth.get_token()


def _get_token_async(auth: AriesAuth, _url: str) -> None:
    asyncio.run(auth.get_token_async())


def _requests_get(auth: AriesAuth, url: str) -> None:
    with requests.Session() as session:
        assert session.get(url, auth=auth).status_code == 200


def _httpx_get(auth: AriesAuth, url: str) -> None:
    with httpx.Client(verify=NO_CERTIFICATES) as client:
        assert client.get(url, auth=auth).status_code == 200


@dataclass(frozen=True)
class Scenario:
    """A call, the age of the token that it finds, and whether the server has revoked that."""

    call: Callable[[AriesAuth, str], None]
    age: float
    revoked: bool = False


SCENARIOS = {
    "an expired token": Scenario(_get_token, EXPIRED),
    "an expired token, asyncio": Scenario(_get_token_async, EXPIRED),
    "a token that is due": Scenario(_get_token, IN_MARGIN),
    "requests, answered 401": Scenario(_requests_get, FRESH, revoked=True),
    "httpx, answered 401": Scenario(_httpx_get, FRESH, revoked=True),
}


def _interrupt(bench: Bench, scenario: Scenario, instant: AtInstant) -> None:
    """Interrupt a call there; nothing may be lost, and the same object must go on."""
    aries = bench.aries
    aries.reset()
    bench.log_in(scenario.age)
    if scenario.revoked:
        aries.revoke_access_tokens()
    auth, url = bench.auth(), f"{aries.url}/v1/users/me"
    raised: BaseException | None = None
    try:
        with instant:
            scenario.call(auth, url)
    except (KeyboardInterrupt, SystemExit) as exc:
        raised = exc
    try:
        wait_landed()
    except AssertionError as exc:
        raise AssertionError(f"interrupted at {instant.happened}") from exc
    if not instant.happened:
        return
    assert raised is not None, f"swallowed at {instant.happened}"
    assert bench.is_newest, f"lost at {instant.happened}"
    scenario.call(auth, url)
    if scenario.age == IN_MARGIN:
        # Where it came after the look and before the work, the next look is a second later.
        wait_until(lambda: _is_refreshed(auth, bench), 5.0, f"never refreshed after {instant.happened}")
    wait_landed()
    assert bench.is_newest
    assert len(aries.token_requests) == 1, f"{len(aries.token_requests)} token requests at {instant.happened}"


def _is_refreshed(auth: AriesAuth, bench: Bench) -> bool:
    auth.get_token()
    return bench.aries.refresh_count == 1


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # requests'
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize(
    "error, every, step",
    [
        pytest.param(KeyboardInterrupt, "line", 7, id="Ctrl-C at every seventh line"),
        pytest.param(KeyboardInterrupt, "line", 1, id="Ctrl-C at every line", marks=pytest.mark.soak),
        pytest.param(SystemExit, "line", 1, id="sys.exit at every line", marks=pytest.mark.soak),
        pytest.param(KeyboardInterrupt, "check", 1, id="Ctrl-C at every check for signals", marks=pytest.mark.soak),
    ],
)
def test_wherever_a_call_is_interrupted_no_grant_is_lost_and_the_same_object_goes_on(
    bench: Bench, name: str, error: type[BaseException], every: str, step: int
) -> None:
    times = 0
    for number in itertools.count(1, step):
        instant = AtInstant(number, error, every=every)
        _interrupt(bench, SCENARIOS[name], instant)
        if not instant.happened:
            break
        times += 1
    print(f"{name}: interrupted at {times} of {instant.count} instants in turn, 0 grants lost")
    assert instant.count > 50


@pytest.mark.parametrize("step", [24, pytest.param(1, marks=pytest.mark.soak)])
def test_wherever_sys_exit_ends_the_interpreter_in_a_refresh_no_grant_is_lost(
    bench: Bench, zygote: Zygote, step: int
) -> None:
    times = 0
    for number in itertools.count(1, step):
        bench.log_in(EXPIRED)
        victim = zygote.start("ends", **bench.options, number=number)
        try:
            assert victim.hear() == "not reached"
        except EOFError:
            pass  # it was, and said nothing more
        else:
            break
        victim.wait_gone()
        assert bench.is_newest, f"lost at line {number}"
        bench.auth().get_token()
        assert bench.aries.reused_refresh_tokens == 0
        times += 1
    print(f"the interpreter ended at {times} lines in turn, 0 grants lost")
    assert times * step > 100


class Phase:
    """What a refresh is made to wait for, and what must have become of it once the process has ended."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    slow_disk = 0.0

    def prepare(self, stack: ExitStack) -> None:
        raise NotImplementedError

    def reached(self, victim: Victim) -> None:
        """Wait until the refresh waits."""
        raise NotImplementedError

    def let_go(self) -> None:
        """End what it waits for; where it must not need that to end, nothing."""

    def check(self) -> None:
        raise NotImplementedError


class LockHeld(Phase):
    def prepare(self, stack: ExitStack) -> None:
        stack.enter_context(self.bench.store.locked())

    def reached(self, victim: Victim) -> None:
        time.sleep(0.3)

    def check(self) -> None:
        assert not self.bench.aries.token_requests


class Hanging(Phase):
    def prepare(self, stack: ExitStack) -> None:
        self.bench.aries.fail("token", hang=True)

    def reached(self, victim: Victim) -> None:
        self.bench.aries.wait_for_requests()

    def let_go(self) -> None:
        time.sleep(0.3)
        assert self.bench.aries.refresh_count == 1
        assert not self.bench.is_newest  # its answer is under way, and the process lives for it
        self.bench.aries.heal()

    def check(self) -> None:
        assert self.bench.aries.refresh_count == 1


class BackOff(Phase):
    def prepare(self, stack: ExitStack) -> None:
        self.bench.aries.fail("token", status=503, times=None)

    def reached(self, victim: Victim) -> None:
        self.bench.aries.wait_for_requests()
        time.sleep(0.1)

    def check(self) -> None:
        assert self.bench.aries.refresh_count == 0


class SlowDisk(Phase):
    slow_disk = 0.7

    def prepare(self, stack: ExitStack) -> None:
        pass

    def reached(self, victim: Victim) -> None:
        time.sleep(0.1)
        self.bench.aries.wait_for_requests()
        time.sleep(0.2)

    def check(self) -> None:
        assert self.bench.aries.refresh_count == 1


PHASES = pytest.mark.parametrize(
    "phase_type",
    [
        pytest.param(LockHeld, id="waiting for a lock"),
        pytest.param(Hanging, id="the endpoint hangs"),
        pytest.param(BackOff, id="in back-off"),
        pytest.param(SlowDisk, id="saving on a slow disk"),
    ],
)


@PHASES
@pytest.mark.parametrize("way", ["thread", "asyncio", "trio"])
def test_ctrl_c_reaches_the_caller_at_once_and_the_refresh_is_not_lost(
    bench: Bench, zygote: Zygote, phase_type: type[Phase], way: str
) -> None:
    bench.log_in(EXPIRED)
    phase = phase_type(bench)
    with ExitStack() as stack:
        phase.prepare(stack)
        victim = zygote.start("interrupted", **bench.options, way=way, slow_disk=phase.slow_disk)
        assert victim.hear() == "ready"
        phase.reached(victim)
        sent_at = time.monotonic()
        victim.kill(signal.SIGINT)
        took = victim.hear() - sent_at
        phase.let_go()
        victim.wait_gone()
    print(f"Ctrl-C reached the caller after {took * 1000:.1f} ms")
    assert took < AT_ONCE + BUSY
    phase.check()
    bench.aries.heal()
    assert bench.is_newest


@PHASES
def test_the_interpreter_ends_in_a_refresh_in_the_background_and_the_grant_is_not_lost(
    bench: Bench, zygote: Zygote, phase_type: type[Phase]
) -> None:
    bench.log_in(IN_MARGIN)
    phase = phase_type(bench)
    with ExitStack() as stack:
        phase.prepare(stack)
        victim = zygote.start("left", **bench.options, slow_disk=phase.slow_disk)
        assert victim.hear() == "used"
        phase.reached(victim)
        begun = time.monotonic()
        victim.say("end")
        phase.let_go()
        victim.wait_gone()
        took = time.monotonic() - begun
    print(f"the process ended after {took:.2f} s")
    assert took < 5.0
    phase.check()
    bench.aries.heal()
    assert bench.is_newest
