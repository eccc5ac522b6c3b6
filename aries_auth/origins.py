"""Origins: where the token may go. The rules of an origin's text are in `settings`."""

from __future__ import annotations

from typing import Any

from aries_auth import settings
from aries_auth.errors import InsecureTransportError
from aries_auth.settings import Origin


class Origins:
    """The listed origins, in the forms that a request is compared with.

    Args:
        origins: the list, checked.
    """

    __slots__ = ("_http_hosts", "_keys", "_origins", "_prefixes")

    def __init__(self, origins: tuple[Origin, ...]) -> None:
        self._origins = frozenset(origins)
        # An exact short cut for URLs that are written the usual way; the rest is parsed and compared.
        self._prefixes = tuple(prefix for origin in origins for prefix in origin.prefixes)
        self._keys = frozenset(key for origin in origins for key in _httpx_keys(origin))
        self._http_hosts = frozenset(origin.host for origin in origins if not settings.is_loopback(origin.host))

    def admit(self, url: str) -> bool:
        """Whether a request for this URL gets the token.

        Raises:
            InsecureTransportError: it is an ``http`` URL of a listed host.
        """
        if url.startswith(self._prefixes):
            return True
        origin = settings.request_origin(url)
        if origin is None:
            return False
        return origin in self._origins or self._refuse_http(origin.scheme, origin.host)

    def admit_httpx(self, url: Any) -> bool:
        """`admit` for a URL of httpx, which compares the very parts that it connects to."""
        if (url.scheme, url.raw_host, url.port) in self._keys:
            return True
        return self.cover_httpx(url) or self._refuse_http(url.scheme, url.raw_host.lower().decode("ascii", "replace"))

    def cover(self, url: str) -> bool:
        """Whether a URL is of a listed origin; for one that was sent already."""
        return url.startswith(self._prefixes) or settings.request_origin(url) in self._origins

    def cover_httpx(self, url: Any) -> bool:
        """`cover` for a URL of httpx, which leaves an IPv6 address in the case that it is written in."""
        return (url.scheme, url.raw_host.lower(), url.port) in self._keys

    def _refuse_http(self, scheme: str, host: str) -> bool:
        if scheme == "http" and host in self._http_hosts:
            raise InsecureTransportError(
                f"A request to {host} by plain http would show its token to the network; it was not sent. Use https."
            )
        return False


def _httpx_keys(origin: Origin) -> list[tuple[str, bytes, int | None]]:
    host = origin.host.encode("ascii")
    default = settings.DEFAULT_PORTS[origin.scheme] == origin.port
    return [(origin.scheme, host, origin.port), *([(origin.scheme, host, None)] if default else [])]
