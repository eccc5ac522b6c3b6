"""A folder that everybody may write in, and the databases of tests/sql, for the attacks on them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Iterator

import pytest

try:
    from tests.sql.conftest import cluster, mariadb_server, postgresql
except pytest.skip.Exception:  # no SQLAlchemy here: the tests that want it skip by themselves
    pass
else:
    __all__ = ["cluster", "mariadb_server", "postgresql"]


@pytest.fixture
def sticky() -> Iterator[Path]:
    """A folder like /tmp: everybody may make files in it."""
    with tempfile.TemporaryDirectory(prefix="aries-auth-sticky-") as name:
        folder = Path(name)
        folder.chmod(0o1777)
        yield folder
