"""The public names and their signatures, as text: ``python -m tests.public_api --write`` renews public_api.txt.

Without an argument (``nox -s public_api``) it compares public_api.txt with the last release's: whatever differs must be
named in the changelog's newest section.
"""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

HERE = Path(__file__).parent
RECORD = HERE / "public_api.txt"
MODULES = ("aries_auth", "aries_auth.sql", "aries_auth.testing")
_ONLY = {"aries_auth.sql": ["SQLTokenStore"]}
_OURS = {"decoded", "engine", "error", "session", "transaction"}  # of SQLTokenStore, for its own package


def described(module: str) -> list[str]:
    """A line for each public name of a module, and for each public attribute of its classes."""
    loaded = importlib.import_module(module)
    lines: list[str] = []
    for name in sorted(_ONLY.get(module, loaded.__all__)):
        lines.extend(_of(f"{module}.{name}", getattr(loaded, name)))
    return lines


def _of(name: str, thing: Any) -> Iterator[str]:
    if not inspect.isclass(thing):
        yield name + (_signature(thing) if callable(thing) else "")
        return
    is_protocol = getattr(thing, "_is_protocol", False)
    # Public classes say that they are the package's own; AriesAuth has another base where there is an httpx2.
    bases = [base.__name__ for base in thing.__mro__[1:] if base.__module__ in MODULES]
    yield name + ("" if is_protocol or issubclass(thing, BaseException) else _signature(thing)) + _in_brackets(bases)
    for attribute, found in sorted(vars(thing).items()):
        if attribute.startswith("_") or attribute in _OURS:
            continue
        value = found.__func__ if isinstance(found, (classmethod, staticmethod)) else found
        if inspect.isfunction(value):
            kind = "async " if inspect.iscoroutinefunction(value) else ""
            yield f"{kind}{name}.{attribute}{_signature(value)}"
        elif isinstance(value, property):
            yield f"{name}.{attribute} (property)"


def _in_brackets(bases: list[str]) -> str:
    return f" [{', '.join(bases)}]" if bases else ""


def _signature(thing: Any) -> str:
    parameters = list(inspect.signature(thing).parameters.values())
    texts: list[str] = []
    star = False
    for each in parameters:
        if each.kind is each.VAR_POSITIONAL:
            star = True
        if each.kind is each.KEYWORD_ONLY and not star:
            texts.append("*")
            star = True
        mark = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        default = "" if each.default is each.empty else f" = {_stable(each.default)}"
        texts.append(f"{mark}{each.name}{default}")
    return f"({', '.join(texts)})"


def _stable(default: Any) -> str:
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(default))


def recorded(module: str) -> list[str]:
    """The lines of a module in public_api.txt."""
    return _section(RECORD.read_text(encoding="utf-8"), module)


def _section(text: str, module: str) -> list[str]:
    found = re.search(rf"^# {re.escape(module)}$\n(.*?)(?=^# |\Z)", text, re.DOTALL | re.MULTILINE)
    return found[1].splitlines() if found else []


def write() -> None:
    text = "".join(f"# {module}\n" + "".join(f"{line}\n" for line in described(module)) for module in MODULES)
    RECORD.write_text(text, encoding="utf-8")


def unexplained(before: str, now: str, changelog: str) -> list[str]:
    """The lines that differ and whose name the newest section of the changelog does not have."""
    newest = changelog.split("\n## ")[1]
    differ = set(before.splitlines()) ^ set(now.splitlines())
    return sorted(line for line in differ if not line.startswith("#") and _name(line) not in newest)


def _name(line: str) -> str:
    return re.split(r"[ (\[]", line.replace("async ", "", 1))[0].rpartition(".")[2]


def compare_with_last_release() -> int:
    tag = _git("describe", "--tags", "--abbrev=0", "--match", "v*").strip()
    if not tag:
        print("There is no release to compare with.")
        return 0
    before = _git("show", f"{tag}:tests/public_api.txt")
    changelog = (HERE.parent / "CHANGELOG.md").read_text(encoding="utf-8")
    missing = unexplained(before, RECORD.read_text(encoding="utf-8"), changelog)
    if missing:
        print(f"Changed since {tag}, and not named in the newest section of CHANGELOG.md:", *missing, sep="\n")
    return 1 if missing else 0


def _git(*command: str) -> str:
    """What git says; nothing where it fails."""
    done = subprocess.run(["git", "-C", str(HERE.parent), *command], check=False, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    else:
        sys.exit(compare_with_last_release())
