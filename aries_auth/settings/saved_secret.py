"""The saved secret: what a person typed at a login, kept so that programs on this computer need no variable.

It lies beside the token file, as ``<token file>.secret``, under that file's rules: its mode, owner, links, cipher and
atomic replacement. If the system has a keyring, the secret is there, and the file says so.
"""

from __future__ import annotations

import copy
import os
from contextlib import suppress
from typing import NamedTuple

from aries_auth.errors import ConfigurationError, StoreError
from aries_auth.settings import keyrings
from aries_auth.store import Cipher, FileTokenStore, TokenStore, store_name
from aries_auth.store.envelope import Advice, seal, unseal
from aries_auth.store.folder import make_folder_of, remove
from aries_auth.store.path import resolve
from aries_auth.store.private import read_private
from aries_auth.store.temporary import TemporaryFile
from aries_auth.token import VERSION, Secret

KEYRING, FILE = "keyring", "file"

_AGAIN = "To save it anew, run: aries-auth login --save-secret"
_ADVICE = Advice(
    no_key="it is encrypted, and there is no key: set $ARIES_STORE_KEY, or pass a store with cipher=",
    wrong_key="give the key that it was written with, or save it anew: aries-auth login --save-secret",
    damaged=f". {_AGAIN}",
)
_REMOVE = "You can also remove it and run: aries-auth login --save-secret"


class SavedSecret(NamedTuple):
    """What the file says: for which client, and the secret, or None if the keyring has it."""

    client_id: str
    secret: Secret | None


def secret_path(store: TokenStore) -> str | None:
    """Where a store's secret is saved; None for a store without a file, which has none."""
    return f"{store.path}.secret" if isinstance(store, FileTokenStore) else None


def load(store: TokenStore, client_id: str) -> Secret | None:
    """The saved secret of a client; None if none is saved for it.

    Raises:
        ConfigurationError: it can't be used, with the cure.
    """
    saved = read(store)
    if saved is None or saved.client_id != client_id:
        return None
    if saved.secret is not None:
        return saved.secret
    path = secret_path(store) or ""
    secret, fault = keyrings.get(path)
    if secret is None:
        raise ConfigurationError(f"{path} says that the client secret is in the system's keyring, but {fault}.")
    return secret


def read(store: TokenStore) -> SavedSecret | None:
    """What is saved, without asking the keyring; None if nothing is.

    Raises:
        ConfigurationError: it can't be used, with the cure.
    """
    path = secret_path(store)
    if path is None or not isinstance(store, FileTokenStore):
        return None
    saved, fault = _read(path, store)
    if fault:
        raise ConfigurationError(f"The saved client secret {path} can't be used: {fault}.")
    return saved


def check_place(store: TokenStore, where: bool | str | None) -> None:
    """Refuse a wish to save the secret that can't be fulfilled, before a person is troubled.

    Raises:
        ConfigurationError: it is none of True, False, None, ``keyring`` and ``file``; the store has no file; or there
            is no keyring.
    """
    if not (where is None or isinstance(where, bool) or where in (KEYRING, FILE)):
        raise ConfigurationError('save_secret must be True, False, None, "keyring" or "file".')
    if where and secret_path(store) is None:
        raise ConfigurationError(
            f"The client secret can't be saved beside {store_name(store)}, which is no file. Use $ARIES_CLIENT_SECRET, "
            "$ARIES_CLIENT_SECRET_FILE, or a callable that asks a vault."
        )
    if where == KEYRING and not keyrings.is_there():
        raise ConfigurationError(f"The client secret can't be saved in a keyring: {keyrings.NONE}.")


def save(store: TokenStore, client_id: str, secret: Secret, where: bool | str = True) -> str:
    """Keep a client's secret; returns where: ``keyring`` or ``file``.

    Raises:
        ConfigurationError: see `check_place`, or the keyring refused.
        StoreError: the file can't be written.
    """
    check_place(store, where)
    assert isinstance(store, FileTokenStore)  # noqa: S101 - checked in the line above
    path = f"{store.path}.secret"
    in_keyring = where == KEYRING or (where is True and keyrings.is_there())
    if in_keyring:
        fault = keyrings.put(path, secret)
        if fault and where == KEYRING:
            raise ConfigurationError(f"The client secret can't be saved in the system's keyring: {fault}.")
        in_keyring = not fault
    before = None
    with suppress(ConfigurationError):  # one that can't be used is replaced
        before = read(store)
    _write(SavedSecret(client_id, None if in_keyring else secret), store, f"The client secret can't be saved in {path}")
    if before is not None and before.secret is None and not in_keyring:
        keyrings.remove(path)
    return KEYRING if in_keyring else FILE


def delete(store: TokenStore) -> bool:
    """Remove the saved secret, usable or not; returns whether there was one.

    Raises:
        ConfigurationError: the keyring does not let go of it. The file is left, so that you can try again.
        StoreError: the file can't be removed, or a link leads to it that is not to be trusted.
    """
    path = secret_path(store)
    if path is None or not os.path.lexists(path) or not isinstance(store, FileTokenStore):
        return False
    saved, fault = _read(path, store)
    if saved is None and not fault:
        return False  # a link to a file that is not there
    if fault and os.path.islink(path):  # noqa: PTH114 - pathlib is slow to load
        raise StoreError(
            f"{path} is a symbolic link to something that can't be used: {fault}. Remove the link yourself."
        )
    if saved is not None and saved.secret is None:
        fault = keyrings.remove(path)
        if fault:
            raise ConfigurationError(f"The client secret of {path} could not be removed from the keyring: {fault}.")
    target = resolve(path).path
    with store.locked():
        remove(target)
    return True


def rekey_secret(store: TokenStore, cipher: Cipher, *, encrypt_plain: bool) -> bool:
    """Save the secret anew under a cipher's newest key, as `rekey` does with the token; returns whether there is one.

    Raises:
        StoreError: it can't be read under the cipher, is plain and `encrypt_plain` was not said, or can't be written.
    """
    path = secret_path(store)
    if path is None or not os.path.lexists(path) or not isinstance(store, FileTokenStore):
        return False
    working = copy.copy(store)
    working.cipher = cipher
    saved, fault = _read(path, working)
    if saved is None and not fault:
        return False  # as above
    if saved is None and encrypt_plain:
        working.cipher = None
        saved, _ = _read(path, working)
        working.cipher = cipher
    if saved is None:
        raise StoreError(f"The saved client secret {path} can't be moved: {fault}.")
    _write(saved, working, f"The saved client secret {path} can't be moved")
    return True


def _write(saved: SavedSecret, store: FileTokenStore, failure: str) -> None:
    """Replace the file under the store's lock; `failure` begins what is said if the cipher fails."""
    document, fault = seal(_document(saved), store.cipher)
    if fault:
        raise StoreError(f"{failure}: {fault}.")
    with store.locked():
        target = resolve(f"{store.path}.secret").path
        make_folder_of(target)
        temporary = TemporaryFile(target, store.mode)
        try:
            temporary.create(len(document.reveal()))
            temporary.replace_target(document)
        finally:
            temporary.discard()


def _document(saved: SavedSecret) -> dict[str, object]:
    kept = {"kept_in": KEYRING} if saved.secret is None else {"client_secret": saved.secret.reveal()}
    return {"version": VERSION, "client_id": saved.client_id, **kept}


# Reading: what went wrong is returned, so that it is raised from a frame that never held the secret.


def _read(path: str, store: FileTokenStore) -> tuple[SavedSecret | None, str]:
    try:
        raw, fault = read_private(resolve(path).path, store.mode)
    except StoreError as exc:  # a link that is not to be followed
        return None, f"{str(exc).rstrip('.')}. {_REMOVE}"
    if raw is None:
        return None, fault and f"{fault}. {_REMOVE}"
    document, was_encrypted, fault = unseal(raw, store.cipher, _ADVICE)
    if document is None:
        return None, fault
    if not was_encrypted and store.cipher is not None and "client_secret" in document:
        return None, f"a key was given ($ARIES_STORE_KEY, $ARIES_STORE_KEY_FILE), but it is not encrypted. {_AGAIN}"
    client_id, secret = document.get("client_id"), document.get("client_secret")
    if not isinstance(client_id, str) or not client_id:
        return None, f"it names no client. {_AGAIN}"
    if isinstance(secret, str) and secret:
        return SavedSecret(client_id, Secret(secret)), ""
    if secret is None and document.get("kept_in") == KEYRING:
        return SavedSecret(client_id, None), ""
    return None, f"there is no secret in it. {_AGAIN}"
