"""The hook of docs/airflow.md, as it stands there, with the connection of that page, in a real Airflow."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from aries_auth.testing import AriesSandbox
from tests.cli_process import clean_environment
from tests.conftest import ROOT
from tests.ecosystem.pages import block

from . import airflow
from .conftest import Process, Start, needs

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200), needs("airflow", "sqlalchemy")]

OLD = 100.0  # seconds; beyond the youth of 30


# The page's hook in a task that calls with it in 20 threads.
TWENTY = """
from concurrent.futures import ThreadPoolExecutor


@dag(schedule=None, start_date=datetime.datetime(2026, 1, 1), catchup=False)
def twenty():
    @task
    def calls() -> None:
        hook = AriesHook()
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(hook.get, ["/v1/users/me"] * 20))

    calls()


twenty()
"""


class Page:
    """Somebody who follows the page, with a sandbox in the place of Aries."""

    def __init__(self, aries: AriesSandbox, start: Start, folder: Path) -> None:
        self._start = start
        self.url = f"sqlite:///{folder / 'tokens.db'}"
        dags = folder / "dags"
        dags.mkdir()
        program = block("airflow", "python", "class AriesHook(BaseHook)").replace(
            "https://api.aries.com", aries.api_url
        )
        (dags / "positions.py").write_text(program, encoding="utf-8")
        (dags / "twenty.py").write_text(program.partition("@dag(")[0] + TWENTY, encoding="utf-8")
        self._environment = clean_environment(
            folder,
            **airflow.variables(folder, dags),
            **{name: aries.environ[name] for name in ("ARIES_TOKEN_URL", "ARIES_API_ORIGINS")},
            AIRFLOW_CONN_ARIES_DEFAULT=json.dumps(self._connection(aries)),
            PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            PYTHONPATH=str(ROOT),
        )

    def _connection(self, aries: AriesSandbox) -> dict[str, object]:
        [text] = re.findall(r"AIRFLOW_CONN_ARIES_DEFAULT='(.*?)'", block("airflow", "sh", "AIRFLOW_CONN"), re.DOTALL)
        connection: dict[str, object] = json.loads(text)
        assert set(connection) == {"conn_type", "login", "password", "extra"}
        extra = {"redirect_uri": aries.redirect_uri, "store": self.url}
        return {**connection, "login": aries.client_id, "password": aries.client_secret, "extra": extra}

    def airflow(self, *command: str) -> Process:
        return self._start([sys.executable, "-m", "airflow", *command], self._environment)

    def run_dag(self, name: str = "positions") -> str:
        """Run it at once, with Airflow's own task runner; what was said."""
        migrated = self.airflow("db", "migrate")
        assert migrated.wait(300.0) == 0, migrated.said
        running = self.airflow("dags", "test", name)
        running.wait(300.0)
        return running.log.read_text(encoding="utf-8")

    def tokens(self) -> tuple[str, str]:
        from aries_auth.sql import SQLTokenStore

        token = SQLTokenStore(self.url, "default").load()
        assert token is not None
        assert token.refresh_token is not None
        return token.access_token, token.refresh_token


@pytest.fixture
def page(aries: AriesSandbox, start: Start, tmp_path: Path) -> Page:
    from aries_auth.sql import SQLTokenStore

    page = Page(aries, start, tmp_path)
    SQLTokenStore(page.url, "default").save(aries.issue_token(age=OLD))
    aries.revoke_access_tokens()
    return page


def answered(aries: AriesSandbox) -> set[str]:
    return {request.path for request in aries.api_requests if request.status == 200}


PATHS = {"/v1/users/me", "/v1/users/me/accounts"}


def test_all_components_together_run_its_tasks_with_one_refresh(page: Page, aries: AriesSandbox) -> None:
    running = page.airflow("standalone")
    running.wait_until(lambda: answered(aries) == PATHS, 900.0)
    running.end()
    assert aries.refresh_count == len(aries.token_requests) == 1


def test_the_dag_succeeds_with_one_refresh(page: Page, aries: AriesSandbox) -> None:
    said = page.run_dag()
    assert answered(aries) == PATHS, said
    assert aries.refresh_count == len(aries.token_requests) == 1
    for secret in (aries.client_secret, *page.tokens()):
        assert secret not in said


def test_20_calls_that_are_refused_at_once_make_one_refresh(page: Page, aries: AriesSandbox) -> None:
    aries.fail("api", status=401, delay=0.5, times=10)  # half of the refusals come when the refresh is over
    said = page.run_dag("twenty")
    assert [request.status for request in aries.api_requests].count(200) == 20, said
    assert aries.refresh_count == len(aries.token_requests) == 1


def test_a_login_that_has_ended_fails_the_task_without_a_retry(page: Page, aries: AriesSandbox) -> None:
    aries.revoke_grants()
    said = page.run_dag()
    assert "AirflowFailException" in said
    assert "aries-auth login" in said
    assert "up_for_retry" not in said.lower()
    assert len(aries.token_requests) <= len(PATHS), "no task tries twice"
    assert aries.client_secret not in said
