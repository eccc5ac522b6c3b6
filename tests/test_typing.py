"""Types: from a user's side, in a folder and with settings that are not ours; and the package on every platform."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, Set

import pytest

pytestmark = pytest.mark.ci

CONSUMERS = Path(__file__).parent / "typing"
ROOT = Path(__file__).parent.parent
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


def _ty(program: Path) -> set[int]:
    output = _run("ty", "check", "--python", sys.executable, *CONCISE_TY, program.name, folder=program.parent)
    print(output)
    return {int(line) for line in re.findall(rf"^{program.name}:(\d+):\d+: error", output, re.MULTILINE)}


def _pyrefly(program: Path) -> set[int]:
    (program.parent / "pyrefly.toml").touch()  # without a settings file it looks for few mistakes
    where = ("--python-interpreter-path", sys.executable, "--output-format", "min-text")
    output = _run("pyrefly", "check", *where, program.name, folder=program.parent)
    print(output)
    return {int(line) for line in re.findall(rf"^ERROR .*{program.name}:(\d+):", output, re.MULTILINE)}


CONCISE_TY = ("--output-format", "concise")
CHECKERS = {"mypy": _mypy, "pyright": _pyright, "pyrefly": _pyrefly, "ty": _ty}


def needs(checker: str) -> None:
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f'{checker} is not installed; it comes with pip install ".[dev]"')


@pytest.fixture(params=CHECKERS)
def checker(request: pytest.FixtureRequest) -> Checker:
    needs(request.param)
    return CHECKERS[request.param]


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: Path(shutil.copy(CONSUMERS / name, tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_program_that_uses_the_public_names_rightly_passes(checker: Checker, program: Callable[[str], Path]) -> None:
    assert checker(program("consumer_ok.py")) == set()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mistaken_program", ["consumer_bad.py", "consumer_misspelt.py"])
def test_each_marked_mistake_is_reported_and_nothing_else(
    checker: Checker, program: Callable[[str], Path], mistaken_program: str
) -> None:
    mistaken = program(mistaken_program)
    lines = mistaken.read_text().splitlines()
    marked = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert checker(mistaken) == marked


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_clients_of_other_libraries_are_taken_and_their_async_ones_reported(
    checker: Checker, program: Callable[[str], Path]
) -> None:
    for library in ("aiohttp", "httpx2", "niquests"):
        pytest.importorskip(library, reason=f"needs {library}")
    mistaken = program("consumer_libraries.py")
    lines = mistaken.read_text().splitlines()
    assert checker(mistaken) == {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_mypy_passes_the_package_on_every_platform(platform: str) -> None:
    needs("mypy")
    output = _run("mypy", "--platform", platform, "--cache-dir", os.devnull, folder=ROOT)
    assert output.startswith("Success"), output


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("platform", ["Linux", "Darwin", "Windows"])
def test_pyright_passes_the_package_on_every_platform(platform: str) -> None:
    needs("pyright")
    output = _run("pyright", "--pythonplatform", platform, "--pythonpath", sys.executable, folder=ROOT)
    assert output.startswith("0 errors"), output


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_pyrefly_and_ty_pass_the_package() -> None:
    needs("pyrefly")
    needs("ty")
    output = _run("pyrefly", "check", "--python-interpreter-path", sys.executable, "aries_auth", folder=ROOT)
    assert "ERROR" not in output, output
    output = _run("ty", "check", "--python", sys.executable, *CONCISE_TY, "aries_auth", folder=ROOT)
    assert "error[" not in output, output


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_public_symbol_has_a_known_type(tmp_path: Path) -> None:
    needs("pyright")
    # It finds packages by the first `python` of the PATH, and the package by its source: an editable install hides it.
    paths = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pyright", "--verifytypes", "aries_auth", "--ignoreexternal", "--outputjson"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **paths}
    )
    found = json.loads(done.stdout)["typeCompleteness"]
    unknown = [symbol["name"] for symbol in found["symbols"] if symbol["isExported"] and not symbol["isTypeKnown"]]
    assert (found["completenessScore"], unknown) == (1, [])
    assert found["exportedSymbolCounts"]["withKnownType"] > 500


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_the_types_say_is_there_at_run_time(tmp_path: Path) -> None:
    """The public names are loaded when they are used, and some bases depend on what is installed."""
    needs("mypy")
    allowed = ("--allowlist", str(CONSUMERS / "stubtest.txt"), "--ignore-unused-allowlist")
    paths = {"PYTHONPATH": str(ROOT), "MYPYPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "aries_auth", *allowed],
        cwd=tmp_path,
        env={**os.environ, **paths},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
