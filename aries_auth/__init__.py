"""aries-auth: log in to the Aries API once, then pass ``auth=AriesAuth()`` to requests or httpx and forget it.

The public names are loaded when they are first used: the command, whose module lies in this package, must not pay for
requests and httpx before it needs them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aries_auth.auth import AriesAuth
    from aries_auth.authorization import AuthorizationCodeFlow, login
    from aries_auth.errors import (
        AriesAuthError,
        AuthorizationError,
        ConfigurationError,
        InsecureTransportError,
        LockTimeout,
        LoginRequired,
        StoreError,
        TokenRequestError,
    )
    from aries_auth.store import Cipher, FileTokenStore, StoreEntry, TokenStore
    from aries_auth.token import Token

__all__ = [
    "AriesAuth",
    "AriesAuthError",
    "AuthorizationCodeFlow",
    "AuthorizationError",
    "Cipher",
    "ConfigurationError",
    "FileTokenStore",
    "InsecureTransportError",
    "LockTimeout",
    "LoginRequired",
    "StoreEntry",
    "StoreError",
    "Token",
    "TokenRequestError",
    "TokenStore",
    "login",
]

_HOMES = {
    "AriesAuth": "auth",
    "AuthorizationCodeFlow": "authorization",
    "Cipher": "store",
    "FileTokenStore": "store",
    "StoreEntry": "store",
    "Token": "token",
    "TokenStore": "store",
    "login": "authorization",
}


if "logging" in sys.modules:
    import_module(f"{__name__}.log")  # else when the first module that logs is loaded


if not TYPE_CHECKING:  # else a checker believes that every name exists

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
        globals()[name] = value  # found there from now on, without coming here
        return value


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
