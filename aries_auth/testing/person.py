"""A person at a browser, as far as a login needs one: opens the consent page and presses a button."""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Mapping
from urllib.parse import urlencode, urljoin, urlsplit


@dataclass(frozen=True)
class Page:
    """What a browser ended on. Header names are in lower case."""

    __module__ = "aries_auth.testing"

    status: int
    text: str
    headers: Mapping[str, str] = field(repr=False)


class _Form(HTMLParser):
    """The page's form: where it goes, its hidden fields, and its buttons' values."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.buttons: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and given.get("method", "").lower() == "post":
            self.action = given.get("action", "")
        elif tag == "input" and given.get("type") == "hidden":
            self.fields[given["name"]] = given["value"]
        elif tag == "button":
            self.buttons[given["value"]] = given["name"]


def decide(authorization_url: str, decision: str, timeout: float = 30.0) -> str:
    """Presses the button `decision` on the consent page; the address that the browser is then sent to.

    Raises:
        RuntimeError: there was no consent page.
    """
    page = fetch(authorization_url, timeout=timeout)
    if "location" in page.headers:
        return urljoin(authorization_url, page.headers["location"])
    form = _Form()
    form.feed(page.text)
    if page.status != 200 or form.action is None or decision not in form.buttons:
        raise RuntimeError(f"There was no consent page to {decision}: status {page.status}, {_alert(page)}")
    fields = {**form.fields, form.buttons[decision]: decision}
    action = urljoin(authorization_url, form.action)
    sent_to = fetch(action, form=fields, timeout=timeout)
    if "location" not in sent_to.headers:
        raise RuntimeError(f"The consent page led nowhere: status {sent_to.status}, {_alert(sent_to)}")
    return urljoin(action, sent_to.headers["location"])


def fetch(url: str, *, form: Mapping[str, str] | None = None, timeout: float = 30.0) -> Page:
    """GET, or POST of a form; redirects are not followed and proxies not asked."""
    parts = urlsplit(url)
    scheme = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = scheme(parts.hostname or "", parts.port, timeout=timeout)
    target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    try:
        if form is None:
            connection.request("GET", target)
        else:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", target, urlencode(form), headers)
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
        return Page(response.status, text, {name.lower(): value for name, value in response.getheaders()})
    finally:
        connection.close()


def _alert(page: Page) -> str:
    """What the page says went wrong."""
    _, _, after = page.text.partition('role="alert">')
    return after.partition("<")[0].strip() or "with no word why"
