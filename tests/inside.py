"""What tests look at inside an object by a private name. A name that several tests need is here, and only here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aries_auth import AriesAuth, TokenStore
from aries_auth.refresh.pending_save import PendingSave
from aries_auth.refresh.source import TokenSource
from aries_auth.testing import AriesSandbox

if TYPE_CHECKING:
    from aries_auth.sql import SQLTokenStore

# An AriesAuth


def source_of(auth: AriesAuth) -> TokenSource:
    return auth._prepare().source


def store_of(auth: AriesAuth) -> TokenStore:
    return source_of(auth)._grant.store


def pending_save_of(auth: AriesAuth) -> PendingSave:
    return source_of(auth)._pending


def start_over(auth: AriesAuth) -> None:
    """As in a forked child."""
    source_of(auth)._start_over()


def flight_of(auth: AriesAuth) -> Any:
    """The last refresh that was begun, which may be under way."""
    under_way = source_of(auth)._under_way
    assert under_way is not None, "none was begun"
    return under_way.flight


def waiting_for(auth: AriesAuth) -> int:
    """How many callers wait for the refresh that was begun last, if one was."""
    under_way = source_of(auth)._under_way
    return 0 if under_way is None else len(under_way.flight._waiters)


# A store


def engine_of(store: SQLTokenStore) -> Any:
    return store._database.engine


# A sandbox


def issued_refresh_token(aries: AriesSandbox, text: str | None) -> Any:
    """What the sandbox knows of a refresh token; None if it never issued it."""
    return aries._grants._refresh.get(text or "")


def connections_of(aries: AriesSandbox) -> set[Any]:
    """Its connections that are open."""
    server = aries._listening._server
    return set() if server is None else server._connections
