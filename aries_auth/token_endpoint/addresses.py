"""The addresses of Aries, and which hosts are this machine."""

from __future__ import annotations

import functools
import ipaddress

AUTHORIZE_URL = "https://app.aries.com/oauth2/authorize"
TOKEN_URL = "https://api.aries.com/v1/oauth2/token"
API_ORIGIN = "https://api.aries.com"


@functools.lru_cache(maxsize=64)
def is_loopback(host: str | None) -> bool:
    """Whether a host name or address can only mean this machine."""
    try:
        return host is not None and (host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
