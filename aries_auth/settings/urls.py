"""URLs: origins, endpoints and redirect URIs. Where a token or a secret may go at all."""

from __future__ import annotations

import re
from typing import NamedTuple, Sequence, cast
from urllib.parse import urlsplit

from aries_auth.errors import ConfigurationError, InsecureTransportError, printable
from aries_auth.settings.values import variable
from aries_auth.token_endpoint.addresses import API_ORIGIN, AUTHORIZE_URL, TOKEN_URL, is_loopback

DEFAULT_PORTS = {"https": 443, "http": 80}
_AUTHORITY = re.compile(r"([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?\Z")


class Origin(NamedTuple):
    """Scheme, host and port of a URL (RFC 6454); the host in lower case."""

    scheme: str
    host: str
    port: int

    @property
    def prefixes(self) -> tuple[str, ...]:
        """How URLs of this origin begin when they are written the usual way."""
        explicit = f"{self.scheme}://{self._shown_host}:{self.port}/"
        usual = f"{self}/"
        return (explicit,) if usual == explicit else (usual, explicit)

    @property
    def _shown_host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        """As RFC 6454 section 6.2 writes it: a default port is left out."""
        port = "" if self.port == DEFAULT_PORTS.get(self.scheme) else f":{self.port}"
        return f"{self.scheme}://{self._shown_host}{port}"


_ARIES_API = Origin("https", API_ORIGIN[len("https://") :], DEFAULT_PORTS["https"])


def check_redirect_uri(uri: object, name: str = "The redirect URI") -> str:
    """A redirect URI as RFC 6749 section 3.1.2 has it, absolute and without a fragment.

    Args:
        uri: what was given.
        name: how messages call it: a variable, if it comes from one.

    Raises:
        ConfigurationError: it is none.
        InsecureTransportError: it is plain http and no loopback address: the code would cross the network in the clear.
    """
    shown = printable(repr(uri))
    if not isinstance(uri, str) or uri != uri.strip() or not uri.isprintable() or " " in uri:
        raise ConfigurationError(f"{name} {shown} is no URL.")
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        raise ConfigurationError(f"{name} {shown} is no URL.") from None
    # By the letter of RFC 3986, "localhost:8000/callback" has a scheme, too.
    is_http = parts.scheme in DEFAULT_PORTS
    has_place = parts.hostname and port != 0 if is_http else parts.netloc or parts.path.startswith("/")
    if not parts.scheme or not has_place:
        raise ConfigurationError(f"{name} {shown} must be absolute, with scheme and host.")
    if "#" in uri:
        raise ConfigurationError(f"{name} {shown} must not have a fragment (RFC 6749 section 3.1.2).")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise InsecureTransportError(
            f"{name} is {shown}: plain http would show the authorization code to the network. Register an https "
            "address, or a loopback one such as http://127.0.0.1:8765/callback."
        )
    return uri


def check_endpoint(name: str, url: object) -> str:
    """An endpoint's URL: https, or http on a loopback address (raises as `origin_of_url` does)."""
    origin_of_url(name, url)
    return str(url)


def origin_of_url(name: str, url: object) -> Origin:
    """The origin of a URL that a secret or a token is sent to.

    Raises:
        ConfigurationError: it is no http or https URL.
        InsecureTransportError: it is plain http elsewhere than on a loopback address.
    """
    if "@" in str(url):  # not shown, since it may hold a password
        raise ConfigurationError(f"{name} must have no user name and no password in it.")
    origin = request_origin(url)
    if origin is None or origin.port == 0 or "#" in str(url):
        raise ConfigurationError(f"{name} must be an https URL, not {printable(repr(url))}.")
    if origin.scheme == "http" and not is_loopback(origin.host):
        raise InsecureTransportError(
            f"{name} is {printable(url)}: plain http would show a token or a secret to the network. Use https."
        )
    return origin


def request_origin(url: object) -> Origin | None:
    """The origin that a request for `url` goes to; None if it can't be told for certain."""
    if not isinstance(url, str) or "\\" in url or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    # Libraries disagree about odd characters in an authority; what is odd is not on the list.
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or not _AUTHORITY.match(parts.netloc.rpartition("@")[2]):
        return None
    return Origin(parts.scheme, parts.hostname, DEFAULT_PORTS[parts.scheme] if port is None else port)


def parse_origins(origins: object, name: str = "api_origins") -> tuple[Origin, ...]:
    """`api_origins`, checked (raises as `origin_of_url` does)."""
    if isinstance(origins, (str, bytes)) or not isinstance(origins, Sequence) or not origins:
        raise ConfigurationError(f"{name} must be a list of origins such as ['https://api.aries.com'].")
    return tuple(_origin(entry, name) for entry in cast("Sequence[object]", origins))


def _origin(entry: object, name: str) -> Origin:
    origin = origin_of_url(f"An entry of {name}", entry)
    parts = urlsplit(str(entry))
    if parts.path not in ("", "/") or parts.query:
        shown = printable(repr(entry))
        raise ConfigurationError(f"{shown} in {name} has more than scheme, host and port: leave out the rest.")
    return origin


def token_url(given: str | None) -> str:
    """The token endpoint: what was given (and checked), else ``$ARIES_TOKEN_URL``, else Aries'."""
    named = variable("ARIES_TOKEN_URL")
    return given or (TOKEN_URL if named is None else check_endpoint("$ARIES_TOKEN_URL", named))


def authorize_url(given: str | None) -> str:
    """The authorization endpoint: what was given (and checked), else ``$ARIES_AUTHORIZE_URL``, else Aries'."""
    named = variable("ARIES_AUTHORIZE_URL")
    return given or (AUTHORIZE_URL if named is None else check_endpoint("$ARIES_AUTHORIZE_URL", named))


def api_origins(given: tuple[Origin, ...] | None) -> tuple[Origin, ...]:
    """The API's origins: what was given (and checked), else ``$ARIES_API_ORIGINS``, else Aries'."""
    if given is not None:
        return given
    listed = variable("ARIES_API_ORIGINS")
    if listed is None:
        return (_ARIES_API,)
    return parse_origins([part.strip() for part in listed.split(",") if part.strip()], "$ARIES_API_ORIGINS")


def same_endpoint(one: str, other: str) -> bool:
    """Whether two URLs are one endpoint: scheme and host compare without case, and a default port may be left out."""
    return _normal(one) == _normal(other)


def _normal(url: str) -> tuple[str, str | None, int | None, str, str]:
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme.lower())
    except ValueError:
        return url, None, None, "", ""
    return parts.scheme.lower(), parts.hostname, port, parts.path or "/", parts.query
