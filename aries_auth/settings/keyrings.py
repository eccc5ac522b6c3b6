"""The system's keyring, through the library ``keyring``, which is an extra.

Whatever a backend raises is told by its type alone: its text or frames may quote what it was given.
"""

from __future__ import annotations

from typing import Any

from aries_auth.token import Secret

SERVICE = "aries-auth"
NONE = (
    'there is none on this computer, or the library for it is missing (pip install "aries-auth[keyring]"). Save the '
    "secret in a file instead: aries-auth login --save-secret=file"
)


def _backend() -> Any:
    """The backend, if it is a real one: a priority of 1 or more."""
    try:
        import keyring  # noqa: PLC0415 - an extra, and slow to import

        backend = keyring.get_keyring()
        return backend if float(backend.priority) >= 1 else None
    except Exception:  # noqa: BLE001 - not installed, or without a backend
        return None


def is_there() -> bool:
    """Whether there is a real keyring. A locked one is there."""
    return _backend() is not None


def get(name: str) -> tuple[Secret | None, str]:
    """The secret that is kept under a name, or None and why there is none, with the cure."""
    backend = _backend()
    if backend is None:
        return None, NONE
    try:
        secret = Secret(backend.get_password(SERVICE, name))
    except Exception as exc:  # noqa: BLE001
        return None, f"it gave none ({type(exc).__name__}). Unlock it, or set $ARIES_CLIENT_SECRET"
    if isinstance(secret.reveal(), str) and secret.reveal():  # pyright: ignore[reportUnnecessaryIsInstance]
        return secret, ""
    return None, "it has none. To save it anew, run: aries-auth login --save-secret"


def put(name: str, secret: Secret) -> str:
    """Keep a secret under a name; returns what went wrong, or ""."""
    backend = _backend()
    if backend is None:
        return NONE
    try:
        backend.set_password(SERVICE, name, secret.reveal())
        if Secret(backend.get_password(SERVICE, name) or "") == secret:
            return ""
    except Exception as exc:  # noqa: BLE001
        return f"it refused ({type(exc).__name__}). Unlock it, or save the secret in a file: --save-secret=file"
    return "it did not keep it. Save the secret in a file: aries-auth login --save-secret=file"


def remove(name: str) -> str:
    """Remove what is kept under a name; returns what went wrong, or ""."""
    backend = _backend()
    if backend is None:
        return f"{NONE.partition('. ')[0]}. {_by_hand(name)}"
    try:
        if backend.get_password(SERVICE, name) is not None:
            backend.delete_password(SERVICE, name)
    except Exception as exc:  # noqa: BLE001
        return f"it refused ({type(exc).__name__}). Unlock it, and log out again. {_by_hand(name)}"
    return ""


def _by_hand(name: str) -> str:
    return f"Or remove it by hand: the keyring's entry of service {SERVICE!r}, user name {name!r}, then the file {name}"
