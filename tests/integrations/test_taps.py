"""A tap of the Singer SDK and a source of the Airbyte CDK take the object as their authenticator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from aries_auth import Token
from aries_auth.testing import AriesSandbox
from tests.cli_process import clean_environment
from tests.conftest import ROOT

SINGER = """
import sys
from singer_sdk import Tap, RESTStream
from singer_sdk import typing as th
from aries_auth import AriesAuth

AUTH = AriesAuth()


class Echo(RESTStream):
    name = "echo"
    path = "/v1/echo"
    url_base = sys.argv[1]
    primary_keys = ("path",)
    schema = th.PropertiesList(th.Property("path", th.StringType)).to_dict()
    authenticator = AUTH


class EchoTap(Tap):
    name = "tap-echo"
    config_jsonschema = th.PropertiesList().to_dict()

    def discover_streams(self):
        return [Echo(tap=self)]


print([record for record in EchoTap(config={}).streams["echo"].get_records(None)])
"""

AIRBYTE = """
import sys
from airbyte_cdk.sources.streams.http import HttpStream
from aries_auth import AriesAuth


class Echo(HttpStream):
    url_base = sys.argv[1]
    primary_key = None

    def path(self, **_):
        return "/v1/echo"

    def next_page_token(self, response):
        return None

    def parse_response(self, response, **_):
        yield {"path": response.json()["path"]}


print(list(Echo(authenticator=AriesAuth()).read_records("full_refresh")))
"""


@pytest.mark.slow
@pytest.mark.parametrize("package, program", [("singer_sdk", SINGER), ("airbyte_cdk", AIRBYTE)])
def test_a_refused_token_is_refreshed_and_the_records_come(
    package: str, program: str, aries: AriesSandbox, stored: Callable[..., Token], store_path: Path, tmp_path: Path
) -> None:
    pytest.importorskip(package)
    stored(age=100.0)
    aries.revoke_access_tokens()
    environment = clean_environment(tmp_path, **aries.environ, ARIES_TOKEN_FILE=str(store_path), PYTHONPATH=str(ROOT))
    command = [sys.executable, "-W", "ignore", "-c", program, aries.url]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "[{'path': '/v1/echo'}]" in done.stdout
    assert [request.status for request in aries.api_requests] == [401, 200]
    assert aries.refresh_count == 1
