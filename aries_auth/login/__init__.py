"""Logging in: `AuthorizationCodeFlow` for web backends, and `login` for a terminal or a notebook."""

from __future__ import annotations

from aries_auth.login.flow import AuthorizationCodeFlow
from aries_auth.login.setup import login

__all__ = ["AuthorizationCodeFlow", "login"]
