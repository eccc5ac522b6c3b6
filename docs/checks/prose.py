"""English that people in a hurry can read: the rules of the docs, and whoever breaks them.

`python docs/checks/prose.py` or `nox -s prose`. The rules are in prose.rules; breaking one is a fault: exit code 1. A
sentence of more than 30 words is a warning. Not looked at: code, addresses of links, and what stands between
`<!-- prose: off -->` and `<!-- prose: on -->`.
"""

from __future__ import annotations

import functools
import re
import sys
from pathlib import Path
from typing import Iterator, NamedTuple

ROOT = Path(__file__).parents[2]
RULES = Path(__file__).with_name("prose.rules")
LONGEST = 30
_NOT_PROSE = re.compile(
    r"<!-- prose: off -->.*?<!-- prose: on -->|^(?P<tick>`{3,}|~{3,}|:{3,}).*?^(?P=tick)|<!--.*?-->",
    re.DOTALL | re.MULTILINE,
)
_CELL = re.compile(r"(?<!\\)\|")
_SENTENCE = re.compile(r"(?<=[.!?:;])[\"')*_]*\s+(?=[A-Z`*\[\"'(])")


class Finding(NamedTuple):
    """One place in one file."""

    path: Path
    line: int
    what: str
    sentence: str
    is_fault: bool

    def __str__(self) -> str:
        kind = "fault" if self.is_fault else "warning"
        name = self.path.relative_to(ROOT) if self.path.is_relative_to(ROOT) else self.path
        return f"{name}:{self.line}: {kind}: {self.what}\n    {self.sentence}"


@functools.lru_cache(maxsize=1)
def rules() -> list[tuple[re.Pattern[str], str]]:
    """Patterns, and what to write instead."""
    lines = RULES.read_text(encoding="utf-8").splitlines()
    split = (line.split(" => ") for line in lines if line and not line.startswith("#"))
    return [(re.compile(pattern), advice) for pattern, advice in split]


def pages() -> list[Path]:
    """What is held to the rules."""
    return [
        *sorted((ROOT / "docs").glob("*.md")),
        *(ROOT / name for name in ("CONTRIBUTING.md", "README.md") if (ROOT / name).exists()),
    ]


def check(path: Path) -> list[Finding]:
    """What breaks a rule in a file."""
    findings: list[Finding] = []
    for line, paragraph in paragraphs(path.read_text(encoding="utf-8")):
        for sentence in _SENTENCE.split(paragraph):
            findings += [
                Finding(path, line, advice, sentence, is_fault=True)
                for pattern, advice in rules()
                if pattern.search(sentence)
            ]
            words = len(re.findall(r"[\w'.=/-]*\w[\w'.=/-]*", sentence))
            if words > LONGEST:
                findings.append(Finding(path, line, f"{words} words", sentence, is_fault=False))
    return findings


def paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Each paragraph, list item and table cell with its line, as it is read: without code, marks and addresses."""
    text = _NOT_PROSE.sub(lambda found: "\n" * found[0].count("\n"), text)
    start, lines = 1, list[str]()
    for number, line in enumerate([*text.splitlines(), ""], 1):
        is_row = line.lstrip().startswith("|")
        begins = is_row or re.match(r"\s*([-*+]|\d+\.|:|#+)\s", line) is not None
        if (begins or not line.strip()) and lines:
            yield start, _read(" ".join(lines))
            lines = []
        if is_row:
            yield from ((number, _read(cell)) for cell in _CELL.split(line.strip().strip("|")) if cell.strip(" -:"))
        elif line.strip():
            start = start if lines else number
            lines.append(re.sub(r"^\s*([-*+]|\d+\.|:|#+)\s+", "", line.strip()))


def _read(text: str) -> str:
    text = re.sub(r"!\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", lambda found: found[1] or "this page", text)
    text = re.sub(r"\{\w+\}", "", text)
    text = re.sub(r"`([^`]*)`", lambda found: f"`{'_'.join(found[1].split())}`", text)
    return " ".join(text.replace("**", "").replace("*", "").split())


def main() -> int:
    """Print what was found; 1 if there is a fault."""
    named = [Path(name).resolve() for name in sys.argv[1:]]
    findings = [finding for path in named or pages() for finding in check(path)]
    sys.stdout.write("".join(f"{finding}\n" for finding in findings))
    faults = sum(finding.is_fault for finding in findings)
    sys.stdout.write(f"{faults} faults, {len(findings) - faults} sentences of more than {LONGEST} words\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
