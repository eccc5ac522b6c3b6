"""aries-auth: log in to the Aries API once, then pass ``auth=AriesAuth()`` to requests or httpx and forget it."""

from __future__ import annotations

import logging

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
from aries_auth.store import FileTokenStore, TokenStore
from aries_auth.token import Token

logging.getLogger("aries_auth").addHandler(logging.NullHandler())

__all__ = [
    "AriesAuth",
    "AriesAuthError",
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
]
