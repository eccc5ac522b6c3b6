"""What the sandbox remembers of its requests, for tests to count. Tokens are kept as fingerprints only."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass


def fingerprint(token: str) -> str:
    """A short digest of a token, by which records name it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()[:12]


@dataclass(frozen=True)
class TokenRequestRecord:
    """One request to the token endpoint. Times are in seconds.

    Args:
        grant_type: as sent; None if it was not, or was no text.
        status: of the answer, also of one that was not sent; None: the request was never looked at.
        at: Unix time of its arrival.
        fingerprint: that of the refresh token it brought.
        duration: from its arrival to the answer, delays included.
        user_agent: of the client.
        answered: whether the answer was sent.
        fields: the names in its JSON body, sorted.
        had_authorization: whether it had an ``Authorization`` header, which a token request has no use for.
    """

    __module__ = "aries_auth.testing"

    grant_type: str | None
    status: int | None
    at: float
    fingerprint: str | None
    duration: float
    user_agent: str | None
    answered: bool
    fields: tuple[str, ...]
    had_authorization: bool


@dataclass(frozen=True)
class ApiRequestRecord:
    """One request to the API. `fingerprint` is its token's; for the rest see `TokenRequestRecord`.

    A websocket's opening is one with the status 101, and each token shown on it one with the method ``AUTH``.
    """

    __module__ = "aries_auth.testing"

    method: str
    path: str
    status: int | None
    fingerprint: str | None
    at: float
    duration: float
    user_agent: str | None
    answered: bool


class Journal:
    """Keeps the records, and counts who is in the building."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._token: list[TokenRequestRecord] = []
        self._api: list[ApiRequestRecord] = []
        self._seen: dict[str, int] = {}
        self._active: dict[str, int] = {}
        self._most = 0

    @property
    def token_requests(self) -> tuple[TokenRequestRecord, ...]:
        """Those to the token endpoint, in the order in which they were done."""
        with self._changed:
            return tuple(self._token)

    @property
    def api_requests(self) -> tuple[ApiRequestRecord, ...]:
        """Those to the API, in the order in which they were done."""
        with self._changed:
            return tuple(self._api)

    @property
    def max_concurrent_token_requests(self) -> int:
        """How many token requests there were at one time, at most."""
        with self._changed:
            return self._most

    def enter(self, route: str) -> None:
        """A request has arrived."""
        with self._changed:
            self._active[route] = self._active.get(route, 0) + 1
            self._most = max(self._most, self._active.get("token", 0))

    def see(self, route: str) -> None:
        """A request has come as far as its fault, if any, lets it before it makes it wait."""
        with self._changed:
            self._seen[route] = self._seen.get(route, 0) + 1
            self._changed.notify_all()

    def leave(self, route: str) -> None:
        """Called before the answer goes out: whoever has the answer may send the next request at once."""
        with self._changed:
            self._active[route] -= 1
            self._changed.notify_all()

    def add_token_request(self, record: TokenRequestRecord) -> None:
        """Keeps a record."""
        with self._changed:
            self._token.append(record)

    def add_api_request(self, record: ApiRequestRecord) -> None:
        """Keeps a record."""
        with self._changed:
            self._api.append(record)

    def wait_seen(self, route: str, count: int, timeout: float) -> bool:
        """Waits until so many were seen; whether they were."""
        with self._changed:
            return self._changed.wait_for(lambda: self._seen.get(route, 0) >= count, timeout)

    def wait_idle(self, timeout: float) -> bool:
        """Waits until no request is in the building; whether that came."""
        with self._changed:
            return self._changed.wait_for(lambda: not any(self._active.values()), timeout)

    def clear(self) -> None:
        """Forgets the records and counts again."""
        with self._changed:
            self._token.clear()
            self._api.clear()
            self._seen.clear()
            self._most = self._active.get("token", 0)
