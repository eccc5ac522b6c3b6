"""English that people in a hurry can read: the rules of the docs, and whoever breaks them.

`python docs/checks/prose.py` or `nox -s prose`. The rules are in prose.rules; breaking one is a fault: exit code 1. The
pages are held to them, and the package's docstrings, comments and messages. In a page, a sentence of more than 30 words
is a warning. Not looked at: code, addresses of links, and what stands between `<!-- prose: off -->` and
`<!-- prose: on -->`.
"""

from __future__ import annotations

import ast
import functools
import io
import re
import sys
import tokenize
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
# What a docstring can stand in, and how many words make a text a message.
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_MESSAGE = 4
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


def modules() -> list[Path]:
    """The modules of the package, which are held to them, too."""
    return sorted((ROOT / "aries_auth").rglob("*.py"))


def check(path: Path) -> list[Finding]:
    """What breaks a rule in a file."""
    findings: list[Finding] = []
    text = path.read_text(encoding="utf-8")
    is_page = path.suffix == ".md"
    for line, paragraph in paragraphs(text) if is_page else remarks(text):
        for sentence in _SENTENCE.split(paragraph):
            findings += [
                Finding(path, line, advice, sentence, is_fault=True)
                for pattern, advice in rules()
                if pattern.search(sentence)
            ]
            words = len(re.findall(r"[\w'.=/-]*\w[\w'.=/-]*", sentence))
            if is_page and words > LONGEST:
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


def remarks(source: str) -> Iterator[tuple[int, str]]:
    """Each paragraph of a module's docstrings, comments and messages, with the line that it begins at."""
    for line, text in [*_texts(ast.parse(source)), *_comments(source)]:
        yield from ((line + within - 1, paragraph) for within, paragraph in paragraphs(text))


def _texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    documented = [node for node in ast.walk(tree) if isinstance(node, _DOCUMENTED) and ast.get_docstring(node)]
    for node in documented:
        yield node.body[0].lineno, ast.get_docstring(node) or ""
    seen = {id(node.body[0].value) for node in documented if isinstance(node.body[0], ast.Expr)}
    for node in ast.walk(tree):
        text = ""
        if isinstance(node, ast.JoinedStr):
            seen |= {id(part) for part in node.values}
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in seen:
            text = node.value
        if len(text.split()) >= _MESSAGE:
            yield getattr(node, "lineno", 1), " ".join(text.split())


def _comments(source: str) -> Iterator[tuple[int, str]]:
    start, lines = 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if lines and token.start[0] != start + len(lines):
            yield start, "\n".join(lines)
            lines = []
        start = start if lines else token.start[0]
        lines.append(token.string.lstrip("# "))
    yield start, "\n".join(lines)


def _read(text: str) -> str:
    text = re.sub(r"!\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", lambda found: found[1] or "this page", text)
    text = re.sub(r"\{\w+\}", "", text)
    text = re.sub(r"`([^`]*)`", lambda found: f"`{'_'.join(found[1].split())}`", text)
    return " ".join(text.replace("**", "").replace("*", "").split())


def main() -> int:
    """Print what was found; 1 if there is a fault."""
    named = [Path(name).resolve() for name in sys.argv[1:]]
    findings = [finding for path in named or [*pages(), *modules()] for finding in check(path)]
    sys.stdout.write("".join(f"{finding}\n" for finding in findings))
    faults = sum(finding.is_fault for finding in findings)
    sys.stdout.write(f"{faults} faults, {len(findings) - faults} sentences of more than {LONGEST} words\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
