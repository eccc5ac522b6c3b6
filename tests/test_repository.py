"""The repository agrees with itself: bounds, versions, workflows and pages that name the same things."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="reads pyproject.toml: needs Python 3.11, or tomli")
requirements = pytest.importorskip("packaging.requirements")
Version = pytest.importorskip("packaging.version").Version

ROOT = Path(__file__).parent.parent
PYTHONS = [f"3.{minor}" for minor in range(8, 16)]
USERS_EXTRAS = ("encryption", "keyring", "sql")


def _text(*path: str) -> str:
    return ROOT.joinpath(*path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads(_text("pyproject.toml"))


def _applies(requirement: Any, python: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"python_version": python})


def _admitted(pyproject: dict[str, Any], python: str) -> dict[str, Any]:
    """The lowest version of each package that users install, on a Python."""
    project = pyproject["project"]
    lines = project["dependencies"] + [
        each for extra in USERS_EXTRAS for each in project["optional-dependencies"][extra]
    ]
    found = [each for each in map(requirements.Requirement, lines) if _applies(each, python)]
    assert len({each.name for each in found}) == len(found), "one bound for each package"
    bounds = {}
    for each in found:
        (specifier,) = each.specifier
        assert specifier.operator == ">=", f"{each}: a lower bound, and no other"
        bounds[each.name.lower()] = Version(specifier.version)
    return bounds


def _pinned(python: str) -> dict[str, Any]:
    """What constraints/lowest.txt pins, on a Python."""
    lines = [line for line in _text("constraints", "lowest.txt").splitlines() if line and not line.startswith("#")]
    found = [each for each in map(requirements.Requirement, lines) if _applies(each, python)]
    return {each.name.lower(): Version(str(each.specifier)[2:]) for each in found}


def _explained(python: str) -> dict[str, Any]:
    """What the table of constraints/README.md names, on a Python, with a reason."""
    bounds = {}
    for line in _text("constraints", "README.md").splitlines():
        if not line.startswith("| ") or line.startswith(("| package", "| ---")):
            continue
        name, pythons, lowest, reason = (cell.strip() for cell in line.strip("|").split("|"))
        assert reason, f"{name} has no reason"
        if pythons != "all" and pythons[0].isdigit():
            pythons = f"== {pythons}"
        marker = "" if pythons == "all" else "; python_version {} '{}'".format(*pythons.split())
        if _applies(requirements.Requirement(f"{name}{marker}"), python):
            assert name.lower() not in bounds, f"{name} is named twice for Python {python}"
            bounds[name.lower()] = Version(lowest)
    return bounds


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lower_bounds_are_the_ones_tested_and_explained(pyproject: dict[str, Any], python: str) -> None:
    admitted, pinned = _admitted(pyproject, python), _pinned(python)
    assert _explained(python) == admitted
    assert {name: version for name, version in pinned.items() if name in admitted} == admitted


def test_no_known_vulnerable_version_is_admitted_where_a_python_can_have_a_better_one(
    pyproject: dict[str, Any],
) -> None:
    bounds = _admitted(pyproject, "3.13")
    for name, first_good in {
        "cryptography": "50", "filelock": "4.2.1", "h11": "0.16", "requests": "2.33", "urllib3": "2.8",
    }.items():  # fmt: skip
        assert bounds[name] >= Version(first_good)


# Versions


def _claimed(pyproject: dict[str, Any]) -> list[str]:
    found = [
        re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each)
        for each in pyproject["project"]["classifiers"]
    ]
    return [each[1] for each in found if each]


def test_each_python_that_is_claimed_is_run_in_ci(pyproject: dict[str, Any]) -> None:
    matrix = re.search(r"python: (\[.*\])", _text(".github", "workflows", "ci.yml"))
    assert matrix
    run = re.findall(r"3\.\d+", matrix[1])
    sessions = re.findall(r'"(3\.\d+)"', re.search(r"PYTHONS = \[(.*)\]", _text("noxfile.py"))[1])
    assert set(_claimed(pyproject)) <= set(run)
    assert run == sessions
    assert pyproject["project"]["requires-python"] == f">={run[0]}"


# The classifier of each system and build of Python, what its rows of docs/reliability.md are called, and, if CI runs
# it beside the versions, its name there.
CLAIMS = {
    "Operating System :: POSIX :: Linux": ("Linux, CPython", None),
    "Operating System :: Microsoft :: Windows": ("Windows' CPython", "windows-latest"),
    "Operating System :: MacOS": ("macOS, CPython", "macos-latest"),
    "Programming Language :: Python :: Free Threading :: 2 - Beta": ("Linux, CPython 3.13t", '"3.13t"'),
    "Programming Language :: Python :: Implementation :: CPython": ("Linux, CPython", None),
    "Programming Language :: Python :: Implementation :: PyPy": ("Linux, PyPy", '"pypy3.11"'),
}


def _rows_of_platforms() -> list[list[str]]:
    """The table of docs/reliability.md: system and Python, what was run, passed, skipped, failed."""
    _, _, section = _text("docs", "reliability.md").partition("\n## Platforms and Pythons\n")
    section, _, _ = section.partition("\n## ")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return [row for row in rows if row[0] not in {"system, Python", "---"}]


def test_classifiers_claim_what_the_table_of_platforms_proves_and_ci_repeats(pyproject: dict[str, Any]) -> None:
    classifiers, rows = pyproject["project"]["classifiers"], _rows_of_platforms()
    assert all(row[4] == "0" for row in rows)
    whole = [row[0] for row in rows if row[1] == "default tier"]
    for python in _claimed(pyproject):
        assert f"Linux, CPython {python}" in whole
    for classifier, (system, in_ci) in CLAIMS.items():
        named = whole if system.startswith("Linux") else [row[0] for row in rows]
        proven = any(each.startswith(system) for each in named)
        assert (classifier in classifiers) == proven, classifier
        if classifier in classifiers and in_ci:
            assert in_ci in _text(".github", "workflows", "ci.yml")
    claimed = [each for each in classifiers if re.search(r"Operating System|Implementation|Free Threading", each)]
    assert set(claimed) <= CLAIMS.keys()


# Workflows


@pytest.mark.parametrize("name", ["ci.yml", "release.yml", "codeql.yml"])
def test_workflows_call_what_runs_at_home_and_pin_every_action(name: str) -> None:
    text = _text(".github", "workflows", name)
    sessions = set(re.findall(r"^def (\w+)\(session", _text("noxfile.py"), re.MULTILINE))
    for command in re.findall(r"- run: (.*)", text):
        assert command == ".ci/run" or "nox" in command.lower(), command
        for session in re.findall(r"nox -s ((?:[a-z_]+ ?)+)", command):
            assert set(session.split()) <= sessions
    for sessions_of_matrix in re.findall(r"session: \[(.*)\]", text):
        assert set(sessions_of_matrix.split(", ")) <= sessions
    for action in re.findall(r"uses: (\S+)", text):
        assert action.startswith("./") or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
    assert re.search(r"secrets\.", text) is None
