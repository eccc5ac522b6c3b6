"""Debian's Chromium, driven by Selenium, and the example backends as their users start them.

What is missing skips a test; in CI, on a current Python, it fails one.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from aries_auth.testing import AriesSandbox
from tests.cli_process import Command, clean_environment

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
IMAGES = ROOT / "docs" / "images"

# Headless and quiet: no sandbox of its own (the tests may run as root), nothing asked of Google.
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=800,420",
    "--no-proxy-server",
]


def need(*modules: str, program: str | None = None) -> None:
    """Skip where a module or program is missing; fail in CI, where it should be there."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if program is not None and shutil.which(program) is None:
        missing.append(program)
    if not missing:
        return
    reason = f"needs {', '.join(missing)}"
    if os.environ.get("CI") == "true" and sys.platform == "linux" and sys.version_info >= (3, 10):
        pytest.fail(f"{reason}, which CI should have installed", pytrace=False)
    pytest.skip(reason)


class Browser:
    """A person at Chromium."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def start_over(self) -> None:
        """An empty page, and no cookies."""
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.driver.get("about:blank")
        self.requested()

    def open(self, url: str) -> None:
        self.driver.get(url)

    def plant(self, origin: str, session: str) -> None:
        """Set the session cookie of a backend."""
        self.driver.execute_cdp_cmd("Network.setCookie", {"name": "session", "value": session, "url": f"{origin}/"})

    def click(self, selector: str) -> None:
        """Click, and wait for the page that comes."""
        from selenium.common.exceptions import StaleElementReferenceException, WebDriverException

        element = self.driver.find_element("css selector", selector)
        element.click()
        give_up_at = time.monotonic() + 10
        while time.monotonic() < give_up_at:
            try:
                element.is_enabled()
            except StaleElementReferenceException:
                return
            except WebDriverException:  # in between two pages
                pass
            time.sleep(0.02)
        raise AssertionError("the click led nowhere")

    def decide(self, decision: str) -> None:
        """Press a button of the consent page."""
        self.click(f"button[value={decision}]")

    def back(self) -> None:
        self.driver.back()

    @property
    def title(self) -> str:
        """What the page says it is."""
        return str(self.driver.find_element("css selector", "h1").text)

    @property
    def text(self) -> str:
        return str(self.driver.find_element("css selector", "body").text)

    @property
    def source(self) -> str:
        return str(self.driver.page_source)

    @property
    def url(self) -> str:
        return str(self.driver.current_url)

    def requested(self) -> list[str]:
        """The URLs that the browser went to since the last look."""
        messages = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        sent = (message["params"] for message in messages if message["method"] == "Network.requestWillBeSent")
        return [params["request"]["url"] for params in sent if params.get("type") == "Document"]

    def callback(self) -> str:
        """The last address with an answer of Aries that the browser was sent to."""
        return [url for url in self.requested() if "state=" in url and "/oauth2/" not in url][-1]


def quiet_port() -> int:
    """A free port from below those that systems hand out by themselves, so that nobody gets it before its user does."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """``aries-auth``, with a sandbox and a home of its own."""
    with AriesSandbox(redirect_uris=[f"http://127.0.0.1:{quiet_port()}/callback"]) as aries:
        command = Command(tmp_path, aries)
        yield command
        command.stop()


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    need("selenium", program="chromium")
    need(program="chromedriver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for option in [*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    service = webdriver.ChromeService(str(shutil.which("chromedriver")))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_page_load_timeout(20)
    try:
        yield Browser(driver)
    finally:
        driver.quit()


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    chromium.start_over()
    return chromium


class Backend:
    """An example backend as a process of a real server, with a sandbox of its own in the place of Aries."""

    def __init__(self, name: str, aries: AriesSandbox, folder: Path) -> None:
        self.name = name
        self.aries = aries
        self.tokens = folder / "tokens"
        self.log = folder / "log"
        self.origin = aries.redirect_uri.rpartition("/")[0]
        told = {"SESSION_SECRET": "signs cookies", "TOKEN_FOLDER": str(self.tokens), "PYTHONDONTWRITEBYTECODE": "1"}
        path = os.pathsep.join([str(EXAMPLES), str(ROOT)])
        environment = clean_environment(folder, **aries.environ, **told, PYTHONPATH=path)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self._arguments(urlsplit(self.origin).port)],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _arguments(self, port: int | None) -> list[str]:
        if self.name == "fastapi":
            return ["-m", "uvicorn", "fastapi_app:app", "--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
        return ["-m", "waitress", f"--listen=127.0.0.1:{port}", f"{self.name}_app:app"]

    def wait(self) -> None:
        """Until it answers."""
        give_up_at = time.monotonic() + 30
        while True:
            with suppress(httpx.TransportError):
                assert "Who are you?" in httpx.get(self.origin, trust_env=False).text
                return
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < give_up_at, self.log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)

    def reset(self) -> None:
        """No grants, no logins."""
        self.aries.reset()
        for path in self.tokens.iterdir():
            path.unlink()

    @property
    def saved(self) -> list[Path]:
        """The token files."""
        return sorted(self.tokens.glob("*.json"))

    @contextmanager
    def client(self, name: str) -> Iterator[httpx.Client]:
        """A browser without a screen, signed in."""
        with httpx.Client(base_url=self.origin, trust_env=False, timeout=10) as client:
            client.post("/sign-in", data={"name": name})
            yield client


@pytest.fixture(scope="session")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Backend]]:
    """All, started together. Their host is not the sandbox's, so that the callback comes from another site."""
    need("fastapi", "itsdangerous", "python_multipart", "uvicorn", "flask", "django", "waitress")
    started: dict[str, Backend] = {}
    try:
        for name in ("fastapi", "flask", "django"):
            aries = AriesSandbox(redirect_uris=[f"http://localhost:{quiet_port()}/callback"]).start()
            started[name] = Backend(name, aries, tmp_path_factory.mktemp(name))
        for backend in started.values():
            backend.wait()
        yield started
    finally:
        for backend in started.values():
            backend.stop()
            backend.aries.stop()


@pytest.fixture(params=["fastapi", "flask", "django"])
def backend(backends: dict[str, Backend], request: pytest.FixtureRequest) -> Backend:
    found = backends[request.param]
    found.reset()
    return found
