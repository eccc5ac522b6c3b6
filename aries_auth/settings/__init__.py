"""What the caller and the environment say: credentials, endpoints, origins, profile and store.

A parameter is checked when it is given, so at construction; a variable is read when it is first needed. An empty
variable counts as unset.

The names are loaded when they are first used: a command that answers at once needs few of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aries_auth.settings.credentials import ClientCredentials, ClientSecret, SecretSource, SecretState
    from aries_auth.settings.stores import StoreChoice, choose_store, login_command, profile_name, resolve_store
    from aries_auth.settings.urls import (
        DEFAULT_PORTS,
        Origin,
        api_origins,
        authorize_url,
        check_endpoint,
        check_redirect_uri,
        origin_of_url,
        parse_origins,
        request_origin,
        token_url,
    )
    from aries_auth.settings.values import advised, check_flag, check_text, flag_variable, missing, variable
    from aries_auth.singleflight.clock import check_seconds
    from aries_auth.store import check_profile
    from aries_auth.token_endpoint.addresses import is_loopback

__all__ = [
    "DEFAULT_PORTS",
    "ClientCredentials",
    "ClientSecret",
    "Origin",
    "SecretSource",
    "SecretState",
    "StoreChoice",
    "advised",
    "api_origins",
    "authorize_url",
    "check_endpoint",
    "check_flag",
    "check_profile",
    "check_redirect_uri",
    "check_seconds",
    "check_text",
    "choose_store",
    "flag_variable",
    "is_loopback",
    "login_command",
    "missing",
    "origin_of_url",
    "parse_origins",
    "profile_name",
    "request_origin",
    "resolve_store",
    "token_url",
    "variable",
]

_HOMES = {
    "DEFAULT_PORTS": "aries_auth.settings.urls",
    "ClientCredentials": "aries_auth.settings.credentials",
    "ClientSecret": "aries_auth.settings.credentials",
    "Origin": "aries_auth.settings.urls",
    "SecretSource": "aries_auth.settings.credentials",
    "SecretState": "aries_auth.settings.credentials",
    "StoreChoice": "aries_auth.settings.stores",
    "advised": "aries_auth.settings.values",
    "api_origins": "aries_auth.settings.urls",
    "authorize_url": "aries_auth.settings.urls",
    "check_endpoint": "aries_auth.settings.urls",
    "check_flag": "aries_auth.settings.values",
    "check_profile": "aries_auth.store",
    "check_redirect_uri": "aries_auth.settings.urls",
    "check_seconds": "aries_auth.singleflight.clock",
    "check_text": "aries_auth.settings.values",
    "choose_store": "aries_auth.settings.stores",
    "flag_variable": "aries_auth.settings.values",
    "is_loopback": "aries_auth.token_endpoint.addresses",
    "login_command": "aries_auth.settings.stores",
    "missing": "aries_auth.settings.values",
    "origin_of_url": "aries_auth.settings.urls",
    "parse_origins": "aries_auth.settings.urls",
    "profile_name": "aries_auth.settings.stores",
    "request_origin": "aries_auth.settings.urls",
    "resolve_store": "aries_auth.settings.stores",
    "token_url": "aries_auth.settings.urls",
    "variable": "aries_auth.settings.values",
}


if not TYPE_CHECKING:  # else a checker believes that every name exists

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value  # from now on it is found there
        return value
