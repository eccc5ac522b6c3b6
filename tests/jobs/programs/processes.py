"""Do jobs in other processes: `python -m tests.jobs.programs.processes WAY METHOD [early]`.

With `early` this process has the package, and an auth that it used, when it forks; else only its children import it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tests.jobs.programs.job import call, jobs, make_auth


def process(method: str, every: list[dict[str, Any]]) -> None:
    context = multiprocessing.get_context(method)
    children = [context.Process(target=call, args=(job,)) for job in every]
    for child in children:
        child.start()
    for child in children:
        child.join()


def daemon(method: str, every: list[dict[str, Any]]) -> None:
    """Daemonic processes, terminated right after their calls, as multiprocessing does at its end."""
    context = multiprocessing.get_context(method)
    done = context.Queue()
    children = [context.Process(target=_call_and_say, args=(job, done), daemon=True) for job in every]
    for child in children:
        child.start()
    for _ in children:
        done.get()
    for child in children:
        child.terminate()
        child.join()


def _call_and_say(job: dict[str, Any], done: Any) -> None:
    call(job)
    done.put(True)
    import time

    time.sleep(60)


def pool(method: str, every: list[dict[str, Any]]) -> None:
    """One pool for each job, so that the end of the pool comes right after the call."""
    context = multiprocessing.get_context(method)
    for job in every:
        with context.Pool(1) as workers:  # its exit is terminate()
            workers.map(call, [job])


def one_pool(method: str, every: list[dict[str, Any]]) -> None:
    with multiprocessing.get_context(method).Pool(4, maxtasksperchild=1) as workers:
        workers.map(call, every, chunksize=1)


def executor(method: str, every: list[dict[str, Any]]) -> None:
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context(method)) as workers:
        list(workers.map(call, every))


def loky(method: str, every: list[dict[str, Any]]) -> None:
    from joblib import Parallel, delayed

    Parallel(n_jobs=4, backend=method)(delayed(call)(job) for job in every)


def fork(method: str, every: list[dict[str, Any]]) -> None:
    """A fork by hand, as job runners do it."""
    children = []
    for job in every:
        child = os.fork()
        if child == 0:
            try:
                call(job)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    way, method, *early = sys.argv[1:]
    every = jobs()
    if early:
        make_auth(every.pop())  # imported, and loaded; the last job is ours
        call(jobs()[-1])
    ways = {
        "process": process,
        "daemon": daemon,
        "pool": pool,
        "one_pool": one_pool,
        "executor": executor,
        "joblib": loky,
        "fork": fork,
    }
    for first in range(0, len(every), 8):  # not all at a time
        ways[way](method, every[first : first + 8])
