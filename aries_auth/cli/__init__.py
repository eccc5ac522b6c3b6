"""The command, ``aries-auth``: what it consists of, and what it exits with.

A subcommand imports what it works with when it runs, so that ``--help`` costs little more than click.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from aries_auth.cli.console import Failure
from aries_auth.cli.options import examples

__all__ = ["main"]

FAILED = 1
LOGIN_REQUIRED = 3
INTERRUPTED = 130

# In the order of a login's life: the module of each subcommand, and its help in short.
_COMMANDS = {
    "login": ("login", "Log in once, in the browser."),
    "status": ("status", "Show who is logged in, and for how long."),
    "token": ("token", "Print an access token that can be used now."),
    "refresh": ("token", "Refresh the access token now."),
    "logout": ("token", "Delete the stored token."),
    "rekey": ("rekey", "Encrypt stored tokens, or move them to the newest key."),
    "sandbox": ("sandbox", "Run a local Aries to try things on."),
    "demo": ("demo", "See the whole life of a token, without an account."),
}


class Program(click.Group):
    """A group whose subcommands may raise what the package raises: one line, no traceback, the right exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort) as exc:
            raise Failure("interrupted", INTERRUPTED) from exc
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception as exc:
            from aries_auth.errors import AriesAuthError, LoginRequired  # noqa: PLC0415

            if not isinstance(exc, AriesAuthError):
                raise
            raise Failure(str(exc), LOGIN_REQUIRED if isinstance(exc, LoginRequired) else FAILED) from exc

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Their names."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The subcommand of a name."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{_COMMANDS[cmd_name][0]}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List them without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help) for name, (_, short_help) in _COMMANDS.items()])


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "aries-auth login                 log in once, in the browser",
        "aries-auth status                who is logged in, and for how long",
        'curl -H "Authorization: Bearer $(aries-auth token)" https://api.aries.com/v1/users/me',
        "aries-auth demo                  see it all work, without an account",
    )
    + "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a person has to log in.",
)
@click.version_option(package_name="aries-auth", prog_name="aries-auth")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens to standard error.")
def main(*, verbose: bool) -> None:
    """Log in to the Aries API once, and keep the token fresh.

    Messages go to standard error, results to standard output.
    """
    from aries_auth.cli.log import show_log  # noqa: PLC0415

    show_log(verbose=verbose)
