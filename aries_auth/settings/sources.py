"""Every setting with its value and where it came from, for `aries-auth doctor`. Secrets are not shown."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from aries_auth.errors import AriesAuthError
from aries_auth.settings.stores import StoreChoice
from aries_auth.settings.urls import api_origins, authorize_url, check_redirect_uri, token_url
from aries_auth.settings.values import STORE_KEYS, check_text, flag_variable, variable
from aries_auth.store import store_name
from aries_auth.token import Token
from aries_auth.token_endpoint.addresses import API_ORIGIN, AUTHORIZE_URL, TOKEN_URL

HIDDEN = "(hidden)"


class Setting(NamedTuple):
    """A setting. `source` is ``parameter``, ``$VARIABLE``, ``stored token``, ``saved`` or ``default``."""

    name: str
    value: str | None
    source: str


def settings_in_use(choice: StoreChoice, token: Token | None, secret: str | None) -> list[Setting]:
    """Every setting, as a program finds it that is told nothing.

    Args:
        choice: the store.
        token: what is in it.
        secret: where the client secret was found, as `SecretState.where` says it.
    """
    return [
        Setting("profile", choice.profile, choice.profile_source or choice.source),
        Setting("store", store_name(choice.store), choice.source),
        _stored_first("client_id", "ARIES_CLIENT_ID", token),
        _secret(secret),
        _stored_first("redirect_uri", "ARIES_REDIRECT_URI", token),
        _from_variable("scope", "ARIES_SCOPE", token.scope if token is not None else None, "stored token"),
        _from_variable("token_url", "ARIES_TOKEN_URL", TOKEN_URL),
        _from_variable("authorize_url", "ARIES_AUTHORIZE_URL", AUTHORIZE_URL),
        _from_variable("api_origins", "ARIES_API_ORIGINS", API_ORIGIN),
        _from_variable("pkce", "ARIES_PKCE", "0"),
        _from_variable("token_file_mode", "ARIES_TOKEN_FILE_MODE", "0600"),
        _keys(),
    ]


def faults_of_variables() -> list[tuple[str, str]]:
    """What is wrong with the variables that need no store: name and text."""
    checks: dict[str, Callable[[], Any]] = {
        "token_url": lambda: token_url(None),
        "authorize_url": lambda: authorize_url(None),
        "api_origins": lambda: api_origins(None),
        "pkce": lambda: flag_variable("ARIES_PKCE"),
        "client_id": lambda: check_text("$ARIES_CLIENT_ID", variable("ARIES_CLIENT_ID")),
        "redirect_uri": _check_redirect_uri,
    }
    faults: list[tuple[str, str]] = []
    for name, check in checks.items():
        try:
            check()
        except AriesAuthError as exc:
            faults.append((name, str(exc)))
    return faults


def _check_redirect_uri() -> None:
    uri = variable("ARIES_REDIRECT_URI")
    if uri is not None:
        check_redirect_uri(uri, "$ARIES_REDIRECT_URI")


def _stored_first(name: str, variable_name: str, token: Token | None) -> Setting:
    stored = getattr(token, name, None)
    if stored:
        return Setting(name, stored, "stored token")
    return _from_variable(name, variable_name, None)


def _from_variable(name: str, variable_name: str, otherwise: str | None, source: str = "default") -> Setting:
    value = variable(variable_name)
    if value is not None:
        return Setting(name, value, f"${variable_name}")
    return Setting(name, otherwise, source if otherwise is not None else "default")


def _secret(where: str | None) -> Setting:
    sources = {"environment": "$ARIES_CLIENT_SECRET", "file": "$ARIES_CLIENT_SECRET_FILE", "saved": "saved"}
    return Setting("client_secret", None if where is None else HIDDEN, sources.get(where or "", "default"))


def _keys() -> Setting:
    for name in STORE_KEYS:
        if variable(name) is not None:
            return Setting("store_key", HIDDEN, f"${name}")
    return Setting("store_key", None, "default")
