"""What the caller and the environment say: credentials, endpoints, origins, profile and store.

A parameter is checked when it is given, so at construction; a variable is read when it is first needed. An empty
variable counts as unset.
"""

from __future__ import annotations

from aries_auth.settings.credentials import ClientCredentials, ClientSecret, SecretSource, SecretState
from aries_auth.settings.stores import StoreChoice, choose_store, login_command, profile_name, resolve_store
from aries_auth.settings.urls import (
    DEFAULT_PORTS,
    Origin,
    api_origins,
    authorize_url,
    check_endpoint,
    check_redirect_uri,
    is_loopback,
    origin_of_url,
    parse_origins,
    request_origin,
    token_url,
)
from aries_auth.settings.values import advised, check_text, flag_variable, missing, variable
from aries_auth.singleflight.clock import check_seconds
from aries_auth.store import check_profile

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
