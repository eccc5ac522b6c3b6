"""How a grant stands, for `status`, `login(if_needed=True)` and `notebook`. It sends nothing."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from aries_auth.settings.credentials import NOTHING_GIVEN, ClientCredentials, SecretState
from aries_auth.settings.refreshable import Obstacle, obstacle_of
from aries_auth.settings.stores import StoreChoice, login_command
from aries_auth.settings.values import variable
from aries_auth.store import store_name
from aries_auth.terminal import in_words
from aries_auth.token import Token, is_alive, is_refresh_token_alive

_EXPIRED = "has expired"


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
    token: Token | None,
    choice: StoreChoice,
    *,
    credentials: ClientCredentials = NOTHING_GIVEN,
    token_url: str | None = None,
) -> Report:
    """How a token stands that was loaded from a store.

    Args:
        token: the token.
        choice: the store, and its profile.
        credentials: what the program was told of the client.
        token_url: the token endpoint that it was told.
    """
    store = choice.store
    client_id = credentials.client_id or (None if token is None else token.client_id) or variable("ARIES_CLIENT_ID")
    state = credentials.client_secret.state(client_id, store)
    obstacle = None if token is None else obstacle_of(token, store, credentials, token_url)
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
