"""Lock and refresh, written by hand: what a careful user would write to share one grant between processes.

It is the floor of the storms, and the model of the save and of the 401 path: a lock in the process, an flock, another
look at the file, the request, the bare system calls of a durable save. It retries nothing and checks no origin.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import threading
import time
from pathlib import Path
from typing import Any, AsyncGenerator, Generator, Iterator

import httpx
import requests
import requests.auth

from benchmarks import peers


def save(path: Path, document: bytes) -> None:
    """Temporary file, fsync, replace, fsync the folder."""
    temporary = f"{path}.by-hand"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(descriptor, document)
    os.fsync(descriptor)
    os.close(descriptor)
    os.replace(temporary, path)  # noqa: PTH105
    descriptor = os.open(path.parent, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """The lock file beside it."""
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def refresh(path: Path, token_url: str, post: Any) -> dict[str, Any]:
    """One refresh under the lock, saved; the caller holds it."""
    stored = json.loads(path.read_bytes())
    body = {
        "grant_type": "refresh_token",
        "client_id": peers.CLIENT_ID,
        "client_secret": peers.CLIENT_SECRET,
        "refresh_token": stored["refresh_token"],
        "redirect_uri": peers.REDIRECT_URI,
    }
    response = post(token_url, json=body)
    response.raise_for_status()
    answer = response.json()
    stored.update(
        access_token=answer["access_token"],
        refresh_token=answer["refresh_token"],
        expires_at=time.time() + answer["expires_in"],
    )
    save(path, json.dumps(stored, indent=2).encode())
    return dict(stored)


class LockAndRefresh(requests.auth.AuthBase, httpx.Auth):
    """A bearer whose token is refreshed when it has expired."""

    def __init__(self, path: Path, token_url: str) -> None:
        self.path, self.token_url = path, token_url
        self.token: dict[str, Any] = {"expires_at": 0.0}
        self.lock = threading.Lock()
        self.async_lock = asyncio.Lock()

    def fresh(self, post: Any) -> str:
        if time.time() >= self.token["expires_at"]:
            with self.lock:
                if time.time() >= self.token["expires_at"]:
                    with locked(self.path):
                        self.token = json.loads(self.path.read_bytes())
                        if time.time() >= self.token["expires_at"]:
                            self.token = refresh(self.path, self.token_url, post)
        return f"Bearer {self.token['access_token']}"

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["Authorization"] = self.fresh(requests.post)
        return r

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self.fresh(httpx.post)
        yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        if time.time() >= self.token["expires_at"]:
            async with self.async_lock:
                await asyncio.to_thread(self.fresh, httpx.post)
        request.headers["Authorization"] = f"Bearer {self.token['access_token']}"
        yield request
