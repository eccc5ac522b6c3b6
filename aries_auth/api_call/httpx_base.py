"""What the clients of httpx know an auth object by; and of httpx2, its maintained fork, if that is installed.

httpx2 is no dependency. Without it, its name stands for httpx here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

try:
    import httpx2
except ImportError:
    httpx2 = httpx  # type: ignore[misc]

__all__ = ["HttpxAuth", "httpx2"]

if TYPE_CHECKING:
    from httpx import Auth as HttpxAuth  # one known class: with a base that checkers can't see, every name passes
elif httpx2 is httpx:
    HttpxAuth = httpx.Auth
else:

    class HttpxAuth(httpx.Auth, httpx2.Auth):
        """What the clients of both know."""
