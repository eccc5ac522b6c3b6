"""A real dlt pipeline whose REST API source is authorized by one object."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest
import requests

from aries_auth import ConfigurationError, FileTokenStore, LoginRequired, Token
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED, ROOT, in_threads
from tests.leaks import assert_no_secret

dlt = pytest.importorskip("dlt", reason="needs dlt")

RESOURCES = ("users/me", "users/me/accounts", "marketdata/search", "echo")
OLD = 100.0  # seconds; beyond the youth of 30

# dlt's own, not ours.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _environment(aries: AriesSandbox, store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`AriesAuthConfig()` finds the sandbox and the login as `AriesAuth()` does; dlt keeps to a folder of its own."""
    for name, value in {**aries.environ, "ARIES_TOKEN_FILE": str(store_path)}.items():
        monkeypatch.setenv(name, value)
    for name, value in {
        "DLT_DATA_DIR": str(tmp_path / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "CRITICAL",
        "PROFILE": "not-ours",  # dlt would look a field of this name up in the bare variable
        "STORE": "not-ours",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def config() -> Callable[..., Any]:
    from aries_auth.integrations.dlt import AriesAuthConfig

    return AriesAuthConfig


PROGRAM = """
import sys
import dlt
from dlt.sources.rest_api import rest_api_source
from aries_auth.integrations.dlt import AriesAuthConfig

url, folder, paths = sys.argv[1], sys.argv[2], sys.argv[3:]
resources = [
    {
        "name": path.replace("/", "_"),
        "parallelized": True,
        "endpoint": {"path": f"/v1/{path}", "params": {"query": "A"}, "paginator": "single_page"},
    }
    for path in paths
]
source = rest_api_source({"client": {"base_url": url, "auth": AriesAuthConfig()}, "resources": resources})
database = dlt.destinations.duckdb(f"{folder}/aries.duckdb")
pipeline = dlt.pipeline("aries", destination=database, dataset_name="raw", pipelines_dir=f"{folder}/pipelines")
pipeline.run(source).raise_on_failed_jobs()
print(*(name for name in pipeline.default_schema.tables if not name.startswith("_")))
"""


def run_pipeline(aries: AriesSandbox, folder: Path) -> set[str]:
    """A process of its own, as dlt leaves its sessions open; returns the tables."""
    pytest.importorskip("duckdb", reason="needs dlt[duckdb]")
    command = [sys.executable, "-c", PROGRAM, aries.url, str(folder), *RESOURCES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize("state", ["expired", "refused"])
def test_four_parallel_resources_are_loaded_through_one_refresh(
    aries: AriesSandbox, tmp_path: Path, stored: Callable[..., Token], state: str
) -> None:
    stored(age=EXPIRED if state == "expired" else OLD)
    if state == "refused":
        aries.revoke_access_tokens()
    tables = run_pipeline(aries, tmp_path)
    assert {path.replace("/", "_") for path in RESOURCES} <= tables
    assert aries.refresh_count == 1
    assert len(aries.token_requests) == 1


def test_20_calls_of_its_client_that_are_refused_at_once_make_one_refresh(
    config: Callable[..., Any], aries: AriesSandbox, stored: Callable[..., Token]
) -> None:
    from dlt.sources.helpers.rest_client import RESTClient

    stored(age=OLD)
    aries.revoke_access_tokens()
    aries.fail("api", status=401, delay=0.3, times=10)  # half of the refusals come when the refresh is over
    with requests.Session() as session:  # its own it leaves open
        client = RESTClient(aries.url, auth=config(), session=session)
        assert in_threads(20, lambda: client.get("/v1/echo").status_code) == [200] * 20
    assert aries.refresh_count == len(aries.token_requests) == 1


def test_a_copy_of_it_serves_calls(
    config: Callable[..., Any], aries: AriesSandbox, url: str, stored: Callable[..., Token]
) -> None:
    stored()
    assert requests.get(url, auth=copy.deepcopy(config()), timeout=10).status_code == 200
    assert requests.get(url, auth=config().copy(), timeout=10).status_code == 200


def test_its_login_is_found_by_profile_and_store_too(
    config: Callable[..., Any], aries: AriesSandbox, tmp_path: Path, stored: Callable[..., Token]
) -> None:
    path = tmp_path / "another.json"
    with pytest.raises(LoginRequired, match="another"):
        config(store=path)
    FileTokenStore(path).save(aries.issue_token())
    config(store=path)
    with pytest.raises(LoginRequired, match="no-such-profile"):
        config("no-such-profile")


def test_without_a_login_it_says_what_to_run(config: Callable[..., Any], store_path: Path) -> None:
    with pytest.raises(LoginRequired, match=r"There is no token in .*token\.json.*Run: aries-auth login"):
        config()


def test_a_login_that_has_ended_says_so(
    config: Callable[..., Any], aries: AriesSandbox, stored: Callable[..., Token]
) -> None:
    stored(age=31 * 86400)
    with pytest.raises(LoginRequired, match=r"has expired.*Run: aries-auth login"):
        config()


def test_a_url_in_the_place_of_a_path_is_refused_and_its_password_not_shown(config: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match="SQLTokenStore") as caught:
        config(store="postgresql://aries:s3cret-word@db.example/prod")
    assert_no_secret(caught.value, "s3cret-word")


def test_no_secret_is_in_what_dlt_shows_of_it(config: Callable[..., Any], stored: Callable[..., Token]) -> None:
    token = stored()
    auth = config()
    auth._auth.get_token()
    for shown in (repr(auth), str(auth), str(dict(auth))):
        assert token.access_token not in shown
