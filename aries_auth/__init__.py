"""aries-auth: log in to the Aries API once, then pass ``auth=AriesAuth()`` to requests or httpx and forget it.

The public names are loaded when they are first used: the command, whose module lies in this package, must not pay for
requests and httpx before it needs them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aries_auth.auth import AriesAuth
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
    from aries_auth.login import AuthorizationCodeFlow, login
    from aries_auth.store import FileTokenStore, TokenStore
    from aries_auth.token import Token

__all__ = [
    "AriesAuth",
    "AriesAuthError",
    "AuthorizationCodeFlow",
    "AuthorizationError",
    "ConfigurationError",
    "FileTokenStore",
    "InsecureTransportError",
    "LockTimeout",
    "LoginRequired",
    "StoreError",
    "Token",
    "TokenRequestError",
    "TokenStore",
    "login",
]

_HOMES = {
    "AriesAuth": "auth",
    "AuthorizationCodeFlow": "login",
    "FileTokenStore": "store",
    "Token": "token",
    "TokenStore": "store",
    "login": "login",
}


class _Package(ModuleType):
    """This module's type, which sees the import system bind each submodule here once it is loaded."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType):
            if name != "cli":
                _keep_quiet()
            if name == "login":
                value = value.login  # the public function, not the package that it comes from
        super().__setattr__(name, value)


def _keep_quiet() -> None:
    """A library's log goes nowhere until the program says where (the logging HOWTO, "Configuring logging")."""
    import logging  # noqa: PLC0415 - a good part of what `aries-auth --help` costs

    logger = logging.getLogger(__name__)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


sys.modules[__name__].__class__ = _Package
if "logging" in sys.modules:
    _keep_quiet()  # else when the first module that logs is loaded


if not TYPE_CHECKING:  # a checker would take it that every name is there

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
        globals()[name] = value  # found there from now on, without coming here
        return value


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
