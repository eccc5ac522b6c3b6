"""docs/security.md says "met" of nothing that no test proves."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "security.md"
WORDS = frozenset({"met", "not met", "not met by default", "not applicable"})


def rows() -> list[list[str]]:
    """The rows of the tables of the standards: section, what, met, how, test."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| [0-9]", line)]
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]


def names_in(folder: Path) -> set[str]:
    names: set[str] = set()
    for path in folder.rglob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names |= {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    return names


def test_there_are_rows() -> None:
    assert len(rows()) > 35


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_what_is_met_names_a_test_and_what_is_not_says_why(row: list[str]) -> None:
    _, _, met, how, named = [*row, ""][:5]
    assert met in WORDS
    assert how
    assert (met == "met") == bool(re.search(r"`test_\w+`", named))


def test_every_test_that_is_named_exists() -> None:
    named = {name for row in rows() for name in re.findall(r"`(test_\w+)`", row[-1])}
    assert named
    assert named - names_in(ROOT / "tests") == set()
