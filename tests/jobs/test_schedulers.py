"""PySpark and Airflow, each in an environment of its own: run this file with a Python that has one of them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from .conftest import DELAYS, PROGRAMS, Jobs, Start, free_port, needs

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
    port = str(free_port())
    settings = {
        "CORE__DAGS_FOLDER": str(PROGRAMS / "dags"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "8",
        "CORE__MAX_ACTIVE_TASKS_PER_DAG": "8",
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "API__HOST": "127.0.0.1",
        "API__PORT": port,
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        "API__WORKERS": "1",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "LOGGING__BASE_LOG_FOLDER": str(tmp_path / "logs"),
    }
    variables = {f"AIRFLOW__{name}": value for name, value in settings.items()}
    environment = jobs.environment(made, AIRFLOW_HOME=str(tmp_path / "airflow"), **variables)
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    airflow = start([sys.executable, "-m", "airflow", "standalone"], environment)
    airflow.wait_until(lambda: all(job.done.exists() for job in made), 900.0)
    airflow.end()
    jobs.judge()
