"""A file that holds a secret and nothing else: the client secret, or the keys of an encrypted store."""

from __future__ import annotations

import os
import stat
from functools import lru_cache

from aries_auth.errors import ConfigurationError, printable
from aries_auth.store.system import open_flags, os_error_text
from aries_auth.token import Secret

_LARGEST = 64 * 1024
# Without blocking: a named pipe would be waited for until somebody writes to it.
_FLAGS = open_flags("O_RDONLY", "O_NONBLOCK", "O_NOCTTY")


def read_secret_file(path: str, *, what: str, name: str) -> Secret:
    """The content of a secret file, without the white space at its end.

    Args:
        path: the file; ``~`` is expanded.
        what: what is in it, at the start of a sentence.
        name: the variable that names the file.

    Raises:
        ConfigurationError: it can't be read, is no regular file, is not UTF-8, or is empty.
    """
    path = os.path.expanduser(path)  # noqa: PTH111 - "~nobody" is a file name here, not an error
    secret, fault = _read(path)
    if fault:
        raise ConfigurationError(f"{what} can't be read from {printable(path)}, which ${name} names: {fault}.")
    return secret


def _read(path: str) -> tuple[Secret, str]:
    nothing = Secret("")
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        return nothing, "No such file. Make it, or unset the variable"
    except (OSError, ValueError) as exc:
        return nothing, os_error_text(exc)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return nothing, "Is a directory" if stat.S_ISDIR(status.st_mode) else "it is no regular file"
        raw = os.read(descriptor, _LARGEST + 1)
    except OSError as exc:
        return nothing, os_error_text(exc)
    finally:
        os.close(descriptor)
    if len(raw) > _LARGEST:
        return nothing, f"it is larger than {_LARGEST} bytes"
    if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
        _warn(path, stat.S_IMODE(status.st_mode))
    try:
        # With a signature, as editors of Windows write it.
        secret = Secret(raw.decode("utf-8-sig").rstrip())
    except UnicodeDecodeError:
        return nothing, "it is not UTF-8 text"
    return (secret, "") if secret.reveal() else (nothing, "it is empty")


@lru_cache(maxsize=64)  # once per file and process
def _warn(path: str, mode: int) -> None:
    from aries_auth.log import logger  # noqa: PLC0415 - most commands do without logging

    logger.warning(
        "Others on this computer may read the secret in %s (mode %04o); run: chmod 600 %s",
        printable(path),
        mode,
        printable(path),
    )
