"""What is given as a store, and to a store, looked at when it is given: no I/O.

What may be a key, or a URL with a password, is in no message. The fault is returned, so that it is raised from a frame
that no longer holds the value.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, TypeVar

from aries_auth.errors import ConfigurationError, printable

_STORE_METHODS = ("load", "save", "delete", "locked")
_CIPHER_METHODS = ("encrypt", "decrypt")
Given = TypeVar("Given")


def checked_store(store: Given) -> tuple[Given | None, str]:
    """What was given as a store, if anything, and ""; or None and what is wrong with it."""
    fault = "" if store is None else store_fault(store)
    return (None, fault) if fault else (store, "")


def store_fault(store: object) -> str:
    """What keeps an object from being given as a store; "" if nothing does."""
    kind: Any = type(store)  # Any, since mypy does not know that a class can be hashed
    if _is_path(kind):
        return path_fault(store)
    lacking = "" if _is_store(kind) else _lacking(store, _STORE_METHODS)
    return lacking and (
        "store must be a path, a FileTokenStore, a SQLTokenStore, or another object with the methods load, save, "
        f"delete and locked (aries_auth.TokenStore), not {lacking}."
    )


def path_fault(path: object) -> str:
    """What keeps an object from being the path of a token file; "" if nothing does."""
    given: Any = path
    if not _is_path(type(path)) and not isinstance(path, bytes):
        return f"The path of a token file must be a text or a path, not {printable(type(path).__name__)}."
    name = path if isinstance(path, str) else os.fsdecode(given)
    if not name or "\0" in name:
        return "The path of a token file must not be empty, and can't have a NUL in it."
    if "://" in name:
        return "store is a URL, and a path is wanted. For a database pass SQLTokenStore(url, key)."
    return ""


def is_mode(mode: object) -> bool:
    """Whether it is permission bits for a file that let its owner read and write."""
    return isinstance(mode, int) and not isinstance(mode, bool) and 0 <= mode <= 0o777 and mode & 0o600 == 0o600


def check_mode(mode: object) -> None:
    """Refuse what is no mode of a file. Raises ConfigurationError."""
    if not is_mode(mode):
        raise ConfigurationError(
            "mode must be permission bits such as 0o600 that let the owner read and write, as an int, not "
            f"{printable(repr(mode))}."
        )


def check_cipher(store: Any) -> None:
    """Refuse a store's `cipher` that is none, such as a key given instead of it. Raises ConfigurationError.

    It is taken off the store first: it may be a key, and a traceback may show the store.
    """
    lacking = "" if store.cipher is None else _lacking(store.cipher, _CIPHER_METHODS)
    if lacking:
        store.cipher = None
        raise ConfigurationError(
            "cipher must be an object with the methods encrypt and decrypt (aries_auth.Cipher), such as Fernet(key) or "
            f"a MultiFernet, not {lacking}."
        )


def _is_path(kind: Any) -> bool:
    is_path: bool = issubclass(kind, str) or hasattr(kind, "__fspath__")
    return is_path


@lru_cache(maxsize=64)
def _is_store(kind: Any) -> bool:
    """Whether every object of this class will do. Asked once: a web backend gives a store for each of its users."""
    return all(callable(getattr(kind, name, None)) for name in _STORE_METHODS)


def _lacking(thing: object, methods: tuple[str, ...]) -> str:
    """How to name what has not all of these methods, by its type; "" if it has."""
    if hasattr(type(thing), "__getattr__"):
        return ""  # a web framework's proxy, which must not be asked at import time
    if isinstance(thing, type):
        return f"the class {printable(thing.__name__)} itself"
    lacking = [name for name in methods if not callable(getattr(thing, name, None))]
    if not lacking:
        return ""
    return f"an object of type {printable(type(thing).__name__)}, which has no {' and no '.join(lacking)}"
