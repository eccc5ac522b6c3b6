"""The package's logger. It has no handler of its own: the program says where records go (the logging HOWTO)."""

from __future__ import annotations

import logging

logger: logging.Logger = logging.getLogger("aries_auth")
if not logger.handlers:
    logger.addHandler(logging.NullHandler())
