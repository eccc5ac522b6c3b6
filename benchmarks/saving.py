"""A save: lock, temporary file, fsync, replace, fsync the folder, release; against the bare system calls by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aries_auth import FileTokenStore
from benchmarks import by_hand, ours
from benchmarks.timing import Contender


def contenders() -> list[Contender]:
    """One file each, in one folder each, on the same filesystem."""
    hand_path, own_path = ours.scratch() / "token.json", ours.scratch() / "token.json"
    token = ours.token()
    document = json.dumps(token.to_dict(), indent=2).encode()
    store = FileTokenStore(own_path)

    def save_by_hand(batch: range) -> None:
        for _ in batch:
            with by_hand.locked(hand_path):
                by_hand.save(hand_path, document)

    def save(batch: range) -> None:
        for _ in batch:
            store.save(token)

    def save_under_lock(batch: range) -> None:
        for _ in batch:
            with store.locked() as entry:
                entry.load()
                entry.reserve()
                entry.save(token)

    def is_there(path: Path, what: Any) -> bool:
        what(range(1))
        return bool(json.loads(path.read_bytes())["access_token"] == token.access_token)

    return [
        Contender("by hand", range, save_by_hand, lambda: is_there(hand_path, save_by_hand)),
        Contender("aries-auth, `store.save`", range, save, lambda: is_there(own_path, save)),
        Contender(
            "aries-auth, as a refresh does it", range, save_under_lock, lambda: is_there(own_path, save_under_lock)
        ),
    ]
