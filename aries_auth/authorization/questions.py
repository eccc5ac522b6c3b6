"""What a login needs and was not told: looked for in the environment and the stored token, then asked for."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from aries_auth.authorization.talk import Talk
from aries_auth.errors import ConfigurationError
from aries_auth.settings import keyrings, saved_secret, urls, values
from aries_auth.settings.credentials import SecretSource
from aries_auth.store import TokenStore
from aries_auth.token import Secret, Token
from aries_auth.token_endpoint.protocol import SCOPES, join_scope

REDIRECT_URI = "http://127.0.0.1:8765/callback"


class SecretToUse(NamedTuple):
    """The client secret of a login.

    `given` is what to hand on: a Secret, a callable, or None if a program will find it by itself. `save_in` is where to
    keep it, or False.
    """

    given: Any
    secret: Secret
    save_in: bool | str


def client_id(given: str | None, stored: Token | None, talk: Talk) -> str:
    """The client id: given, of the environment, of the stored token, or asked for."""
    found = given or values.check_text("$ARIES_CLIENT_ID", values.variable("ARIES_CLIENT_ID"))
    found = found or (stored.client_id if stored is not None else None)
    if found:
        return found
    _need(talk, "client_id", "Client id", "--client-id")
    talk.say("Client id and client secret are in Aries' Client Center, under API.")
    return talk.ask_until("Client id", lambda answer: values.check_text("The client id", answer))


def redirect_uri(given: str | None, stored: Token | None, talk: Talk) -> str:
    """The redirect URI, likewise."""
    found = given or (stored.redirect_uri if stored is not None else None)
    from_environment = None if given else values.variable("ARIES_REDIRECT_URI")
    if from_environment:
        return urls.check_redirect_uri(from_environment, "$ARIES_REDIRECT_URI")
    if found:
        return urls.check_redirect_uri(found)
    _need(talk, "redirect_uri", "Redirect URI", "--redirect-uri")
    question = f"Redirect URI, exactly as it is registered [{REDIRECT_URI}]"
    return talk.ask_until(question, urls.check_redirect_uri, default=REDIRECT_URI)


def scope(given: str | Sequence[str] | None, added: Sequence[str], stored: Token | None, talk: Talk) -> str:
    """The scopes: given, the granted ones and more, of the environment, or asked for."""
    before = join_scope(stored.scope or "") if stored is not None else ""
    if given:
        return join_scope([*([given] if isinstance(given, str) else given), *added])
    if added:
        if not before:
            raise ConfigurationError("The stored token does not say which scopes it has. Give all of them: --scope.")
        return join_scope([before, *added])
    found = join_scope(values.variable("ARIES_SCOPE") or "")
    if found:
        return found
    if not talk.can_ask:
        if before:
            return before
        _need(talk, "scope", "Scopes", "--scope")
    for number, name in enumerate(SCOPES, 1):
        talk.say(f"{number:>4}  {name}")
    question = "Scopes, by number or name, separated by spaces, or all"
    return chosen_scopes(
        talk.ask_until(f"{question} [{before}]" if before else question, chosen_scopes, default=before)
    )


def chosen_scopes(answer: str) -> str:
    """The scopes of an answer.

    Raises:
        ConfigurationError: one of its words is neither a number of the list nor a scope.
    """
    if answer.lower() == "all":
        return join_scope(SCOPES)
    numbers = {str(number): name for number, name in enumerate(SCOPES, 1)}
    words = [numbers.get(word, word) for word in answer.replace(",", " ").split()]
    unknown = [word for word in words if word not in SCOPES]
    if unknown:
        raise ConfigurationError(f"{' '.join(unknown)}: not on the list (--scope takes any scope).")
    return join_scope(words)


def client_secret(
    source: SecretSource, client: str, store: TokenStore, talk: Talk, save: bool | str | None
) -> SecretToUse:
    """The client secret: given, of the environment, saved, or asked for.

    Args:
        source: what was given.
        client: the client id.
        store: beside which it may be saved.
        talk: the person.
        save: whether and where to keep it; None asks a person who typed it.
    """
    state = source.state(client, store)
    is_renewed = bool(save) and state.where == "saved" and talk.can_ask
    if state.where is not None and not is_renewed:
        return SecretToUse(source, source.read(client, store), save or False)
    if not talk.can_ask or source.is_given or values.variable("ARIES_CLIENT_SECRET_FILE"):
        return SecretToUse(source, source.read(client, store), False)  # says what is wrong with it
    if state.fault and "is missing" not in state.fault:
        talk.warn(state.fault)  # a damaged one, say, which is replaced
    typed = talk.ask_hidden("Client secret")
    where = _place(client, store, talk) if save is None else save
    return SecretToUse(None if where else typed, typed, where)


def _place(client: str, store: TokenStore, talk: Talk) -> bool | str:
    path = saved_secret.secret_path(store)
    if path is None:
        return False
    where = "the system's keyring" if keyrings.is_there() else f"{path}, which only you can read"
    return talk.confirm(f"Keep it in {where}, so that programs of {client} on this computer need no variable?")


def _need(talk: Talk, parameter: str, what: str, option: str) -> None:
    if talk.can_ask:
        return
    name = f"ARIES_{parameter.upper()}"
    if talk.in_command:
        raise ConfigurationError(
            f"{what}: missing, and there is no terminal to ask for it. Give {option}, or set ${name}."
        )
    raise values.missing(parameter, name)
