"""What a sandbox hands to a program that uses aries-auth: its variables, an `AriesAuth`, a `Token`.

The server does without: the rest of the package is loaded when one of them is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    from aries_auth import AriesAuth, Token
    from aries_auth.testing.sandbox import AriesSandbox


def environ(sandbox: AriesSandbox) -> dict[str, str]:
    """The variables that point aries-auth at a sandbox."""
    return {
        "ARIES_CLIENT_ID": sandbox.client_id,
        "ARIES_CLIENT_SECRET": sandbox.client_secret,
        "ARIES_REDIRECT_URI": sandbox.redirect_uri,
        "ARIES_TOKEN_URL": sandbox.token_url,
        "ARIES_AUTHORIZE_URL": sandbox.authorize_url,
        "ARIES_API_ORIGINS": sandbox.api_url,
    }


def auth(sandbox: AriesSandbox, changes: Mapping[str, Any]) -> AriesAuth:
    """An `AriesAuth` of a sandbox's client, with changes."""
    from aries_auth import AriesAuth  # noqa: PLC0415

    given: dict[str, Any] = {
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "redirect_uri": sandbox.redirect_uri,
        "token_url": sandbox.token_url,
        "api_origins": [sandbox.api_url],
    }
    return AriesAuth(**{**given, **changes})


def token(sandbox: AriesSandbox, answer: Mapping[str, Any], now: float) -> Token:
    """The token of an answer of a sandbox's token endpoint."""
    from aries_auth import Token  # noqa: PLC0415

    return Token.from_response(answer, now=now, client_id=sandbox.client_id, redirect_uri=sandbox.redirect_uri)
