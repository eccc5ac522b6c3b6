"""Who may speak to the sandbox: which Host header names it, and a warning if others can reach it."""

from __future__ import annotations

import functools
import ipaddress
import warnings
from urllib.parse import urlsplit

from aries_auth.token_endpoint.addresses import is_loopback

_WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - not bound to


@functools.lru_cache(maxsize=64)
def is_addressed(header: str, host: str) -> bool:
    """Whether a Host header can mean the server on `host`, at whatever port: that may be forwarded.

    Otherwise a web page whose name was made to point to this computer could read what the sandbox answers. Such a name
    has a dot in it; one without a dot, as containers have, is nobody's page. No browser sends a request without a Host.
    If the server listens on all addresses, any address can be its own.
    """
    if not header:
        return True
    try:
        parts = urlsplit(f"//{header.strip()}")
        name = (parts.hostname or "").lower()
        _ = parts.port
    except ValueError:
        return False
    if not name:
        return False
    own = is_loopback(name) or name == host.lower() or (host in _WILDCARDS and _is_address(name))
    return own or ("." not in name and ":" not in name)


def warn_if_reachable(host: str) -> None:
    """Warn, where a sandbox is started, that it listens on more than loopback."""
    if is_loopback(host):
        return
    warnings.warn(
        f"The Aries sandbox listens on {host or 'all addresses'}, which is no loopback address: every computer that "
        "reaches this one can get the sandbox's tokens and send it requests. Never give it real secrets. Use "
        "host='127.0.0.1' unless other machines or containers must reach it.",
        stacklevel=4,  # past `Listening.start` and `AriesSandbox.start`
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
