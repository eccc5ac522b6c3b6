"""Which store: profile names, and the one that parameters and environment mean."""

from __future__ import annotations

import os
import re

from aries_auth.errors import ConfigurationError, printable
from aries_auth.settings.values import variable
from aries_auth.store import FileTokenStore, TokenStore, profile_path, store_command_options, store_name

_PROFILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}\Z")


def check_profile(name: object) -> str:
    """A profile name, which becomes a file name; ConfigurationError for what might mean another file."""
    if isinstance(name, str) and _PROFILE.match(name):
        return name
    raise ConfigurationError(
        f"{printable(repr(name))} is no profile name: use 1 to 64 of the characters A-Z a-z 0-9 . _ - "
        "and no dot at the start."
    )


def profile_name(given: str | None) -> str:
    """The profile: what was given, else ``$ARIES_PROFILE``, else ``default``."""
    return check_profile(given or variable("ARIES_PROFILE") or "default")


def resolve_store(profile: str | None, store: TokenStore | str | os.PathLike[str] | None) -> TokenStore:
    """The store: an explicit `store`, else `profile`'s file, else ``$ARIES_TOKEN_FILE``, else ``$ARIES_PROFILE``'s."""
    if store is not None and not isinstance(store, (str, os.PathLike)):
        return store
    if store is None and profile is None:
        store = variable("ARIES_TOKEN_FILE")
    if "://" in str(store):
        store = None  # there may be a password in it
        raise ConfigurationError("store is a URL, and a path is wanted. For a database pass SQLTokenStore(url, key).")
    return FileTokenStore(profile_path(profile_name(profile)) if store is None else store)


def _path_or_none(name: str) -> str | None:
    try:
        return profile_path(name)
    except ConfigurationError:  # no home, so no file is a profile's
        return None


def login_command(profile: str | None, store: TokenStore) -> str:
    """The command that a person has to run to log in again for this store."""
    options = store_command_options(store)  # of a store that a path does not name
    if options is not None:
        return f"aries-auth login {options}"
    path = store_name(store)
    for name in filter(None, (profile, variable("ARIES_PROFILE"), "default")):
        if _PROFILE.match(name) and path == _path_or_none(name):
            return "aries-auth login" if name == "default" else f"aries-auth login --profile {name}"
    import shlex  # noqa: PLC0415 - few have a file of their own

    return f"aries-auth login --store {shlex.quote(path)}"
