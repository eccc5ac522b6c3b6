"""The first call of a process with a living token: what people wait for at a prompt and in a short script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Callable

from aries_auth import FileTokenStore, Token
from tests.conftest import FRESH, ROOT

PROGRAM = """
import json, sys
import httpx, requests
from aries_auth import AriesAuth

url = "https://api.aries.com/v1/users/me"
prepared = requests.Request("GET", url).prepare()
opened, before = [], set(sys.modules)
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
AriesAuth(store=sys.argv[1])(prepared)
print(json.dumps([prepared.headers["Authorization"], opened, sorted(set(sys.modules) - before)]))
"""


def run(store: FileTokenStore) -> tuple[str, list[str], list[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ARIES_CLIENT_SECRET": "s"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), store.path],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=True,
    )
    header, opened, modules = json.loads(done.stdout)
    return header, opened, modules


def test_it_reads_one_file_takes_no_lock_and_loads_nothing_more(
    stored: Callable[..., Token], store: FileTokenStore
) -> None:
    token = stored(age=FRESH)
    Path(f"{store.path}.lock").unlink()
    header, opened, modules = run(store)
    assert header == f"Bearer {token.access_token}"
    assert opened == [store.path]
    assert modules == []
    assert not Path(f"{store.path}.lock").exists()
