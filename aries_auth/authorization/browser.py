"""Opening the person's browser. Whatever goes wrong here, the link is on the screen."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import PurePath
from typing import Any

# They would take over the terminal, and don't run the scripts of Aries' page.
_TERMINAL_BROWSERS = frozenset({"www-browser", "links", "elinks", "lynx", "w3m", "links2", "browsh"})


def open_in_background(link: str) -> None:
    """Open the link in a thread of its own, since some browsers return when they are closed."""
    with suppress(RuntimeError):  # no thread left
        threading.Thread(target=_open, args=(link,), name="aries-auth-browser", daemon=True).start()


def _open(link: str) -> None:
    import webbrowser  # noqa: PLC0415 - only who logs in pays for it

    with suppress(Exception):
        if not _is_terminal_browser(webbrowser):
            webbrowser.open(link)


def _is_terminal_browser(module: Any) -> bool:
    try:
        name = str(getattr(module.get(), "name", ""))
    except module.Error:
        return False
    return PurePath(name).name in _TERMINAL_BROWSERS
