"""The ways to make the sandbox fail, and whose turn it is. What a fault does to a request: see `service`."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Union

from aries_auth.testing.messages import Response

ROUTES = ("token", "api", "authorize")
Body = Union[None, str, bytes, Mapping[str, Any], List[Any]]


@dataclass(frozen=True, repr=False)
class Fault:
    """One way to fail. Its fields are the parameters of `AriesSandbox.fail`."""

    __module__ = "aries_auth.testing"

    route: str = "token"
    status: int | None = None
    body: Body = None
    headers: Mapping[str, str] = field(default_factory=Dict[str, str])
    delay: float = 0.0
    before: bool = False
    processed: bool = False
    drop: str | None = None
    hang: bool = False
    drip: float | None = None
    drip_of: str = "body"
    path: str | None = None
    times: int | None = 1

    def __post_init__(self) -> None:
        if self.route not in ROUTES:
            raise ValueError(f"route must be one of {', '.join(ROUTES)}, not {self.route!r}")
        if self.drop not in (None, "before", "after"):
            raise ValueError(f'drop must be None, "before" or "after", not {self.drop!r}')
        if self.drip_of not in ("headers", "body"):
            raise ValueError(f'drip_of must be "headers" or "body", not {self.drip_of!r}')

    @property
    def replaces(self) -> bool:
        """Whether it has an answer of its own."""
        return self.status is not None or self.body is not None

    def replacement(self) -> Response:
        """The answer of its own."""
        content, media_type = _encode(self.body)
        headers = {"Content-Type": media_type} if content else {}
        return Response(200 if self.status is None else self.status, content, {**headers, **self.headers})


def _encode(body: Body) -> tuple[bytes, str]:
    if body is None:
        return b"", ""
    if isinstance(body, bytes):
        return body, "application/octet-stream"
    if isinstance(body, str):
        return body.encode(), "text/html; charset=utf-8" if body.startswith("<") else "text/plain; charset=utf-8"
    return json.dumps(body).encode(), "application/json"


class Claim:
    """A fault that has met its request, and the event that ends its waiting."""

    def __init__(self, fault: Fault, released: threading.Event) -> None:
        self.fault = fault
        self.released = released

    def hold(self) -> None:
        """Waits as long as the fault says, or until it is healed."""
        if self.fault.hang:
            self.released.wait()
        elif self.fault.delay > 0:
            self.released.wait(self.fault.delay)


class FaultBoard:
    """The faults that are to come, first in first out on each route."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []
        self._left: list[int | None] = []
        self._released = threading.Event()

    def add(self, fault: Fault) -> None:
        """Lines a fault up."""
        with self._lock:
            self._waiting.append(fault)
            self._left.append(fault.times)

    def claim(self, route: str, path: str) -> Claim | None:
        """The fault for a request, which uses up one of its times."""
        with self._lock:
            for index, fault in enumerate(self._waiting):
                if fault.route == route and fault.path in (None, path) and self._left[index] != 0:
                    left = self._left[index]
                    self._left[index] = None if left is None else left - 1
                    # The event of now: heal() may come before the request begins to wait, and must count.
                    return Claim(fault, self._released)
            return None

    def heal(self) -> None:
        """Forgets every fault and lets go whoever waits in one."""
        with self._lock:
            self._waiting.clear()
            self._left.clear()
            self._released.set()
            self._released = threading.Event()
