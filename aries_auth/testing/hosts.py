"""Who may speak to the sandbox: which Host header names it, and a warning if others can reach it."""

from __future__ import annotations

import functools
import ipaddress
import warnings
from urllib.parse import urlsplit

from aries_auth.token_endpoint.protocol import is_loopback

_WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - not bound to


@functools.lru_cache(maxsize=64)
def is_addressed(header: str, host: str, port: int) -> bool:
    """Whether a Host header names the server on `host` and `port`.

    Otherwise a web page whose name was made to point to this computer could read what the sandbox answers. If it
    listens on all addresses, its names are not to be known. Then an address will do, and a name without a dot, as
    containers have; the name of a page has one.
    """
    try:
        parts = urlsplit(f"//{header.strip()}")
        name, given_port = (parts.hostname or "").lower(), parts.port or 80
    except ValueError:
        return False
    if given_port != port or not name:
        return False
    return is_loopback(name) or name == host.lower() or (host in _WILDCARDS and _is_local_name(name))


def warn_if_reachable(host: str) -> None:
    """Warn, at the caller's caller, about a sandbox that listens on more than loopback."""
    if is_loopback(host):
        return
    warnings.warn(
        f"The Aries sandbox listens on {host or 'all addresses'}, which is no loopback address: every computer that "
        "reaches this one can get the sandbox's tokens and send it requests. Never give it real secrets. Use "
        "host='127.0.0.1' unless other machines or containers must reach it.",
        stacklevel=3,
    )


def _is_local_name(name: str) -> bool:
    if "." not in name:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
