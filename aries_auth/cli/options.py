"""The options that subcommands share, and which store they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, TypeVar

import click

if TYPE_CHECKING:
    from aries_auth import AriesAuth
    from aries_auth.settings.stores import StoreChoice

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def find_store(profile: str | None, store: str | None) -> StoreChoice:
    """The store that the options mean, else the environment (docs/architecture.md, "Environment").

    Raises:
        ConfigurationError: a name, URL or key is none, or what it needs is not installed.
    """
    from aries_auth.settings.stores import choose_store  # noqa: PLC0415

    return choose_store(profile, store, urls=True)


def auth_of(choice: StoreChoice) -> AriesAuth:
    """The object that hands out the tokens of a store."""
    from aries_auth.auth import AriesAuth  # noqa: PLC0415

    return AriesAuth(profile=choice.profile, store=choice.store)


def _checked_profile(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    from aries_auth.errors import ConfigurationError  # noqa: PLC0415
    from aries_auth.store.profile import check_profile  # noqa: PLC0415

    try:
        return check_profile(value)
    except ConfigurationError as exc:
        raise click.BadParameter(str(exc)) from exc


def _checked_store(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value == "":
        raise click.BadParameter("it is empty; give the path of a file, or the URL of a database.")
    return value


def _set_log(_ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        from aries_auth.cli.log import show_log  # noqa: PLC0415

        show_log(verbose=True)


def verbose_option(command: Decorated) -> Decorated:
    """``-v``, which every subcommand takes."""
    return click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_set_log,
        help="Log what happens to standard error.",
    )(command)


def show_trouble() -> None:
    """Show the package's warnings from now on, unless ``--verbose`` shows everything already.

    A subcommand calls this before it does what may log; it loads `logging`, which the quick ones can do without.
    """
    import logging  # noqa: PLC0415

    from aries_auth.cli.log import show_log  # noqa: PLC0415

    if logging.getLogger("aries_auth").level != logging.DEBUG:
        show_log(verbose=False)


_profile_option = click.option(
    "--profile",
    metavar="NAME",
    callback=_checked_profile,
    help="Which login to use, if there are several.  [default: $ARIES_PROFILE, else default]",
)
_store_option = click.option(
    "--store",
    metavar="PATH|URL",
    callback=_checked_store,
    help="Use this token file instead of a profile's, or this database with the profile as the key. Put a URL with "
    "a password into the variable instead.  [default: $ARIES_STORE_URL, else $ARIES_TOKEN_FILE]",
)


def grant_options(command: Decorated) -> Decorated:
    """``--profile``, ``--store`` and ``--verbose``."""
    return _profile_option(_store_option(verbose_option(command)))


def examples(*lines: str, title: str = "Examples") -> str:
    r"""A paragraph of a help text that shows commands; ``\b`` keeps click from wrapping it."""
    return "\n".join(["\b", f"{title}:", *(f"  {line}" for line in lines)]) + "\n\n"
