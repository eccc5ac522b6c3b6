"""The PyInstaller hook: what its analysis can't see, since the names are computed."""

# ruff: noqa: N999 - the name is how PyInstaller finds it
from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # PyInstaller need not be installed where types are checked.
    def collect_submodules(package: str) -> list[str]:
        """See ``PyInstaller.utils.hooks``."""
        raise NotImplementedError

    def copy_metadata(distribution: str) -> list[tuple[str, str]]:
        """See ``PyInstaller.utils.hooks``."""
        raise NotImplementedError

else:
    from PyInstaller.utils.hooks import collect_submodules, copy_metadata

# The public names are loaded when they are first used, and so are the subcommands. What needs an optional package
# (aries_auth.sql, the integrations) comes with the import that asks for it.
hiddenimports: list[str] = [
    "aries_auth.auth",
    "aries_auth.authorization",
    "aries_auth.errors",
    "aries_auth.store",
    "aries_auth.token",
    *collect_submodules("aries_auth.cli"),
]
# The version, which the user agent of a token request tells. A mere copy of the sources has none.
datas: list[tuple[str, str]] = []
with suppress(PackageNotFoundError):
    datas += copy_metadata("aries-auth")
