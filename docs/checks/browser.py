"""The built site in Debian's Chromium: pictures of each page, accessibility (axe), weight, and what sticks out.

`python docs/checks/browser.py SITE --axe axe.min.js --pictures FOLDER`, or `nox -s docs_site`. Each page is opened at
400, 800 and 1400 px, light and dark. Exit code 1 if anything is wrong. Look at the pictures, too.
"""

from __future__ import annotations

import argparse
import base64
import functools
import http.server
import json
import shutil
import sys
import threading
from pathlib import Path
from typing import Any, Iterator

WIDTHS = (400, 800, 1400)
MODES = ("light", "dark")
HEAVIEST = 300_000
# Without fonts; what is sent is what counts, and the server here compresses nothing.
WEIGH = """
const sent = performance.getEntries().filter(one => ["navigation", "resource"].includes(one.entryType));
return sent.filter(one => !/\\.(woff2?|ttf|otf)/.test(one.name)).map(one => [one.name, one.encodedBodySize]);
"""
AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(found => done(found.violations.map(one =>
  `${one.id} (${one.impact}): ${one.nodes.slice(0, 3).map(node => node.target.join(" ")).join(" | ")}`)));
"""
STICKS_OUT = """
if (document.documentElement.scrollWidth <= document.documentElement.clientWidth) return [];
return [...document.querySelectorAll("article *")].filter(one =>
  one.getBoundingClientRect().right > innerWidth + 1 && !one.closest("pre, .table-wrapper, .picture"))
  .slice(0, 3).map(one => one.outerHTML.slice(0, 80));
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


def serve(folder: Path) -> str:
    """Serve the folder on a free port of this computer; its address."""
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def chromium() -> Any:
    """Chromium without a window."""
    from selenium import webdriver  # noqa: PLC0415 - only where there is a browser

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for option in ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-proxy-server"):
        options.add_argument(option)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(str(shutil.which("chromedriver"))))


class Site:
    """The pages, and what is wrong with them."""

    def __init__(self, folder: Path, axe: str, pictures: Path | None) -> None:
        self.folder, self.axe, self.pictures = folder, axe, pictures
        self.address = serve(folder)
        self.driver = chromium()
        self.faults: list[str] = []
        self.weights: dict[str, int] = {}

    def look_at(self, name: str) -> None:
        """Open a page in each width and mode."""
        for mode in MODES:
            for width in WIDTHS:
                self._open(name, width, mode)
                where = f"{name} at {width} px, {mode}"
                if width == WIDTHS[0] and mode == "light":
                    self._weigh(name)
                self.faults += [f"{where}: sticks out: {one}" for one in self.driver.execute_script(STICKS_OUT)]
                if self.axe and (width != WIDTHS[1]):
                    self.driver.execute_script(self.axe)
                    self.faults += [f"{where}: {one}" for one in self.driver.execute_async_script(AXE)]
                if self.pictures is not None:
                    self._take(self.pictures / f"{Path(name).stem}-{width}-{mode}.png", width)

    def _open(self, name: str, width: int, mode: str) -> None:
        cdp = self.driver.execute_cdp_cmd
        features = [
            {"name": "prefers-color-scheme", "value": mode},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        cdp("Emulation.setEmulatedMedia", {"features": features})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        cdp("Emulation.setDeviceMetricsOverride", size)
        cdp("Network.clearBrowserCache", {})
        self.driver.get(f"{self.address}/{name}")

    def _weigh(self, name: str) -> None:
        parts = dict(self.driver.execute_script(WEIGH))
        weight = self.weights[name] = sum(parts.values())
        if weight > HEAVIEST:
            heavy = sorted(((size, url.rpartition("/")[2]) for url, size in parts.items()), reverse=True)[:4]
            self.faults.append(f"{name}: {weight} bytes, more than {HEAVIEST}: {heavy}")

    def _take(self, path: Path, width: int) -> None:
        height = int(self.driver.execute_script("return document.documentElement.scrollHeight"))
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, 16000), "scale": 1}
        wish = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        path.write_bytes(base64.b64decode(self.driver.execute_cdp_cmd("Page.captureScreenshot", wish)["data"]))


def pages(folder: Path) -> Iterator[str]:
    """The pages that people come to."""
    for path in sorted(folder.glob("*.html")):
        if path.stem not in ("genindex", "py-modindex"):
            yield path.name


def main() -> int:
    """Look at all pages; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("--axe", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--only", nargs="*")
    told = parser.parse_args()
    if told.pictures is not None:
        told.pictures.mkdir(parents=True, exist_ok=True)
    site = Site(told.site, told.axe.read_text(encoding="utf-8") if told.axe else "", told.pictures)
    try:
        for name in told.only or pages(told.site):
            site.look_at(name)
    finally:
        site.driver.quit()
    sys.stdout.write(json.dumps(site.weights, indent=1) + "\n")
    sys.stdout.write("".join(f"{fault}\n" for fault in site.faults))
    return 1 if site.faults else 0


if __name__ == "__main__":
    sys.exit(main())
