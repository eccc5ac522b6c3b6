"""Reads a token file by the rules of its store: private, whole, and of a version that is known."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from aries_auth.errors import StoreError
from aries_auth.store.document import decode
from aries_auth.store.private import read_private
from aries_auth.terminal import quoted
from aries_auth.token import Token, is_for_upgrade

if TYPE_CHECKING:
    from aries_auth.store.file import FileTokenStore

# What is wrong with the path itself; a logout has nothing to remove there.
_NO_PLACE = frozenset(os.strerror(number) for number in (errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP))


def load_token(target: str, store: FileTokenStore) -> Token | None:
    """The token in a file, by the rules of a store. Raises StoreError."""
    token, fault = read_token(target, store)
    if fault:
        raise StoreError(f"The token file {target} can't be used: {fault}. It was left as it is.{_cure(target, fault)}")
    return token


def _cure(target: str, fault: str) -> str:
    """How to start over from a damaged file; what else is wrong with one has its own cure in the text."""
    if any(word in fault for word in ("chmod", "chown", "key", "cipher")):
        return ""
    if os.path.isdir(target):
        return " Choose another path, such as that of a file in this directory, or remove the directory yourself."
    is_of_system = fault[:1].isupper()  # in its own words: what it keeps from being read may be a good token
    if fault in _NO_PLACE or (not is_of_system and not os.access(os.path.dirname(target), os.W_OK | os.X_OK)):
        return " Choose another path, in a folder that you may write in."
    if is_of_system:
        return " Make it readable for this user."
    argument = quoted(target)
    options = "" if argument is None else f" --store {argument}"
    beginning = "Else, to" if is_for_upgrade(fault) else "To"
    return f" {beginning} start over, run: aries-auth logout{options} and log in again."


def read_token(target: str, store: FileTokenStore) -> tuple[Token | None, str]:
    """The token in a file, or None if there is none, and what keeps it from being read."""
    raw, fault = read_private(target, store.mode)
    return (None, fault) if raw is None else decode(raw, cipher=store.cipher, accept=store.accept)
