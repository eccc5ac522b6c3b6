"""Types from a user's side: the installed package, in a folder and with settings that are not ours."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, Set

import pytest

pytestmark = pytest.mark.ci

CONSUMERS = Path(__file__).parent / "typing"
Checker = Callable[[Path], Set[int]]


def _run(*command: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode in (0, 1), f"{command[0]} did not run:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _mypy(program: Path) -> set[int]:
    output = _run("mypy", "--strict", "--config-file=", "--no-incremental", program.name, folder=program.parent)
    print(output)
    return {int(line) for line in re.findall(rf"^{program.name}:(\d+):(?:\d+:)? error:", output, re.MULTILINE)}


def _pyright(program: Path) -> set[int]:
    settings = {
        "include": [program.name],
        "typeCheckingMode": "strict",
        # Opinions about a program's style, which the marked mistakes would raise besides.
        "reportUnusedExpression": False,
        "reportUnusedCoroutine": False,
    }
    (program.parent / "pyrightconfig.json").write_text(json.dumps(settings))
    output = _run("pyright", "--outputjson", "--pythonpath", sys.executable, folder=program.parent)
    print(output)
    found = json.loads(output)["generalDiagnostics"]
    return {each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"}


@pytest.fixture(params=["mypy", "pyright"])
def checker(request: pytest.FixtureRequest) -> Checker:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed; it comes with the dependency group types")
    return {"mypy": _mypy, "pyright": _pyright}[request.param]


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: Path(shutil.copy(CONSUMERS / name, tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_program_that_uses_the_public_names_rightly_passes(checker: Checker, program: Callable[[str], Path]) -> None:
    assert checker(program("consumer_ok.py")) == set()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_each_marked_mistake_is_reported_and_nothing_else(checker: Checker, program: Callable[[str], Path]) -> None:
    mistaken = program("consumer_bad.py")
    lines = mistaken.read_text().splitlines()
    marked = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert checker(mistaken) == marked
