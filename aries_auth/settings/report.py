"""How a grant stands, for `status`, for `login(if_needed=True)`, and for what a notebook shows. It sends nothing."""

from __future__ import annotations

import os
import time
from typing import Any, NamedTuple

from aries_auth.settings.credentials import NOTHING_GIVEN, ClientCredentials, SecretState
from aries_auth.settings.refreshable import Obstacle, obstacle_of
from aries_auth.settings.stores import StoreChoice, choose_store, login_command
from aries_auth.settings.values import variable
from aries_auth.store import TokenStore, store_name
from aries_auth.terminal import in_words
from aries_auth.token import Token, is_alive, is_refresh_token_alive

LOGIN_DUE = 3 * 86400.0  # seconds before the end of a login from which on people are warned
_NOT_KNOWN, _EXPIRED = "not known", "has expired"


class Report(NamedTuple):
    """A grant at an instant. `profile` is None if a path names the store.

    `obstacle` is what keeps it from being refreshed from here, besides the secret.
    """

    profile: str | None
    store: str
    choice: StoreChoice | None
    token: Token | None
    secret: SecretState
    now: float
    obstacle: Obstacle | None = None

    @property
    def access_token_valid(self) -> bool:
        """Whether the access token can be used, as far as is known."""
        return self.token is not None and is_alive(self.token, self.now)

    @property
    def refresh_token_valid(self) -> bool:
        """Whether there is a refresh token that can be used, as far as is known."""
        return self.token is not None and is_refresh_token_alive(self.token, self.now)

    @property
    def logged_in(self) -> bool:
        """Whether no person is needed."""
        return self.access_token_valid or self.refresh_token_valid

    @property
    def serves(self) -> bool:
        """Whether calls work: the access token lives, or it can be refreshed and the secret is found."""
        is_refreshable = self.refresh_token_valid and self.obstacle is None and self.secret.where is not None
        return self.access_token_valid or is_refreshable

    @property
    def refresh_fault(self) -> str:
        """Why it can't be refreshed from here, the secret included; "" if it can."""
        if self.obstacle is not None:
            return self.obstacle.text
        return self.secret.fault if self.secret.where is None else ""

    @property
    def login_command(self) -> str:
        """What a person has to run to log in again."""
        return "aries-auth login" if self.choice is None else login_command(self.choice.profile, self.choice.store)

    def document(self) -> dict[str, Any]:
        """For scripts; times in Unix seconds."""
        token = self.token
        return {
            "profile": self.profile,
            "store": self.store,
            "client_id": token and token.client_id,
            "redirect_uri": token and token.redirect_uri,
            "scope": token and token.scope,
            "logged_in": self.logged_in,
            "access_token_valid": self.access_token_valid,
            "access_token_expires_at": token and token.expires_at,
            "refresh_token_expires_at": token and token.refresh_token_expires_at,
            "client_secret": self.secret.where,
        }

    def access_left(self) -> str:
        """How long the access token can be used."""
        return "none" if self.token is None else self._left(self.token.expires_at)

    def refresh_left(self) -> str:
        """How long the refresh token can be used."""
        if self.token is None or not self.token.refresh_token:
            return "none"
        return self._left(self.token.refresh_token_expires_at)

    def _left(self, instant: float | None) -> str:
        if instant is None:
            return "end not known"
        left = instant - self.now
        return f"{in_words(left)} left" if left > 0 else f"ended {in_words(-left)} ago"


def report(choice: StoreChoice) -> Report:
    """How the grant of a store stands now, for a program that is told nothing.

    Raises:
        StoreError: the store can't be read.
    """
    return report_of(choice.store.load(), choice)


def report_of(
    token: Token | None, choice: StoreChoice, *, client: ClientCredentials = NOTHING_GIVEN, token_url: str | None = None
) -> Report:
    """How a token stands that was loaded from a store.

    Args:
        token: the token.
        choice: the store, and its profile.
        client: what the program was told of the client.
        token_url: the token endpoint that it was told.
    """
    store = choice.store
    client_id = client.client_id or (None if token is None else token.client_id) or variable("ARIES_CLIENT_ID")
    state = client.client_secret.state(client_id, store)
    obstacle = None if token is None else obstacle_of(token, store, client, token_url)
    return Report(choice.profile, store_name(store), choice, token, state, time.time(), obstacle)


def lifetimes(token: Token, now: float) -> str:
    """How long both tokens can be used, as part of a sentence."""
    access = _until(token.expires_at, now)
    if token.refresh_token is None:
        return f"the access token {access}; there is no refresh token"
    refresh = _until(token.refresh_token_expires_at, now)
    if access == _EXPIRED and refresh != _EXPIRED:
        access += " and is refreshed at the next call"
    return f"the access token {access}, the refresh token {refresh}"


def _until(instant: float | None, now: float) -> str:
    if instant is None:
        return "has no known end"
    if instant <= now:
        return _EXPIRED
    try:
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(instant))
    except (OverflowError, ValueError, OSError):
        return "has no end that a calendar knows"
    return f"is good until {at} ({in_words(instant - now)})"


def table(
    token: Token | None,
    profile: str | None,
    store: TokenStore | str | os.PathLike[str] | None,
    *,
    client: ClientCredentials | None = None,
    token_url: str | None = None,
    now: float | None = None,
) -> str:
    """What a notebook shows of an `AriesAuth`: a short table with no secret in it, and every value escaped.

    Args:
        token: the one in memory. If there is none, or it has expired, the store is looked at.
        profile: as `AriesAuth` got it.
        store: likewise.
        client: likewise; None: whether it can be refreshed from here is not looked at.
        token_url: likewise.
        now: Unix time in seconds; None is the clock's.
    """
    from html import escape  # noqa: PLC0415 - a notebook has it; the command does without

    rows = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in _rows(token, profile, store, client, token_url, time.time() if now is None else now)
    )
    return f"<table><caption>AriesAuth</caption><tbody>{rows}</tbody></table>"


def _rows(
    token: Token | None,
    profile: str | None,
    store: TokenStore | str | os.PathLike[str] | None,
    client: ClientCredentials | None,
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
        if shown.token is not None and client is not None:
            shown = shown._replace(obstacle=obstacle_of(shown.token, choice.store, client, token_url))
    except Exception as exc:  # noqa: BLE001 - a display never fails, whatever a store of the caller's raises
        fault = type(exc).__name__
    token = shown.token
    if token is None:
        return [*rows, ("access token", "none: log in" if fault is None else f"not known ({fault})")]
    rows += [("scopes", token.scope or _NOT_KNOWN), ("access token", _access(shown))]
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
