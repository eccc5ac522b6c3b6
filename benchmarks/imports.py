"""What an import costs, in processor time, bytecode being there: wall time depends on who else is on the machine."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from aries_auth import FileTokenStore
from benchmarks import ours, peers
from benchmarks.results import Bar, Result, Size, short

ROOT = Path(__file__).parents[1]
_TIMED = "import sys, time; {before}; start = time.process_time(); {statement}; print(time.process_time() - start)"
_WITHOUT_HTTPX2 = "sys.modules['httpx2'] = None"
IMPORTS = {
    "`import requests, httpx`": (_WITHOUT_HTTPX2, "import requests, httpx"),
    "`from aries_auth import AriesAuth`": (_WITHOUT_HTTPX2, "from aries_auth import AriesAuth"),
    "`import aries_auth`": (_WITHOUT_HTTPX2, "import aries_auth"),
    "`import requests, httpx, httpx2`": (
        "pass",
        "import requests, httpx\ntry: import httpx2\nexcept ImportError: pass",
    ),
    "`from aries_auth import AriesAuth`, with httpx2": ("pass", "from aries_auth import AriesAuth"),
}
COMMANDS = {
    "`python -c 'import click'`": ["-c", "import click"],
    "`aries-auth --help`": ["-m", "aries_auth", "--help"],
    "`aries-auth token`": ["-m", "aries_auth", "token"],
    "`aries-auth status --json`": ["-m", "aries_auth", "status", "--json"],
}
_COMMAND_BARS = {"`aries-auth --help`": 1.3, "`aries-auth token`": 1.5, "`aries-auth status --json`": 1.5}


def _environment(cache: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": cache}


def _import(before: str, statement: str, environment: dict[str, str]) -> float:
    code = _TIMED.replace("; ", "\n").format(before=before, statement=statement)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd="/", check=True
    )
    return float(done.stdout)


def measure(size: Size) -> Result:
    result = Result("imports", "Imports, in processor time", ["what", "median", "x its floor"])
    runs = 1 if size.smoke else 5 * size.repeats
    with tempfile.TemporaryDirectory() as cache:
        environment = dict(os.environ, PYTHONPATH=str(ROOT)) if size.smoke else _environment(cache)
        FileTokenStore(Path(cache) / "token.json").save(ours.token())
        environment.update(ARIES_TOKEN_FILE=f"{cache}/token.json", ARIES_CLIENT_SECRET=peers.CLIENT_SECRET)
        seconds: dict[str, list[float]] = {name: [] for name in (*IMPORTS, *COMMANDS)}
        for run in range(0 if size.smoke else -1, runs):  # the first writes the bytecode
            for name, (before, statement) in IMPORTS.items():
                seconds[name] += [_import(before, statement, environment)] * (run >= 0)
            for name, arguments in COMMANDS.items():
                seconds[name] += [_spent(arguments, environment)] * (run >= 0)
    floor_of = dict(zip(IMPORTS, [next(iter(IMPORTS))] * 3 + [list(IMPORTS)[3]] * 2))
    floor_of.update(dict.fromkeys(COMMANDS, next(iter(COMMANDS))))
    for name, found in seconds.items():
        floor = floor_of[name]
        # Within a round: the machine changes its pace from one to the next.
        ratio = statistics.median(own / base for own, base in zip(found, seconds[floor]))
        result.rows.append([name, short(statistics.median(found)), f"{ratio:.2f}"])
        result.raw[name] = {"seconds": found, "ratio": ratio}
        result.answered[name] = True
    result.bars = [
        Bar(
            "`from aries_auth import AriesAuth` <= 1.10 x `import requests, httpx`",
            _ratio(result, list(IMPORTS)[1]),
            1.10,
        ),
        Bar("`import aries_auth` <= 1.10 x `import requests, httpx`", _ratio(result, list(IMPORTS)[2]), 1.10),
        *(
            Bar(f"{name} <= {limit} x `import click`", _ratio(result, name), limit)
            for name, limit in _COMMAND_BARS.items()
        ),
    ]
    result.notes.append("`import aries_auth` loads nothing yet; the bar is put to the name that everybody uses, too.")
    return result


def _ratio(result: Result, name: str) -> float:
    return float(result.raw[name]["ratio"])


def _spent(arguments: list[str], environment: dict[str, str]) -> float:
    """User and system time of a whole process, its start included."""
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, cwd="/"
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime
