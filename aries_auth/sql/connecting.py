"""How long a connection may take: what is left of a call's patience, with every driver and everybody's engine."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Any, Generator

from sqlalchemy import Engine, event

from aries_auth.singleflight.clock import monotonic

# What drivers call it; all take seconds, libpq no less than two.
_NAMES = {
    "psycopg": "connect_timeout",
    "psycopg2": "connect_timeout",
    "pg8000": "timeout",
    "pymysql": "connect_timeout",
    "mysqldb": "connect_timeout",
    "mariadbconnector": "connect_timeout",
    "mysqlconnector": "connection_timeout",
}
_SHORTEST = 2

_asked = threading.local()


@contextmanager
def connecting_until(deadline: float) -> Generator[None, None, None]:
    """Connections that this thread makes in the block give up at `deadline`, on the clock of `monotonic`."""
    before = getattr(_asked, "until", None)
    _asked.until = deadline if before is None else min(before, deadline)
    try:
        yield
    finally:
        _asked.until = before
        _asked.reading = False


def watch(engine: Engine) -> None:
    """Have the connections of an engine keep to it. Those that its owner makes elsewhere are left as they are."""
    if not event.contains(engine, "do_connect", _limit):
        event.listen(engine, "do_connect", _limit)
        event.listen(engine, "connect", _unlimit)


class _Ours(int):
    """Seconds that we have put among a driver's options: SQLAlchemy before 2.1 keeps them for the next connection."""


def _limit(dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
    for name in [name for name, value in options.items() if isinstance(value, _Ours)]:
        del options[name]
    until = getattr(_asked, "until", None)
    name = _NAMES.get(dialect.driver, "")
    if until is None or not name or name in options:
        return
    options[name] = seconds = _Ours(max(_SHORTEST, round(until - monotonic())))
    if dialect.driver == "pymysql" and "read_timeout" not in options:
        # Its time-out ends with the connection; a server that accepts and says nothing would be waited for without end.
        options["read_timeout"] = seconds
        _asked.reading = True


def _unlimit(connection: Any, _record: Any) -> None:
    if getattr(_asked, "reading", False):
        # What comes now may take longer, also in the hands of the engine's owner. PyMySQL has no public name for it.
        _asked.reading = False
        connection._read_timeout = None  # noqa: SLF001
