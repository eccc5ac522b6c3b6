"""A plain script that goes on after its call: `python -m tests.jobs.programs.script WAY`.

Ways: "bare" (SIGTERM ends it), "handler" (what the page of jobs shows), "wait" (the same, with `auth.wait`), "ends" (it
makes its call, and ends when there is a file called `go`).
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from tests.jobs.programs.job import call, jobs, make_auth

way = sys.argv[1]
(job,) = jobs()
auth = make_auth(job)


def stop(number: int, frame: object) -> None:
    if way == "wait":
        auth.wait(10.0)
    sys.exit(0)


if way in ("handler", "wait"):
    signal.signal(signal.SIGTERM, stop)
call(job, auth)
go = Path(job["done"]).with_name("go")
# In short sleeps: a signal that comes just before a long one waits until it is over.
while way != "ends" or not go.exists():
    time.sleep(0.02)
print("the end", flush=True)
