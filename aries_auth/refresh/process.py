"""Whether this process may end, or freeze, without notice: then no refresh may outlive the call that started it.

Job runners end a child by ``os._exit`` or SIGTERM right after its work, and others freeze a process between two
requests. No thread survives that.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import lru_cache
from typing import Any

# Where this module was loaded. What is met in another process may have been made here, before a fork.
FIRST_PROCESS = os.getpid()

# What freezes a process between two requests: AWS Lambda, Cloud Functions, Cloud Run, Azure Functions.
_FROZEN_BETWEEN_REQUESTS = (
    "AWS_LAMBDA_FUNCTION_NAME",
    "FUNCTION_TARGET",
    "K_SERVICE",
    "FUNCTIONS_WORKER_RUNTIME",
)
# If the system does not say that this process is a fork, these say it: they are loaded in the children of runners.
_RUNNERS_OF_CHILDREN = (
    "airflow.sdk.execution_time",
    "billiard.process",
    "celery.concurrency.prefork",
    "pyspark.worker",
)
# Its workers were seen to end their threads in order.
_ORDERLY_PARENT = "gunicorn.arbiter"
_FORKED_AND_NO_EXEC = 0x40  # PF_FORKNOEXEC of linux/sched.h


def may_end_without_notice() -> bool:
    """Whether this process may end or freeze before a thread of this package has ended."""
    return _is_child(os.getpid()) or _is_frozen_between_requests() or _is_served_by_uvicorn()


def is_looked_at() -> bool:
    """Whether `may_end_without_notice` reads no file any more: it reads one once per process, not on an event loop."""
    return _is_child.cache_info().currsize > 0


@lru_cache(maxsize=1)
def _is_child(pid: int) -> bool:
    """Whether another process started this one and may end it at any time."""
    multiprocessing: Any = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        return True
    if _ORDERLY_PARENT in sys.modules:
        return False
    return pid != FIRST_PROCESS or _was_forked()


def _was_forked() -> bool:
    """Whether this process was forked from a running program, by whoever and before whatever was imported."""
    if sys.platform == "linux":
        with suppress(OSError, ValueError, IndexError), open("/proc/self/stat", "rb") as file:  # noqa: PTH123
            # pid (name) state ppid pgrp session tty tpgid flags …: the name may have brackets and spaces.
            return bool(int(file.read().rpartition(b")")[2].split()[6]) & _FORKED_AND_NO_EXEC)
    return any(name in sys.modules for name in _RUNNERS_OF_CHILDREN)


def _is_frozen_between_requests() -> bool:
    if any(os.environ.get(name) for name in _FROZEN_BETWEEN_REQUESTS):
        return True
    # uWSGI's workers alone have this module. Without --enable-threads it freezes their threads between two requests,
    # and with it a process without a master was seen to end before them.
    return "uwsgi" in sys.modules


def _is_served_by_uvicorn() -> bool:
    """Whether SIGTERM goes to a server of uvicorn, which raises it again once it has shut down."""
    import signal  # noqa: PLC0415 - few get here

    handler: Any = signal.getsignal(signal.SIGTERM)
    return type(getattr(handler, "__self__", None)).__module__.partition(".")[0] == "uvicorn"


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_is_child.cache_clear)
