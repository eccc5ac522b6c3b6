"""The folder of a token file: made private if it is missing, and files removed from it for good."""

from __future__ import annotations

import os
from contextlib import suppress

from aries_auth.errors import StoreError
from aries_auth.store.durable import sync_folder
from aries_auth.store.path import resolve
from aries_auth.store.replaceable import replace_fault
from aries_auth.store.system import os_error_text
from aries_auth.store.windows import REPLACE_PATIENCE, patiently


def make_folder_of(path: str) -> None:
    """Make the missing folders above a file's own path. Raises StoreError, also if a link was put there meanwhile."""
    make_folder(os.path.dirname(path))
    if resolve(path).path != path:
        raise StoreError(f"{path} became a symbolic link while its folder was made. Use a folder of your own.")


def make_folder(folder: str) -> None:
    """Make a folder and those above it, private, if they are missing.

    Raises:
        StoreError: it can't be made.
    """
    if os.path.isdir(folder):
        return
    above = os.path.dirname(folder)
    if above != folder:
        make_folder(above)
    try:
        os.mkdir(folder, 0o700)
        if os.stat(folder).st_mode & 0o700 != 0o700:
            os.chmod(folder, 0o700)  # a umask that takes the owner's own bits
    except FileExistsError:
        if not os.path.isdir(folder):  # else somebody else was faster
            raise StoreError(f"The folder {folder} can't be made: there is a file of that name.") from None
    except OSError as exc:
        raise StoreError(f"The folder {folder} can't be made: {os_error_text(exc)}.") from exc


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
