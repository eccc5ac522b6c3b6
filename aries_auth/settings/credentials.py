"""The client credentials: client id, client secret and redirect URI, from parameters, stored token and environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, NamedTuple, Union

from aries_auth.errors import ConfigurationError, printable
from aries_auth.settings.urls import check_redirect_uri
from aries_auth.settings.values import check_text, missing, variable
from aries_auth.token import Secret, Token
from aries_auth.token_endpoint.protocol import Credentials

ClientSecret = Union[str, Callable[[], str], None]


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


class ClientCredentials(NamedTuple):
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
