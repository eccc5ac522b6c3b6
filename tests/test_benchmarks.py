"""The benchmarks run, and every contender does what it is timed for. How fast is nothing that a test asserts."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXTRA = ["authlib", "google.auth", "httpx_auth", "matplotlib", "pyperf", "requests_oauth2client", "requests_oauthlib"]

pytestmark = [
    pytest.mark.skipif(sys.version_info < (3, 9), reason="the benchmarks are written for Python 3.9 on"),
    pytest.mark.skipif(sys.platform == "win32", reason="the floors use flock"),
    pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="benchmarks/ is no part of what is installed"),
]


@pytest.fixture(autouse=True, scope="module")
def _extra() -> None:
    for module in EXTRA:
        pytest.importorskip(module, reason="needs the extra bench")


@pytest.mark.ci
@pytest.mark.slow
def test_a_smoke_run_answers_for_every_contender(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.json"
    command = [sys.executable, "-m", "benchmarks", "--smoke", "--json", str(path), "--plot", str(tmp_path / "plot.svg")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=100)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    results = json.loads(path.read_text())["results"]
    others = [name for name in ("aiohttp", "niquests") if importlib.util.find_spec(name)]
    assert len(results) == 18 + len(others)
    for result in results:
        assert f"### {result['title']}" in done.stdout
        assert result["rows"], result["name"]
        assert result["answered"], result["name"]
        assert all(result["answered"].values()), (result["name"], result["answered"])
    assert (tmp_path / "plot.svg").read_text().startswith("<?xml")


def test_a_bar_that_is_missed_ends_a_run_with_1(tmp_path: Path) -> None:
    program = (
        "import sys; from benchmarks import __main__ as main, results\n"
        "bar = results.Bar('impossible', 2.0, 1.0)\n"
        "result = results.Result('adoption', 'Impossible', ['what'], [['it']], [bar])\n"
        "main.MEASUREMENTS = {'adoption': lambda size: result}\n"
        f"sys.argv[1:] = ['--only', 'adoption', '--json', {str(tmp_path / 'b.json')!r}]\n"
        "sys.exit(main.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 1, done.stderr
    assert "**missed**" in done.stdout
