"""Profiles: names of token files in the user's data folder."""

from __future__ import annotations

import os
import re

from aries_auth.errors import ConfigurationError, printable

_PROFILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}\Z")
# Names that are devices on Windows, whatever comes after a dot.
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}
)


def check_profile(name: object) -> str:
    """A profile's name, which becomes a file's. Raises ConfigurationError for a name that might mean another file."""
    if isinstance(name, str) and _PROFILE.match(name):
        if name.split(".")[0].lower() in _DEVICES:
            raise ConfigurationError(f"{name} can't name a profile: on Windows it is a device. Choose another name.")
        return name
    raise ConfigurationError(
        f"{printable(repr(name))} is no profile name: use 1 to 64 of the characters A-Z a-z 0-9 . _ - "
        "and no dot at the start."
    )


def profile_path(profile: str) -> str:
    """The token file of a profile, in the user's data folder of this platform.

    Raises:
        ConfigurationError: this user has no home, so there is no such folder.
    """
    import platformdirs  # noqa: PLC0415 - only who uses a profile pays for it

    try:
        folder = platformdirs.user_data_dir("aries-auth")
    except RuntimeError:  # platformdirs from 4.14 on; before, it returns a folder called "~"
        folder = ""
    if not os.path.isabs(folder):
        raise ConfigurationError(
            "This user has no home folder to keep a token in ($HOME is not set, and the system's list has no entry). "
            "Set $ARIES_TOKEN_FILE to the path of a token file, or give a path as store."
        )
    return os.path.join(folder, f"{profile}.json")


def check_case(path: str) -> None:
    """Refuse a profile whose file is that of a profile spelt with other capitals, as on macOS and Windows.

    Raises:
        ConfigurationError: the file is there under another spelling.
    """
    folder, name = os.path.split(path)
    if not os.path.lexists(path):
        return
    try:
        names = os.listdir(folder)
    except OSError:
        return
    other = next((each for each in names if each.lower() == name.lower()), name)
    if name not in names and other != name:
        raise ConfigurationError(
            f"The profile {name[:-5]} would share its file with the profile {other[:-5]}, since this filesystem does "
            f"not tell capital letters from small ones. Use the profile {other[:-5]}, or another name."
        )
