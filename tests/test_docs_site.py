"""The site's structure: nothing public is missing, every page is found, and the first questions have their answers."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def in_the_contents() -> set[str]:
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```", text("index.md"), re.DOTALL | re.MULTILINE)
    return {line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")}


@pytest.mark.parametrize("module", ["aries_auth", "aries_auth.sql", "aries_auth.testing"])
def test_every_public_name_is_in_the_reference(module: str) -> None:
    if module == "aries_auth.sql":
        pytest.importorskip("sqlalchemy")
    reference = "".join(text(name) for name in ("api.md", "api-stores.md", "api-testing.md"))
    documented = set(re.findall(r"^\.\. (?:auto\w+|py:data):: ([\w.]+)", reference, re.MULTILINE))
    assert not [name for name in importlib.import_module(module).__all__ if f"{module}.{name}" not in documented]


def test_every_parameter_and_variable_is_in_the_table() -> None:
    from aries_auth import AriesAuth, FileTokenStore

    table = text("parameters.md")
    names = {*inspect.signature(AriesAuth).parameters, *inspect.signature(FileTokenStore).parameters} - {"path"}
    assert not [name for name in sorted(names) if f"`{name}`" not in table]
    package = ROOT / "aries_auth"
    modules = [path for room in ("settings", "authorization", "cli") for path in (package / room).glob("*.py")]
    sources = "".join(path.read_text(encoding="utf-8") for path in modules)
    variables = set(re.findall(r'"(ARIES_[A-Z_]*[A-Z])"', sources))
    assert not [name for name in sorted(variables) if f"`{name}`" not in table]


def test_every_page_is_in_the_contents() -> None:
    pages = {path.stem for path in DOCS.iterdir() if path.suffix in (".md", ".ipynb")} - {"index"}
    assert in_the_contents() == pages


QUESTIONS = {
    "Where is my token kept?": r"~/\.local/share/aries-auth/default\.json",
    "How do I log in on a server without a browser?": r"paste it into the terminal",
    "How do I use two accounts?": r'AriesAuth\(profile="paper"\)',
    "What happens at 9:30 when the refresh token has expired?": r"The call raises `LoginRequired`",
    "How do I run this in Celery?": r"worker_process_shutdown",
    "How do I run this in Docker?": r"docker compose run --rm trader aries-auth login --paste",
    "How do I use it behind a company proxy?": r"export HTTPS_PROXY=",
    "How do I test my code without Aries?": r"aries_sandbox",
    "How do I rotate the encryption key?": r"aries-auth rekey",
    "What can be lost?": r"the login is lost, and a person has to log in again",
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_of_a_newcomer_is_answered_one_click_from_the_front_page(question: str) -> None:
    (target,) = re.findall(rf"^\| {re.escape(question)} \| \[[^\]]+\]\(([^)]+)\) \|$", text("index.md"), re.MULTILINE)
    page, _, anchor = target.partition("#")
    headings = re.findall(r"^#+ (.+)$", text(page), re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert not anchor or anchor in slugs
    assert re.search(QUESTIONS[question], text(page))


def test_nothing_in_the_docs_is_named_that_is_not_in_the_repository() -> None:
    for page in DOCS.glob("*.md"):
        for path in re.findall(r"(?:tests|benchmarks|aries_auth)/[\w./]*\w", page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists() or (ROOT / f"{path}.py").exists(), f"{page.name}: {path}"


_CALL = re.compile(r"\b(?:requests|session|client|aries|api)\.(?:get|post)\(")
_CHECK = re.compile(r"raise_for_status(\(\)|=True)|\bassert\b")


def programs() -> list[tuple[str, str]]:
    """Each Python block of the README and the pages, and each example, with where it is."""
    found = [(path.name, path.read_text(encoding="utf-8")) for path in (DOCS / "examples").glob("*.py")]
    for page in [ROOT / "README.md", *DOCS.glob("*.md")]:
        blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        found += [(f"{page.name}: {block.splitlines()[0]}", block) for block in blocks]
    return found


def test_each_example_that_calls_checks_its_answer() -> None:
    calling = [(where, code) for where, code in programs() if _CALL.search(code)]
    assert len(calling) > 30
    assert not [where for where, code in calling if not _CHECK.search(code)]


def test_each_page_begins_with_what_it_is_for() -> None:
    for page in DOCS.glob("*.md"):
        title, _, rest = page.read_text(encoding="utf-8").partition("\n")
        if title.startswith("# "):  # the others include a page of the repository
            assert re.match(r"\n(?!#|```|:::|\||<!--|!\[)\S", rest), f"{page.name}: no paragraph below the title"
