"""httpx2, the maintained fork of httpx: supported like httpx wherever it is installed, and no dependency."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from aries_auth import AriesAuth, Token
from aries_auth.testing import AriesSandbox, fingerprint
from tests.conftest import EXPIRED, ROOT

httpx2 = pytest.importorskip("httpx2", reason="needs Python 3.10")


def test_its_clients_know_it_by_its_base_class() -> None:
    assert isinstance(AriesAuth(), httpx2.Auth)


def test_a_client_that_is_given_it_calls_with_a_token_and_refreshes_with_httpx2(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox, url: str
) -> None:
    stored(age=EXPIRED)
    auth = make_auth()
    with httpx2.Client(auth=auth) as client:
        assert client.get(url).json()["token"] == fingerprint(auth.get_token())
    assert "(httpx2/" in (aries.token_requests[0].user_agent or "")


def test_a_request_of_a_class_of_the_callers_own_is_still_one_of_httpx2(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox, url: str
) -> None:
    class Traced(httpx2.Request):
        pass

    stored(age=EXPIRED)
    with httpx2.Client(auth=make_auth()) as client:
        assert client.send(Traced("GET", url)).status_code == 200
    assert "(httpx2/" in (aries.token_requests[0].user_agent or "")


def test_an_async_client_too(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox, url: str
) -> None:
    stored(age=EXPIRED)
    auth = make_auth()

    async def main() -> int:
        async with httpx2.AsyncClient(auth=auth) as client:
            return (await client.get(url)).status_code

    assert asyncio.run(main()) == 200


def test_it_is_no_dependency(tmp_path: Path) -> None:
    (tmp_path / "httpx2.py").write_text("raise ImportError\n")
    code = "import aries_auth, httpx; assert isinstance(aries_auth.AriesAuth(), httpx.Auth)"
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path}, timeout=30)
