"""Frozen programs: a real one-file build by PyInstaller, and a zipapp, of a program and of the command."""

from __future__ import annotations

import importlib.util
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


def run(*command: object, environment: dict[str, str], timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    text = [str(part) for part in command]
    return subprocess.run(text, env=environment, capture_output=True, text=True, timeout=timeout, check=False)


def check(frozen: list[object], aries: AriesSandbox, url: str, environment: dict[str, str]) -> None:
    called = run(*frozen, "call", url, environment=environment)
    assert (called.stdout, called.returncode) == ("called\n", 0), called.stderr
    assert aries.refresh_count == 1
    assert "aries-auth/0 " not in (aries.token_requests[0].user_agent or ""), "its version is known"
    for subcommand in ("status", "token", "refresh"):
        done = run(*frozen, subcommand, environment=environment)
        assert done.returncode == 0, (subcommand, done.stderr)
    assert aries.refresh_count == 2


# Analysing what two HTTP libraries import takes a minute of a processor.
@pytest.mark.soak
@pytest.mark.timeout(900)
def test_pyinstaller_makes_one_file_of_a_program_and_of_the_command(
    aries: AriesSandbox, url: str, stored: Callable[..., Token], tmp_path: Path, environment: dict[str, str]
) -> None:
    if importlib.util.find_spec("PyInstaller") is None:
        pytest.skip("needs PyInstaller")
    stored(age=EXPIRED)
    (tmp_path / "program.py").write_text(PROGRAM)
    folders = [f"--{name}path={tmp_path / name}" for name in ("dist", "work", "spec")]
    hooks = f"--additional-hooks-dir={HOOKS}"  # as the entry point says, which a checkout need not have
    built = run(
        *(sys.executable, "-m", "PyInstaller", "--onefile", "--log-level=ERROR", *folders, hooks),
        tmp_path / "program.py",
        environment={**environment, "PYTHONPATH": str(ROOT)},
        timeout=900,
    )
    assert built.returncode == 0, built.stderr
    check([tmp_path / "dist" / "program"], aries, url, environment)


def test_the_entry_point_names_the_folder_of_the_hook() -> None:
    from aries_auth.integrations.pyinstaller import get_hook_dirs

    [folder] = get_hook_dirs()  # of the installed package, or of this checkout
    assert (Path(folder) / "hook-aries_auth.py").is_file()
    assert (HOOKS / "hook-aries_auth.py").is_file()


def test_a_zipapp_calls_and_has_the_command(
    aries: AriesSandbox, url: str, stored: Callable[..., Token], tmp_path: Path, environment: dict[str, str]
) -> None:
    """The package itself is inside the archive; its dependencies are the interpreter's. shiv and pex unpack theirs."""
    stored(age=EXPIRED)
    source = tmp_path / "source"
    source.mkdir()
    (source / "__main__.py").write_text(PROGRAM)
    for path in (ROOT / "aries_auth").rglob("*.py"):
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    zipapp.create_archive(source, tmp_path / "program.pyz")
    frozen = [sys.executable, tmp_path / "program.pyz"]
    program = "import sys; sys.path.insert(0, sys.argv[1]); import aries_auth; print(aries_auth.__file__)"
    where = run(sys.executable, "-c", program, frozen[1], environment=environment)
    assert "program.pyz" in where.stdout
    check(frozen, aries, url, environment)
