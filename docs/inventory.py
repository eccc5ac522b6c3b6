"""Inventories for intersphinx, written here: httpx publishes none, and a build needs no network for another's.

Each names what our signatures mention and where its documentation stands.
"""

from __future__ import annotations

import zlib
from pathlib import Path

REQUESTS = {"requests.sessions.Session": "api/#requests.Session"}
HTTPX = {"httpx.Client": "api/#client"}
PYTHON = {"os.PathLike": "library/os.html#os.PathLike"}
SQLALCHEMY = {
    "sqlalchemy.engine.base.Engine": "core/connections.html#sqlalchemy.engine.Engine",
    "sqlalchemy.engine.url.URL": "core/engines.html#sqlalchemy.engine.URL",
}
# What signatures mention, and no documentation that we can link to has.
NOWHERE = [
    ("py:class", r"aries_auth\.(store|sql)\..*(Entry|LockedFile)"),
    ("py:class", "Body|Mapping\\[str"),
    ("py:class", r".*SyncClient"),
]


def write(path: Path, project: str, places: dict[str, str]) -> str:
    """Write an inventory (Sphinx's format, version 2) of classes and the places that document them."""
    lines = "".join(f"{name} py:class 1 {place} -\n" for name, place in places.items())
    header = (
        f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    path.write_bytes(header.encode() + zlib.compress(lines.encode()))
    return str(path)
