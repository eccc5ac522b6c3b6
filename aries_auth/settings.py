"""What the caller and the environment say: credentials, endpoints, origins, profile and store.

A parameter is checked when it is given, so at construction; a variable is read when it is first needed. An empty
variable counts as unset.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
import threading
from pathlib import Path
from typing import Any, Callable, NamedTuple, Sequence, Union, cast
from urllib.parse import urlsplit

from aries_auth.errors import ConfigurationError, InsecureTransportError, printable
from aries_auth.oauth import API_ORIGIN, AUTHORIZE_URL, TOKEN_URL, Credentials
from aries_auth.store import FileTokenStore, TokenStore, profile_path, store_name
from aries_auth.token import Secret, Token

ClientSecret = Union[str, Callable[[], str], None]

DEFAULT_PORTS = {"https": 443, "http": 80}
_PROFILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}\Z")
_AUTHORITY = re.compile(r"([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?\Z")
# What every wait of threading, asyncio and trio takes, on every platform.
_LONGEST_WAIT = threading.TIMEOUT_MAX / 2


class Origin(NamedTuple):
    """Scheme, host and port of a URL (RFC 6454); the host in lower case."""

    scheme: str
    host: str
    port: int

    @property
    def prefixes(self) -> tuple[str, ...]:
        """How URLs of this origin begin when they are written the usual way."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        explicit = f"{self.scheme}://{host}:{self.port}/"
        return (f"{self.scheme}://{host}/", explicit) if self.port == DEFAULT_PORTS[self.scheme] else (explicit,)


class SecretSource:
    """Where the client secret comes from: a text or callable that was given, else the environment."""

    __slots__ = ("_given",)

    def __init__(self, client_secret: ClientSecret) -> None:
        self._given: Any = Secret(client_secret) if isinstance(client_secret, str) else client_secret

    def check(self) -> None:
        """Raise ConfigurationError for what is neither None, a text that is not empty, nor a callable."""
        # No local variable holds what was given: it may be bytes, and the frame that refuses them would show them.
        is_text = isinstance(self._given, Secret) and self._given.reveal() != ""
        if not (self._given is None or is_text or callable(self._given)):
            raise ConfigurationError("client_secret must be a text that is not empty, or a callable that returns one.")

    def read(self) -> Secret:
        """The secret, now; ConfigurationError where there is none, it is empty, or its file or callable failed."""
        given = self._given
        secret = given if isinstance(given, Secret) else _secret_of_environment() if given is None else _called(given)
        if secret is None:
            raise missing("client_secret", "ARIES_CLIENT_SECRET (or ARIES_CLIENT_SECRET_FILE)")
        return secret

    def __repr__(self) -> str:
        return "SecretSource(hidden)"


def _called(given: Callable[[], Any]) -> Secret:
    fault = "returned no text"
    try:
        secret = Secret(given())
        if isinstance(secret.reveal(), str) and secret.reveal():  # pyright: ignore[reportUnnecessaryIsInstance]
            return secret
    except Exception as exc:  # noqa: BLE001 - whatever a keyring or a cloud client raises; its frames hold secrets
        fault = f"raised {type(exc).__name__}"
    raise ConfigurationError(f"The client_secret callable {fault}. Call it by hand to see why.")


def _secret_of_environment() -> Secret | None:
    if variable("ARIES_CLIENT_SECRET") is not None:
        return Secret(os.environ["ARIES_CLIENT_SECRET"])
    path = variable("ARIES_CLIENT_SECRET_FILE")
    if path is None:
        return None
    fault = "it is empty"
    try:
        # With a signature, as editors of Windows write it.
        secret = Secret(Path(path).read_text(encoding="utf-8-sig").rstrip())
        if secret.reveal():
            return secret
    except UnicodeDecodeError:
        fault = "it is not UTF-8 text"
    except OSError as exc:
        fault = exc.strerror or type(exc).__name__
    raise ConfigurationError(f"The client secret can't be read from {printable(path)}: {fault}.")


class Client(NamedTuple):
    """The client as the caller gave it: what is None comes from the stored token or the environment."""

    client_id: str | None
    client_secret: SecretSource
    redirect_uri: str | None

    def check(self, token: Token, where: str) -> None:
        """Raise ConfigurationError for a stored token of another client or another redirect URI."""
        for name in ("client_id", "redirect_uri"):
            given, stored = getattr(self, name), getattr(token, name)
            if given is not None and stored is not None and given != stored:
                raise ConfigurationError(
                    f"{name} is {printable(given)}, but the token in {where} belongs to {printable(stored)}; nothing "
                    f"was sent. Give the same {name}, or use another profile or store."
                )

    def credentials(self, token: Token | None) -> Credentials:
        """What was given, else what the token says, else the environment; ConfigurationError names what is missing."""
        client_id = self.client_id or (token and token.client_id) or variable("ARIES_CLIENT_ID")
        redirect_uri = self.redirect_uri or (token and token.redirect_uri) or variable("ARIES_REDIRECT_URI")
        client_id = check_text("client_id", client_id or None)
        if client_id is None:
            raise missing("client_id", "ARIES_CLIENT_ID")
        if not redirect_uri:
            raise missing("redirect_uri", "ARIES_REDIRECT_URI")
        return Credentials(client_id, self.client_secret.read(), check_redirect_uri(redirect_uri))


def variable(name: str) -> str | None:
    """An environment variable; None when it is unset or empty."""
    return os.environ.get(name) or None


def missing(parameter: str, name: str) -> ConfigurationError:
    """The error for a credential that is needed and not there."""
    return ConfigurationError(f"{parameter} is missing: pass {parameter}=, or set ${name}.")


def check_text(name: str, value: object) -> str | None:
    """A parameter that is None or a text that is not empty and can be printed."""
    if value is None or (isinstance(value, str) and value and value.isprintable()):
        return value
    raise ConfigurationError(f"{name} must be a text that is not empty and has no control characters.")


def check_seconds(name: str, value: Any, *, zero: bool = False) -> float:
    """A parameter in seconds: a finite number above zero, or from zero on."""
    # No NaN and no infinity, and an int of any length compares where float() would overflow.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -math.inf < value < math.inf:
        raise ConfigurationError(f"{name} must be a number of seconds, not {printable(repr(value))}.")
    if value < 0 or (value == 0 and not zero):
        raise ConfigurationError(f"{name} must be {'zero or more' if zero else 'more than zero'} seconds, not {value}.")
    return float(min(value, _LONGEST_WAIT))


def check_profile(name: object) -> str:
    """A profile name, which becomes a file name; ConfigurationError for what might mean another file."""
    if isinstance(name, str) and _PROFILE.match(name):
        return name
    raise ConfigurationError(
        f"{printable(repr(name))} is no profile name: use 1 to 64 of the characters A-Z a-z 0-9 . _ - "
        "and no dot at the start."
    )


def check_redirect_uri(uri: object) -> str:
    """A redirect URI as RFC 6749 section 3.1.2 has it, absolute and without a fragment; else ConfigurationError."""
    shown = printable(repr(uri))
    if not isinstance(uri, str) or uri != uri.strip() or not uri.isprintable() or " " in uri:
        raise ConfigurationError(f"The redirect URI {shown} is no URL.")
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        raise ConfigurationError(f"The redirect URI {shown} is no URL.") from None
    # "localhost:8000/callback" has a scheme, too, by the letter.
    is_http = parts.scheme in DEFAULT_PORTS
    has_place = parts.hostname and port != 0 if is_http else parts.netloc or parts.path.startswith("/")
    if not parts.scheme or not has_place:
        raise ConfigurationError(f"The redirect URI {shown} must be absolute, with scheme and host.")
    if "#" in uri:
        raise ConfigurationError(f"The redirect URI {shown} must not have a fragment (RFC 6749 section 3.1.2).")
    return uri


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address can only mean this machine."""
    try:
        return host is not None and (host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False


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
    """The origin that a request for `url` goes to; None where it can't be told for certain."""
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


def parse_origins(origins: object) -> tuple[Origin, ...]:
    """`api_origins`, checked (raises as `origin_of_url` does)."""
    if isinstance(origins, (str, bytes)) or not isinstance(origins, Sequence) or not origins:
        raise ConfigurationError("api_origins must be a list of origins such as ['https://api.aries.com'].")
    return tuple(_origin(entry) for entry in cast("Sequence[object]", origins))


def _origin(entry: object) -> Origin:
    origin = origin_of_url("An entry of api_origins", entry)
    parts = urlsplit(str(entry))
    if parts.path not in ("", "/") or parts.query:
        shown = printable(repr(entry))
        raise ConfigurationError(f"{shown} in api_origins has more than scheme, host and port: leave out the rest.")
    return origin


def token_url(given: str | None) -> str:
    """The token endpoint: what was given (and checked), else ``$ARIES_TOKEN_URL``, else Aries'."""
    return given or check_endpoint("$ARIES_TOKEN_URL", variable("ARIES_TOKEN_URL") or TOKEN_URL)


def authorize_url(given: str | None) -> str:
    """The authorization endpoint: what was given (and checked), else ``$ARIES_AUTHORIZE_URL``, else Aries'."""
    return given or check_endpoint("$ARIES_AUTHORIZE_URL", variable("ARIES_AUTHORIZE_URL") or AUTHORIZE_URL)


def api_origins(given: tuple[Origin, ...] | None) -> tuple[Origin, ...]:
    """The API's origins: what was given (and checked), else ``$ARIES_API_ORIGINS``, else Aries'."""
    if given is not None:
        return given
    listed = variable("ARIES_API_ORIGINS")
    return parse_origins([part.strip() for part in listed.split(",") if part.strip()] if listed else [API_ORIGIN])


def profile_name(given: str | None) -> str:
    """The profile: what was given, else ``$ARIES_PROFILE``, else ``default``."""
    return check_profile(given or variable("ARIES_PROFILE") or "default")


def resolve_store(profile: str | None, store: TokenStore | str | os.PathLike[str] | None) -> TokenStore:
    """The store: an explicit `store`, else `profile`'s file, else ``$ARIES_TOKEN_FILE``, else ``$ARIES_PROFILE``'s."""
    if store is not None and not isinstance(store, (str, os.PathLike)):
        return store
    if store is None and profile is None:
        store = variable("ARIES_TOKEN_FILE")
    if "://" in str(store):
        store = None  # there may be a password in it
        raise ConfigurationError("store is a URL, and a path is wanted. For a database pass SQLTokenStore(url, key).")
    return FileTokenStore(profile_path(profile_name(profile)) if store is None else store)


def login_command(profile: str | None, store: TokenStore) -> str:
    """The command that a person has to run to log in again for this store."""
    options = getattr(store, "command_options", None)  # a store that a path does not name
    if isinstance(options, str):
        return f"aries-auth login {options}"
    path = store_name(store)
    for name in filter(None, (profile, variable("ARIES_PROFILE"), "default")):
        if _PROFILE.match(name) and path == profile_path(name):
            return "aries-auth login" if name == "default" else f"aries-auth login --profile {name}"
    import shlex  # noqa: PLC0415 - few have a file of their own

    return f"aries-auth login --store {shlex.quote(path)}"
