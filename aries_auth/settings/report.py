"""What a notebook shows for an `AriesAuth`: a short table with no secret in it, and every value escaped."""

from __future__ import annotations

import os
import time
from html import escape
from typing import Iterator

from aries_auth import settings
from aries_auth.store import TokenStore, store_name
from aries_auth.token import Token


def table(
    token: Token | None,
    profile: str | None,
    store: TokenStore | str | os.PathLike[str] | None,
    *,
    now: float | None = None,
) -> str:
    """The table as HTML.

    Args:
        token: the one in memory; where there is none, or it has expired, the store is looked at.
        profile: as `AriesAuth` got it.
        store: likewise.
        now: Unix time in seconds; None is the clock's.
    """
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in _rows(token, profile, store, time.time() if now is None else now)
    )
    return f"<table><caption>AriesAuth</caption><tbody>{rows}</tbody></table>"


def _rows(
    token: Token | None, profile: str | None, store: TokenStore | str | os.PathLike[str] | None, now: float
) -> Iterator[tuple[str, str]]:
    fault = None
    try:
        kept_in = settings.resolve_store(profile, store)
        named_by_path = store is not None or (profile is None and settings.variable("ARIES_TOKEN_FILE") is not None)
        yield ("store", store_name(kept_in)) if named_by_path else ("profile", settings.profile_name(profile))
        if token is None or not _lives(token, now):
            token = kept_in.load() or token
    except Exception as exc:  # noqa: BLE001 - a display never fails, whatever a store of the caller's raises
        fault = type(exc).__name__
    if token is None:
        yield "access token", "none: log in" if fault is None else f"not known ({fault})"
        return
    yield "scopes", token.scope or "not known"
    yield "access token", _access(token, now)
    if token.refresh_token_expires_at is not None:
        left = token.refresh_token_expires_at - now
        yield "log in again", f"in {_in_words(left)}" if left > 0 else "now"


def _lives(token: Token, now: float) -> bool:
    return token.expires_at is None or token.expires_at > now


def _access(token: Token, now: float) -> str:
    if token.expires_at is None:
        return "expiry not known"
    left = token.expires_at - now
    if left > 0:
        return f"{_in_words(left)} left"
    ends_at = token.refresh_token_expires_at
    can_refresh = token.refresh_token is not None and (ends_at is None or ends_at > now)
    return "expired; the next call refreshes it" if can_refresh else "expired"


def _in_words(seconds: float) -> str:
    """A duration as people say it, rounded down: ``29 days``, ``54 minutes``."""
    whole = max(0, int(seconds))
    for name, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if whole >= 2 * length:
            return f"{whole // length} {name}"
    return "1 second" if whole == 1 else f"{whole} seconds"
