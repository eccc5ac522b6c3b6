"""What the caller and the environment say: credentials, endpoints, origins, profile and store.

A parameter is checked when it is given, so at construction; a variable is read when it is first needed. An empty
variable counts as unset.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Sequence, Union
from urllib.parse import SplitResult, urlsplit

from aries_auth.errors import ConfigurationError, InsecureTransportError, printable
from aries_auth.oauth import API_ORIGIN, AUTHORIZE_URL, TOKEN_URL, Credentials
from aries_auth.store import FileTokenStore, TokenStore, profile_path, store_name
from aries_auth.token import Secret, Token

ClientSecret = Union[str, Callable[[], str], None]

DEFAULT_PORTS = {"https": 443, "http": 80}
_PROFILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}\Z")
_NETLOC = re.compile(r"[A-Za-z0-9._~:\[\]-]+\Z")


@dataclass(frozen=True)
class Origin:
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
        self._given = Secret(client_secret) if isinstance(client_secret, str) else client_secret

    def check(self) -> None:
        """Refuse what can't be a secret.

        Raises:
            ConfigurationError: it is neither None, a text that is not empty, nor a callable.
        """
        given = self._given
        if not (given is None or callable(given) or (isinstance(given, Secret) and given.reveal())):
            raise ConfigurationError("client_secret must be a text that is not empty, or a callable that returns one.")

    def read(self) -> Secret:
        """The secret, now.

        Raises:
            ConfigurationError: there is none, it is empty, or its file or callable failed.
        """
        given = self._given
        secret = given if isinstance(given, Secret) else _secret_of_environment() if given is None else _called(given)
        if secret is None:
            raise missing("client_secret", "ARIES_CLIENT_SECRET (or ARIES_CLIENT_SECRET_FILE)")
        return secret

    def __repr__(self) -> str:
        return "SecretSource(hidden)"


def _called(given: Callable[[], str]) -> Secret:
    fault, secret = "", None
    try:
        value = given()
        if isinstance(value, str) and value:  # pyright: ignore[reportUnnecessaryIsInstance]
            secret = Secret(value)
        else:
            fault = "returned no text"
        value = ""
    except Exception as exc:  # noqa: BLE001 - whatever a keyring or a cloud client raises; its frames hold secrets
        fault = f"raised {type(exc).__name__}"
    if secret is None:
        raise ConfigurationError(f"The client_secret callable {fault}. Call it by hand to see why.")
    return secret


def _secret_of_environment() -> Secret | None:
    text = variable("ARIES_CLIENT_SECRET")
    if text is not None:
        return Secret(text)
    path = variable("ARIES_CLIENT_SECRET_FILE")
    if path is None:
        return None
    fault = ""
    try:
        secret = Secret(Path(path).read_text(encoding="utf-8").rstrip())
    except UnicodeDecodeError:
        fault = "it is not UTF-8 text"
    except OSError as exc:
        fault = exc.strerror or type(exc).__name__
    else:
        if secret.reveal():
            return secret
        fault = "it is empty"
    raise ConfigurationError(f"The client secret can't be read from {printable(path)}: {fault}.")


@dataclass(frozen=True)
class Client:
    """The client as the caller gave it: what is None comes from the stored token or the environment."""

    client_id: str | None
    client_secret: SecretSource
    redirect_uri: str | None

    def check(self, token: Token, where: str) -> None:
        """Refuse a stored token of another client or another redirect URI.

        Raises:
            ConfigurationError: naming what differs.
        """
        for name in ("client_id", "redirect_uri"):
            given, stored = getattr(self, name), getattr(token, name)
            if given is not None and stored is not None and given != stored:
                raise ConfigurationError(
                    f"{name} is {printable(given)}, but the token in {where} belongs to {printable(stored)}; nothing "
                    f"was sent. Give the same {name}, or use another profile or store."
                )

    def credentials(self, token: Token | None) -> Credentials:
        """All three credentials, from what was given, else the token, else the environment.

        Raises:
            ConfigurationError: naming the parameter and the variable that is missing.
        """
        client_id = self.client_id or (token and token.client_id) or variable("ARIES_CLIENT_ID")
        redirect_uri = self.redirect_uri or (token and token.redirect_uri) or variable("ARIES_REDIRECT_URI")
        if not client_id:
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
    """A parameter that is None or a text that is not empty."""
    if value is None or (isinstance(value, str) and value):
        return value
    raise ConfigurationError(f"{name} must be a text that is not empty.")


def check_seconds(name: str, value: Any, *, zero: bool = False) -> float:
    """A parameter in seconds: a finite number above zero, or from zero on."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigurationError(f"{name} must be a number of seconds, not {printable(repr(value))}.")
    if value < 0 or (value == 0 and not zero):
        raise ConfigurationError(f"{name} must be {'zero or more' if zero else 'more than zero'} seconds, not {value}.")
    return float(value)


def check_profile(name: object) -> str:
    """A profile name, which becomes a file name.

    Raises:
        ConfigurationError: it is not 1 to 64 of ``A-Z a-z 0-9 . _ -``, or starts with a dot.
    """
    if isinstance(name, str) and _PROFILE.match(name):
        return name
    raise ConfigurationError(
        f"{printable(repr(name))} is no profile name: use 1 to 64 of the characters A-Z a-z 0-9 . _ - "
        "and no dot at the start."
    )


def check_redirect_uri(uri: object) -> str:
    """A redirect URI as RFC 6749 section 3.1.2 has it: absolute and without a fragment.

    Raises:
        ConfigurationError: it is not.
    """
    shown = printable(repr(uri))
    if not isinstance(uri, str) or uri != uri.strip() or not uri.isprintable() or " " in uri:
        raise ConfigurationError(f"The redirect URI {shown} is no URL.")
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        raise ConfigurationError(f"The redirect URI {shown} is no URL.") from None
    if not parts.scheme or (parts.scheme in DEFAULT_PORTS and (not parts.hostname or port == 0)):
        raise ConfigurationError(f"The redirect URI {shown} must be absolute, with scheme and host.")
    if "#" in uri:
        raise ConfigurationError(f"The redirect URI {shown} must not have a fragment (RFC 6749 section 3.1.2).")
    return uri


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address can only mean this machine."""
    if host is None:
        return False
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_endpoint(name: str, url: object) -> str:
    """An endpoint's URL: https, or http on a loopback address.

    Raises:
        ConfigurationError: it is no URL.
        InsecureTransportError: it is plain http elsewhere.
    """
    origin_of_url(name, url)
    return str(url)


def origin_of_url(name: str, url: object) -> Origin:
    """The origin of an http or https URL that must be safe to send a secret or a token to."""
    parts = _split(url)
    if parts is None or parts.scheme not in DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        raise ConfigurationError(f"{name} must be an https URL, not {printable(repr(url))}.")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise InsecureTransportError(
            f"{name} is {printable(url)}: plain http would show a token or a secret to the network. Use https."
        )
    return Origin(parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme])


def request_origin(url: str) -> Origin | None:
    """The origin that a request for `url` goes to; None where it can't be told for certain."""
    parts = _split(url)
    if parts is None or parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        return None
    # Libraries disagree about odd characters in an authority; what is odd is not on the list.
    if not _NETLOC.match(parts.netloc.rpartition("@")[2]):
        return None
    return Origin(parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme])


def _split(url: object) -> SplitResult | None:
    if not isinstance(url, str) or "\\" in url or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def parse_origins(origins: object) -> tuple[Origin, ...]:
    """`api_origins`, checked.

    Raises:
        ConfigurationError: an entry is no origin (it has a path, say), or there is none.
        InsecureTransportError: an entry is plain http elsewhere than on a loopback address.
    """
    if isinstance(origins, str) or not isinstance(origins, Sequence) or not origins:
        raise ConfigurationError("api_origins must be a list of origins such as ['https://api.aries.com'].")
    return tuple(_origin(origin) for origin in origins)  # pyright: ignore[reportUnknownVariableType]


def _origin(text: object) -> Origin:
    origin = origin_of_url("An entry of api_origins", text)
    parts = urlsplit(str(text))
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{printable(repr(text))} in api_origins is more than an origin: leave out everything after host and port."
        )
    try:
        host = origin.host if origin.host.isascii() else origin.host.encode("idna").decode("ascii")
    except UnicodeError:
        raise ConfigurationError(f"{printable(repr(text))} in api_origins has no valid host name.") from None
    return Origin(origin.scheme, host, origin.port)


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
    if store is not None:
        return FileTokenStore(store)
    path = variable("ARIES_TOKEN_FILE")
    if profile is None and path is not None:
        return FileTokenStore(path)
    return FileTokenStore(profile_path(profile_name(profile)))




def login_command(profile: str | None, store: TokenStore) -> str:
    """The command that a person has to run to log in again for this store."""
    path = store_name(store)
    for name in filter(None, (profile, variable("ARIES_PROFILE"), "default")):
        if _PROFILE.match(name) and path == profile_path(name):
            return "aries-auth login" if name == "default" else f"aries-auth login --profile {name}"
    return f"aries-auth login --store {shlex.quote(path)}"
