"""What the chaos tests share: a sandbox of their own, auth objects for it, and processes to hurt."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, Iterator

import pytest

from aries_auth import AriesAuth, FileTokenStore, Token
from aries_auth.singleflight.flight import FlightThread
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED, FRESH, IN_MARGIN, wait_until
from tests.inside import issued_refresh_token

from .zygote import Zygote

__all__ = ["EXPIRED", "FRESH", "IN_MARGIN", "Bench", "wait_landed", "wait_until"]


class Bench:
    """A sandbox, a store with one grant, and what is true of them whatever happened."""

    def __init__(self, aries: AriesSandbox, path: Path) -> None:
        self.aries = aries
        self.path = path
        self.store = FileTokenStore(path)

    def log_in(self, age: float) -> Token:
        """A grant whose access token was issued so many seconds ago."""
        token = self.aries.issue_token(age=age)
        self.store.save(token)
        return token

    def auth(self, **options: Any) -> AriesAuth:
        return self.aries.auth(**{"store": self.path, **options})

    @property
    def options(self) -> dict[str, Any]:
        """What a job in another process needs to make the same."""
        aries = self.aries
        return {
            "grant": {
                "client_id": aries.client_id,
                "client_secret": aries.client_secret,
                "redirect_uri": aries.redirect_uri,
                "store": str(self.path),
                "token_url": aries.token_url,
                "api_origins": [aries.api_url],
            }
        }

    @property
    def stored(self) -> Token:
        token = self.store.load()
        assert token is not None, "the store is empty"
        return token

    @property
    def is_newest(self) -> bool:
        """Whether the store has the refresh token that the server would take."""
        entry = issued_refresh_token(self.aries, self.stored.refresh_token)
        return entry is not None and not entry.ended and not entry.grant.revoked

    @property
    def files(self) -> set[str]:
        return {path.name for path in self.path.parent.iterdir()}

    def wait_newest(self, timeout: float = 10.0) -> None:
        wait_until(lambda: self.is_newest, timeout, "the newest refresh token is not in the store")


def wait_landed(timeout: float = 10.0) -> None:
    """Until no thread of ours is left in this process."""
    end = time.monotonic() + timeout
    while True:
        ours = [thread for thread in threading.enumerate() if isinstance(thread, FlightThread) and thread.is_alive()]
        if not ours:
            return
        if time.monotonic() > end:
            frames = sys._current_frames()
            stacks = ["".join(traceback.format_stack(frames.get(thread.ident or 0), 4)) for thread in ours]
            raise AssertionError("a refresh does not end:\n" + "\n".join(stacks))
        time.sleep(0.005)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[AriesSandbox]:
    with AriesSandbox() as aries:
        yield aries


@pytest.fixture
def bench(sandbox: AriesSandbox, tmp_path: Path) -> Iterator[Bench]:
    sandbox.reset()
    yield Bench(sandbox, tmp_path / "store" / "t.json")
    sandbox.heal()


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    if not hasattr(os, "fork"):
        pytest.skip("needs fork, and sockets with a path")
    with Zygote() as zygote:
        yield zygote
