"""Links within the built site: each leads to a page that is there, and to a place that the page has.

`python docs/checks/links.py docs/_build/html`
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ATTRIBUTES = ("href", "src")


class Page(HTMLParser):
    """What a page links to, and the places that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, _tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Take note of names and links."""
        for name, value in attributes:
            if name in ("id", "name") and value:
                self.places.add(value)
            elif name in ATTRIBUTES and value:
                self.links.append(value)


def faults(site: Path) -> list[str]:
    """Each link that leads nowhere."""
    pages = {path: Page(path) for path in sorted(site.glob("*.html"))}
    found: list[str] = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link.startswith("data:"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                found.append(f"{path.name}: {link} is not there")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                found.append(f"{path.name}: {link} has no such place")
    return found


def main() -> int:
    """Print what leads nowhere; 1 if anything does."""
    found = faults(Path(sys.argv[1]).resolve())
    sys.stdout.write("".join(f"{fault}\n" for fault in found) or "Every link within the site leads somewhere.\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
