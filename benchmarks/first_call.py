"""The first call of a process with a living token: from `AriesAuth()` to the header, in processes of their own."""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from aries_auth import FileTokenStore
from benchmarks import ours, peers
from benchmarks.results import Bar, Result, Size, short

ROOT = Path(__file__).parents[1]
# What each prints: seconds to the header, the header, and which of two modules that it does not need were loaded.
_OURS = """
import json, sys, time
import httpx, requests
from aries_auth import AriesAuth
prepared = requests.Request("GET", "https://api.aries.com/v1/users/me").prepare()
start = time.perf_counter()
auth = AriesAuth(store=sys.argv[1])
auth(prepared)
seconds = time.perf_counter() - start
print(json.dumps([seconds, prepared.headers["Authorization"], sorted({"filelock", "platformdirs"} & set(sys.modules))]))
"""
_GOOGLE = """
import json, sys, time
import requests
from google.auth.transport.requests import Request
from google.oauth2.credentials import Credentials
headers = {}
start = time.perf_counter()
credentials = Credentials.from_authorized_user_file(sys.argv[1])
credentials.before_request(Request(), "GET", "https://api.aries.com/v1/users/me", headers)
seconds = time.perf_counter() - start
print(json.dumps([seconds, headers.get("authorization", ""), []]))
"""


def measure(size: Size) -> Result:
    """Interleaved; the imports of the libraries are not counted."""
    folder = ours.scratch()
    FileTokenStore(folder / "token.json").save(ours.token())
    (folder / "google.json").write_text(json.dumps(peers.google_file()))
    programs = {"aries-auth": (_OURS, folder / "token.json")}
    if importlib.util.find_spec("google.oauth2"):
        programs["google-auth"] = (_GOOGLE, folder / "google.json")
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    headers, loaded = {}, set[str]()
    for _ in range(1 if size.smoke else 3 * size.repeats):
        for name, (code, path) in programs.items():
            taken, headers[name], modules = _run(code, path)
            seconds[name].append(taken)
            loaded.update(modules)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    return Result(
        "first-call",
        "The first call of a process with a living token",
        ["contender", "median", "90 %"],
        [[name, short(medians[name]), short(sorted(taken)[len(taken) * 9 // 10])] for name, taken in seconds.items()],
        [
            Bar("aries-auth, `AriesAuth(store=path)` to the header <= 1 ms", medians["aries-auth"] * 1e3, 1.0, "ms"),
            Bar("filelock or platformdirs loaded", len(loaded), 0, ""),
        ],
        ["Each in a process of its own; imports are not counted. google-auth reads an authorized-user file."],
        dict(seconds),
        {name: header == f"Bearer {peers.ACCESS_TOKEN}" for name, header in headers.items()},
    )


def _run(code: str, path: Path) -> tuple[float, str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "ARIES_CLIENT_SECRET": peers.CLIENT_SECRET},
        cwd="/",
        check=True,
    )
    taken, header, loaded = json.loads(done.stdout)
    return float(taken), str(header), list(loaded)
