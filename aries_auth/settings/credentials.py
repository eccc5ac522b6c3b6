"""The client credentials: client id, client secret and redirect URI, from parameters, stored token and environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Union

from aries_auth.errors import ConfigurationError, printable
from aries_auth.settings.values import check_text, command_text, missing, variable
from aries_auth.store import TokenStore
from aries_auth.token import Secret, Token

if TYPE_CHECKING:
    from aries_auth.token_endpoint.protocol import Credentials

ClientSecret = Union[str, Callable[[], str], None]

_NAMES = "ARIES_CLIENT_SECRET (or ARIES_CLIENT_SECRET_FILE)"


class SecretState(NamedTuple):
    """Whether the client secret is found, for a report.

    `where` is ``parameter``, ``environment``, ``file``, ``saved`` or None; `fault` says why there is none.
    """

    where: str | None
    fault: str = ""


class SecretSource:
    """Finds the client secret: what was given, else the environment, else what a login saved."""

    __slots__ = ("_given",)

    def __init__(self, client_secret: ClientSecret) -> None:
        self._given: Any = Secret(client_secret) if isinstance(client_secret, str) else client_secret

    @property
    def is_given(self) -> bool:
        """Whether it is a parameter."""
        return self._given is not None

    def check(self) -> None:
        """Raise ConfigurationError for what is neither None, a text that is not empty, nor a callable."""
        # No local variable holds what was given: it may be bytes, and the frame that refuses them would show them.
        is_text = isinstance(self._given, Secret) and self._given.reveal() != ""
        if not (self._given is None or is_text or callable(self._given)):
            raise ConfigurationError("client_secret must be a text that is not empty, or a callable that returns one.")

    def read(self, client_id: str | None = None, store: TokenStore | None = None) -> Secret:
        """The secret, now.

        Args:
            client_id: whose secret it is; a saved one serves no other client.
            store: where a login may have saved it.

        Raises:
            ConfigurationError: there is none, it is empty, or its file, callable or keyring failed.
        """
        given = self._given
        if given is not None:
            return given if isinstance(given, Secret) else _called(given)
        secret = _secret_of_environment()
        if secret is not None:
            return secret
        if store is None:
            raise missing("client_secret", _NAMES)
        return _saved(client_id, store)

    def state(self, client_id: str | None, store: TokenStore | None) -> SecretState:
        """Whether `read` would find one, and where. A callable is not called."""
        if self._given is not None:
            return SecretState("parameter")
        where = "environment" if variable("ARIES_CLIENT_SECRET") else None
        where = where or ("file" if variable("ARIES_CLIENT_SECRET_FILE") else "saved")
        try:
            self.read(client_id, store)
        except ConfigurationError as exc:
            return SecretState(None, command_text(exc))
        return SecretState(where)

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
    # A line break comes along from a vault, an env file, or a secret of Kubernetes that was made by `echo`.
    secret = Secret(os.environ.get("ARIES_CLIENT_SECRET", "").rstrip())
    if secret.reveal():
        return secret
    path = variable("ARIES_CLIENT_SECRET_FILE")
    if path is None:
        return None
    from aries_auth.settings.secret_file import read_secret_file  # noqa: PLC0415 - only who has one pays for it

    return read_secret_file(path, what="The client secret", name="ARIES_CLIENT_SECRET_FILE")


def _saved(client_id: str | None, store: TokenStore) -> Secret:
    """What a login saved beside the store, for this client alone."""
    from aries_auth.settings import saved_secret  # noqa: PLC0415 - only who needs it pays for it

    secret = saved_secret.load(store, client_id or "")
    if secret is not None:
        return secret
    saved = saved_secret.read(store)
    also = ""
    if saved is not None and client_id:
        also = (
            f" The one in {saved_secret.secret_path(store)} is that of client {printable(saved.client_id)}, not of "
            f"{printable(client_id)}."
        )
    raise missing("client_secret", _NAMES, also, can_save=saved_secret.secret_path(store) is not None)


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

    def credentials(self, token: Token | None, store: TokenStore | None = None) -> Credentials:
        """What was given, else what the token says, else the environment, else (the secret) what a login saved.

        It may read files and ask a keyring, so call it before you take the store's lock.

        Raises:
            ConfigurationError: what is missing or malformed, with its variable.
        """
        from aries_auth.token_endpoint.protocol import Credentials  # noqa: PLC0415 - who sends nothing does without

        client_id, redirect_uri = self.identity(token)
        return Credentials(client_id, self.client_secret.read(client_id, store), redirect_uri)

    def identity(self, token: Token | None) -> tuple[str, str]:
        """Client id and redirect URI, found likewise. Raises ConfigurationError."""
        from aries_auth.settings.urls import check_redirect_uri  # noqa: PLC0415 - as above

        client_id = self.client_id or (token and token.client_id)
        redirect_uri = self.redirect_uri or (token and token.redirect_uri)
        if not client_id:
            client_id = check_text("$ARIES_CLIENT_ID", variable("ARIES_CLIENT_ID"))
        if client_id is None:
            raise missing("client_id", "ARIES_CLIENT_ID")
        name = "The redirect URI" if redirect_uri else "$ARIES_REDIRECT_URI"
        redirect_uri = redirect_uri or variable("ARIES_REDIRECT_URI")
        if not redirect_uri:
            raise missing("redirect_uri", "ARIES_REDIRECT_URI")
        redirect_uri = check_redirect_uri(redirect_uri, name)
        return check_text("client_id", client_id) or "", redirect_uri


NOTHING_GIVEN: ClientCredentials = ClientCredentials(None, SecretSource(None), None)
