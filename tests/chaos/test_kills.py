"""SIGKILL at a random instant of a refresh, and how long the window is in which that costs the grant."""

from __future__ import annotations

import os
import random
import statistics
import time

import pytest
import requests

from aries_auth import LoginRequired
from tests.inside import connections_of

from .conftest import EXPIRED, Bench, wait_until
from .zygote import Zygote

pytestmark = [pytest.mark.ci, pytest.mark.noisy, pytest.mark.chaos, pytest.mark.timeout(600)]

# The window is some milliseconds; this is no measure of it, but of a test machine that is busy with other things.
LONGEST_WINDOW = 1.0


class Commits:
    """When the server spent a refresh token, on the system's monotonic clock."""

    def __init__(self, bench: Bench) -> None:
        self.at: list[float] = []
        bench.aries.rules.edit_answer = self._note

    def _note(self, answer: dict[str, object]) -> dict[str, object]:
        self.at.append(time.monotonic())
        return answer


def _undisturbed(bench: Bench, zygote: Zygote, commits: Commits, times: int) -> tuple[list[float], list[float]]:
    """How long refreshes take from their start on, and how long from the server's commit to the replaced file."""
    durations, windows = [], []
    for _ in range(times):
        bench.log_in(EXPIRED)
        commits.at.clear()
        victim = zygote.start("refresh", **bench.options)
        victim.hear()
        said = victim.ask("go")
        durations.append(said["ended_at"] - said["begun_at"])
        windows.append(said["replaced_at"] - commits.at[-1])
        late = [name for at, name in said["imported"] if commits.at[-1] < at < said["replaced_at"]]
        assert not late, f"imported between the commit and the write: {late}"
        victim.wait_gone()
    return durations, windows


@pytest.mark.parametrize("kills", [25, pytest.param(200, marks=pytest.mark.soak)])
def test_a_sigkill_at_any_instant_leaves_the_store_whole_and_its_lock_free(
    bench: Bench, zygote: Zygote, kills: int
) -> None:
    seed = int(os.environ.get("ARIES_CHAOS_SEED") or random.randrange(10**6))
    print(f"ARIES_CHAOS_SEED={seed}")
    chance = random.Random(seed)
    commits = Commits(bench)
    durations, windows = _undisturbed(bench, zygote, commits, 5 + kills // 8)
    print(
        f"a refresh takes {statistics.median(durations) * 1000:.1f} ms; the window between the server's commit and "
        f"the replaced file is {statistics.median(windows) * 1000:.2f} ms (median), {max(windows) * 1000:.2f} ms (max)"
    )
    fates = {"before the commit": 0, "after the replace": 0, "in the window": 0}
    leftovers = 0
    for number in range(kills):
        old = bench.log_in(EXPIRED)
        commits.at.clear()
        victim = zygote.start("refresh", **bench.options)
        victim.hear()
        victim.say("go")
        if number % 2:
            time.sleep(chance.uniform(0.0, 1.1 * statistics.median(durations)))
        else:  # the few milliseconds that matter most
            wait_until(lambda: bool(commits.at), 10.0, "no refresh token was spent")
            time.sleep(chance.uniform(0.0, 1.5 * statistics.median(windows)))
        victim.kill()
        killed_at = time.monotonic()
        victim.wait_gone()
        # What the dead process has sent may be processed yet, or even be accepted: in any case before what we send.
        requests.get(bench.aries.url, timeout=10)
        wait_until(lambda: not connections_of(bench.aries), 10.0, "a connection of a dead process stays")

        saved = int(bench.stored.access_token != old.access_token)  # fails where the store is not whole
        with bench.store.locked(0):
            pass
        leftovers += len(bench.files - {"t.json", "t.json.lock"})
        if saved == len(commits.at):
            fates["after the replace" if saved else "before the commit"] += 1
            bench.auth().refresh()
            assert bench.is_newest
        else:
            fates["in the window"] += 1
            assert not saved
            assert killed_at - commits.at[0] < LONGEST_WINDOW, "lost outside of the documented window"
            with pytest.raises(LoginRequired):
                bench.auth().refresh()
            bench.log_in(0)
        assert bench.files == {"t.json", "t.json.lock"}, "the next writer did not clean up"
    print(f"{kills} kills: {fates}; {leftovers} temporary files were left, and cleaned up by the next writer")
