"""Inventories for intersphinx, written here: httpx publishes none, and a build needs no network for another's.

Each names what our signatures mention and where its documentation stands.
"""

from __future__ import annotations

import zlib
from pathlib import Path

REQUESTS = {
    "requests.PreparedRequest": "api/#requests.PreparedRequest",
    "requests.Response": "api/#requests.Response",
    "requests.Session": "api/#requests.Session",
    "requests.auth.AuthBase": "api/#requests.auth.AuthBase",
    "requests.models.PreparedRequest": "api/#requests.PreparedRequest",
    "requests.models.Response": "api/#requests.Response",
    "requests.sessions.Session": "api/#requests.Session",
}
HTTPX = {
    "httpx.AsyncClient": "api/#asyncclient",
    "httpx.Auth": "advanced/authentication/#custom-authentication-schemes",
    "httpx.Client": "api/#client",
    "httpx.Request": "api/#request",
    "httpx.Response": "api/#response",
}


def write(path: Path, project: str, places: dict[str, str]) -> str:
    """Write an inventory (Sphinx's format, version 2) of classes and the places that document them."""
    lines = "".join(f"{name} py:class 1 {place} -\n" for name, place in places.items())
    header = (
        f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.encode() + zlib.compress(lines.encode()))
    return str(path)
