"""One host of many, as a process with a pool of its own: ``python -m tests.sql.host URL POOL_SIZE [PORT@HOST …]``.

It is told what to do in lines of JSON on standard input, and says in lines of JSON what came of it. Every "fork" makes
a child that does one thing, as a process that can be killed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

import httpx
from sqlalchemy import create_engine

from aries_auth import AriesAuth
from aries_auth.sql import SQLTokenStore
from tests.sql.proxy import Proxy


def main() -> None:
    url, pool_size = sys.argv[1], int(sys.argv[2])
    for relayed in sys.argv[3:]:  # in a network of its own: PORT@HOST becomes the same port here
        port, _, beyond = relayed.partition("@")
        Proxy(int(port), host=beyond, listen=("127.0.0.1", int(port)))
    engine = create_engine(url, pool_size=pool_size, max_overflow=0)
    auth = AriesAuth(store=SQLTokenStore(engine, "default"))
    httpx.Client().close()  # what a process that has called before has loaded
    say(ready=os.getpid())
    for line in sys.stdin:
        told = json.loads(line)
        if "threads" in told:
            say(outcomes=in_threads(auth, told["threads"], told["at"]))
        elif "fork" in told and os.fork() == 0:
            sys.stdin.close()
            say(pid=os.getpid())
            say(**one(AriesAuth(store=SQLTokenStore(engine, "default"))))
            os._exit(0)


def in_threads(auth: AriesAuth, count: int, at: float) -> list[str]:
    """What so many threads got, all at one instant."""
    outcomes: list[str] = []

    def work() -> None:
        time.sleep(max(0.0, at - time.time()))
        try:
            outcomes.append(auth.get_token())
        except Exception as exc:
            outcomes.append(f"{type(exc).__name__}: {exc}")

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def one(auth: AriesAuth) -> dict[str, Any]:
    try:
        token = auth.get_token()
    except Exception as exc:
        return {"failed": f"{type(exc).__name__}: {exc}", "at": time.time()}
    return {"token": token, "at": time.time()}


def say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
