"""The job runners of the soak: each starts one process after another that calls and ends, as people's runners do.

``python -m tests.chaos.runners KIND TOLD`` runs until its standard input is closed. Nothing of the package is imported
before a runner of that kind would import its job.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import urllib.request
from contextlib import suppress
from typing import Any, Callable, NoReturn

# Whose processes they are like, and how many seconds there are between two of them on average.
PACES = {"pool": 1.0, "os._exit": 1.0, "work horse": 2.0, "script": 2.0, "uvicorn": 3.0}
# Seconds: no call takes longer than its refresh and its time-out.
LONGEST = 90.0
SERVERS_LIFE = (1.0, 6.0)
SCRIPTS_LIFE = (0.1, 5.0)


class Job:
    """What a process of a runner has to do: one call at a time, with one of the grants."""

    def __init__(self, told: dict[str, Any], kind: str, store: str) -> None:
        import requests

        from aries_auth import AriesAuth

        from .attempts import Attempts

        self.url = told["url"]
        self.auth = AriesAuth(store=store)
        self.attempts = Attempts(kind, store)
        self._get: Callable[..., Any] = requests.get

    def call(self) -> None:
        with self.attempts.attempt() as status:
            status.append(self._get(self.url, auth=self.auth, timeout=60).status_code)

    def call_and_tell(self) -> None:
        self.call()
        self.attempts.tell()
        self.attempts.counts.clear()


# Pool: the auth is made when the module is imported, and the pool's exit is terminate().

_made: dict[str, Job] = {}


def _in_pool(store: str) -> None:
    _made[store].call_and_tell()


def pool(told: dict[str, Any], stores: list[str]) -> None:
    for store in stores:
        if store not in _made:
            _made[store] = Job(told, "pool", store)
    with multiprocessing.get_context("fork").Pool(len(stores)) as workers:
        workers.map(_in_pool, stores, chunksize=1)


# os._exit: a child of a process that has used the auth itself, and may be refreshing as it forks.


def os_exit(told: dict[str, Any], stores: list[str]) -> None:
    for store in stores:
        if store not in _made:
            _made[store] = Job(told, "os._exit", store)
        job = _made[store]
        with job.attempts.attempt() as status:
            status.append(200 if job.auth.get_token() else 0)
        job.attempts.tell()
        job.attempts.counts.clear()
    _forked([_made[store].call_and_tell for store in stores])


# RQ's work horse: forked by a process that has nothing of the package, in a session of its own.


def work_horse(told: dict[str, Any], stores: list[str]) -> None:
    def ride(store: str) -> None:
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        Job(told, "work horse", store).call_and_tell()

    _forked([lambda store=store: ride(store) for store in stores])  # type: ignore[misc]


def _forked(works: list[Callable[[], None]]) -> None:
    children = []
    for work in works:
        child = os.fork()
        if child == 0:
            _work_and_exit(work)
        children.append(child)
    for child in children:
        _, status = os.waitpid(child, 0)
        if status:
            _say_broken(f"a child ended with {status}")


def _work_and_exit(work: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


# A script with the handler of docs/jobs.md, which SIGTERM meets at any instant.


def script(told: dict[str, Any], stores: list[str]) -> None:
    scripts = [_Program("script", told, store) for store in stores]
    time.sleep(random.uniform(*SCRIPTS_LIFE))
    for each in scripts:
        each.stop(expected=(0,))


def be_script(told: dict[str, Any], store: str, ready: Callable[[int], None]) -> None:
    stopped: list[int] = []

    def stop(number: int, frame: object) -> None:
        stopped.append(number)  # for the loop: Python swallows what is raised while it runs a finalizer
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    job = Job(told, "script", store)
    ready(0)
    try:
        while not stopped:
            job.call()
            time.sleep(random.uniform(0.0, 0.3))
    finally:
        job.attempts.tell()


# uvicorn: a real one, which gets requests until it is told to stop, and while it stops.


def uvicorn(told: dict[str, Any], stores: list[str]) -> None:
    servers = [_Program("uvicorn", told, store) for store in stores]
    ended = threading.Event()
    visitors = [threading.Thread(target=_visit, args=(server.port, ended)) for server in servers for _ in range(2)]
    for visitor in visitors:
        visitor.start()
    time.sleep(random.uniform(*SERVERS_LIFE))
    for server in servers:
        server.stop(expected=(0, -signal.SIGTERM))
    ended.set()
    for visitor in visitors:
        visitor.join()


def _visit(port: int, ended: threading.Event) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while not ended.wait(random.uniform(0.0, 0.3)):
        with suppress(OSError):  # it has stopped
            opener.open(f"http://127.0.0.1:{port}/", timeout=LONGEST).close()


def be_uvicorn(told: dict[str, Any], store: str, ready: Callable[[int], None]) -> None:
    import httpx
    import uvicorn

    job = Job(told, "uvicorn", store)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            ready(listener.getsockname()[1])
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        async with httpx.AsyncClient(timeout=60, auth=job.auth) as client:
            with job.attempts.attempt() as status:
                status.append((await client.get(job.url)).status_code)
        job.attempts.tell()
        job.attempts.counts.clear()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])


class _Program:
    """A process of its own. When this is made, it is ready, and has said on which port it serves if it does."""

    def __init__(self, role: str, told: dict[str, Any], store: str) -> None:
        self._role = role
        reader, writer = os.pipe()
        command = [sys.executable, "-m", "tests.chaos.runners", f"be {role}", json.dumps(told), store, str(writer)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[writer])
        os.close(writer)
        self.port = int(os.read(reader, 16) or 0)  # nothing at its end: `stop` sees how that came
        os.close(reader)

    def stop(self, expected: tuple[int, ...]) -> None:
        self._process.terminate()
        try:
            code = self._process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            _say_broken(f"a {self._role} did not end after SIGTERM")
            self._process.kill()
            self._process.wait()
        else:
            if code not in expected:
                _say_broken(f"a {self._role} ended with {code}")


def _say_broken(what: str) -> None:
    os.write(1, json.dumps({"broken": what}).encode() + b"\n")


def run(kind: str, told: dict[str, Any], stores: list[str]) -> None:
    act = {"pool": pool, "os._exit": os_exit, "work horse": work_horse, "script": script, "uvicorn": uvicorn}[kind]
    # Not in a thread: a process without any forks.
    while not select.select([sys.stdin], [], [], random.expovariate(1 / PACES[kind]))[0]:
        act(told, stores)


def main() -> None:
    kind, told, *rest = sys.argv[1:]
    if kind.startswith("be "):
        store, writer = rest

        def ready(port: int) -> None:
            os.write(int(writer), str(port).encode())

        {"be script": be_script, "be uvicorn": be_uvicorn}[kind](json.loads(told), store, ready)
        return
    run(kind, json.loads(told), rest)


if __name__ == "__main__":
    main()
