"""Which HTTP library a client or a request is of, and so which one sends a token request."""

from __future__ import annotations

import httpx
import requests

from aries_auth.errors import ConfigurationError


def library_of(client: object, default: str) -> str:
    """Which library sends: the one whose client was given, else `default`."""
    return default if client is None else type_library(client) or _class_library(client)


def type_library(thing: object) -> str | None:
    """``requests``, ``niquests``, ``httpx`` or ``httpx2`` for an object that one of them defines."""
    name = type(thing).__module__.partition(".")[0]
    return name if name in ("requests", "niquests", "httpx", "httpx2") else None


def library_of_request(request: object) -> str:
    """Which library a request is of; ``httpx`` for a class of the caller's own."""
    return type_library(request) or "httpx"


def _class_library(client: object) -> str:
    for base in type(client).__mro__:
        name = base.__module__.partition(".")[0]
        if name in ("requests", "httpx", "httpx2"):
            return name
    raise ConfigurationError("token_client must be a requests.Session or an httpx.Client.")


def check_client(client: object) -> None:
    """Refuse a `token_client` that can't send token requests.

    Raises:
        ConfigurationError: it is neither a requests.Session nor a (sync) client of httpx or httpx2.
    """
    if client is None or isinstance(client, (requests.Session, httpx.Client)):
        return
    for base in type(client).__mro__:
        if base.__module__.partition(".")[0] == "httpx2" and base.__name__ == "Client":
            return
    raise ConfigurationError(
        f"token_client must be a requests.Session or an httpx.Client, not {type(client).__name__}."
    )
