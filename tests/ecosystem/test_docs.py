"""The recipes of docs/testing.md are test files, and run as such, each as it stands there."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli_process import clean_environment

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "testing.md"
FENCE = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Plugins by name, so that the recipes run where this package is not installed, too.
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "aries_auth.testing.plugin")
PLUGIN_OF = {"httpx_mock": "pytest_httpx"}


class Recipe(NamedTuple):
    line: int
    code: str

    @property
    def plugins(self) -> list[str]:
        """The pytest plugins that bring the fixtures it asks for."""
        arguments = {node.arg for node in ast.walk(ast.parse(self.code)) if isinstance(node, ast.arg)}
        return [plugin for fixture, plugin in PLUGIN_OF.items() if fixture in arguments]

    @property
    def modules(self) -> set[str]:
        """The top-level modules that it imports."""
        names: list[str] = []
        for node in ast.walk(ast.parse(self.code)):
            if isinstance(node, ast.Import):
                names += [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
        return {name.partition(".")[0] for name in names}


def recipes() -> list[Recipe]:
    text = PAGE.read_text(encoding="utf-8")
    every = [Recipe(text[: found.start()].count("\n") + 1, found.group(1)) for found in FENCE.finditer(text)]
    return [recipe for recipe in every if "def test_" in recipe.code]  # the rest is for a conftest.py


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: f"testing.md:{recipe.line}")
def test_the_recipe_runs(recipe: Recipe, tmp_path: Path) -> None:
    missing = [name for name in {*recipe.modules, *recipe.plugins} if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(sorted(missing))}")
    (tmp_path / "test_recipe.py").write_text(recipe.code, encoding="utf-8")
    environment = clean_environment(tmp_path, PYTHONPATH=str(ROOT), PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    done = subprocess.run(
        [sys.executable, *PYTEST, *(f"-p{plugin}" for plugin in recipe.plugins), "test_recipe.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
