"""The pages of the listener: fixed texts, with nothing of the request in them."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from http import HTTPStatus

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1.125rem/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1.25rem}"
    "h1{font-size:1.5rem;line-height:1.25}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - aries-auth</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{text}</p>
</main>
</body>
</html>
"""

_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",
}


@dataclass(frozen=True)
class Page:
    """What a browser is shown."""

    status: int
    title: str
    text: str

    def render(self, *, with_body: bool = True) -> bytes:
        """The whole HTTP answer; that to a HEAD has no body."""
        body = _PAGE.format(title=self.title, text=self.text, style=_STYLE).encode()
        headers = {**_HEADERS, "Content-Length": str(len(body))}
        if self.status == 405:
            headers["Allow"] = "GET"
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            *(f"{k}: {v}" for k, v in headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + (body if with_body else b"")


WORKED = Page(200, "You are logged in", "The token is saved. You can close this page and go back to your program.")
DENIED = Page(
    403,
    "Access was denied",
    "You are not logged in, and nothing was saved. To try again, start the login again in your program.",
)
FAILED = Page(
    502,
    "The login did not work",
    "You are not logged in. The program that started the login says why; go back to it.",
)
STOPPED = Page(503, "The login was stopped", "The program that started it was stopped. Start the login again.")

_REFUSED = {
    400: (
        "This is not the answer to this login",
        "It may be the page of an older login. The program still waits.",
    ),
    404: ("There is nothing here", "A login is waiting at another address of this port."),
    405: ("Not like this", "Only GET is answered here."),
    414: ("The address is too long", "The program still waits for the login to come back."),
    421: ("Wrong host", "This is not the address that a login comes back to."),
    431: ("The request is too large", "The program still waits for the login to come back."),
}


def refused(status: int) -> Page:
    """The page for a request that is not the callback; the login goes on waiting."""
    return Page(status, *_REFUSED[status])
