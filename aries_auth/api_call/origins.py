"""Origins: where the token may go. The rules of an origin's text are in `settings`."""

from __future__ import annotations

import logging
from typing import Any

from aries_auth.errors import InsecureTransportError, printable
from aries_auth.log import logger
from aries_auth.settings.urls import DEFAULT_PORTS, Origin, request_origin
from aries_auth.token_endpoint.addresses import is_loopback


class Origins:
    """The listed origins, in the forms that a request is compared with.

    Args:
        origins: the list, checked.

    Attributes:
        prefixes: how URLs begin that are written the usual way; what begins otherwise may still be of an origin.
        keys: scheme, raw host and port of a URL of httpx that is written the usual way.
    """

    __slots__ = ("_http_hosts", "_origins", "keys", "prefixes")

    def __init__(self, origins: tuple[Origin, ...]) -> None:
        self._origins = frozenset(origins)
        self.prefixes: tuple[str, ...] = tuple(prefix for origin in origins for prefix in origin.prefixes)
        self.keys: tuple[tuple[str, bytes, int | None], ...] = tuple(
            key for origin in origins for key in _httpx_keys(origin)
        )
        self._http_hosts = frozenset(origin.host for origin in origins if not is_loopback(origin.host))

    def admit(self, url: str) -> bool:
        """Whether a request for this URL gets the token; asked where it begins with none of `prefixes`.

        Raises:
            InsecureTransportError: it is an ``http`` URL of a listed host.
        """
        origin = request_origin(url)
        return origin in self._origins or self._withhold(origin)

    def admit_httpx(self, url: Any) -> bool:
        """`admit` for a URL of httpx, which compares the very parts that it connects to."""
        if self.cover_httpx(url):
            return True
        port = DEFAULT_PORTS.get(url.scheme, 0) if url.port is None else url.port
        return self._withhold(Origin(url.scheme, url.raw_host.lower().decode("ascii", "replace"), port))

    def cover(self, url: str) -> bool:
        """Whether a URL is of a listed origin; for one that was sent already."""
        return url.startswith(self.prefixes) or request_origin(url) in self._origins

    def cover_httpx(self, url: Any) -> bool:
        """`cover` for a URL of httpx, which leaves an IPv6 address in the case that it is written in."""
        return (url.scheme, url.raw_host.lower(), url.port) in self.keys

    def _withhold(self, origin: Origin | None) -> bool:
        if origin is not None and origin.scheme == "http" and origin.host in self._http_hosts:
            raise InsecureTransportError(
                f"A request to {origin.host} by plain http would show its token to the network; it was not sent. "
                "Use https."
            )
        if logger.isEnabledFor(logging.DEBUG):
            where = "a URL that has no plain origin" if origin is None else printable(origin)
            fields = {"event": "withheld", "origin": None if origin is None else where}
            logger.debug("A request to %s goes out without the token: see api_origins", where, extra=fields)
        return False


def _httpx_keys(origin: Origin) -> list[tuple[str, bytes, int | None]]:
    host = origin.host.encode("ascii")
    default = DEFAULT_PORTS[origin.scheme] == origin.port
    # httpx leaves a default port out, so that is what is compared first.
    return [*([(origin.scheme, host, None)] if default else []), (origin.scheme, host, origin.port)]
