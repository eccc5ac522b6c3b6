"""``aries-auth token``, ``refresh`` and ``logout``: what is done with a stored token."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from aries_auth.cli.console import in_words, say
from aries_auth.cli.options import examples, find_grant, grant_options

if TYPE_CHECKING:
    from aries_auth import Token


@click.command(
    epilog=examples(
        'curl -H "Authorization: Bearer $(aries-auth token)" https://api.aries.com/v1/users/me',
        "aries-auth token --profile paper",
    ),
)
@grant_options
def token(profile: str | None, store: str | None) -> None:
    """Print an access token that can be used now, refreshed where it has to be."""
    click.echo(find_grant(profile, store).auth().get_token())


@click.command(
    epilog=examples("aries-auth refresh", "aries-auth refresh --profile paper"),
)
@grant_options
def refresh(profile: str | None, store: str | None) -> None:
    """Refresh the access token now, however long the old one would live."""
    say(f"refreshed: {lifetimes(find_grant(profile, store).auth().refresh(), time.time())}")


def lifetimes(token: Token, now: float) -> str:
    """How long both tokens can be used, as part of a sentence."""
    access = _until(token.expires_at, now)
    if token.refresh_token is None:
        return f"the access token {access}; there is no refresh token"
    return f"the access token {access}, the refresh token {_until(token.refresh_token_expires_at, now)}"


def _until(instant: float | None, now: float) -> str:
    if instant is None:
        return "has no known end"
    try:
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(instant))
    except (OverflowError, ValueError, OSError):
        return "has no end that a calendar knows"
    return f"is good until {at} ({in_words(instant - now)})"


@click.command(
    epilog=examples("aries-auth logout", "aries-auth logout --profile paper"),
)
@grant_options
def logout(profile: str | None, store: str | None) -> None:
    """Delete the stored token, readable or not, without asking.

    A program that holds the token in memory can use it until it expires.
    """
    from aries_auth.errors import StoreError  # noqa: PLC0415
    from aries_auth.store import store_name  # noqa: PLC0415

    kept_in = find_grant(profile, store).store
    try:
        stored = kept_in.load()
        found = None if stored is None else f"the token of client {stored.client_id or 'unknown'}"
    except StoreError:
        found = "an unreadable token"
    kept_in.delete()
    where = store_name(kept_in)
    say(f"deleted {found} from {where}" if found else f"nothing to delete: there was no token in {where}")
