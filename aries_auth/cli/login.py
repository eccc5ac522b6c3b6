"""``aries-auth login``: hands what the options say to the login, and says how it ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Sequence

import click

from aries_auth.cli.console import say
from aries_auth.cli.options import examples, find_store, grant_options, show_trouble

if TYPE_CHECKING:
    from aries_auth.settings.stores import StoreChoice


def _checked_timeout(_ctx: click.Context, _param: click.Parameter, value: float) -> float:
    from aries_auth.errors import ConfigurationError  # noqa: PLC0415
    from aries_auth.singleflight.clock import check_seconds  # noqa: PLC0415

    try:
        return check_seconds("--timeout", value)
    except ConfigurationError as exc:
        raise click.BadParameter(str(exc)) from exc


@click.command(
    epilog=examples(
        "aries-auth login",
        "aries-auth login --profile paper --scope user:information --scope order:execution",
        "aries-auth login --add-scope order:execution       what was granted, and one more",
        "aries-auth login --paste       the browser is on another computer",
    ),
)
@grant_options
@click.option("--client-id", metavar="ID", help="The registered client.  [default: $ARIES_CLIENT_ID]")
@click.option(
    "--redirect-uri",
    metavar="URI",
    help="The address that the browser comes back to, exactly as registered.  [default: $ARIES_REDIRECT_URI]",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="SCOPE",
    help="What to ask for; repeatable, or several separated by spaces.  [default: $ARIES_SCOPE]",
)
@click.option(
    "--add-scope",
    "added_scopes",
    multiple=True,
    metavar="SCOPE",
    help="Ask for the scopes of the stored token and this one; repeatable.",
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
@click.option("--if-needed", is_flag=True, help="Do nothing if the stored token still serves calls.")
@click.option(
    "--save-secret",
    "save_secret",
    is_flag=False,
    flag_value="yes",
    type=click.Choice(["yes", "no", "keyring", "file"]),
    help="Keep the client secret for programs on this computer: in the system's keyring if there is one, else in a "
    "private file.  [default: ask who typed it]",
)
@click.option("--pkce/--no-pkce", default=None, help="Use PKCE.  [default: $ARIES_PKCE]")
def login(
    profile: str | None,
    store: str | None,
    client_id: str | None,
    redirect_uri: str | None,
    scopes: Sequence[str],
    added_scopes: Sequence[str],
    timeout: float,
    save_secret: str | None,
    *,
    no_browser: bool,
    paste: bool,
    if_needed: bool,
    pkce: bool | None,
) -> None:
    """Log in once, in the browser, and save the token.

    What is not given is taken from the environment, then from the stored token, then asked for. The client secret is
    $ARIES_CLIENT_SECRET, or the content of the file named by $ARIES_CLIENT_SECRET_FILE, or the one that an earlier
    login saved. Otherwise it is asked for, without echo. It is never an option: other users can see those.
    """
    show_trouble()
    from aries_auth.authorization.login_request import LoginRequest  # noqa: PLC0415
    from aries_auth.authorization.setup import log_in  # noqa: PLC0415
    from aries_auth.authorization.talk import Talk  # noqa: PLC0415
    from aries_auth.cli.console import PREFIX  # noqa: PLC0415
    from aries_auth.settings.report import lifetimes  # noqa: PLC0415
    from aries_auth.store import store_name  # noqa: PLC0415

    choice = find_store(profile, store)
    before = choice.store.load()
    log_in(
        LoginRequest(
            client_id,
            None,
            redirect_uri,
            list(scopes) or None,
            pkce=pkce,
            profile=choice.profile,
            store=choice.store,
            added_scopes=added_scopes,
            open_browser=not no_browser,
            callback_timeout=timeout,
            paste=paste,
            if_needed=if_needed,
            save_secret=_PLACES[save_secret],
        ),
        Talk(PREFIX, in_command=True),
    )
    token: Any = choice.store.load()
    what = "still logged in" if token == before else "logged in"
    where = store_name(choice.store)
    say(f"{what}, and the token is in {where}; {lifetimes(token, time.time())}", color="green")
    _say_where_the_secret_is(choice)


_PLACES: dict[str | None, Any] = {None: None, "yes": True, "no": False, "keyring": "keyring", "file": "file"}


def _say_where_the_secret_is(choice: StoreChoice) -> None:
    from aries_auth.settings import saved_secret  # noqa: PLC0415
    from aries_auth.settings.report import report  # noqa: PLC0415

    where = report(choice).secret.where
    if where == "saved":
        say("the client secret is saved; programs on this computer need no variable")
    elif where is None:
        keep = "; or keep it with aries-auth login --save-secret" if saved_secret.secret_path(choice.store) else ""
        say("programs that keep it fresh need the secret, too: $ARIES_CLIENT_SECRET, or a file named by "
            f"$ARIES_CLIENT_SECRET_FILE{keep}")  # fmt: skip
