"""What the tests of docs/ read in it."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str = "python") -> list[str]:
    """The code blocks of a page, in their order."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}[^\n]*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def block(page: str, language: str, having: str) -> str:
    """The one block of a page that has a text in it."""
    (found,) = (text for text in blocks(page, language) if having in text)
    return found
