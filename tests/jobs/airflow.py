"""How the tests start Airflow: all its components, as `airflow standalone` does, in a folder of their own."""

from __future__ import annotations

from pathlib import Path

from .conftest import free_port


def variables(folder: Path, dags: Path) -> dict[str, str]:
    """Its settings, with the LocalExecutor and SQLite."""
    port = str(free_port())
    settings = {
        "CORE__DAGS_FOLDER": str(dags),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__DEFAULT_TASK_RETRY_DELAY": "1",  # a busy machine makes tasks fail before they begin
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "8",
        "CORE__MAX_ACTIVE_TASKS_PER_DAG": "8",
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "API__HOST": "127.0.0.1",
        "API__PORT": port,
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        "API__WORKERS": "1",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
    }
    return {
        "AIRFLOW_HOME": str(folder / "airflow"),
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
    }
