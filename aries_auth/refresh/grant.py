"""Grant: one grant as the caller described it. A value, which the source, the refresher and the events share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aries_auth.settings.credentials import ClientCredentials
from aries_auth.settings.stores import login_command
from aries_auth.store import TokenStore, store_name


@dataclass(frozen=True)
class Grant:
    """One grant, and how it is to be kept fresh.

    Attributes:
        store: where the grant is kept.
        credentials: the client credentials as the caller gave them.
        token_url: the token endpoint.
        refresh_margin: seconds before expiry at which a refresh starts, at the most.
        timeout: seconds that a call waits for a refresh, lock included.
        token_client: the caller's own HTTP client for token requests, or None.
        profile: the profile that was given, or None; it shortens the command that `login_command` names.
        background: whether a refresh ahead outlives the call that started it; None: as the process allows.
    """

    store: TokenStore
    credentials: ClientCredentials
    token_url: str
    refresh_margin: float
    timeout: float
    token_client: Any = field(repr=False)
    profile: str | None = None
    background: bool | None = None

    @property
    def name(self) -> str:
        """How messages name its store."""
        return store_name(self.store)

    @property
    def login_command(self) -> str:
        """What a person has to run when the grant is gone."""
        return login_command(self.profile, self.store)
