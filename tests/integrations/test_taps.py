"""A tap of the Singer SDK and a source of the Airbyte CDK take the object as docs/other-libraries.md says."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Callable

import pytest

from aries_auth import Token
from aries_auth.testing import AriesSandbox
from tests.cli_process import clean_environment
from tests.conftest import ROOT
from tests.ecosystem.pages import block

OLD = 100.0  # seconds; beyond the youth of 30

# The page's part stands in the place of PAGE. Each prints the records of as many reads at once as it is told.
SINGER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from singer_sdk import Tap, RESTStream
from singer_sdk import typing as th
from aries_auth import AriesAuth

PAGE
    name = "echo"
    path = "/v1/echo"
    url_base = sys.argv[1]
    primary_keys = ("path",)
    schema = th.PropertiesList(th.Property("path", th.StringType)).to_dict()

    def parse_response(self, response):
        yield {"path": response.json()["path"]}


class EchoTap(Tap):
    name = "tap-echo"
    config_jsonschema = th.PropertiesList().to_dict()

    def discover_streams(self):
        return [Accounts(tap=self)]


streams = [EchoTap(config={}).streams["echo"] for _ in range(int(sys.argv[2]))]
with ThreadPoolExecutor(len(streams)) as pool:
    print(list(pool.map(lambda stream: list(stream.get_records(None)), streams)))
"""

AIRBYTE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from airbyte_cdk.sources.streams.http import HttpStream
from aries_auth import AriesAuth


class Accounts(HttpStream):
    url_base = sys.argv[1]
    primary_key = None

    def path(self, **_):
        return "/v1/echo"

    def next_page_token(self, response):
        return None

    def parse_response(self, response, **_):
        yield {"path": response.json()["path"]}


stream = PAGE
with ThreadPoolExecutor(int(sys.argv[2])) as pool:
    print(list(pool.map(lambda _: list(stream.read_records("full_refresh")), range(int(sys.argv[2])))))
"""

PROGRAMS = {
    "singer_sdk": (SINGER, "class Accounts(RESTStream)"),
    "airbyte_cdk": (AIRBYTE, "Accounts(authenticator="),
}


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("package", PROGRAMS)
def test_refused_tokens_are_refreshed_once_and_the_records_come(
    package: str, count: int, aries: AriesSandbox, stored: Callable[..., Token], store_path: Path, tmp_path: Path
) -> None:
    pytest.importorskip(package)
    stored(age=OLD)
    aries.revoke_access_tokens()
    if count > 1:
        aries.fail("api", status=401, delay=0.5, times=count // 2)  # half of the refusals come when the refresh is over
    program, having = PROGRAMS[package]
    page = textwrap.dedent(block("other-libraries", "python", having)).rstrip()
    environment = clean_environment(tmp_path, **aries.environ, ARIES_TOKEN_FILE=str(store_path), PYTHONPATH=str(ROOT))
    command = [sys.executable, "-W", "ignore", "-c", program.replace("PAGE", page), aries.url, str(count)]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    assert str([[{"path": "/v1/echo"}]] * count) in done.stdout
    statuses = [request.status for request in aries.api_requests]
    assert (statuses.count(200), statuses[0]) == (count, 401)
    assert aries.refresh_count == len(aries.token_requests) == 1
