"""The addresses of Aries, and which hosts are this machine."""

from __future__ import annotations

import functools
import ipaddress

AUTHORIZE_URL = "https://app.aries.com/oauth2/authorize"
TOKEN_URL = "https://api.aries.com/v1/oauth2/token"
API_ORIGIN = "https://api.aries.com"


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address can only mean this machine."""
    name = (host or "").lower()
    if ":" not in name and not name[-1:].isdigit():  # no address: none ends otherwise
        return name == "localhost"
    return _is_loopback_address(name)


@functools.lru_cache(maxsize=64)
def _is_loopback_address(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
