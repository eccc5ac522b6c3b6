"""What a caller of the soak says of its calls: a line of JSON each on standard output, which many processes share."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import Counter
from typing import Any, Iterator

from aries_auth import FileTokenStore


def say(**what: Any) -> None:
    """One line. A single write, which a pipe keeps in one piece."""
    os.write(1, json.dumps(what).encode() + b"\n")


class Attempts:
    """The calls of one process with one grant. `kind` is whose process it is."""

    def __init__(self, kind: str, store: str) -> None:
        self.kind = kind
        self.store = FileTokenStore(store)
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def attempt(self) -> Iterator[list[int]]:
        """One call: the block puts the status that it got into the list, or nothing where it gave up waiting."""
        known, begun = self.store.load(), time.time()
        status: list[int] = []
        error = ""
        failure = "given up"
        try:
            yield status
            if status:
                failure = "ok" if status[0] == 200 else f"status {status[0]}"
        except Exception as exc:
            failure, error = type(exc).__name__, str(exc)
        with self._lock:
            self.counts[failure] += 1
        if failure in ("ok", "given up"):
            return
        say(
            failure=failure,
            error=error[:200],
            kind=self.kind,
            store=str(self.store.path),
            begun=begun,
            ended=time.time(),
            known_from=known and known.obtained_at,
            known_until=known and known.expires_at,
        )

    def tell(self) -> None:
        """Say how many there were of each kind."""
        say(counts=self.counts, kind=self.kind)
