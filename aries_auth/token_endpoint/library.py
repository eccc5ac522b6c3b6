"""Which HTTP library a client or a request is of, which one sends a token request, and what a client must be."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Protocol

import httpx
import requests

from aries_auth.errors import ConfigurationError

_LIBRARIES = ("requests", "niquests", "httpx", "httpx2")
_LOWEST_NIQUESTS = (3, 14)


class SyncClient(Protocol):
    """A ``niquests.Session`` or an ``httpx2.Client``, told by what both have: neither library is a dependency."""

    @property
    def trust_env(self) -> bool:
        """Whether the environment says which proxies to use."""
        ...

    def close(self) -> None:
        """Close its connections. (Async clients return something to await.)"""


def is_session(client: object) -> bool:
    """Whether it is a session of requests or niquests: these pickle, and can be used on after `close`."""
    return library_of(client, "") in ("requests", "niquests")


def library_of(thing: object, default: str) -> str:
    """Which library a client or a request is of, by its class or one that it inherits from; else `default`."""
    libraries = map(library_of_class, type(thing).__mro__)
    return next((name for name in libraries if name is not None), default)


def library_of_class(kind: type) -> str | None:
    """``requests``, ``niquests``, ``httpx`` or ``httpx2`` for a class that one of them defines."""
    name = kind.__module__.partition(".")[0]
    return name if name in _LIBRARIES else None


def check_client(client: object) -> None:
    """Refuse a `token_client` that can't send token requests.

    Raises:
        ConfigurationError: it is no session of requests or niquests and no client of httpx or httpx2, or an async one,
            or one of a niquests that is too old.
    """
    if client is None or isinstance(client, (requests.Session, httpx.Client)):
        return
    # In the order of inheritance: niquests' AsyncSession is a Session, too.
    for base in type(client).__mro__:
        which = (base.__module__.partition(".")[0], base.__name__)
        if which == ("httpx2", "Client"):
            return
        if which == ("niquests", "AsyncSession"):
            raise ConfigurationError(
                "token_client can't be a niquests.AsyncSession: a token request outlives the event loop of the call "
                "that needs it. Pass a niquests.Session; calls may be made with an AsyncSession all the same."
            )
        if which == ("niquests", "Session"):
            if is_outdated_niquests():
                raise outdated_niquests()
            return
    raise ConfigurationError(
        "token_client must be a requests.Session or an httpx.Client, or a niquests.Session or an httpx2.Client, not "
        f"{type(client).__name__}."
    )


def is_outdated_niquests() -> bool:
    """Whether the niquests that is loaded lacks what `AriesAuth` needs of it."""
    return _is_outdated(_niquests_version())


@lru_cache(maxsize=4)  # asked for every call
def _is_outdated(version: str) -> bool:
    numbers = version.split(".")[:2]
    return tuple(int(number) for number in numbers if number.isdigit()) < _LOWEST_NIQUESTS


def outdated_niquests() -> ConfigurationError:
    """What to raise then: it says what to run."""
    lowest = ".".join(str(number) for number in _LOWEST_NIQUESTS)
    return ConfigurationError(
        f"AriesAuth needs niquests {lowest} or later; {_niquests_version()} is installed. "
        f"Run: pip install --upgrade 'niquests>={lowest}'"
    )


def _niquests_version() -> str:
    version: str = getattr(sys.modules.get("niquests"), "__version__", "0")
    return version
