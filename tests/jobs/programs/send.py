"""Give the jobs to a queue: `python -m tests.jobs.programs.send celery` or `rq`."""

from __future__ import annotations

import os
import sys

from tests.jobs.programs.job import call, jobs

if sys.argv[1] == "celery":
    from tests.jobs.programs.celery_app import job

    for told in jobs():
        job.delay(told)
else:
    from redis import Redis
    from rq import Queue

    queue = Queue(sys.argv[2], connection=Redis.from_url(os.environ["BROKER"]))
    for told in jobs():
        queue.enqueue(call, told)
