"""Processes that share a file, for test_files.py: ``read`` it again and again, ``hold`` it open, ``refresh`` many."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

from aries_auth import AriesAuth, FileTokenStore


def read(path: str) -> dict[str, Any]:
    """Load it until told to stop."""
    told = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), told.set()), daemon=True).start()
    store, loads, failures = FileTokenStore(path), 0, []
    while not told.is_set():
        loads += 1
        try:
            if store.load() is None:
                failures.append("there was no token")
        except Exception as exc:
            failures.append(repr(exc))
    return {"loads": loads, "failures": failures}


def hold(path: str, seconds: str) -> dict[str, Any]:
    """Have it open as a program that knows nothing of us has it: an indexer, a virus scanner."""
    with open(path, "rb") as file:  # noqa: PTH123
        file.read(1)
        print("holds it", flush=True)
        time.sleep(float(seconds))
    return {}


def refresh(*paths: str) -> dict[str, Any]:
    """A token of each, as soon as told to begin."""
    objects = [AriesAuth(store=path) for path in paths]
    sys.stdin.readline()
    failures = []
    for auth in objects:
        try:
            auth.get_token()
        except Exception as exc:
            failures.append(repr(exc))
    return {"failures": failures}


if __name__ == "__main__":
    job = {"read": read, "hold": hold, "refresh": refresh}[sys.argv[1]]
    if job is not hold:
        print("ready", flush=True)
    print(json.dumps(job(*sys.argv[2:])), flush=True)
