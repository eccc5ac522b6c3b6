"""An Airflow DAG with one task a job; each makes three calls with one auth."""

from __future__ import annotations

import datetime
from typing import Any

from airflow.sdk import dag, task

from tests.jobs.programs.job import call, jobs, make_auth

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
SOON = datetime.timedelta(seconds=1)  # a busy machine makes tasks fail before they begin


def three_calls(job: dict[str, Any]) -> None:
    auth = make_auth(job)
    for _ in range(3):
        call(job, auth)


@dag(schedule="@once", start_date=START, catchup=False, is_paused_upon_creation=False)
def three_calls_each() -> None:
    for number, told in enumerate(jobs()):
        task(task_id=f"job_{number}", retries=5, retry_delay=SOON)(three_calls)(told)


three_calls_each()
