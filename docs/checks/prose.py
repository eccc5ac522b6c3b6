"""English that people in a hurry can read: the rules of the docs, and whoever breaks them.

`python docs/checks/prose.py` or `nox -s prose`. A fault ends in exit code 1; a sentence of more than 30 words is a warning.
Code, tables' bars, links' addresses and what stands between `<!-- prose: off -->` and `<!-- prose: on -->` is not looked at.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Iterator, NamedTuple

ROOT = Path(__file__).parents[2]
LONGEST = 30
# What is written here, and what to write. Patterns look at one sentence at a time.
RULES = [
    (r"^Where (?!.*\?$)(?!to go)(?=.*, )", "'Where' is a place: if, or when"),
    (r", where (it|they|there|that|this|these|one|nobody|somebody|you) (is|are|has|have|can|can't|does|do|don't)\b", "'where' is a place: if"),
    (r"(?<!place )(?<!file )(?<!host )(?<!folder )(?<!computer )\bwhere (there (is|are) (no|none|nobody|somebody)|none|no one)\b", "'where' is a place: if"),
    (r"\b(is|are|was|were|be|been|being) (not )?had\b", "a passive 'had': say who gets what"),
    (r"\b[Oo]ne (file|store|row|line|grant|login|object|token|request|call|use|second|thread) an? (user|profile|process|host|second|hour|minute|grant|state|call|refresh)\b", "'a user' for 'per user'"),
    (r"\ba (store|row|line|file|grant|login) a (user|profile|process|host|check)\b", "'a store a user': one store per user"),
    (r"\btimes? a (call|refresh)\b", "per call, for each refresh"),
    (r"\bcomes? in last call\b", "in last call, a call waits"),
    (r"\bof (ours|theirs|one's own)\b", "say whose"),
    (r"^(Else|Likewise)\b", "Otherwise; the same holds for"),
    (r"\bin the place of\b", "instead of"),
    (r"\bso that (?=.*\bso that\b)", "two purposes in one sentence"),
    (r"\bwith no (harm|trouble)\b", "say what happens"),
    (r"\bthat comes of it\b", "say what it is"),
    (r"\b(takes|needs) a flow, a store\b", "You need a flow, one store per user"),
    (r"\b[Nn]ot had in time\b", "timed out waiting"),
    (r"\bto the letter\b", "exactly"),
    (r"\bwith a view\b|\bin order to\b|\bas regards\b", "shorter"),
    (r"\b(should|were) (he|it|they|the \w+) \w+( \w+)*, ", "if it"),
    (r"\b(simply|just|easily|obviously|of course|basically)\b", "leave it out"),
    (r"\bkin\b(?! of)", "and the other variables"),
    (r"\bby itself\b(?=.*\bby itself\b)", "once is enough"),
]  # fmt: skip
COMPILED = [(re.compile(pattern), advice) for pattern, advice in RULES]
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


def pages() -> list[Path]:
    """What is held to the rules."""
    return [
        *sorted((ROOT / "docs").glob("*.md")),
        *(ROOT / name for name in ("CONTRIBUTING.md",) if (ROOT / name).exists()),
    ]


def check(path: Path) -> list[Finding]:
    """What breaks a rule in a file."""
    findings: list[Finding] = []
    for line, paragraph in paragraphs(path.read_text(encoding="utf-8")):
        for sentence in _SENTENCE.split(paragraph):
            findings += [
                Finding(path, line, advice, sentence, is_fault=True)
                for pattern, advice in COMPILED
                if pattern.search(sentence)
            ]
            words = len(re.findall(r"[\w'’.=/-]*\w[\w'’.=/-]*", sentence))
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
