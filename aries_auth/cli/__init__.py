"""The command, ``aries-auth``: what it consists of, and what it exits with.

A subcommand imports what it works with when it runs, so that ``--help`` costs little more than click.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from aries_auth.cli.console import FAILED, LOGIN_REQUIRED, Failure, say
from aries_auth.cli.options import examples

__all__ = ["main"]

INTERRUPTED = 130

# In the order of a login's life: the module of each subcommand, and its help in short.
_COMMANDS = {
    "login": ("login", "Log in once, in the browser."),
    "status": ("status", "Show who is logged in, and for how long."),
    "token": ("token", "Print an access token that can be used now."),
    "refresh": ("token", "Refresh the access token now."),
    "logout": ("token", "Delete the stored token and the saved secret."),
    "doctor": ("doctor", "Check the setup, and name what to mend."),
    "rekey": ("rekey", "Encrypt stored tokens, or move them to the newest key."),
    "sandbox": ("sandbox", "Run a local Aries to try things on."),
    "demo": ("demo", "See the whole life of a token, without an account."),
}


class Program(click.Group):
    """A group whose subcommands may raise what the package raises: one line, no traceback, the right exit code."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run, and exit. What could not be written is told as what else goes wrong."""
        run: Any = super().main
        if not standalone_mode:
            return run(*args, standalone_mode=False, **extra)
        try:
            code = run(*args, standalone_mode=False, **extra)
            if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison]
                sys.stdout.flush()
        except (click.ClickException, click.Abort, OSError) as exc:
            code = self._end(exc)
        except SystemExit:
            if "PacifyFlush" not in type(sys.stdout).__name__:
                raise
            from aries_auth.cli.trouble import closed_pipe  # noqa: PLC0415

            code = closed_pipe()
        raise SystemExit(code if isinstance(code, int) else 0)

    def _end(self, exc: Exception) -> int:
        from aries_auth.cli import trouble  # noqa: PLC0415 - most runs go well

        if isinstance(exc, click.ClickException):
            return trouble.show(exc)
        if isinstance(exc, OSError):
            return trouble.unwritten(exc)
        say("interrupted")
        return INTERRUPTED

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
            from aries_auth.settings.values import command_text  # noqa: PLC0415

            raise Failure(command_text(exc), LOGIN_REQUIRED if isinstance(exc, LoginRequired) else FAILED) from exc

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The subcommand that is meant; a mistyped one gets a suggestion."""
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from aries_auth.cli.trouble import suggestion  # noqa: PLC0415

            ctx.fail(suggestion(args[0], _COMMANDS))
        return super().resolve_command(ctx, args)

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
        "aries-auth doctor                what is missing, and how to mend it",
        'echo "Authorization: Bearer $(aries-auth token)" | curl -H @- https://api.aries.com/v1/users/me',
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
    if verbose:
        show_log()


def show_log() -> None:
    """Show the package's log with its details."""
    from aries_auth.cli.log import show_log as show  # noqa: PLC0415

    show(verbose=True)
