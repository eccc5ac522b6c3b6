"""Where tokens are kept: the `TokenStore` protocol and `FileTokenStore`, one file a grant."""

from __future__ import annotations

from aries_auth.store.document import Cipher
from aries_auth.store.file import FileTokenStore, profile_path
from aries_auth.store.protocol import StoreEntry, TokenStore, store_name

__all__ = ["Cipher", "FileTokenStore", "StoreEntry", "TokenStore", "profile_path", "store_name"]

Cipher.__module__ = StoreEntry.__module__ = TokenStore.__module__ = "aries_auth"  # what the docs call them
