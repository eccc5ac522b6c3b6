"""The package's log on standard error: trouble in any case, everything with ``--verbose``."""

from __future__ import annotations

import logging

from aries_auth.cli.console import PREFIX, shown, tell


class _Handler(logging.Handler):
    """Writes records to whatever standard error is when they come."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        tell(shown(self.format(record)))


def show_log(*, verbose: bool) -> None:
    """Show the package's log from now on; called again, it sets how much."""
    logger = logging.getLogger("aries_auth")
    handler = next((each for each in logger.handlers if isinstance(each, _Handler)), None) or _Handler()
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(message)s" if verbose else f"{PREFIX}%(message)s")
    )
    logger.addHandler(handler)  # once, also if it is there already
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
