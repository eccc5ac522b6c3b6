"""A plain script that goes on after its call: `python -m tests.jobs.programs.script WAY`.

Ways: "bare" (SIGTERM ends it), "handler" (what the page of jobs shows), "wait" (the same, with `auth.wait`), "ends" (it
makes its call and ends).
"""

from __future__ import annotations

import signal
import sys
import time

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
if way == "ends":
    print("the end", flush=True)
else:
    time.sleep(60)
