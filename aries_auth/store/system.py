"""What systems have each in its own way: the flags of an open, the user of a process, the text of an error."""

from __future__ import annotations

import os
import sys

# In every open: no child inherits the file, and Windows leaves its bytes as they are.
_ALWAYS = ("O_CLOEXEC", "O_BINARY", "O_NOINHERIT")


def open_flags(*names: str) -> int:
    """The flags for `os.open`, as far as this platform has them."""
    return sum(getattr(os, name, 0) for name in (*names, *_ALWAYS))


def effective_user() -> int | None:
    """The id of the user that this process acts as. None if the platform has none (Windows, Pyodide)."""
    if sys.platform == "win32":
        return None
    return os.geteuid() if hasattr(os, "geteuid") else None


def os_error_text(exc: Exception) -> str:
    """What the system says, in its own words."""
    return getattr(exc, "strerror", None) or type(exc).__name__
