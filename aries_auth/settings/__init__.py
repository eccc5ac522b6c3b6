"""What the caller and the environment say: credentials, endpoints, origins, profile and store.

A parameter is checked when it is given, so at construction; a variable is read when it is first needed. An empty
variable counts as unset.
"""

from __future__ import annotations

from aries_auth.settings.credentials import ClientCredentials, ClientSecret, SecretSource
from aries_auth.settings.stores import check_profile, login_command, profile_name, resolve_store
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
from aries_auth.settings.values import check_flag, check_text, missing, variable
from aries_auth.singleflight.clock import check_seconds
from aries_auth.token_endpoint.protocol import is_loopback

__all__ = [
    "DEFAULT_PORTS",
    "ClientCredentials",
    "ClientSecret",
    "Origin",
    "SecretSource",
    "api_origins",
    "authorize_url",
    "check_endpoint",
    "check_flag",
    "check_profile",
    "check_redirect_uri",
    "check_seconds",
    "check_text",
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
