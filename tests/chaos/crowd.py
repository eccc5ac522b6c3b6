"""A process full of callers that all want a token at once, each time it is told to on its standard input.

The variables point it at the sandbox (`AriesSandbox.environ`).
Its standard output says, a line of JSON a round, how many calls succeeded and what the others raised.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
from typing import Any, Awaitable, Callable

import httpx
import requests
import trio

from aries_auth import AriesAuth


class Crowd:
    """The callers of one process, and what became of their calls."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.url = f"{options.api}/v1/users/me"
        self.auth = AriesAuth(store=options.store)
        self.failures: list[str] = []
        self.succeeded = 0
        self._lock = threading.Lock()

    def note(self, failure: str | None) -> None:
        with self._lock:
            if failure is None:
                self.succeeded += 1
            else:
                self.failures.append(failure)

    def attempt(self, call: Callable[[], int]) -> None:
        try:
            status = call()
            self.note(None if status == 200 else f"status {status}")
        except Exception as exc:
            self.note(repr(exc))

    async def attempt_async(self, call: Callable[[], Awaitable[int]]) -> None:
        try:
            status = await call()
            self.note(None if status == 200 else f"status {status}")
        except Exception as exc:
            self.note(repr(exc))

    def one_call(self, number: int) -> int:
        if self.options.token_only:
            self.auth.get_token()
            return 200
        get = requests.get if number % 2 else httpx.get
        return int(get(self.url, auth=self.auth, timeout=60).status_code)

    async def one_task(self, client: httpx.AsyncClient) -> int:
        if self.options.token_only:
            await self.auth.get_token_async()
            return 200
        return (await client.get(self.url)).status_code

    def threads(self) -> None:
        barrier = threading.Barrier(self.options.threads)

        def run(number: int) -> None:
            barrier.wait()
            self.attempt(lambda: self.one_call(number))

        threads = [threading.Thread(target=run, args=(number,)) for number in range(self.options.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(auth=self.auth, timeout=60, limits=httpx.Limits(max_connections=50))

    async def tasks(self) -> None:
        async with self.client() as client:
            await asyncio.gather(
                *(self.attempt_async(lambda: self.one_task(client)) for _ in range(self.options.tasks))
            )

    async def trio_tasks(self) -> None:
        async with self.client() as client, trio.open_nursery() as nursery:
            for _ in range(self.options.trio_tasks):
                nursery.start_soon(self.attempt_async, lambda: self.one_task(client))

    def round(self) -> dict[str, Any]:
        """Everybody calls once."""
        self.failures, self.succeeded = [], 0
        if self.options.threads:
            self.threads()
        if self.options.tasks:
            asyncio.run(self.tasks())
        if self.options.trio_tasks:
            trio.run(self.trio_tasks)
        return {"succeeded": self.succeeded, "failures": self.failures}


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("store", "api"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("threads", "tasks", "trio-tasks"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--token-only", action="store_true")
    crowd = Crowd(parser.parse_args())
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(crowd.round()), flush=True)


if __name__ == "__main__":
    main()
