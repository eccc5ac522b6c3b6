"""What went wrong in a database, told without what it was given.

SQLAlchemy's and the drivers' errors carry parameters, and their frames the document. They end here: `attempt` turns
them into a `DatabaseFault`, and whoever raises something for it does so from a frame that never held either.
"""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from typing import Any, Callable, TypeVar

from sqlalchemy import exc as sqlalchemy_errors

from aries_auth.errors import printable
from aries_auth.singleflight.clock import monotonic
from aries_auth.sql.connecting import connecting_until
from aries_auth.token import Secret

R = TypeVar("R")


class FaultKind(enum.Enum):
    """What a fault means for whoever met it."""

    BUSY = "somebody else holds the row"
    EXHAUSTED = "every connection of the pool is in use"
    LOST = "the connection is gone, or there was none"
    AGAIN = "the database ended the transaction for another's sake, and says to try again"
    MISSING = "there is no table"
    OTHER = "anything else"


@dataclass(frozen=True)
class DatabaseFault:
    """What went wrong, in words that show no secret."""

    kind: FaultKind
    text: str


# Seconds for which a lost connection is tried for again, if nothing is at stake but the wait: a server restarts.
PATIENCE = 5.0
POLL = 0.02  # seconds between two tries for a row that somebody else holds
GOES_BY = (FaultKind.LOST, FaultKind.AGAIN)
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.25

# SQLSTATEs of PostgreSQL, error numbers of MySQL and MariaDB.
_BUSY = frozenset({"55P03", "57014", 1205, 3572})  # lock not available, query cancelled (by a time-out of the role)
_AGAIN = frozenset({"40001", "40P01", 1213})
_MISSING = frozenset({"42P01", 1146})
_LOST = frozenset({1040, 1053, 2002, 2003, 2006, 2013})
# What no second try mends, in the words of libpq and the server, which gives no code before somebody is logged in. In
# another language it is tried for in vain until patience ends.
_HOPELESS = ("authentication failed", "pg_hba.conf", "does not exist", "could not translate", "not known", "resolve")
_SPEAKS_OF_DATA = (sqlalchemy_errors.DataError, sqlalchemy_errors.IntegrityError)


def attempt(work: Callable[[], R], *secrets: Secret) -> tuple[R | None, DatabaseFault | None]:
    """What the work returned, or None and what went wrong; `secrets` are masked in what the database says."""
    try:
        return work(), None
    except sqlalchemy_errors.TimeoutError:
        return None, DatabaseFault(FaultKind.EXHAUSTED, f"{FaultKind.EXHAUSTED.value}, and none came free in time")
    except Exception as exc:  # noqa: BLE001 - drivers raise more than DBAPI errors, and their frames hold the document
        return None, DatabaseFault(_kind(exc), _text(exc, secrets))


def patiently(work: Callable[[], tuple[R | None, DatabaseFault | None]]) -> tuple[R | None, DatabaseFault | None]:
    """Do work that spends nothing, again if a connection was lost: a pool keeps those to a server that is gone."""
    deadline = monotonic() + PATIENCE
    pause = 0.0
    while True:
        with connecting_until(deadline):
            result, fault = work()
        if fault is None or fault.kind not in GOES_BY or monotonic() >= deadline:
            return result, fault
        time.sleep(pause)
        pause = longer_pause(pause)


def longer_pause(pause: float) -> float:
    """The pause after this one, in seconds; the first, after 0, is short."""
    return min(_LONGEST_PAUSE, max(_FIRST_PAUSE, pause * 2))


def _kind(exc: Exception) -> FaultKind:
    code = _code(exc)
    if getattr(exc, "connection_invalidated", False):
        return FaultKind.LOST
    for codes, kind in ((_BUSY, FaultKind.BUSY), (_AGAIN, FaultKind.AGAIN), (_MISSING, FaultKind.MISSING)):
        if code in codes:
            return kind
    if isinstance(exc, sqlalchemy_errors.OperationalError) and "sqlite3" in type(exc.orig).__module__:
        said = str(exc.orig)  # before Python 3.11 there is nothing else to go by
        return FaultKind.BUSY if "locked" in said else FaultKind.MISSING if "no such table" in said else FaultKind.OTHER
    if isinstance(exc, (sqlalchemy_errors.OperationalError, sqlalchemy_errors.InterfaceError)):
        # libpq tells no code if it could not connect. 08 and 57P: connection lost, server going or coming.
        said = str(exc.orig)
        nameless = code is None and exc.statement is None and not any(words in said for words in _HOPELESS)
        return FaultKind.LOST if nameless or code in _LOST or str(code).startswith(("08", "57P0")) else FaultKind.OTHER
    return FaultKind.OTHER


def _code(exc: Exception) -> Any:
    origin: Any = getattr(exc, "orig", None) or exc
    if origin.args and isinstance(origin.args[0], int):
        return origin.args[0]  # MySQL's own numbers say more than the SQLSTATE beside them
    return getattr(origin, "sqlstate", None) or getattr(origin, "pgcode", None)


def _text(exc: Exception, secrets: tuple[Secret, ...]) -> str:
    origin: Any = getattr(exc, "orig", None) or exc
    code = _code(exc)
    named = type(origin).__name__ + (f" {code}" if code else "")
    if isinstance(exc, _SPEAKS_OF_DATA) or not isinstance(exc, sqlalchemy_errors.DBAPIError):
        return named  # "Failing row contains …"
    # Not the whole text of a PostgreSQL error: DETAIL and CONTEXT repeat what was sent.
    primary = getattr(getattr(origin, "diag", None), "message_primary", None)
    said = " ".join(str(primary or origin).split())
    return f"{named}: {printable(said, [' '.join(secret.reveal().split()) for secret in secrets])}"
