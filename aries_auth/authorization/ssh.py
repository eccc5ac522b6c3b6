"""A login over SSH: the command that brings the browser's way back to this computer."""

from __future__ import annotations

import getpass
import ipaddress
import os
import re
from urllib.parse import urlsplit

_USER = re.compile(r"[A-Za-z0-9._-]+\Z")


def forward_command(redirect_uri: str) -> str | None:
    """The ``ssh -L`` line for a redirect URI's port; None if this shell is not reached over SSH."""
    words = os.environ.get("SSH_CONNECTION", "").split()
    if not words:
        return None
    parts = urlsplit(redirect_uri)
    port = parts.port or 80
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else str(parts.hostname)
    option = f" -p {words[3]}" if len(words) == 4 and words[3].isdecimal() and words[3] != "22" else ""
    return f"ssh -N -L {port}:{host}:{port}{option} {_destination(words)}"


def _destination(words: list[str]) -> str:
    try:
        server = str(ipaddress.ip_address(words[2]))
    except (IndexError, ValueError):
        server = "HOST"
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # no name for this user id
        user = ""
    return f"{user}@{server}" if _USER.match(user) else server
