"""Profile names. A name becomes a file name, so it must be one on every system."""

from __future__ import annotations

import re

from aries_auth.errors import ConfigurationError, printable

_PROFILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}\Z")
# Windows opens a device for each of these, whatever follows a dot.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z)", re.IGNORECASE)


def check_profile(name: object, source: str = "") -> str:
    """A profile name.

    Args:
        name: what was given.
        source: the variable that it comes from, if any.

    Raises:
        ConfigurationError: it might mean another file.
    """
    if isinstance(name, str) and _PROFILE.match(name) and not _DEVICE.match(name):
        return name
    where = f" ({source})" if source else ""
    shown = printable(repr(name))
    if isinstance(name, str) and _DEVICE.match(name):
        raise ConfigurationError(f"{shown}{where} is no profile name: on Windows it is a device. Use another one.")
    raise ConfigurationError(
        f"{shown}{where} is no profile name: use 1 to 64 of the characters A-Z a-z 0-9 . _ - and no dot at the start."
    )
