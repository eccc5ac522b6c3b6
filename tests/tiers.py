"""Which tests run when, and how many at once: hooks of pytest that conftest.py loads. CONTRIBUTING.md has the tiers."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any, Iterator

import hypothesis
import pytest

TESTS = Path(__file__).parent

# Folders that are wholly CI's: they need a database server, a browser, job runners.
IN_CI = ("browser", "jobs", "sql")
# What a busy machine delays: whole folders of it, and each test that starts a program by one of these fixtures.
NOISY = ("browser", "chaos", "jobs")
STARTS_PROGRAMS = {"program", "zygote", "command"}


def pytest_configure(config: pytest.Config) -> None:
    if sys.implementation.name == "pypy":
        # It collects some time later: what a test left to the collector would fail another one.
        config.addinivalue_line("filterwarnings", "ignore::pytest.PytestUnraisableExceptionWarning")
    if _names_tests(config) and not _names_a_tier(config):
        config.option.markexpr = "not nightly"  # who names a file wants its tests, CI's too


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """None for a single file, else by the processors: most tests wait for a process or a socket.

    Those of CI's tier start servers, browsers and workers themselves, so fewer run at once.
    """
    if any(".py" in argument for argument in _arguments(config)):
        return 0
    processors = os.cpu_count() or 1
    return min(6, 3 * processors) if "not ci" in config.option.markexpr else min(4, 2 * processors)


@pytest.hookimpl(hookwrapper=True)
def pytest_collection() -> Iterator[None]:
    # Thousands of tests come into being and all of them stay: to look through them is a quarter of the collection's
    # time, and then some of every test's that makes garbage.
    gc.disable()
    yield
    gc.enable()
    if hasattr(gc, "freeze"):  # PyPy has none
        gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker("nightly")
        if _folder(item) in IN_CI:
            item.add_marker("ci")
        needs_posix = item.get_closest_marker("posix")
        if needs_posix and os.name != "posix":
            item.add_marker(pytest.mark.skip(reason=f"not on {os.name}: {needs_posix.args[0]}"))
        if item.get_closest_marker("noisy") or _is_noisy(item):
            item.add_marker(pytest.mark.flaky(reruns=1))


def _folder(item: pytest.Item) -> str:
    """The folder of tests/ that it lies in, at whatever depth."""
    file = item.path
    return file.relative_to(TESTS).parts[0] if TESTS in file.parents else ""


def _is_noisy(item: pytest.Item) -> bool:
    return _folder(item) in NOISY or not STARTS_PROGRAMS.isdisjoint(getattr(item, "fixturenames", ()))


def _arguments(config: pytest.Config) -> list[str]:
    """Those of the command line that name tests."""
    given = [str(argument) for argument in config.invocation_params.args]
    return [argument for argument in given if not argument.startswith("-") and Path(argument.split("::")[0]).exists()]


def _names_tests(config: pytest.Config) -> bool:
    return any(Path(argument.split("::")[0]).resolve() != TESTS for argument in _arguments(config))


def _names_a_tier(config: pytest.Config) -> bool:
    return any(str(argument).startswith("-m") for argument in config.invocation_params.args)


def _profile(name: str, **changes: Any) -> None:
    # A busy machine is no reason to fail.
    patient = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
    hypothesis.settings.register_profile(name, **{**patient, **changes})


_profile("dev", max_examples=40)
_profile("ci", derandomize=True, database=None, print_blob=True)
_profile("nightly", max_examples=2_000, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
