"""The recipes of docs/prompt.md with the real programs: HTTPie and its plugin, curl, websocat. And that of aiohttp."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aries_auth import FileTokenStore
from aries_auth.testing import AriesSandbox, fingerprint
from tests.cli_process import clean_environment
from tests.conftest import EXPIRED
from tests.ecosystem.pages import block

pytestmark = [pytest.mark.ci, pytest.mark.skipif(os.name != "posix", reason="the recipes are for a POSIX shell")]

PROGRAMS = Path(sys.executable).parent


@pytest.fixture
def environment(aries_sandbox: AriesSandbox, tmp_path: Path) -> dict[str, str]:
    """A user who is logged in as the default profile, with the programs of this Python in the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "aries-auth"
    command.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m aries_auth \"$@\"\n")
    command.chmod(0o700)
    path = os.pathsep.join([str(folder), str(PROGRAMS), os.environ["PATH"]])
    root = str(Path(__file__).parents[2])
    return clean_environment(tmp_path, **aries_sandbox.environ, PATH=path, PYTHONPATH=root)


@pytest.fixture
def store(aries_sandbox: AriesSandbox, tmp_path: Path) -> FileTokenStore:
    return log_in(aries_sandbox, tmp_path, "default")


def log_in(aries: AriesSandbox, home: Path, profile: str) -> FileTokenStore:
    store = FileTokenStore(home / "data" / "aries-auth" / f"{profile}.json")
    store.save(aries.issue_token(age=60))
    return store


def shell(
    text: str, aries: AriesSandbox, environment: dict[str, str], timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a recipe with the sandbox in the place of Aries."""
    text = text.replace("https://api.aries.com", aries.api_url)
    text = text.replace("wss://api.aries.com", aries.api_url.replace("http", "ws", 1))
    return subprocess.run(
        ["bash", "-uo", "pipefail", "-c", text],
        env=environment,
        cwd=environment["HOME"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def require(program: str) -> None:
    if shutil.which(program, path=os.pathsep.join([str(PROGRAMS), os.environ["PATH"]])) is None:
        pytest.skip(f"{program} is not installed")


# HTTPie


@pytest.fixture
def http() -> str:
    pytest.importorskip("httpie")
    return "http --ignore-stdin --print=b"


@pytest.mark.usefixtures("store", "http")
def test_httpie_finds_the_plugin_by_its_entry_point(aries_sandbox: AriesSandbox, environment: dict[str, str]) -> None:
    done = shell("http --help", aries_sandbox, environment)
    assert '"aries": Aries API (provided by aries-auth' in done.stdout


@pytest.mark.usefixtures("store", "http")
def test_httpie_calls_with_the_default_profile(aries_sandbox: AriesSandbox, environment: dict[str, str]) -> None:
    done = shell(block("prompt", "bash", "query==apple"), aries_sandbox, environment)
    assert done.returncode == 0, done.stderr
    assert [request.status for request in aries_sandbox.api_requests] == [200, 200]
    assert '"name": "Sandbox User"' in done.stdout


def test_httpie_calls_with_a_profile_as_auth_value(
    aries_sandbox: AriesSandbox, environment: dict[str, str], tmp_path: Path, http: str
) -> None:
    paper = log_in(aries_sandbox, tmp_path, "paper").load()
    log_in(aries_sandbox, tmp_path, "default")
    assert paper is not None
    recipe = block("prompt", "bash", "-a paper").replace("http -A", f"{http} -A")
    assert shell(recipe, aries_sandbox, environment).returncode == 0
    (request,) = aries_sandbox.api_requests
    assert request.fingerprint == fingerprint(paper.access_token)


def test_httpie_refreshes_an_expired_token_and_saves_it(
    aries_sandbox: AriesSandbox, environment: dict[str, str], store: FileTokenStore, http: str
) -> None:
    store.save(aries_sandbox.issue_token(age=EXPIRED))
    done = shell(f"{http} -A aries https://api.aries.com/v1/users/me", aries_sandbox, environment)
    assert done.returncode == 0, done.stderr
    token = store.load()
    assert token is not None
    assert aries_sandbox.api_requests[-1].fingerprint == fingerprint(token.access_token)


def test_httpie_resends_after_a_401(
    aries_sandbox: AriesSandbox, environment: dict[str, str], store: FileTokenStore, http: str
) -> None:
    aries_sandbox.revoke_access_tokens()
    done = shell(
        f"{http} --check-status -A aries https://api.aries.com/v1/orders symbol=AAPL qty=1", aries_sandbox, environment
    )
    assert done.returncode == 0, done.stderr
    assert [request.status for request in aries_sandbox.api_requests] == [401, 200]
    assert [order["symbol"] for order in aries_sandbox.orders] == ["AAPL"]
    assert aries_sandbox.refresh_count == 1


@pytest.mark.nightly
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("store")
def test_20_httpies_that_are_refused_at_once_make_one_refresh(
    aries_sandbox: AriesSandbox, environment: dict[str, str], http: str
) -> None:
    """Processes of their own. Each is answered when all have sent the dead token: they start within that time."""
    aries_sandbox.revoke_access_tokens()
    aries_sandbox.fail("api", status=401, delay=30.0, times=20)
    recipe = f"{http} --check-status -A aries https://api.aries.com/v1/users/me"
    with ThreadPoolExecutor(20) as pool:
        every = list(pool.map(lambda _: shell(recipe, aries_sandbox, environment, 200), range(20)))
    assert [done.returncode for done in every] == [0] * 20, every[0].stderr
    statuses = [request.status for request in aries_sandbox.api_requests]
    assert (statuses.count(401), statuses.count(200)) == (20, 20)
    assert aries_sandbox.refresh_count == len(aries_sandbox.token_requests) == 1


@pytest.mark.usefixtures("store")
def test_httpie_sends_no_token_elsewhere_and_keeps_none_in_a_session(
    aries_sandbox: AriesSandbox, environment: dict[str, str], http: str, tmp_path: Path
) -> None:
    environment["HTTPIE_CONFIG_DIR"] = str(tmp_path / "httpie")
    call = f"{http} --session=s -A aries -a default https://api.aries.com/v1/users/me"
    assert shell(call, aries_sandbox, environment).returncode == 0
    kept = "".join(path.read_text() for path in (tmp_path / "httpie").rglob("*.json"))
    assert '"type": "aries"' in kept
    assert "at-" not in kept
    with AriesSandbox() as elsewhere:
        shell(f"{http} -A aries {elsewhere.url}/v1/users/me", aries_sandbox, environment)
        assert [request.fingerprint for request in elsewhere.api_requests] == [None]


def test_httpie_says_who_must_log_in_and_which_profile_is_none(
    aries_sandbox: AriesSandbox, environment: dict[str, str], http: str
) -> None:
    done = shell(f"{http} -A aries https://api.aries.com/v1/users/me", aries_sandbox, environment)
    assert done.returncode == 1
    assert "Run: aries-auth login" in done.stderr
    done = shell(f"{http} -A aries -a ../x https://api.aries.com/v1/users/me", aries_sandbox, environment)
    assert done.returncode == 1
    assert "no profile name" in done.stderr
    assert "Traceback" not in done.stderr
    assert aries_sandbox.api_requests == ()


# curl


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("having", ['$(aries-auth token)" |\n', "|| exit"])
def test_curl_calls_with_the_token_of_the_command(
    aries_sandbox: AriesSandbox, environment: dict[str, str], having: str
) -> None:
    require("curl")
    done = shell(block("prompt", "bash", having), aries_sandbox, environment)
    assert done.returncode == 0, done.stderr
    assert [request.status for request in aries_sandbox.api_requests] == [200]
    json.loads(done.stdout)


def test_a_script_stops_where_a_person_must_log_in(aries_sandbox: AriesSandbox, environment: dict[str, str]) -> None:
    require("curl")
    done = shell(block("prompt", "bash", "|| exit"), aries_sandbox, environment)
    assert done.returncode == 3
    assert aries_sandbox.api_requests == ()


# websocat


def test_websocat_shows_the_token_and_streams(
    aries_sandbox: AriesSandbox, environment: dict[str, str], store: FileTokenStore
) -> None:
    require("websocat")
    recipe = block("prompt", "bash", "websocat --no-close").replace("websocat", "timeout 3 websocat")
    lines = shell(recipe, aries_sandbox, environment).stdout.splitlines()
    kinds = [json.loads(line)["type"] for line in lines]
    assert kinds == ["response", "subscribed", "event"]
    token = store.load()
    assert token is not None
    assert aries_sandbox.api_requests[-1].fingerprint == fingerprint(token.access_token)


# Libraries


def run(program: str, aries: AriesSandbox, environment: dict[str, str]) -> str:
    program = program.replace("https://api.aries.com", aries.api_url)
    command = [sys.executable, "-W", "ignore", "-c", program]
    # dlt writes where it is run.
    done = subprocess.run(
        command, env=environment, cwd=environment["HOME"], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_aiohttp_calls_with_a_token_that_is_refreshed(
    aries_sandbox: AriesSandbox, environment: dict[str, str], store: FileTokenStore
) -> None:
    pytest.importorskip("aiohttp", minversion="3.12")
    store.save(aries_sandbox.issue_token(age=EXPIRED))
    assert run(block("other-libraries", "python", "import aiohttp"), aries_sandbox, environment) == "Sandbox User\n"
    assert aries_sandbox.refresh_count == 1


# What the recipe has before its own call, and 20 calls in its place.
TWENTY = {
    "aiohttp": (
        "import aiohttp",
        "print(",
        """
async def all_of():
    await asyncio.gather(*(me() for _ in range(20)))
asyncio.run(all_of())
""",
    ),
    "niquests": (
        "import niquests",
        "with ",
        """
auth = AriesAuth()
in_threads(lambda: niquests.get("https://api.aries.com/v1/users/me", auth=auth, timeout=30).raise_for_status())
""",
    ),
    "urllib3": ("import urllib3", "assert ", 'in_threads(lambda: get("https://api.aries.com/v1/users/me"))'),
}
IN_THREADS = """
def in_threads(act):
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: act(), range(20)))
"""


@pytest.mark.parametrize("library", TWENTY)
def test_a_recipe_makes_one_refresh_for_20_calls_that_are_refused_at_once(
    aries_sandbox: AriesSandbox, environment: dict[str, str], store: FileTokenStore, library: str
) -> None:
    pytest.importorskip(library, minversion={"aiohttp": "3.12", "niquests": "3.14"}.get(library))
    having, own_call, calls = TWENTY[library]
    recipe, _, _ = block("other-libraries", "python", having).partition(f"\n{own_call}")
    aries_sandbox.revoke_access_tokens()
    aries_sandbox.fail("api", status=401, delay=0.5, times=10)  # half of the refusals come when the refresh is over
    run(f"{recipe}\n{IN_THREADS}\n{calls}", aries_sandbox, environment)
    assert [request.status for request in aries_sandbox.api_requests].count(200) == 20
    assert aries_sandbox.refresh_count == len(aries_sandbox.token_requests) == 1


@pytest.mark.slow
def test_dlt_loads_through_one_refresh(
    aries_sandbox: AriesSandbox, environment: dict[str, str], store: FileTokenStore
) -> None:
    for name in ("dlt", "duckdb"):
        pytest.importorskip(name)
    aries_sandbox.revoke_access_tokens()
    environment = {
        **environment,
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "DLT_DATA_DIR": environment["HOME"],  # root's would be kept from run to run
    }
    output = run(block("other-libraries", "python", "import dlt"), aries_sandbox, environment)
    assert output == "loaded me accounts\n"
    assert aries_sandbox.refresh_count == len(aries_sandbox.token_requests) == 1
