"""What a notebook shows of an `AriesAuth`: a short table, with no secret in it and every value escaped."""

from __future__ import annotations

import os
import time

from aries_auth.settings.credentials import ClientCredentials, SecretState
from aries_auth.settings.refreshable import obstacle_of
from aries_auth.settings.report import Report
from aries_auth.settings.stores import choose_store
from aries_auth.store import TokenStore, store_name
from aries_auth.terminal import in_words
from aries_auth.token import Token


def table(
    token: Token | None,
    profile: str | None,
    store: TokenStore | str | os.PathLike[str] | None,
    *,
    credentials: ClientCredentials | None = None,
    token_url: str | None = None,
    now: float | None = None,
) -> str:
    """The table, as HTML.

    Args:
        token: the one in memory. If there is none, or it has expired, the store is looked at.
        profile: as `AriesAuth` got it.
        store: likewise.
        credentials: likewise; None: whether it can be refreshed from here is not looked at.
        token_url: likewise.
        now: Unix time in seconds; None is the clock's.
    """
    from html import escape  # noqa: PLC0415 - a notebook has it; the command does without

    rows = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in _rows(token, profile, store, credentials, token_url, time.time() if now is None else now)
    )
    return f"<table><caption>AriesAuth</caption><tbody>{rows}</tbody></table>"


def _rows(
    token: Token | None,
    profile: str | None,
    store: TokenStore | str | os.PathLike[str] | None,
    credentials: ClientCredentials | None,
    token_url: str | None,
    now: float,
) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    fault = None
    # The keyring is not asked for a display: it might ask the person for its password.
    shown = Report(None, "", None, token, SecretState(None), now)
    try:
        choice = choose_store(profile, store)
        rows.append(("profile", choice.profile) if choice.profile else ("store", store_name(choice.store)))
        if not shown.access_token_valid:
            shown = shown._replace(token=choice.store.load() or token)
        if shown.token is not None and credentials is not None:
            shown = shown._replace(obstacle=obstacle_of(shown.token, choice.store, credentials, token_url))
    except Exception as exc:  # noqa: BLE001 - a display never fails, whatever a store of the caller's raises
        fault = type(exc).__name__
    token = shown.token
    if token is None:
        return [*rows, ("access token", "none: log in" if fault is None else f"not known ({fault})")]
    rows += [("scopes", token.scope or "not known"), ("access token", _access(shown))]
    if token.refresh_token_expires_at is not None:
        left = token.refresh_token_expires_at - now
        rows.append(("log in again", f"in {in_words(left)}" if left > 0 else "now"))
    return rows


def _access(shown: Report) -> str:
    if shown.access_token_valid:
        ends_at = shown.token and shown.token.expires_at
        return "expiry not known" if ends_at is None else shown.access_left()
    if shown.refresh_token_valid and shown.obstacle is not None:
        return f"expired, and it can't be refreshed: {shown.obstacle.text}"
    return "expired; the next call refreshes it" if shown.refresh_token_valid else "expired"
