"""``aries-auth token``, ``refresh`` and ``logout``: what is done with a stored token."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from aries_auth.cli.console import Failure, is_out_of_reach, put, say
from aries_auth.cli.options import auth_of, examples, find_store, grant_options, show_trouble

if TYPE_CHECKING:
    from aries_auth import Token, TokenStore


@click.command(
    epilog=examples(
        'echo "Authorization: Bearer $(aries-auth token)" | curl -H @- https://api.aries.com/v1/users/me',
        "aries-auth token --profile paper",
    ),
)
@grant_options
def token(profile: str | None, store: str | None) -> None:
    """Print an access token that can be used now, refreshed if it has to be."""
    choice = find_store(profile, store)
    fresh = _fresh(choice.store)
    if fresh is not None:
        put(fresh.access_token)
        return
    show_trouble()
    put(auth_of(choice).get_token())


def _fresh(store: TokenStore) -> Token | None:
    """The stored token if it is outside its margin: then nothing that refreshes has to be loaded."""
    from aries_auth.refresh.policy import REFRESH_MARGIN, cache  # noqa: PLC0415

    stored = store.load()
    if stored is None:
        return None
    now = time.time()
    cached = cache(stored, now=now, refresh_margin=REFRESH_MARGIN, spread=0.0)
    return stored if now < cached.fresh_until else None


@click.command(
    epilog=examples("aries-auth refresh", "aries-auth refresh --profile paper"),
)
@grant_options
def refresh(profile: str | None, store: str | None) -> None:
    """Refresh the access token now, however long the old one would live."""
    show_trouble()
    from aries_auth.cli.waiting import notice  # noqa: PLC0415
    from aries_auth.settings.report import lifetimes  # noqa: PLC0415

    choice = find_store(profile, store)
    with notice(choice.store):
        refreshed = auth_of(choice).refresh()
    say(f"refreshed: {lifetimes(refreshed, time.time())}")


@click.command(
    epilog=examples("aries-auth logout", "aries-auth logout --profile paper"),
)
@grant_options
def logout(profile: str | None, store: str | None) -> None:
    """Delete the stored token, readable or not, and the saved client secret, without asking.

    A program that holds the token in memory can use it until it expires.
    """
    show_trouble()
    from aries_auth.cli.waiting import notice  # noqa: PLC0415
    from aries_auth.store import store_name  # noqa: PLC0415

    kept_in = find_store(profile, store).store
    found = _what_is_stored(kept_in)
    with notice(kept_in):
        kept_in.delete()
        had_secret, fault = _delete_secret(kept_in)
    where = store_name(kept_in)
    if fault:
        done = f"deleted {found} from {where}" if found else f"there was no token in {where}"
        raise Failure(f"{done}, but the saved client secret was not deleted: {fault}")
    if not found and not had_secret:
        say(f"nothing to delete: there was no token in {where}")
    elif not found:
        say(f"deleted the saved client secret; there was no token in {where}")
    else:
        say(f"deleted {found}{' and the saved client secret' if had_secret else ''} from {where}")


def _delete_secret(store: TokenStore) -> tuple[bool, str]:
    """Whether there was a saved secret, and what keeps it from being deleted."""
    from aries_auth.errors import AriesAuthError  # noqa: PLC0415
    from aries_auth.settings import saved_secret  # noqa: PLC0415

    try:
        return saved_secret.delete(store), ""
    except AriesAuthError as exc:
        return True, str(exc)


def _what_is_stored(store: TokenStore) -> str | None:
    from aries_auth.errors import StoreError  # noqa: PLC0415

    try:
        stored = store.load()
    except StoreError as exc:
        if is_out_of_reach(exc):
            raise
        return "an unreadable token"
    return None if stored is None else f"the token of client {stored.client_id or 'unknown'}"
