"""Removes files of a store, or says what keeps them from being removed."""

from __future__ import annotations

import os
from contextlib import suppress

from aries_auth.errors import StoreError
from aries_auth.store.durable import sync_folder
from aries_auth.store.replaceable import replace_fault
from aries_auth.store.system import os_error_text
from aries_auth.store.windows import REPLACE_PATIENCE, patiently


def remove(*paths: str) -> None:
    """Remove files of one folder, those that are there, so that no power cut brings them back.

    Raises:
        StoreError: one can't be removed; the message says what to do next.
    """
    for path in paths:
        _remove(path)
    sync_folder(os.path.dirname(paths[0]))


def _remove(path: str) -> None:
    try:
        with suppress(FileNotFoundError):
            patiently(lambda: os.unlink(path), REPLACE_PATIENCE)
    except OSError as exc:
        raise StoreError(f"{path} can't be removed: {_fault(path, exc)}.") from exc


def _fault(path: str, exc: OSError) -> str:
    if os.path.isdir(path):
        return "it is a directory. Choose another path, or remove the directory yourself"
    cure = ". Choose another path, or have its owner remove it" if isinstance(exc, PermissionError) else ""
    return replace_fault(path) or f"{os_error_text(exc)}{cure}"
