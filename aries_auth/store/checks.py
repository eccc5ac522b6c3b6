"""What is given as a store, and to a store, looked at when it is given: no I/O, and no value in a message."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from aries_auth.errors import ConfigurationError, printable

_STORE_METHODS = ("load", "save", "delete", "locked")
_CIPHER_METHODS = ("encrypt", "decrypt")


def check_store(store: object) -> None:
    """Refuse what is neither a path nor a store.

    Raises:
        ConfigurationError: it is none; the message names its type, since it may be a URL with a password in it.
    """
    kind: Any = type(store)  # Any, since mypy does not know that a class can be hashed
    lacking = "" if _is_store_or_path(kind) else _lacking(store, _STORE_METHODS)
    if lacking:
        raise ConfigurationError(
            "store must be a path, a FileTokenStore, a SQLTokenStore, or another object with the methods load, save, "
            f"delete and locked (aries_auth.TokenStore), not {lacking}."
        )


def check_mode(mode: object) -> None:
    """Refuse a mode of a file that is no permission bits, or keeps its owner out. Raises ConfigurationError."""
    if isinstance(mode, int) and not isinstance(mode, bool) and 0 <= mode <= 0o777 and mode & 0o600 == 0o600:
        return
    raise ConfigurationError(
        "mode must be permission bits such as 0o600 that let the owner read and write, as an int, not "
        f"{printable(repr(mode))}."
    )


def cipher_fault(cipher: object) -> str:
    """What keeps an object from being a cipher; "" if nothing does. Returned, since a frame that holds it may be shown.

    It may be the key itself, given in the place of the cipher that is made from it.
    """
    lacking = _lacking(cipher, _CIPHER_METHODS)
    return lacking and (
        "cipher must be an object with the methods encrypt and decrypt (aries_auth.Cipher), such as Fernet(key) or a "
        f"MultiFernet, not {lacking}."
    )


@lru_cache(maxsize=64)
def _is_store_or_path(kind: Any) -> bool:
    """Whether every object of this class will do. Asked once: a web backend gives a store for each of its users."""
    is_path: bool = issubclass(kind, str) or hasattr(kind, "__fspath__")
    return is_path or all(callable(getattr(kind, name, None)) for name in _STORE_METHODS)


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
