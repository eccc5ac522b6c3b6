"""The English of docs/ keeps to the rules of docs/checks/prose.py, and the rules find what they are for."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "docs" / "checks" / "prose.py"
pytestmark = pytest.mark.skipif(sys.version_info < (3, 10), reason="docs/ is built on a current Python")


@pytest.fixture(scope="module")
def prose() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_prose", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses and tuples look themselves up there
    spec.loader.exec_module(module)
    return module


def test_no_page_breaks_a_rule(prose: ModuleType) -> None:
    faults = [str(one) for page in prose.pages() for one in prose.check(page) if one.is_fault]
    assert not faults, "\n".join(faults)


def test_no_docstring_comment_or_message_of_the_package_breaks_a_rule(prose: ModuleType) -> None:
    assert len(prose.modules()) > 50
    later = {"refresh", "token_endpoint", "singleflight", "api_call"}
    modules = [module for module in prose.modules() if not later & set(module.parts)]
    faults = [str(one) for module in modules for one in prose.check(module)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "code, line",
    [
        ('"""A module.\n\nElse it fails.\n"""\n', 3),
        ('def look():\n    """Empty where it is not known."""\n', 2),
        ("x = 1\n# It has to be\n# looked for, but was not had in time.\n", 2),
        ("x = 1  # none of ours\n", 1),
        ('raise OSError(f"{name} was not had in {seconds} s")\n', 1),
    ],
    ids=["of a module", "of a function", "comment of two lines", "comment behind code", "message"],
)
def test_a_rule_is_for_the_texts_in_code_too(prose: ModuleType, tmp_path: Path, code: str, line: int) -> None:
    (tmp_path / "module.py").write_text(code, encoding="utf-8")
    assert [one.line for one in prose.check(tmp_path / "module.py")] == [line]


def test_code_itself_is_no_prose(prose: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text('had = ours = "one file"\nprint(had if ours else 0)\n', encoding="utf-8")
    assert not prose.check(tmp_path / "module.py")


@pytest.mark.parametrize(
    "bad",
    [
        "Where the hot path is slow, look at the store.",
        "The lock was not had in time.",
        "That takes a flow, a store a user, and a session.",
        "One file a profile.",
        "There is no lock server of ours.",
        "Else it fails.",
        "It is None where that is not known.",
        "A mock answers in the place of Aries.",
    ],
)
def test_a_rule_finds_what_it_is_for(prose: ModuleType, tmp_path: Path, bad: str) -> None:
    (tmp_path / "page.md").write_text(f"# Title\n\n{bad}\n", encoding="utf-8")
    assert {one.line for one in prose.check(tmp_path / "page.md") if one.is_fault} == {3}


@pytest.mark.parametrize(
    "good",
    [
        "Where is my token kept?",
        "If the store is slow, look at it.",
        "The folder where it is kept is private.",
        "```python\n# Where the token is, look.\n```",
        "A call `where it is not known` is code.",
    ],
)
def test_a_rule_leaves_good_english_and_code_alone(prose: ModuleType, tmp_path: Path, good: str) -> None:
    (tmp_path / "page.md").write_text(f"# Title\n\n{good}\n", encoding="utf-8")
    assert not [one for one in prose.check(tmp_path / "page.md") if one.is_fault]


def test_a_long_sentence_is_a_warning(prose: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("Word " * 30 + "end.\n", encoding="utf-8")
    (found,) = prose.check(tmp_path / "page.md")
    assert (found.is_fault, found.what) == (False, "31 words")
