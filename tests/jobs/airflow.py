"""How the tests start Airflow: all its components, as `airflow standalone` does, in a folder of their own."""

from __future__ import annotations

from pathlib import Path

from .conftest import free_port

# On a busy machine the first answer of the API server takes longer than the 5 s after which a worker asks again, and a
# file longer to be parsed than the 30 and 50 s that it gets: tasks then fail before they begin, until no try is left.
PATIENT = {
    "CORE__DAGBAG_IMPORT_TIMEOUT": "300",
    "CORE__DEFAULT_TASK_RETRY_DELAY": "1",
    "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "300",
    "WORKERS__EXECUTION_API_TIMEOUT": "120",
}


def variables(folder: Path, dags: Path) -> dict[str, str]:
    """Its settings, with the LocalExecutor and SQLite."""
    port, workers_log, triggers_log = (str(free_port()) for _ in range(3))
    settings = {
        "CORE__DAGS_FOLDER": str(dags),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        **PATIENT,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "8",
        "CORE__MAX_ACTIVE_TASKS_PER_DAG": "8",
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "API__HOST": "127.0.0.1",
        "API__PORT": port,
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        "API__WORKERS": "1",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db?timeout=60",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
        "LOGGING__WORKER_LOG_SERVER_PORT": workers_log,
        "LOGGING__TRIGGER_LOG_SERVER_PORT": triggers_log,
    }
    return {
        "AIRFLOW_HOME": str(folder / "airflow"),
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
    }
