"""Adopting a token that another process has refreshed: memory's has expired, the file has the new one."""

from __future__ import annotations

import statistics
import time
from unittest import mock

from aries_auth import AriesAuth, FileTokenStore
from benchmarks import ours, peers
from benchmarks.results import Bar, Result, Size, short

NOBODY = "http://127.0.0.1:9/token"  # a request would fail


def measure(size: Size) -> Result:
    """The clock is set forward by an hour, as tests do it; nothing else is changed."""
    path = ours.scratch() / "token.json"
    store = FileTokenStore(path)
    adopting, looking = [], []
    answered = True
    for number in range(max(3, size.repeats * 20)):
        store.save(ours.token(lifetime=3600, access_token=f"old-{number}"))
        auth = AriesAuth(client_secret=peers.CLIENT_SECRET, store=path, token_url=NOBODY)
        auth.get_token()
        store.save(ours.token(expires_in=10_000, lifetime=10_000, access_token=f"new-{number}"))
        later = time.time() + 4000
        with mock.patch("time.time", lambda later=later: later):
            start = time.perf_counter()
            token = auth.get_token()
            adopting.append(time.perf_counter() - start)
        start = time.perf_counter()
        store.load()
        looking.append(time.perf_counter() - start)
        answered &= token == f"new-{number}"
    adopted, looked = statistics.median(adopting), statistics.median(looking)
    return Result(
        "adoption",
        "Adopting a token that another process refreshed",
        ["what", "median", "99 %"],
        [
            ["`get_token()` that adopts", short(adopted), short(sorted(adopting)[len(adopting) * 99 // 100])],
            ["`store.load()`, which is part of it", short(looked), short(sorted(looking)[len(looking) * 99 // 100])],
        ],
        [Bar("adopting <= 1 ms, no request", adopted * 1e3, 1.0, "ms")],
        ["The token endpoint is a closed port: a request would be an error."],
        {"adopting": adopting, "looking": looking},
        {"aries-auth": answered},
    )
