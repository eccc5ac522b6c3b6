"""Which store the command works on: a file or a row of a database, under the environment's key, and all of a kind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Iterator, NamedTuple

from aries_auth import settings
from aries_auth.errors import ConfigurationError
from aries_auth.settings.encryption import cipher_of_environment
from aries_auth.store import FileTokenStore, profile_path
from aries_auth.token import Secret

if TYPE_CHECKING:
    from aries_auth.sql import SQLTokenStore

STORE_URL = "ARIES_STORE_URL"


class Found(NamedTuple):
    """A store, and the profile that it is of; None where a path or a URL alone names it."""

    store: FileTokenStore | SQLTokenStore
    profile: str | None


def find_store(profile: str | None, store: str | None) -> Found:
    """The store that the options mean, else the environment.

    The rules are those of docs/architecture.md, "Environment". In a database, the profile is the key of the row.

    Raises:
        ConfigurationError: a name, URL or key is none, or what it needs is not installed.
    """
    url = _url(store)
    named = settings.profile_name(profile) if profile or settings.variable("ARIES_PROFILE") else None
    if url is not None:
        return Found(_in_database(url, named or settings.profile_name(None)), named)
    by_path = store is not None or (profile is None and settings.variable("ARIES_TOKEN_FILE") is not None)
    path = store or (settings.variable("ARIES_TOKEN_FILE") if by_path else None)
    profile = None if by_path else settings.profile_name(profile)
    return Found(FileTokenStore(path or profile_path(profile or ""), cipher=cipher_of_environment()), profile)


def every_store(store: str | None) -> Iterator[Found]:
    """Every profile of the database, or of the default folder.

    Raises:
        ConfigurationError: the store is a file, or as in `find_store`.
        StoreError: the database can't be asked.
    """
    url = _url(store)
    if url is not None:
        for key in _in_database(url, "default").keys():  # noqa: SIM118 - it is a table, not a mapping
            yield Found(_in_database(url, key), key)
        return
    if store is not None:
        raise ConfigurationError(
            "--all lists the profiles of a database or of the default folder, and a file has none."
        )
    cipher = cipher_of_environment()
    for path in sorted(Path(profile_path("default")).parent.glob("*.json")):
        if not path.name.startswith("."):
            yield Found(FileTokenStore(path, cipher=cipher), path.stem)


def _url(store: str | None) -> Secret | None:
    if store is not None:
        return Secret(store) if "://" in store else None
    from_environment = settings.variable(STORE_URL)
    return None if from_environment is None else Secret(from_environment)


def _in_database(url: Secret, key: str) -> SQLTokenStore:
    try:
        from aries_auth.sql import SQLTokenStore  # noqa: PLC0415 - an extra
    except ImportError as exc:
        raise ConfigurationError(str(exc)) from None
    return SQLTokenStore(url.reveal(), key, cipher=cipher_of_environment())
