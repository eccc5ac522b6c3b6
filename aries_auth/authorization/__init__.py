"""Logging in: `AuthorizationCodeFlow` for web backends, and `login` for a terminal or a notebook."""

from __future__ import annotations

from aries_auth.authorization.flow import AuthorizationCodeFlow
from aries_auth.authorization.setup import login

__all__ = ["AuthorizationCodeFlow", "login"]

login.__module__ = "aries_auth"  # what the docs call it
