"""What the children of the zygote do. Each job gets its line to the test, and keyword options."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Callable, Iterator

import httpx
import requests
import trio

import aries_auth.auth  # noqa: F401 - the public names are loaded lazily
from aries_auth import AriesAuth, FileTokenStore
from aries_auth.testing import AriesSandbox
from aries_auth.token_endpoint import attempt as sending
from aries_auth.token_endpoint import network
from tests.inside import pending_save_of, source_of, store_of

from .instants import AtInstant
from .load import Load
from .zygote import Line, connect

# What the first call and the first refresh of a process load. No child has to do it again, and one that has become
# another user may not be able to: that user need not see the folder where Python is.
source_of(AriesAuth("id", "secret", "http://127.0.0.1/", store="token.json"))
source_of(AriesAuth("id", "secret", "http://127.0.0.1/"))
httpx.Client(verify=network.trust(httpx)).close()
sending._version()


def attempt(call: Callable[[], Any]) -> dict[str, Any]:
    """What became of a call: nothing, or what it raised, and how long that took."""
    begun = time.monotonic()
    said = {"error": None, "message": ""}
    try:
        call()
    except Exception as exc:
        said = {"error": type(exc).__name__, "message": str(exc)}
    return {**said, "took": time.monotonic() - begun}


@contextlib.contextmanager
def replacing(name: str, instead: Callable[..., Any]) -> Iterator[None]:
    """Put a function in the place of one of `os`."""
    real = getattr(os, name)
    setattr(os, name, instead)
    try:
        yield
    finally:
        setattr(os, name, real)


@contextlib.contextmanager
def slow_disk_of(seconds: float) -> Iterator[None]:
    """Let each fsync take so long."""
    fsync = os.fsync

    def slow_fsync(descriptor: int) -> None:
        time.sleep(seconds)
        fsync(descriptor)

    with replacing("fsync", slow_fsync):
        yield


def refresh(line: Line, *, path: str, grant: dict[str, Any]) -> None:
    """Refresh when told to; says when the token file was replaced and what was imported, on the system's clock."""
    auth = AriesAuth(**grant)
    replaced_at = []
    imported: list[tuple[float, str]] = []
    replace = os.replace
    sys.addaudithook(lambda event, found: imported.append((time.monotonic(), found[0])) if event == "import" else None)

    def noting(source: Any, target: Any) -> None:
        replace(source, target)
        replaced_at.append(time.monotonic())

    line.say("ready")
    line.hear()
    begun_at = time.monotonic()
    with replacing("replace", noting):
        auth.refresh()
    line.say({"begun_at": begun_at, "replaced_at": replaced_at[0], "ended_at": time.monotonic(), "imported": imported})


async def _await_token(auth: AriesAuth) -> str:
    return await auth.get_token_async()


def _token(auth: AriesAuth, way: str) -> str:
    if way == "thread":
        return auth.get_token()
    if way == "asyncio":
        return asyncio.run(_await_token(auth))
    return trio.run(_await_token, auth)


def interrupted(line: Line, *, path: str, grant: dict[str, Any], way: str, slow_disk: float = 0.0) -> None:
    """Want a token until Ctrl-C comes; says when it has come, and ends."""
    auth = AriesAuth(**grant)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stack = contextlib.ExitStack()  # never closed: the disk is slow to the end
    stack.enter_context(slow_disk_of(slow_disk))
    line.say("ready")
    try:
        _token(auth, way)
    except KeyboardInterrupt:
        line.say(time.monotonic())
    else:
        line.say("there was no Ctrl-C")
    stack.pop_all()


def left(line: Line, *, path: str, grant: dict[str, Any], slow_disk: float = 0.0) -> None:
    """Use a token that is due, and end when told to, with its refresh in the background under way."""
    auth = AriesAuth(**grant, background=True)
    stack = contextlib.ExitStack()  # never closed: the disk is slow to the end
    stack.enter_context(slow_disk_of(slow_disk))
    auth.get_token()
    line.say("used")
    line.hear()
    stack.pop_all()


def ends(line: Line, *, path: str, grant: dict[str, Any], number: int) -> None:
    """Call `sys.exit` at the nth line of a call, and end as an interpreter ends."""
    auth = AriesAuth(**grant)
    with AtInstant(number, SystemExit) as instant:
        auth.get_token()
    line.say("swallowed" if instant.happened else "not reached")


def caller(line: Line, *, path: str, grant: dict[str, Any], user: int | None = None) -> None:
    """Call whenever told to, and say what became of it; the fault to inject is switched by what it is told."""
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    auth = AriesAuth(**grant)
    fsync = os.fsync

    def failing_fsync(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with contextlib.suppress(EOFError):
        for told in iter(line.hear, None):
            if told == "fsync fails":
                os.fsync = failing_fsync
            elif told == "fsync works":
                os.fsync = fsync
            elif told == "stored":
                stored = store_of(auth).load()
                line.say(stored and stored.refresh_token)
                continue
            elif told == "idle":
                line.say(pending_save_of(auth).idle)
                continue
            elif told == "token":
                line.say(auth.token and auth.token.refresh_token)
                continue
            else:
                line.say(attempt(auth.refresh if told == "refresh" else auth.get_token))
                continue
            line.say(told)


def fill(line: Line, *, path: str, folder: str) -> None:
    """Fill the disk of a folder, and make room again when told to."""
    for told in iter(line.hear, "end"):
        ballast = Path(folder) / "ballast"
        if told == "fill":
            with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * 4096)
        else:
            ballast.unlink()
        line.say(told)


def forking(line: Line, *, path: str, grant: dict[str, Any], slow_disk: float, from_thread: bool) -> None:
    """Want a token in a thread, and fork while that is under way; each of the two says what became of its own call."""
    auth = AriesAuth(**grant)
    with slow_disk_of(slow_disk):
        wanted: list[dict[str, Any]] = []
        call = threading.Thread(target=lambda: wanted.append(attempt(auth.get_token)))
        call.start()
        line.say("wanted")
        line.hear()

        def fork() -> None:
            if os.fork() == 0:
                child = connect(path)
                child.say(attempt(auth.get_token))
                os._exit(0)

        if from_thread:
            forker = threading.Thread(target=fork)
            forker.start()
            forker.join()
        else:
            fork()
        line.say("forked")
        call.join()
        line.say(wanted[0])


def _token_of(auth: AriesAuth) -> str:
    return auth.get_token()


def pool(line: Line, *, path: str, grant: dict[str, Any], method: str, client: bool) -> None:
    """Send an auth to the processes of a pool, pickled, and let each use it."""
    auth = AriesAuth(**grant, token_client=requests.Session() if client else None)
    if method == "fork":
        auth.get_token()  # the parent's own token and locks are there when it forks
        auth.refresh()
    with multiprocessing.get_context(method).Pool(4) as workers:
        line.say(sorted(set(workers.map(_token_of, [auth] * 16, chunksize=1))))


def shared_client(line: Line, *, path: str, grant: dict[str, Any], library: str) -> None:
    """Fork with a client whose connection is open and idle; the child refreshes with it while the parent calls."""
    module = import_module(library)
    client = module.Client() if library == "httpx" else module.Session()
    url = f"{grant['api_origins'][0]}/v1/no/such/path"
    auth = AriesAuth(**grant, token_client=client)
    auth.get_token()
    client.get(url)  # the caller's own use, which leaves it open
    if os.fork() == 0:
        child = connect(path)
        child.say(attempt(auth.refresh))
        os._exit(0)
    line.hear()
    begun = time.monotonic()
    statuses = [client.get(url).status_code for _ in range(3)]
    line.say({"statuses": statuses, "took": time.monotonic() - begun})


def hold(line: Line, *, path: str, store: str) -> None:
    """Hold a store's lock until told otherwise, or for good."""
    with FileTokenStore(store).locked():
        line.say("held")
        line.hear()


def callers(line: Line, *, path: str, grant: dict[str, Any], threads: int) -> None:
    """Call the API from threads all the time; says on request how many calls there were and which failed."""
    auth = AriesAuth(**grant)
    load = Load(auth, f"{grant['api_origins'][0]}/v1/users/me", threads=threads, tasks=2)
    with load:
        for _ in iter(line.hear, "end"):
            line.say({"succeeded": load.succeeded, "failures": load.failures[:5], "now": time.time()})


def serve(line: Line, *, path: str, folder: str, grants: int, age: float) -> None:
    """A sandbox in a process of its own, with many grants, each in a store of its own; then answers about them."""
    with AriesSandbox() as aries:
        options = {"store": f"{folder}/%d.json", "token_url": aries.token_url, "api_origins": [aries.api_url]}
        given = {name: getattr(aries, name) for name in ("client_id", "client_secret", "redirect_uri")}
        for number in range(grants):
            file = Path(folder, f"{number}.json")
            file.touch(0o600)  # not by a FileTokenStore, whose fsync would take most of the time
            file.write_text(json.dumps(aries.issue_token(age=age).to_dict()))
        line.say({**given, **options})
        for _ in iter(line.hear, "end"):
            line.say(
                {
                    "refreshes": aries.refresh_count,
                    "requests": len(aries.token_requests),
                    "reused": aries.reused_refresh_tokens,
                    "at a time": aries.max_concurrent_token_requests,
                }
            )
