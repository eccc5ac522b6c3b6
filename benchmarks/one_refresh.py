"""What one refresh costs in processor time, from the request to the fsync, against the same by hand."""

from __future__ import annotations

import gc
import statistics
import time
from pathlib import Path
from typing import Any, Callable

import httpx

from aries_auth import AriesAuth, FileTokenStore
from benchmarks import by_hand, ours, peers
from benchmarks.results import Bar, Result, Size, short
from benchmarks.server import Server


def measure(size: Size) -> Result:
    """The first use of an object whose token has expired, one after the other; the server is another process."""
    context = httpx.create_ssl_context()

    def post(url: str, **options: Any) -> httpx.Response:
        with httpx.Client(trust_env=False, verify=context) as client:
            return client.post(url, **options)

    folder, batch = ours.scratch(), 2 if size.smoke else 25
    spent: dict[str, list[float]] = {"by hand": [], "aries-auth": []}
    with Server() as server:

        def hand(path: Path) -> None:
            with by_hand.locked(path):
                by_hand.refresh(path, server.at.token_url, post)

        def own(path: Path) -> None:
            auth = AriesAuth(client_secret=peers.CLIENT_SECRET, store=path, token_url=server.at.token_url)
            auth.get_token()

        server.counts()
        for number in range(2 if size.smoke else 3 * size.repeats):
            for name, refresh in (("by hand", hand), ("aries-auth", own)):
                paths = _grants(server, folder / f"{name}-{number}", batch)
                each = _spent(refresh, paths)
                spent[name] += [each] * (number > 0)  # the first loads modules
        counts = server.counts()
    typical = {name: statistics.median(found) for name, found in spent.items()}
    ratio = statistics.median(own / hand for own, hand in zip(spent["aries-auth"], spent["by hand"]))
    return Result(
        "one-refresh",
        "One refresh, in processor time",
        ["contender", "median", "least", "x by hand"],
        [
            ["by hand", short(typical["by hand"]), short(min(spent["by hand"])), "1.00"],
            ["aries-auth", short(typical["aries-auth"]), short(min(spent["aries-auth"])), f"{ratio:.2f}"],
        ],
        [Bar("aries-auth, request to fsync <= 2 ms", typical["aries-auth"] * 1e3, 2.0, "ms")],
        ["The first use of an object: a look before the lock and one under it, the reservation, a thread, the save."],
        dict(spent),
        {"aries-auth": counts["refreshes"] >= batch},
    )


def _grants(server: Server, folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{number}.json" for number in range(count)]
    for path, token in zip(paths, server.issue(count, age=4000)):
        FileTokenStore(path).save(token)
    return paths


def _spent(refresh: Callable[[Path], None], paths: list[Path]) -> float:
    gc.collect()
    start = time.process_time()
    for path in paths:
        refresh(path)
    return (time.process_time() - start) / len(paths)
