"""Grant: one grant as the caller described it. A value, which the source, the refresher and the events share."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from aries_auth.settings.credentials import ClientCredentials
from aries_auth.settings.stores import login_command, resolve_store
from aries_auth.store import TokenStore, store_name
from aries_auth.store.holder import holder_text

_STORE = "resolved store"


@dataclass(frozen=True, eq=False)
class Grant:
    """One grant, and how it is to be kept fresh.

    Attributes:
        given_store: the store, or a path, that was given, or None.
        profile: the profile that was given, or None.
        credentials: the client credentials as the caller gave them.
        token_url: the token endpoint.
        refresh_margin: seconds before expiry at which a refresh starts, at the most.
        timeout: seconds that a call waits for a refresh, lock included.
        token_client: the caller's own HTTP client for token requests, or None.
        background: whether a refresh ahead outlives the call that started it; None: as the process allows.
    """

    given_store: TokenStore | str | os.PathLike[str] | None
    profile: str | None
    credentials: ClientCredentials
    token_url: str
    refresh_margin: float
    timeout: float
    token_client: Any = field(repr=False)
    background: bool | None = None

    @property
    def store(self) -> TokenStore:
        """Where the grant is kept. Found in a flight: what it takes (a key file, a driver) is not for an event loop.

        Raises:
            ConfigurationError: parameters or environment mean none.
        """
        if _STORE not in self.__dict__:
            self.__dict__.setdefault(_STORE, resolve_store(self.profile, self.given_store))
        found: TokenStore = self.__dict__[_STORE]
        return found

    @property
    def name(self) -> str:
        """How messages name its store."""
        return store_name(self.store)

    @property
    def held_elsewhere(self) -> str:
        """Which other process holds the store's lock, as part of a message; "" if none does, or none is known."""
        try:
            held = holder_text(self.store)
        except Exception:  # noqa: BLE001 - a store of the caller's may raise anything; another error is on its way
            return ""
        return f", while waiting for the lock of {self.name}{held}" if held else ""

    @property
    def login_command(self) -> str:
        """What a person has to run when the grant is gone."""
        return login_command(self.profile, self.store)
