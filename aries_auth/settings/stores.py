"""Which store: the one that parameters and environment mean, for `AriesAuth()`, `login()` and the command alike."""

from __future__ import annotations

import os
from typing import Any, Iterator, NamedTuple

from aries_auth.errors import ConfigurationError, printable
from aries_auth.settings.values import STORE_KEYS, variable
from aries_auth.store import (
    Cipher,
    FileTokenStore,
    TokenStore,
    check_profile,
    profile_path,
    store_command_options,
    store_name,
)
from aries_auth.store.checks import is_mode
from aries_auth.terminal import quoted
from aries_auth.token import Secret

_URL, _FILE, _PROFILE, _MODE = "ARIES_STORE_URL", "ARIES_TOKEN_FILE", "ARIES_PROFILE", "ARIES_TOKEN_FILE_MODE"
_TABLE = "aries_tokens"
_IN_CODE = "in the program that has this store: aries_auth.login(store=...), or AuthorizationCodeFlow"


class StoreChoice(NamedTuple):
    """A store, and what led to it.

    `profile` is the profile of a file in the default folder, or the key of a database's row; None if a path or a
    program names the store. `source` is ``parameter``, ``$VARIABLE`` or ``default``; `profile_source` likewise, None
    if it is the same.
    """

    store: TokenStore
    profile: str | None
    source: str
    profile_source: str | None = None


def profile_name(given: str | None) -> str:
    """The profile: what was given, else ``$ARIES_PROFILE``, else ``default``."""
    if given:
        return check_profile(given)
    named = variable(_PROFILE)
    try:
        return check_profile("default" if named is None else named)
    except ConfigurationError as exc:
        raise ConfigurationError(f"${_PROFILE}: {exc}") from None


def choose_store(
    profile: str | None, store: TokenStore | str | os.PathLike[str] | None, *, urls: bool = False
) -> StoreChoice:
    """The one resolver (see "Environment" in the documentation).

    An explicit `store`; else the database of ``$ARIES_STORE_URL``, with the profile as the key; else an explicit
    profile's file; else ``$ARIES_TOKEN_FILE``; else the file of ``$ARIES_PROFILE``, or of ``default``.

    Args:
        profile: a profile's name, or None.
        store: a path or a store that `store_fault` has found nothing wrong with, or None.
        urls: whether `store` may be the URL of a database, as the command's ``--store`` may.

    Raises:
        ConfigurationError: a name, URL, mode or key is malformed, or what it needs is not installed.
    """
    if store is not None and not isinstance(store, (str, os.PathLike)):
        return StoreChoice(store, getattr(store, "key", None), "parameter")
    if urls and "://" in str(store):
        url, store = Secret(str(store)), None  # there may be a password in it
        return _row_of_profile(url, profile, "--store", "parameter")
    if store is not None:
        return StoreChoice(_file(store), None, "parameter")
    if variable(_URL) is not None:
        return _row_of_profile(Secret(os.environ[_URL]), profile, f"${_URL}", f"${_URL}")
    path = None if profile else variable(_FILE)
    if path is None:
        return StoreChoice(_profile_file(profile_name(profile)), profile_name(profile), _source_of_profile(profile))
    if "://" in path:
        path = ""  # there may be a password in it
        raise ConfigurationError(f"${_FILE} is a URL, and a path is wanted. Set ${_URL} for a database.")
    return StoreChoice(_file(path), None, f"${_FILE}")


def _row_of_profile(url: Secret, profile: str | None, name: str, source: str) -> StoreChoice:
    key = profile_name(profile)
    return StoreChoice(_in_database(url, key, name), key, source, _source_of_profile(profile))


def _source_of_profile(given: str | None) -> str:
    return "parameter" if given else f"${_PROFILE}" if variable(_PROFILE) else "default"


def resolve_store(profile: str | None, store: TokenStore | str | os.PathLike[str] | None) -> TokenStore:
    """The store of `choose_store`."""
    return choose_store(profile, store).store


def every_store(store: str | None) -> Iterator[StoreChoice]:
    """Every profile of the database, or of the default folder.

    Raises:
        ConfigurationError: the store is a file, or as in `choose_store`.
        StoreError: the database can't be asked.
    """
    if store is not None and "://" not in store:
        raise ConfigurationError(
            "--all lists the profiles of a database or of the default folder, and a file has none."
        )
    if store is not None or variable(_URL) is not None:
        chosen = choose_store("default", store, urls=True)
        keys: Any = getattr(chosen.store, "keys")  # noqa: B009 - a database has them, other stores need not
        for key in keys():
            yield StoreChoice(_row(store, key), key, chosen.source)
        return
    from pathlib import Path  # noqa: PLC0415 - most commands do without

    for path in sorted(Path(profile_path("default")).parent.glob("*.json")):
        if not path.name.startswith("."):
            yield StoreChoice(_file(path), path.stem, "default")


def _row(store: str | None, key: str) -> TokenStore:
    url = Secret(store if store is not None else os.environ[_URL])
    return _in_database(url, key, "--store" if store is not None else f"${_URL}")


def _file(path: str | os.PathLike[str]) -> FileTokenStore:
    return FileTokenStore(path, mode=_mode(), cipher=cipher_of_settings())


def _profile_file(name: str) -> FileTokenStore:
    return FileTokenStore.for_profile(name, mode=_mode(), cipher=cipher_of_settings())


def _mode() -> int:
    text = variable(_MODE)
    if text is None:
        return 0o600
    try:
        mode = int(text, 8)
    except ValueError:
        mode = 0
    if not is_mode(mode):
        raise ConfigurationError(
            f"${_MODE} must be octal permission bits such as 0660 that let the owner read and write, not "
            f"{printable(ascii(text))}."
        )
    return mode


def cipher_of_settings() -> Cipher | None:
    """The cipher for the keys of the environment; None without keys, and nothing is imported then."""
    if not any(variable(name) for name in STORE_KEYS):
        return None
    from aries_auth.settings.encryption import cipher_of_environment  # noqa: PLC0415 - few encrypt

    return cipher_of_environment()


def _in_database(url: Secret, key: str, name: str) -> TokenStore:
    cipher = cipher_of_settings()
    try:
        from aries_auth.sql import SQLTokenStore  # noqa: PLC0415 - an extra
    except ImportError as exc:
        raise ConfigurationError(f"{name} names a database: {exc}") from None
    fault = ""
    try:
        return SQLTokenStore(url.reveal(), key, cipher=cipher)
    except ConfigurationError as exc:
        fault = str(exc)
    raise ConfigurationError(f"{name} can't be used: {fault}")


def _path_or_none(name: str) -> str | None:
    try:
        return profile_path(name)
    except ConfigurationError:  # no home, so no file is a profile's
        return None


def login_command(profile: str | None, store: TokenStore) -> str:
    """What a person has to run to log in again for this store; never a command that can't work."""
    if getattr(store, "cipher", None) is not None and not any(variable(name) for name in STORE_KEYS):
        return _IN_CODE  # the command would not know the key
    if isinstance(store, FileTokenStore):
        _, _, own = (store_command_options(store) or "").partition("--profile ")
        return _command_for_file((profile, own, variable(_PROFILE), "default"), store.path)
    options, key = store_command_options(store), getattr(store, "key", None)
    if options is None or (key is not None and (not _is_profile(key) or getattr(store, "table", _TABLE) != _TABLE)):
        return _IN_CODE  # the command can't be told of such a store, or would look in another row or table
    if key is not None and _is_of_environment(store, key):
        return f"aries-auth login --profile {key}"
    if "***" in options:
        return f"aries-auth login --profile {key}, with $ARIES_STORE_URL set to the URL of {printable(store)}"
    return f"aries-auth login {options}"


def _command_for_file(profiles: tuple[str | None, ...], path: str) -> str:
    if variable(_URL) is None:
        for name in filter(None, profiles):
            if _is_profile(name) and path == _path_or_none(name):
                # Without the option, these two variables would lead elsewhere.
                plain = name == "default" and not variable(_FILE) and not variable(_PROFILE)
                return "aries-auth login" if plain else f"aries-auth login --profile {name}"
    argument = quoted(path)
    if argument is None:
        return f"aries-auth login, with $ARIES_TOKEN_FILE set to {path}"
    return f"aries-auth login --store {argument}"


def _is_profile(name: object) -> bool:
    try:
        return bool(check_profile(name))
    except ConfigurationError:
        return False


def _is_of_environment(store: TokenStore, key: str) -> bool:
    """Whether the command finds this row through ``$ARIES_STORE_URL``."""
    if variable(_URL) is None:
        return False
    try:
        return store_name(choose_store(key, None).store) == store_name(store)
    except ConfigurationError:
        return False
