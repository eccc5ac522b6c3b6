"""What PyInstaller finds by the entry point ``pyinstaller40``: the folder with the hook, which is this one."""

from __future__ import annotations

import os


def get_hook_dirs() -> list[str]:
    """The folders with hooks."""
    return [os.path.dirname(__file__)]  # noqa: PTH120
