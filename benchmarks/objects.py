"""Many AriesAuth objects: what making one costs in time and memory, and that it opens and starts nothing."""

from __future__ import annotations

import gc
import statistics
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any, Callable

from aries_auth import AriesAuth
from benchmarks import peers
from benchmarks.results import Bar, Result, Size, short

OURS = "aries-auth, a profile each"


def _ours_in_full(number: int) -> Any:
    return AriesAuth(peers.CLIENT_ID, peers.CLIENT_SECRET, peers.REDIRECT_URI, profile=f"user-{number}")


def makers() -> dict[str, Callable[[int], Any]]:
    """One object for a user with this number. Authlib and the OAuthlib make a session each."""
    return {
        "aries-auth, nothing given": lambda _number: AriesAuth(),
        OURS: lambda number: AriesAuth(profile=f"user-{number}"),
        "aries-auth, everything given": _ours_in_full,
        "requests-oauthlib `OAuth2`": lambda _number: peers.requests_oauthlib_auth(),
        "google-auth `Credentials`": lambda _number: peers.google_credentials(_TOKEN),
        "requests_oauth2client": lambda _number: peers.requests_oauth2client_auth(_TOKEN),
    }


_TOKEN = peers.token_dict()


def _open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def _seconds(make: Callable[[int], Any], count: int) -> float:
    gc.collect()
    start = time.process_time()  # who else is on the machine is not what is asked
    made = [make(number) for number in range(count)]
    elapsed = time.process_time() - start
    del made
    return elapsed / count


def _size(make: Callable[[int], Any], count: int) -> float:
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    made = [make(number) for number in range(count)]
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del made
    return (after - before) / count


def measure(size: Size) -> Result:
    result = Result("objects", f"{size.objects} auth objects", ["contender", "time each", "memory each"])
    contenders = makers()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    files, threads = _open_files(), threading.active_count()
    made = [AriesAuth(profile=f"user-{number}") for number in range(size.objects)]
    opened, started = _open_files() - files, threading.active_count() - threads
    del made
    for _ in range(size.repeats):
        for name, make in contenders.items():
            seconds[name].append(_seconds(make, size.objects if name.startswith("aries-auth") else size.objects // 20))
    for name, make in contenders.items():
        bytes_each, typical = _size(make, min(size.objects, 5000)), statistics.median(seconds[name])
        result.rows.append([name, short(typical), f"{bytes_each:.0f} bytes"])
        result.raw[name] = {"seconds": seconds[name], "bytes": bytes_each}
        result.answered[name] = bytes_each > 0
    result.bars = [
        Bar(f"{OURS}: <= 2 µs", statistics.median(seconds[OURS]) * 1e6, 2, "µs"),
        Bar(f"{OURS}: <= 600 bytes", result.raw[OURS]["bytes"], 600, "bytes"),
        Bar("files and sockets opened", opened, 0, ""),
        Bar("threads started", started, 0, ""),
    ]
    result.notes.append(
        "Processor time. The garbage collector runs, as it does in a program; making the profile's name is included."
    )
    return result
