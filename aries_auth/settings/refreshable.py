"""Whether a grant can be refreshed from here, and if not, why: one answer for whoever refreshes and whoever reports."""

from __future__ import annotations

from typing import NamedTuple

from aries_auth.errors import AriesAuthError, ConfigurationError, printable
from aries_auth.settings.credentials import ClientCredentials
from aries_auth.settings.urls import same_endpoint, token_url
from aries_auth.settings.values import advised, command_text, variable
from aries_auth.store import TokenStore, store_name
from aries_auth.token import Token


class Obstacle(NamedTuple):
    """What keeps a grant from being refreshed, in the command's words; `elsewhere`: it came from another endpoint."""

    text: str
    elsewhere: bool = False


def obstacle_of(
    token: Token, store: TokenStore, credentials: ClientCredentials, given_url: str | None
) -> Obstacle | None:
    """What would keep a refresh from being sent, besides the client secret and the store; None if nothing would.

    Args:
        token: what the store holds.
        store: the store, for messages.
        credentials: what the caller gave.
        given_url: the token URL that the caller gave (and that was checked), or None.
    """
    try:
        credentials.check(token, store_name(store))
        error = error_of_endpoint(token, token_url(given_url), store_name(store))
        if error is not None:
            return Obstacle(command_text(error), elsewhere=True)
        credentials.identity(token)
    except AriesAuthError as exc:
        return Obstacle(command_text(exc))
    return None


def error_of_endpoint(token: Token, here: str, where: str) -> ConfigurationError | None:
    """The error for a grant that came from another token endpoint than the one it would be sent to, or None."""
    if token.token_url is None or same_endpoint(token.token_url, here):
        return None
    theirs = printable(token.token_url)
    return advised(
        ConfigurationError,
        f"The grant in {where} came from {theirs}, and the token URL is {printable(here)}; nothing was sent.",
        in_code="Unset $ARIES_TOKEN_URL or token_url, or log in there with another profile or store.",
        in_command=f"{advice_for_endpoint()}, or log in there with another profile or store.",
    )


def advice_for_endpoint() -> str:
    """What to do about `$ARIES_TOKEN_URL` if a grant came from elsewhere."""
    if variable("ARIES_TOKEN_URL") is None:
        return "Set $ARIES_TOKEN_URL to the endpoint that the token came from"
    return "Unset $ARIES_TOKEN_URL, or set it to the endpoint that the token came from"
