"""Tokens at rest under a key: the command's Fernet keys from the environment, and moving a store to the newest."""

from __future__ import annotations

import copy
from typing import Callable, ContextManager, Protocol, TypeVar

from aries_auth.errors import ConfigurationError
from aries_auth.settings.secret_file import read_secret_file
from aries_auth.settings.values import STORE_KEYS, variable
from aries_auth.store import Cipher, StoreEntry
from aries_auth.store.document import Accept
from aries_auth.token import Secret, Token

_KEY, _KEY_FILE = STORE_KEYS


class EncryptableStore(Protocol):
    """A store with a `cipher`, which says what it accepts besides what that has encrypted."""

    cipher: Cipher | None
    accept: Accept

    def locked(self, timeout: float | None = None) -> ContextManager[StoreEntry]:
        """As in `TokenStore`."""
        ...


Store = TypeVar("Store", bound=EncryptableStore)


def cipher_of_environment() -> Cipher | None:
    """The cipher for ``$ARIES_STORE_KEY``, else for the file named by ``$ARIES_STORE_KEY_FILE``; None without either.

    The keys are Fernet's (``Fernet.generate_key()``), separated by commas (in the file also by white space), the
    newest first: it encrypts, and every one of them decrypts.

    Raises:
        ConfigurationError: a key is none, the file can't be read, or cryptography is not installed.
    """
    text, name = variable(_KEY), f"${_KEY}"
    keys = Secret(text or "")
    if text is None:
        path, name = variable(_KEY_FILE), f"the file named by ${_KEY_FILE}"
        if path is None:
            return None
        keys = read_secret_file(path, what="The store's keys", name=_KEY_FILE)
    text = None
    return _fernet(keys, name)


def _fernet(keys: Secret, name: str) -> Cipher:
    try:
        from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigurationError(
            f'{name} asks for encryption, which needs cryptography. Run: pip install "aries-auth[encryption]"'
        ) from None
    ciphers: list[Fernet] = []
    for key in keys.reveal().replace(",", " ").split():
        cipher = _cipher_or_none(Fernet, Secret(key))
        if cipher is None:
            key = ""  # noqa: PLW2901 - this frame may be shown
            raise ConfigurationError(
                f"Key {len(ciphers) + 1} in {name} is no Fernet key (32 bytes in URL-safe base64). To make one, run: "
                "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
            )
        ciphers.append(cipher)
    if not ciphers:
        raise ConfigurationError(f"There is no key in {name}.")
    return MultiFernet(ciphers)


C = TypeVar("C")


def _cipher_or_none(make: Callable[[bytes], C], key: Secret) -> C | None:
    try:
        return make(key.reveal().encode())
    except (TypeError, ValueError):
        return None


def rekey(store: EncryptableStore, cipher: Cipher, *, encrypt_plain: bool = False) -> Token | None:
    """Store the token anew under the cipher's newest key, bound to its row if it lies in a database.

    Args:
        store: a `FileTokenStore` or `SQLTokenStore`; its own cipher does not matter and stays as it is.
        cipher: knows every key that the token may be under, the newest first.
        encrypt_plain: also take a token that is not encrypted. Whoever can write in the store can have planted it, and
            afterwards it looks genuine.

    Returns:
        The token, or None if none is stored.

    Raises:
        StoreError: it is plain, under another key, another row's, or can't be read; it is left as it is.
    """
    working = copy.copy(store)
    working.cipher = cipher
    working.accept = Accept.UNBOUND | Accept.PLAIN if encrypt_plain else Accept.UNBOUND
    with working.locked() as entry:
        token = entry.load()
        if token is not None:
            entry.save(token)
    return token
