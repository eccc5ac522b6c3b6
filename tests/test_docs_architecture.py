"""docs/architecture.md is what code cites: each cited heading is there, and its pictures are as their texts say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PICTURES = ROOT / "docs" / "pictures"
_CITATION = re.compile(r'docs/architecture\.md,\s+(?:#\s+)?(\\?"[^"\n]+"(?:(?:,| and| or)\s+(?:#\s+)?\\?"[^"\n]+")*)')


def cited_files() -> list[Path]:
    folders = ("aries_auth", "tests", "benchmarks", "docs")
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")) if "_build" not in path.parts]
    return [*files, *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md")), ROOT / "noxfile.py"]


def headings() -> set[str]:
    return set(re.findall(r"^#{1,4} (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))


def citations(text: str) -> list[str]:
    return [name.strip('\\"') for found in _CITATION.findall(text) for name in re.findall(r'"[^"]+"', found)]


def test_citations_are_found_in_prose_comments_and_broken_lines() -> None:
    cited = 'see docs/architecture.md, "A" and "B"; # docs/architecture.md,\n    # "C".'
    assert citations(cited) == ["A", "B", "C"]


def test_each_cited_heading_of_the_architecture_page_exists() -> None:
    cited = [(path, name) for path in cited_files() for name in citations(path.read_text(encoding="utf-8"))]
    if not PAGE.exists():
        pytest.skip("no docs here")
    here = Path(__file__)
    missing = [f"{path.relative_to(ROOT)}: {name}" for path, name in cited if path != here and name not in headings()]
    assert not missing
    assert len(cited) > 10


def test_nothing_cites_a_design_that_is_not_in_the_repository() -> None:
    old = "DESIGN" + " section"
    citing = [str(path.relative_to(ROOT)) for path in cited_files() if old in path.read_text(encoding="utf-8")]
    assert not citing


@pytest.mark.skipif(sys.version_info < (3, 10), reason="docs/ is built on a current Python")
def test_each_picture_is_what_its_text_draws(tmp_path: Path) -> None:
    for path in [PICTURES / "draw.py", *PICTURES.glob("*.txt")]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    subprocess.run([sys.executable, str(tmp_path / "draw.py")], check=True, stdout=subprocess.DEVNULL)
    texts = {path.stem for path in PICTURES.glob("*.txt")}
    stale = [name for name in sorted(texts) if (tmp_path / f"{name}.svg").read_bytes() != _drawn(name)]
    assert not stale, "run python docs/pictures/draw.py"


def _drawn(name: str) -> bytes:
    path = PICTURES / f"{name}.svg"
    return path.read_bytes() if path.exists() else b""


def test_each_file_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", PAGE.read_text(encoding="utf-8")))
    assert not [name for name in sorted(named) if not (ROOT / "aries_auth" / name).exists()]
    assert len(named) > 10


def test_each_layer_of_the_page_is_a_layer_of_the_contract() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contract = re.findall(r"aries_auth\.(\w+)", re.findall(r"layers = \[(.*?)\]", text, re.DOTALL)[0])
    rows = re.findall(r"^row: (.*)$", (PICTURES / "layers.txt").read_text(encoding="utf-8"), re.MULTILINE)
    names = [cell.split("|")[0] for row in rows for cell in row.split(";")]
    assert {name.strip() for cell in names for name in cell.split(",")} == set(contract)


def test_each_picture_on_a_page_is_there_and_says_what_it_shows() -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        for alt, name in re.findall(r"!\[([^\]]*)\]\(([^)]+\.svg)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / name).exists(), f"{page.name}: {name}"
            assert len(alt) > 20, f"{page.name}: {name} has no text for those who can't see it"
