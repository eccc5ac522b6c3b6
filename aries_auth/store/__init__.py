"""Token stores: the `TokenStore` protocol, and `FileTokenStore`, which keeps one grant in one file."""

from __future__ import annotations

from aries_auth.store.checks import store_fault
from aries_auth.store.file import FileTokenStore
from aries_auth.store.profile import check_profile, profile_path
from aries_auth.store.protocol import (
    LOCK_TIMEOUT,
    Cipher,
    StoreAttributes,
    StoreEntry,
    TokenStore,
    store_command_options,
    store_lock_timeout,
    store_name,
)
from aries_auth.store.waiting import locked_in_slices

__all__ = [
    "LOCK_TIMEOUT",
    "Cipher",
    "FileTokenStore",
    "StoreAttributes",
    "StoreEntry",
    "TokenStore",
    "check_profile",
    "locked_in_slices",
    "profile_path",
    "store_command_options",
    "store_fault",
    "store_lock_timeout",
    "store_name",
]

Cipher.__module__ = StoreEntry.__module__ = TokenStore.__module__ = "aries_auth"  # what the docs call them
