"""The file of a SQLite database, held to the rules of a token file: made 0600, refused if others can read it."""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

from sqlalchemy import URL

from aries_auth.errors import ConfigurationError, StoreError
from aries_auth.store.path import absolute, resolve
from aries_auth.store.private import private_fault
from aries_auth.store.system import open_flags

_MODE = 0o600
# SQLite makes them with the permissions that the database has; older ones may be left from when it had others.
_COMPANIONS = ("-wal", "-shm", "-journal")


def sqlite_fault(url: URL) -> str:
    """Make the file if it is missing, for its owner alone; what keeps it from being trusted, or "" if nothing does."""
    name = _path(url.database or "")
    if name is None:
        return ""
    try:
        path = resolve(absolute(name)).path
    except (ConfigurationError, StoreError) as exc:
        return str(exc).rstrip(".")
    _make_private(path)
    for file in (path, *(path + end for end in _COMPANIONS)):
        try:
            status = os.lstat(file)
        except OSError:
            continue  # not there, or what SQLite will say better
        fault = private_fault(status, _MODE, file)
        if fault:
            return f"the file {file} can't be trusted: {fault}"
    return ""


def _path(database: str) -> str | None:
    """The path of a database's file, also as a URI (sqlite.org/uri.html); None for one in memory."""
    if not database.startswith("file:"):
        return database if database and database != ":memory:" else None
    parts = urlsplit(database)
    path = unquote(parts.path)
    return None if not path or path == ":memory:" or "mode=memory" in parts.query.split("&") else path


def _make_private(path: str) -> None:
    # SQLite itself goes by the umask.
    try:
        os.close(os.open(path, open_flags("O_WRONLY", "O_CREAT", "O_EXCL"), _MODE))
    except OSError:
        return  # there already, or what SQLite will say better
