"""A Celery app whose one task makes one call: `celery -A tests.jobs.programs.celery_app worker`."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

from tests.jobs.programs.job import call

app = Celery("jobs", broker=os.environ["BROKER"])
app.conf.update(
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
)
if app.conf.broker_url.startswith("filesystem://"):
    folder = os.environ["FOLDER"]
    app.conf.broker_transport_options = {
        "data_folder_in": folder,
        "data_folder_out": folder,
        "control_folder": f"{folder}/control",
    }


@app.task
def job(job: dict[str, Any]) -> None:
    call(job)
