"""Who holds a file store's lock, if the system tells it: Linux does, in /proc/locks."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from aries_auth.store.protocol import TokenStore

_LOCKS = "/proc/locks"


def lock_holder(path: str) -> int | None:
    """The process that holds the lock on a file; None if nobody does, or the system does not tell."""
    if sys.platform == "win32":
        return None
    with suppress(OSError, ValueError):
        status = os.stat(path)
        wanted = (os.major(status.st_dev), os.minor(status.st_dev), status.st_ino)
        with open(_LOCKS, encoding="ascii") as lines:
            # 1: FLOCK  ADVISORY  WRITE 4711 fd:01:1234567 0 EOF
            locks = [line.split() for line in lines]
        for fields in locks:
            if len(fields) < 6 or fields[1] != "FLOCK":
                continue
            major, minor, inode = fields[5].split(":")
            if (int(major, 16), int(minor, 16), int(inode)) == wanted:
                return int(fields[4]) or None
    return None


def holder_note(path: str) -> str:
    """The process that holds the lock on a file, in brackets for a message; "" if that is not known."""
    pid = lock_holder(path)
    return "" if pid is None else f" (process {pid})"


def lock_path(store: TokenStore) -> str | None:
    """The lock file of a store that has a path."""
    path = getattr(store, "path", None)
    return f"{os.path.realpath(path)}.lock" if isinstance(path, str) else None


def tells_holders(store: TokenStore) -> bool:
    """Whether the system tells who holds a store's lock."""
    return isinstance(getattr(store, "path", None), str) and os.path.exists(_LOCKS)


def holder_text(store: TokenStore) -> str:
    """Who else holds a store's lock, as the end of a sentence; "" if that is not known."""
    path = lock_path(store)
    pid = None if path is None else lock_holder(path)
    return "" if pid is None or pid == os.getpid() else f", which process {pid} holds"
