"""Thousands of grants in one process, all due at the same time."""

from __future__ import annotations

import gc
import json
import threading
import time
from pathlib import Path

import pytest

from aries_auth import AriesAuth

from .conftest import IN_MARGIN, wait_landed, wait_until
from .zygote import Zygote

pytestmark = [pytest.mark.ci, pytest.mark.noisy, pytest.mark.chaos, pytest.mark.timeout(1800)]

MOST_THREADS = 40


class Census:
    """Counts this process's threads all the time."""

    def __init__(self) -> None:
        self.most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._count)

    def _count(self) -> None:
        while not self._ended.wait(0.001):
            self.most = max(self.most, len(list(Path("/proc/self/task").iterdir())))

    def __enter__(self) -> Census:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def _descriptors() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("users", [1000, pytest.param(10_000, marks=pytest.mark.soak)])
def test_all_due_at_once_each_is_refreshed_once_by_few_threads_and_nobody_waits(
    zygote: Zygote, tmp_path: Path, users: int
) -> None:
    folder = tmp_path / "stores"
    folder.mkdir(0o700)
    server = zygote.start("serve", folder=str(folder), grants=users, age=IN_MARGIN)
    grant = server.hear()
    path = grant.pop("store")
    auths = [AriesAuth(**grant, store=path % number) for number in range(users)]
    old = [json.loads(Path(path % number).read_text())["access_token"] for number in range(users)]
    threads, descriptors = threading.active_count(), _descriptors()
    slowest = 0.0
    begun = time.monotonic()
    with Census() as census:
        for auth, token in zip(auths, old):
            asked = time.monotonic()
            given = auth.get_token()
            slowest = max(slowest, time.monotonic() - asked)
            assert given == token, "it waited for a refresh"
        wait_until(lambda: server.ask("how many")["refreshes"] >= users, 1200, "not every grant was refreshed")
        wait_landed(60)
        took = time.monotonic() - begun
    said = server.ask("how many")
    most = census.most - threads - 1  # the census itself
    print(
        f"{users} grants refreshed in {took:.1f} s by at most {most} threads, {said['at a time']} requests at a time; "
        f"the slowest of the {users} calls took {slowest * 1000:.1f} ms"
    )
    server.say("end")
    assert said["refreshes"] == said["requests"] == users
    assert said["reused"] == 0
    assert most <= MOST_THREADS
    assert slowest < 5.0  # a test machine may be busy; a refresh it did not wait for, as its token shows
    assert threading.active_count() <= threads
    assert _descriptors() <= descriptors
    assert all(auth.get_token() != token for auth, token in zip(auths, old))
