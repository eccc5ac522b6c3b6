"""What the clients of httpx know an auth object by; and of httpx2, its maintained fork, if that is installed.

httpx2 is no dependency. Without it, httpx stands in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

try:
    import httpx2 as _httpx2
except ImportError:
    _httpx2 = httpx  # type: ignore[misc]

__all__ = ["BYTE_STREAMS", "HttpxAuth"]

# The streams over bytes, which most requests have; known by their class, since every request comes this way.
BYTE_STREAMS: frozenset[type] = frozenset((httpx.ByteStream, _httpx2.ByteStream))

if TYPE_CHECKING:
    from httpx import Auth as HttpxAuth  # one known class: with a base that checkers can't see, every name passes
elif _httpx2 is httpx:
    HttpxAuth = httpx.Auth
else:

    class HttpxAuth(httpx.Auth, _httpx2.Auth):
        """What the clients of both know."""
