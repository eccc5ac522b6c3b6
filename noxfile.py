"""Every check of the project as a session named after what it checks.

`nox -l` lists them, `nox -s lint` runs one. Without arguments the quick ones run: lint, types, and the tests
on every Python that is here. A Python that is not here is skipped.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

PYTHONS = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"]
HERE = Path(__file__).parent

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.error_on_missing_interpreters = False  # nox makes it True where CI is set
nox.options.reuse_venv = "yes"
nox.options.default_venv_backend = "venv"  # new virtualenvs can't make a 3.8


def _show_pyenv_pythons() -> None:
    """Let pyenv's shims find every version that it installed, the active one first."""
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    installed = sorted(p.parent.parent.name for p in versions.glob("3.*/bin/python3"))
    if installed:
        active = os.environ.get("PYENV_VERSION") or _text(versions.parent / "version")
        os.environ["PYENV_VERSION"] = ":".join(dict.fromkeys([*active.replace(":", " ").split(), *installed]))


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


_show_pyenv_pythons()


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting, with ruff."""
    session.install("ruff>=0.9")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=["3.8", "3.13"])
def types(session: nox.Session) -> None:
    """The package under mypy and pyright, then a user's program that must pass and one that must not."""
    session.install("mypy>=1.14", "pyright[nodejs]>=1.1.390", "types-requests", "-e", ".[test,sql,encryption]")
    session.run("mypy")
    session.run("pyright", "--pythonpath", f"{session.bin}/python")
    session.run("pytest", "tests/test_typing.py")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The suite, as the README runs it."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def quick(session: nox.Session) -> None:
    """What needs no faults, no database and no browser, four tests at once: a minute on two cores."""
    session.install(".[test]", "pytest-xdist")
    left_out = [f"--ignore=tests/{name}" for name in ("chaos", "sql", "browser", "ecosystem", "fuzz")]
    session.run("pytest", "-n", "4", *left_out, *session.posargs)


@nox.session(python="3.8")
def lowest(session: nox.Session) -> None:
    """The suite with the lowest dependencies that pyproject.toml admits."""
    session.install("-c", "constraints/lowest.txt", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python="3.13")
def newest(session: nox.Session) -> None:
    """The suite with the newest dependencies; `nox -s newest -- --pre` takes pre-releases, too."""
    pre = ["--pre"] if "--pre" in session.posargs else []
    session.install("--upgrade", "--upgrade-strategy=eager", *pre, ".[test]")
    session.run("pytest", *(arg for arg in session.posargs if arg != "--pre"))


@nox.session(python="3.13")
def coverage(session: nox.Session) -> None:
    """Branch coverage of the package, 95 % or more, the processes that the tests start included."""
    session.install("-e", ".[test,sql,encryption]", "coverage[toml]>=7.10")
    session.run("coverage", "erase")
    # Not pytest-cov: the package is imported by its own pytest plugin, before pytest-cov would measure.
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", "--fail-under=95")


@nox.session(python="3.13")
def mutation(session: nox.Session) -> None:
    """What no test would notice, by mutmut: `nox -s mutation -- "aries_auth.refresh.*"`; without a name, for hours."""
    session.install("-e", ".[test,sql,encryption]", "mutmut>=3.8,<4")
    (HERE / "mutants").mkdir(exist_ok=True)  # before Python looks for it
    mutants = {"PYTHONPATH": str(HERE / "mutants")}
    session.run("mutmut", "run", "--max-children", "1", *session.posargs, env=mutants)


@nox.session
def build(session: nox.Session) -> None:
    """Wheel and sdist: built, checked, and the demo run from the wheel alone: with pip, pipx and uvx."""
    scratch = Path(session.create_tmp()).resolve()
    out = scratch / "dist"
    session.install("build", "twine", "check-wheel-contents", "pipx", "uv")
    for old in out.glob("*"):
        old.unlink()
    session.run("python", "-m", "build", "--outdir", str(out), str(HERE))
    session.run("twine", "check", "--strict", *map(str, sorted(out.iterdir())))
    (wheel,) = out.glob("*.whl")
    session.run("check-wheel-contents", str(wheel))
    fresh = scratch / "fresh"
    session.run("python", "-m", "venv", "--clear", str(fresh))
    scripts = fresh / ("Scripts" if os.name == "nt" else "bin")
    session.run(str(scripts / "python"), "-m", "pip", "install", "--quiet", str(wheel), external=True)
    with session.chdir(scratch):  # so that the checkout can't stand in for the wheel
        session.run(str(scripts / "aries-auth"), "demo", external=True)
        session.run("pipx", "run", "--spec", str(wheel), "aries-auth", "demo")
        session.run("uvx", "--from", str(wheel), "aries-auth", "demo")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, warnings being errors."""
    if not (HERE / "docs" / "conf.py").is_file():
        session.skip("there is no docs/conf.py yet")
    session.install("-e", ".[docs,test,sql,encryption]")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def bench_smoke(session: nox.Session) -> None:
    """Each benchmark once, quickly: that it runs and every contender answers, not how fast."""
    session.install("-e", ".[bench,test,sql,encryption]")
    session.run("python", "-m", "benchmarks", "--smoke", "--json", f"{session.create_tmp()}/benchmarks.json")
