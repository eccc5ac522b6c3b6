"""Logins of a notebook that an interrupt has ended: run again, the cell goes on with the same link and state.

The person may have approved meanwhile; the address that their browser ended on is still good. A state is kept until a
callback has used it, or the kernel ends.
"""

from __future__ import annotations

import threading
from typing import Hashable
from urllib.parse import parse_qsl, urlsplit

_NEW_EACH_TIME = frozenset({"state", "code_challenge"})


class KeptLogins:
    """Links and states by what else the link says."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Hashable, tuple[str, str]] = {}

    def go_on(self, link: str, state: str) -> tuple[str, str]:
        """The link and state of an interrupted login that asks for the same, else these, which are kept."""
        with self._lock:
            return self._kept.setdefault(_purpose(link), (link, state))

    def forget(self, state: str) -> None:
        """A callback has used it."""
        with self._lock:
            for purpose in [purpose for purpose, (_, kept) in self._kept.items() if kept == state]:
                del self._kept[purpose]


def _purpose(link: str) -> Hashable:
    parts = urlsplit(link)
    return (parts[:3], *(pair for pair in parse_qsl(parts.query) if pair[0] not in _NEW_EACH_TIME))


kept_logins: KeptLogins = KeptLogins()
