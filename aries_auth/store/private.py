"""The rules of a file that holds tokens: a regular file of this user, closed to others. Links are not followed."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress

from aries_auth.store.system import effective_user, open_flags, os_error_text
from aries_auth.store.windows import OPEN_PATIENCE, patiently

_LARGEST = 4 * 1024 * 1024
_TOO_LARGE = f"it is larger than {_LARGEST} bytes"
_FLAGS = open_flags("O_RDONLY", "O_NOFOLLOW", "O_NONBLOCK")


def read_private(path: str, mode: int) -> tuple[bytes | None, str]:
    """The content of a file, None if there is none, and what keeps it from being read or trusted.

    Returned rather than raised: a caller raises from a frame that does not hold the content.
    """
    try:
        descriptor = patiently(lambda: os.open(path, _FLAGS), OPEN_PATIENCE)
    except FileNotFoundError:
        return None, ""
    except OSError as exc:
        return None, os_error_text(exc)
    try:
        if sys.platform == "win32":
            # No folder or device opens there, and what is open can't be replaced: closed as soon as can be.
            raw = _read(descriptor, _LARGEST + 1)
            return (raw, "") if len(raw) <= _LARGEST else (None, _TOO_LARGE)
        status = os.fstat(descriptor)
        fault = private_fault(status, mode, path)
        if fault:
            return None, fault
        if status.st_size > _LARGEST:
            return None, _TOO_LARGE
        return _read(descriptor, status.st_size), ""
    except OSError as exc:
        return None, os_error_text(exc)
    finally:
        with suppress(OSError):  # what was read was read
            os.close(descriptor)


def _read(descriptor: int, size: int) -> bytes:
    """The content; it never grows, since whoever writes makes another file and puts it in place."""
    parts: list[bytes] = []
    while size > 0:
        parts.append(os.read(descriptor, size))
        if not parts[-1]:
            break
        size -= len(parts[-1])
    return b"".join(parts)


def private_fault(status: os.stat_result, mode: int, path: str) -> str:
    """What keeps a file from being trusted with tokens, with the cure; "" if nothing does."""
    if not stat.S_ISREG(status.st_mode):
        return "it is a directory" if stat.S_ISDIR(status.st_mode) else "it is no regular file"
    user = effective_user()
    if user is None:
        return ""
    if status.st_uid != user:
        return f"it belongs to user {status.st_uid}, not to you (chown it, or log in again with a file of your own)"
    bits = stat.S_IMODE(status.st_mode)
    if bits & ~mode:
        return (
            f"others may have access to it (mode {bits:04o}); run: chmod {mode:o} {path!r}, and log in again if "
            f"somebody may have read it. If others are meant to, say so with {allowed_mode(bits)}"
        )
    return ""


def allowed_mode(bits: int) -> str:
    """How to say that a token file may have these permission bits."""
    return f"mode=0o{bits:o} for FileTokenStore, or $ARIES_TOKEN_FILE_MODE={bits:04o}"
