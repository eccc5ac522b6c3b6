"""The pytest plugin works in somebody's project that has no conftest, and loads next to nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlencode

import pytest

from aries_auth.testing import AriesSandbox

PROJECT = """
import requests

def test_calls(aries_client_auth, aries_sandbox):
    answer = requests.get(aries_sandbox.api_url + "/v1/users/me", auth=aries_client_auth, timeout=10)
    assert answer.status_code == 200
    aries_sandbox.rules.rotate = False
    aries_sandbox.fail(status=500, times=None)
    aries_sandbox.stop()

def test_is_clean(aries_sandbox):
    assert aries_sandbox.api_requests == ()
    assert aries_sandbox.live_grants == 0
    assert aries_sandbox.rules.rotate
    assert requests.get(aries_sandbox.token_url, timeout=10).status_code == 405
"""


def run(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, **variables, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": root}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=str(cwd),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_fixtures_need_no_conftest(tmp_path: Path) -> None:
    (tmp_path / "test_project.py").write_text(PROJECT)
    done = run("-m", "pytest", "-q", "-p", "aries_auth.testing.plugin", "-p", "no:cacheprovider", cwd=tmp_path)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("not_for", ["", "intranet.example"])
def test_the_fixtures_work_where_a_proxy_is_set_and_no_exception_for_this_machine(tmp_path: Path, not_for: str) -> None:
    (tmp_path / "test_project.py").write_text(
        PROJECT
        + """
def test_httpx(aries_client_auth, aries_sandbox):
    import httpx
    assert httpx.get(aries_sandbox.api_url + "/v1/users/me", auth=aries_client_auth).status_code == 200
"""
    )
    proxy = "http://127.0.0.1:9"  # nobody listens there
    done = run(
        *("-m", "pytest", "-q", "-p", "aries_auth.testing.plugin", "-p", "no:cacheprovider"),
        cwd=tmp_path,
        HTTP_PROXY=proxy,
        http_proxy=proxy,
        NO_PROXY=not_for,
        no_proxy=not_for,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_loading_the_plugin_loads_neither_the_server_nor_an_http_library(tmp_path: Path) -> None:
    code = """
import sys, aries_auth
assert not [name for name in sys.modules if name.startswith("aries_auth.testing")]
before = set(sys.modules)
import aries_auth.testing.plugin
new = set(sys.modules) - before
ours = {name for name in new if name.startswith("aries_auth.")}
assert ours == {"aries_auth.testing", "aries_auth.testing.plugin"}
assert not {"requests", "httpx", "http.server"} & new
assert "AriesSandbox" in dir(aries_auth.testing)
"""
    done = run("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


class Callback(BaseHTTPRequestHandler):
    seen: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"done")

    def log_message(self, *arguments: object) -> None:
        pass


def test_the_browser_approves_and_opens_the_callback() -> None:
    with HTTPServer(("127.0.0.1", 0), Callback) as listener:
        uri = f"http://127.0.0.1:{listener.server_port}/callback"
        thread = Thread(target=listener.handle_request)
        thread.start()
        with AriesSandbox(redirect_uris=[uri]) as aries:
            query = {
                "response_type": "code",
                "client_id": aries.client_id,
                "redirect_uri": uri,
                "scope": "user:information",
                "state": "s",
            }
            page = aries.browser(f"{aries.authorize_url}?{urlencode(query)}")
        thread.join(10)
    assert (page.status, page.text) == (200, "done")
    assert Callback.seen[0].startswith("/callback?code=")
