"""SQLTokenStore: one grant shared by several hosts, through the database that they use already.

Needs the extra: ``pip install "aries-auth[sql]"``. Nothing else in the package imports SQLAlchemy.
"""

from __future__ import annotations

try:
    import sqlalchemy as _sqlalchemy
except ImportError:
    raise ImportError('aries_auth.sql needs SQLAlchemy 2. Run: pip install "aries-auth[sql]"') from None

if not _sqlalchemy.__version__.startswith("2."):
    raise ImportError(f"aries_auth.sql needs SQLAlchemy 2, and this is {_sqlalchemy.__version__}.")

from aries_auth.sql.entry import SQLEntry
from aries_auth.sql.store import SQLTokenStore

__all__ = ["SQLEntry", "SQLTokenStore"]
