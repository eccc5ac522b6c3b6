"""Versions of aiohttp and niquests that are too old, really installed: each is an error that says what to run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from aries_auth import Token
from aries_auth.testing import AriesSandbox
from tests.conftest import ROOT

# They come from a package index.
pytestmark = [pytest.mark.nightly, pytest.mark.timeout(300)]

PROGRAM = """
import asyncio, os
from importlib.metadata import version
from aries_auth import AriesAuth, ConfigurationError

def says(act):
    try:
        print("no error:", act())
    except ConfigurationError as error:
        print(error)

auth, url = AriesAuth(), os.environ["ARIES_API_ORIGINS"] + "/v1/echo"
"""
NIQUESTS = """
import niquests

async def sync_in_loop():
    return niquests.get(url, auth=auth)

async def in_loop():
    async with niquests.AsyncSession() as session:
        return await session.get(url, auth=auth)

print(version("niquests"))
says(lambda: AriesAuth(token_client=niquests.Session()))
says(lambda: niquests.get(url, auth=auth))
says(lambda: asyncio.run(sync_in_loop()))
says(lambda: asyncio.run(in_loop()))
"""
AIOHTTP = """
from aries_auth.integrations.aiohttp import AriesMiddleware

print(version("aiohttp"))
says(lambda: AriesMiddleware(auth))
"""


@pytest.mark.parametrize(
    "requirement, program, errors, told",
    [
        # 3.13 looks new enough: only a Session in a running loop would send no token.
        pytest.param("niquests==3.13.*", NIQUESTS, 4, "niquests 3.14 or later", id="niquests 3.13"),
        pytest.param("niquests==3.4.*", NIQUESTS, 4, "niquests 3.14 or later", id="niquests 3.4"),
        pytest.param("aiohttp==3.11.*", AIOHTTP, 1, "aiohttp 3.12 or later", id="aiohttp 3.11"),
    ],
)
def test_it_is_refused_with_the_command_that_helps(
    requirement: str,
    program: str,
    errors: int,
    told: str,
    aries: AriesSandbox,
    stored: Callable[..., Token],
    store_path: Path,
    tmp_path: Path,
) -> None:
    stored()
    old = tmp_path / "old"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target", str(old)]
    installed = subprocess.run([*command, requirement], capture_output=True, text=True, timeout=200, check=False)
    if "No matching distribution" in installed.stderr:
        pytest.skip(f"{requirement} has no wheel for this Python")
    assert installed.returncode == 0, installed.stderr
    variables = {
        **aries.environ,
        "ARIES_TOKEN_FILE": str(store_path),
        "PYTHONPATH": os.pathsep.join([str(old), str(ROOT)]),
        "PATH": "",
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM + program],
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    name, _, version = requirement.rstrip(".*").partition("==")
    found, *said = done.stdout.splitlines()
    assert found.startswith(version)
    assert len(said) == errors
    for line in said:
        assert told in line
        assert f"{found} is installed" in line
        assert f"pip install --upgrade '{name}>=" in line
    assert aries.api_requests == aries.token_requests == ()
