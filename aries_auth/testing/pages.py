"""The pages that a person sees: consent, and an error that must not be redirected. Every value is escaped."""

from __future__ import annotations

from html import escape
from typing import Mapping, Sequence

from aries_auth.testing.messages import Response

# form-action is left out: Chromium holds the redirect that follows a form to it, and that goes to the client.
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 4rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.4rem; }}
code, li {{ overflow-wrap: anywhere; }}
button {{ font: inherit; padding: .5rem 1.5rem; margin-right: .5rem; cursor: pointer;
  border-radius: .4rem; border: 1px solid #667; }}
button.primary {{ background: #14532d; border-color: #14532d; color: #fff; }}
small {{ opacity: .75; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
<p><small>This is the Aries sandbox of aries-auth: a program on this computer, not Aries.</small></p>
</main>
</body>
</html>
"""


def consent_page(action: str, fields: Mapping[str, str], scopes: Sequence[str]) -> Response:
    """Approve or Deny; the form carries the request's parameters, which are checked again when it is sent."""
    items = "\n".join(f"<li><code>{escape(scope)}</code></li>" for scope in scopes)
    hidden = "\n".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items()
    )
    body = f"""<p>The application <code>{escape(fields["client_id"])}</code> asks for:</p>
<ul>
{items}
</ul>
<p>Your browser then goes to <code>{escape(fields["redirect_uri"])}</code>.</p>
<form method="post" action="{escape(action)}">
{hidden}
<button class="primary" type="submit" name="decision" value="approve">Approve</button>
<button type="submit" name="decision" value="deny">Deny</button>
</form>"""
    return _page("Allow access to your Aries account?", body, 200)


def error_page(text: str, status: int = 400) -> Response:
    """For a bad client or redirect URI, which must not send the browser anywhere (RFC 6749, 4.1.2.1)."""
    return _page("This request can't be answered", f'<p role="alert">{escape(text)}</p>', status)


def _page(title: str, body: str, status: int) -> Response:
    return Response(status, _PAGE.format(title=escape(title), body=body).encode(), _HEADERS)
