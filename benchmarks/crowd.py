"""The callers of a storm, in a process of their own: ``python -m benchmarks.crowd``, spoken to in lines of JSON.

A line prepares one contender and answers when all its callers stand ready; the next line lets them go, and is
answered with how many of their calls failed and how long it took until the last one was done.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable

import httpx
import requests
from requests.adapters import HTTPAdapter

from aries_auth import AriesAuth
from benchmarks import peers
from benchmarks.attach import authlib_module
from benchmarks.by_hand import LockAndRefresh
from benchmarks.whole_call import NullAdapter, null_httpx

PATH = "/v1/users/me"


class Calls:
    """What became of the calls: the header of each that got through to the null transport, and the failures.

    The calls stay off the network, since 200 connections that open at once would be most of what is measured. Whether
    their tokens are any good is found out afterwards, by showing each to the API.
    """

    def __init__(self) -> None:
        self.headers: list[str] = []
        self.failures: list[str] = []

    def seen(self, request: Any) -> None:
        self.headers.append(request.headers.get("Authorization", ""))

    def failed(self, url: str) -> int:
        refused = {header for header in set(self.headers) if not _is_accepted(url, header)}
        return len(self.failures) + sum(header in refused for header in self.headers)


def _is_accepted(url: str, header: str) -> bool:
    return requests.get(url, headers={"Authorization": header}, timeout=30).status_code == 200


def _session(session: Any, job: dict[str, Any], calls: Calls, auth: Any = None) -> Any:
    session.mount(f"{job['api_url']}{PATH}", NullAdapter(calls.seen))
    session.mount("http://", HTTPAdapter(pool_maxsize=64))
    session.trust_env = False
    if auth is not None:
        session.auth = auth
    return session


def _plain(job: dict[str, Any], calls: Calls, auth: Any) -> Any:
    return _session(requests.Session(), job, calls, auth)


def _ours(job: dict[str, Any]) -> AriesAuth:
    return AriesAuth(
        client_secret=peers.CLIENT_SECRET,
        store=job["store"],
        token_url=job["token_url"],
        api_origins=[job["api_url"]],
    )


def _by_hand(job: dict[str, Any]) -> LockAndRefresh:
    return LockAndRefresh(Path(job["store"]), job["token_url"])


def _token(job: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(Path(job["store"]).read_text()))


def _google(job: dict[str, Any], calls: Calls) -> Any:
    return _session(peers.google_session(_token(job), job["form_url"]), job, calls)


def _oauthlib(job: dict[str, Any], calls: Calls) -> Any:
    session = peers.requests_oauthlib_session(_token(job), job["form_url"], lambda _token: None)
    return _session(session, job, calls)


def _authlib_async(job: dict[str, Any], calls: Calls) -> Any:
    mounts = {job["api_url"]: null_httpx(authlib_module(), calls.seen)}
    return peers.authlib_httpx_async(_token(job), job["form_url"], trust_env=False, timeout=60, mounts=mounts)


def _httpx(client: Any, calls: Calls, auth: Any) -> Any:
    return client(auth=auth, trust_env=False, transport=null_httpx(seen=calls.seen))


SYNC: dict[str, Callable[[dict[str, Any], Calls], Any]] = {
    "lock and refresh by hand": lambda job, calls: _plain(job, calls, _by_hand(job)),
    "aries-auth": lambda job, calls: _plain(job, calls, _ours(job)),
    "requests-oauthlib": _oauthlib,
    "Authlib": lambda job, calls: _session(peers.authlib_requests(_token(job), job["form_url"]), job, calls),
    "requests_oauth2client": lambda job, calls: _plain(
        job, calls, peers.requests_oauth2client_auth(_token(job), job["form_url"])
    ),
    "google-auth": _google,
    "httpx_auth": lambda job, calls: _httpx(httpx.Client, calls, peers.httpx_auth_code(_token(job), job["form_url"])),
}
ASYNC: dict[str, Callable[[dict[str, Any], Calls], Any]] = {
    "lock and refresh by hand": lambda job, calls: _httpx(httpx.AsyncClient, calls, _by_hand(job)),
    "aries-auth": lambda job, calls: _httpx(httpx.AsyncClient, calls, _ours(job)),
    "Authlib": _authlib_async,
    "httpx_auth": lambda job, calls: _httpx(
        httpx.AsyncClient, calls, peers.httpx_auth_code(_token(job), job["form_url"])
    ),
}


def _threads(job: dict[str, Any], ready: Callable[[], None]) -> dict[str, Any]:
    calls, url = Calls(), f"{job['api_url']}{PATH}"
    client = SYNC[job["contender"]](job, calls)
    gate = threading.Barrier(job["callers"] + 1)

    def call() -> None:
        gate.wait()
        try:
            client.get(url)
        except Exception as exc:
            calls.failures.append(type(exc).__name__)

    threads = [threading.Thread(target=call) for _ in range(job["callers"])]
    for thread in threads:
        thread.start()
    ready()
    gate.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    return {"wall": time.perf_counter() - start, "failed": calls.failed(url)}


async def _tasks(job: dict[str, Any], ready: Callable[[], None]) -> dict[str, Any]:
    calls, url = Calls(), f"{job['api_url']}{PATH}"

    async def call(client: Any) -> None:
        try:
            await client.get(url)
        except Exception as exc:
            calls.failures.append(type(exc).__name__)

    async with ASYNC[job["contender"]](job, calls) as client:
        ready()
        start = time.perf_counter()
        await asyncio.gather(*(call(client) for _ in range(job["callers"])))
        wall = time.perf_counter() - start
    return {"wall": wall, "failed": calls.failed(url)}


def _say(what: Any) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    """Serve until standard input ends."""

    def ready() -> None:
        _say("ready")
        sys.stdin.readline()

    while True:
        line = sys.stdin.readline()
        if not line:
            return
        job = json.loads(line)
        _say(asyncio.run(_tasks(job, ready)) if job["kind"] == "tasks" else _threads(job, ready))


if __name__ == "__main__":
    main()
