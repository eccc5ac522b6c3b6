"""``aries-auth login``: gathers what a login needs, from options, environment, stored token and person, and logs in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Callable, Sequence

import click

from aries_auth.cli.console import Countdown, ask, ask_hidden, has_terminal, say, tell
from aries_auth.cli.options import examples, find_grant, grant_options

if TYPE_CHECKING:
    from aries_auth import Token


def _checked_timeout(_ctx: click.Context, _param: click.Parameter, value: float) -> float:
    from aries_auth.errors import ConfigurationError  # noqa: PLC0415
    from aries_auth.settings import check_seconds  # noqa: PLC0415

    try:
        return check_seconds("--timeout", value)
    except ConfigurationError as exc:
        raise click.BadParameter(str(exc)) from exc


@click.command(
    epilog=examples(
        "aries-auth login",
        "aries-auth login --profile paper --scope user:information --scope order:execution",
        "aries-auth login --paste       the browser is on another computer",
    ),
)
@grant_options
@click.option("--client-id", metavar="ID", help="The registered client.  [default: $ARIES_CLIENT_ID]")
@click.option(
    "--redirect-uri",
    metavar="URI",
    help="Where the browser is sent back to, exactly as registered.  [default: $ARIES_REDIRECT_URI]",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="SCOPE",
    help="What to ask for; repeatable, or several separated by spaces.  [default: $ARIES_SCOPE]",
)
@click.option("--no-browser", is_flag=True, help="Show the link and open no browser.")
@click.option("--paste", is_flag=True, help="Ask for the address that the browser ended on, and don't listen.")
@click.option(
    "--timeout",
    type=float,
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    callback=_checked_timeout,
    help="How long to listen for the browser.",
)
def login(
    profile: str | None,
    store: str | None,
    client_id: str | None,
    redirect_uri: str | None,
    scopes: Sequence[str],
    timeout: float,
    *,
    no_browser: bool,
    paste: bool,
) -> None:
    """Log in once, in the browser, and save the token.

    What is not given is taken from the environment, then from the stored token, then asked for. The client secret is
    $ARIES_CLIENT_SECRET or the content of the file named by $ARIES_CLIENT_SECRET_FILE, else it is asked for without
    echo. It is never an option, since other users can see those.
    """
    from aries_auth.authorization import login as log_in  # noqa: PLC0415
    from aries_auth.store import store_name  # noqa: PLC0415

    grant = find_grant(profile, store)
    stored = grant.store.load()
    client_id = _client_id(client_id, stored)
    redirect_uri = _redirect_uri(redirect_uri, stored)
    scope = _scope(scopes, stored)
    client_secret = _client_secret()
    countdown = Countdown("Waiting for the browser")
    try:
        log_in(
            client_id,
            client_secret,
            redirect_uri,
            scope=scope,
            profile=grant.profile,
            store=grant.store,
            open_browser=not no_browser,
            callback_timeout=timeout,
            paste=paste,
            on_wait=countdown.show,
        )
    finally:
        countdown.clear()
    _report(grant.store.load(), store_name(grant.store), secret_was_typed=client_secret is not None)


def _report(token: Token | None, where: str, *, secret_was_typed: bool) -> None:
    from aries_auth.cli.token import lifetimes  # noqa: PLC0415

    says = "" if token is None else f"; {lifetimes(token, time.time())}"
    say(f"logged in, and the token is in {where}{says}", color="green")
    if secret_was_typed:
        say("programs that keep it fresh need the secret, too: $ARIES_CLIENT_SECRET, or a file named by "
            "$ARIES_CLIENT_SECRET_FILE")  # fmt: skip


def _client_id(given: str | None, stored: Token | None) -> str:
    from aries_auth.settings import variable  # noqa: PLC0415

    found = given or variable("ARIES_CLIENT_ID") or (stored.client_id if stored else None)
    return found or ask("Client id", missing="Give --client-id, or set $ARIES_CLIENT_ID.")


def _redirect_uri(given: str | None, stored: Token | None) -> str:
    from aries_auth.settings import check_redirect_uri, variable  # noqa: PLC0415

    found = given or variable("ARIES_REDIRECT_URI") or (stored.redirect_uri if stored else None)
    return found or ask(
        "Redirect URI, exactly as it is registered",
        missing="Give --redirect-uri, or set $ARIES_REDIRECT_URI.",
        check=check_redirect_uri,
    )


def _client_secret() -> Callable[[], str] | None:
    """Asked for now, rather than by the login, so that every question comes before the browser opens."""
    from aries_auth.settings import variable  # noqa: PLC0415

    if variable("ARIES_CLIENT_SECRET") or variable("ARIES_CLIENT_SECRET_FILE"):
        return None
    return ask_hidden(
        "Client secret",
        missing="Set $ARIES_CLIENT_SECRET, or $ARIES_CLIENT_SECRET_FILE to the name of a file that holds it.",
    )


def _scope(given: Sequence[str], stored: Token | None) -> str:
    from aries_auth.settings import variable  # noqa: PLC0415
    from aries_auth.token_endpoint.protocol import join_scope  # noqa: PLC0415

    found = join_scope(given) or join_scope(variable("ARIES_SCOPE") or "")
    if found:
        return found
    before = join_scope(stored.scope or "") if stored is not None else ""
    if before and not has_terminal():
        return before
    return _ask_for_scope(before)


def _ask_for_scope(before: str) -> str:
    from aries_auth.token_endpoint.protocol import SCOPES  # noqa: PLC0415

    question = "Scopes, by number or name, separated by spaces, or all"
    if has_terminal():
        for number, name in enumerate(SCOPES, 1):
            tell(f"{number:>4}  {name}")
        if before:
            question += f" [{before}]"
    missing = "Give --scope, or set $ARIES_SCOPE."
    return _chosen(ask(question, missing=missing, check=_chosen, default=before))


def _chosen(answer: str) -> str:
    """The scopes of an answer.

    Raises:
        ConfigurationError: one of its words is neither a number of the list nor a scope.
    """
    from aries_auth.errors import ConfigurationError  # noqa: PLC0415
    from aries_auth.token_endpoint.protocol import SCOPES, join_scope  # noqa: PLC0415

    if answer.lower() == "all":
        return join_scope(SCOPES)
    numbers = {str(number): name for number, name in enumerate(SCOPES, 1)}
    words = [numbers.get(word, word) for word in answer.replace(",", " ").split()]
    unknown = [word for word in words if word not in SCOPES]
    if unknown:
        raise ConfigurationError(f"{' '.join(unknown)}: not on the list (--scope takes any scope).")
    return join_scope(words)
