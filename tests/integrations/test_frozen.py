"""Frozen programs: real builds by PyInstaller, Nuitka, shiv, pex and zipapp, of a program and of the command."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipapp
from pathlib import Path
from typing import Callable

import pytest

from aries_auth import Token
from aries_auth.testing import AriesSandbox
from tests.cli_process import clean_environment
from tests.conftest import EXPIRED, ROOT
from tests.ecosystem.pages import block

HOOKS = ROOT / "aries_auth" / "integrations" / "pyinstaller"
PROGRAM = """
import sys

if sys.argv[1] == "call":
    import httpx
    import requests

    from aries_auth import AriesAuth

    auth = AriesAuth()
    assert requests.get(sys.argv[2], auth=auth, timeout=20).status_code == 200
    assert httpx.get(sys.argv[2], auth=auth, timeout=20).status_code == 200
    print("called")
else:
    from aries_auth.cli import main

    main()
"""


@pytest.fixture
def environment(aries: AriesSandbox, store_path: Path, tmp_path: Path) -> dict[str, str]:
    return clean_environment(tmp_path, **aries.environ, ARIES_TOKEN_FILE=str(store_path))


@pytest.fixture
def program(tmp_path: Path, stored: Callable[..., Token]) -> Path:
    stored(age=EXPIRED)
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def run(*command: object, environment: dict[str, str], timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    text = [str(part) for part in command]
    return subprocess.run(text, env=environment, capture_output=True, text=True, timeout=timeout, check=False)


def build(*command: object, timeout: float = 900.0, **variables: str) -> None:
    """With the user's own environment, in which pip finds its package index."""
    done = run(*command, environment={**os.environ, **variables}, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr


def installed(folder: Path) -> Path:
    """Where the package is, with its entry points, as its users have it."""
    site = folder / "site"
    build(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, ROOT)
    return site


def needs(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"needs {module}")


def check(frozen: list[object], aries: AriesSandbox, url: str, environment: dict[str, str]) -> None:
    called = run(*frozen, "call", url, environment=environment)
    assert (called.stdout, called.returncode) == ("called\n", 0), called.stderr
    assert aries.refresh_count == 1
    assert "aries-auth/0 " not in (aries.token_requests[0].user_agent or ""), "its version is known"
    check_command(frozen, aries, environment)


def check_command(frozen: list[object], aries: AriesSandbox, environment: dict[str, str]) -> None:
    refreshed = aries.refresh_count
    for subcommand in ("status", "token", "refresh", "doctor"):
        done = run(*frozen, subcommand, environment=environment)
        assert done.returncode == 0, (subcommand, done.stdout, done.stderr)
    assert aries.refresh_count == refreshed + 1
    demo = run(*frozen, "demo", environment=environment, timeout=200.0)
    assert (demo.returncode, "second process" in demo.stdout) == (0, True), demo.stdout + demo.stderr
    shown = run(*frozen, "login", "--help", environment=environment)
    assert (shown.returncode, "--save-secret" in shown.stdout) == (0, True), shown.stderr


# Analysing what two HTTP libraries import takes a minute of a processor. The entry point names the hook.
@pytest.mark.soak
@pytest.mark.timeout(900)
def test_pyinstaller_makes_one_file_of_a_program_and_of_the_command(
    aries: AriesSandbox, url: str, program: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    needs("PyInstaller")
    folders = [f"--{name}path={tmp_path / name}" for name in ("dist", "work", "spec")]
    command = [sys.executable, "-m", "PyInstaller", "--onefile", "--log-level=ERROR", *folders, program]
    build(*command, PYTHONPATH=str(installed(tmp_path)))
    check([tmp_path / "dist" / "program"], aries, url, environment)


def environment_with(folder: Path, *packages: object) -> Path:
    """The Python of an environment that has these packages alone: Nuitka compiles whatever it can import."""
    build(sys.executable, "-m", "venv", folder)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    build(python, "-m", "pip", "install", "--quiet", *packages)
    return python


# Compiling what two HTTP libraries import takes many minutes of a processor.
@pytest.mark.soak
@pytest.mark.timeout(5400)
def test_nuitka_compiles_a_program_and_the_command(
    aries: AriesSandbox, url: str, program: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    needs("nuitka")
    if sys.platform == "linux" and shutil.which("patchelf") is None:
        pytest.skip("needs patchelf")
    python = environment_with(tmp_path / "venv", "nuitka", ROOT)
    [options] = re.findall(r"python -m nuitka (.*) program\.py", block("other-libraries", "sh", "nuitka"))
    ours = ["--lto=no", f"--output-dir={tmp_path}", "--assume-yes-for-downloads"]
    unoptimized = {"CCFLAGS": "-O0"}  # a third of the time
    build(python, "-m", "nuitka", *options.split(), *ours, program, timeout=5000, **unoptimized)
    [compiled] = [path for path in (tmp_path / "program.dist").iterdir() if path.stem == "program"]
    check([compiled], aries, url, environment)


# What they put into their files comes from a package index.
@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("module", ["shiv", "pex"])
def test_a_file_with_all_its_dependencies_has_the_command_and_calls(
    module: str, aries: AriesSandbox, url: str, program: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    needs(module)
    made = tmp_path / f"aries-auth.{module}"
    build(sys.executable, "-m", module, "-c", "aries-auth", "-o", made, ROOT, PEX_ROOT=str(tmp_path / "build"))
    command: list[object] = [sys.executable, made]
    as_python = {f"{module.upper()}_INTERPRETER": "1"}
    check([*command, program], aries, url, {**environment, **as_python})
    check_command(command, aries, environment)


def test_the_entry_point_names_the_folder_of_the_hook() -> None:
    from aries_auth.integrations.pyinstaller import get_hook_dirs

    [folder] = get_hook_dirs()  # of the installed package, or of this checkout
    assert (Path(folder) / "hook-aries_auth.py").is_file()
    assert (HOOKS / "hook-aries_auth.py").is_file()


@pytest.mark.ci
def test_a_zipapp_calls_and_has_the_command(
    aries: AriesSandbox, url: str, program: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    """The package itself is inside the archive; its dependencies are the interpreter's. shiv and pex unpack theirs."""
    source = tmp_path / "source"
    source.mkdir()
    program.rename(source / "__main__.py")
    for path in (ROOT / "aries_auth").rglob("*.py"):
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    metadata = source / "aries_auth-7.8.9.dist-info" / "METADATA"  # as `pip install --target` puts it there
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: aries-auth\nVersion: 7.8.9\n")
    zipapp.create_archive(source, tmp_path / "program.pyz")
    frozen = [sys.executable, tmp_path / "program.pyz"]
    where_is_it = "import sys; sys.path.insert(0, sys.argv[1]); import aries_auth; print(aries_auth.__file__)"
    where = run(sys.executable, "-c", where_is_it, frozen[1], environment=environment)
    assert "program.pyz" in where.stdout
    check(frozen, aries, url, environment)
    assert (aries.token_requests[0].user_agent or "").startswith("aries-auth/7.8.9 ")
