"""PySpark and Airflow, each in an environment of its own: run this file with a Python that has one of them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from . import airflow
from .conftest import DELAYS, PROGRAMS, Jobs, Start, needs

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]


@needs("pyspark", "/java")
@pytest.mark.parametrize("delay", DELAYS)
def test_nothing_is_lost_when_spark_stops_right_after_its_action(jobs: Jobs, start: Start, delay: float) -> None:
    made = jobs.make(20, delay)
    environment = jobs.environment(made, PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1")
    program = start.program("spark", environment=environment)
    assert program.wait(300.0) == 0, program.said
    jobs.judge()


@needs("airflow")
def test_nothing_is_lost_in_an_airflow_task_of_three_calls(jobs: Jobs, start: Start, tmp_path: Path) -> None:
    """Airflow 3 with its LocalExecutor, all its components as `airflow standalone` starts them."""
    made = jobs.make(20)
    environment = jobs.environment(made, **airflow.variables(tmp_path, PROGRAMS / "dags"))
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    running = start([sys.executable, "-m", "airflow", "standalone"], environment)
    running.wait_until(lambda: all(job.done.exists() for job in made), 900.0)
    running.end()
    jobs.judge()
