"""Callers of one process that go on calling, in threads and tasks, while a test makes trouble."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from typing import Callable

import httpx
import requests

from aries_auth import AriesAuth

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
PAUSE = 0.02


class Load:
    """While this is entered, threads of requests and httpx and tasks of asyncio call again and again."""

    def __init__(self, auth: AriesAuth, url: str, *, threads: int = 4, tasks: int = 4) -> None:
        self._auth = auth
        self._url = url
        self._ended = threading.Event()
        self.failures: list[str] = []
        self.succeeded = 0
        self.slowest = 0.0
        self._lock = threading.Lock()
        runs: list[Callable[[], None]] = [self._with_requests, self._with_httpx] * (threads // 2)
        if tasks:
            runs.append(lambda: asyncio.run(self._with_tasks(tasks)))
        self._threads = [threading.Thread(target=run) for run in runs]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def check(self, least: int) -> None:
        assert not self.failures, f"{len(self.failures)} of {self.succeeded} calls failed: {self.failures[:3]}"
        assert self.succeeded >= least

    def _note(self, begun: float, what: str) -> None:
        with self._lock:
            self.slowest = max(self.slowest, time.monotonic() - begun)
            if what == "200":
                self.succeeded += 1
            else:
                self.failures.append(what)

    def _repeat(self, call: Callable[[], int]) -> None:
        while not self._ended.wait(PAUSE):
            begun = time.monotonic()
            try:
                self._note(begun, str(call()))
            except Exception as exc:
                self._note(begun, repr(exc))

    def _with_requests(self) -> None:
        with requests.Session() as session:
            self._repeat(lambda: session.get(self._url, auth=self._auth, timeout=60).status_code)

    def _with_httpx(self) -> None:
        with httpx.Client(verify=NO_CERTIFICATES, timeout=60) as client:
            self._repeat(lambda: client.get(self._url, auth=self._auth).status_code)

    async def _with_tasks(self, tasks: int) -> None:
        async with httpx.AsyncClient(verify=NO_CERTIFICATES, timeout=60, auth=self._auth) as client:
            await asyncio.gather(*(self._task(client) for _ in range(tasks)))

    async def _task(self, client: httpx.AsyncClient) -> None:
        while not self._ended.is_set():
            await asyncio.sleep(PAUSE)
            begun = time.monotonic()
            try:
                self._note(begun, str((await client.get(self._url)).status_code))
            except Exception as exc:
                self._note(begun, repr(exc))
