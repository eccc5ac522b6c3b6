"""How the command ends when something goes wrong: wrong usage, a result that can't be written, a mistyped name."""

from __future__ import annotations

import errno
import os
import sys
from difflib import get_close_matches
from typing import Iterable

import click

from aries_auth.cli.console import FAILED, Failure, say, shown, tell


def show(exc: click.ClickException) -> int:
    """Say what went wrong; wrong usage with the usage, as click does, but escaped."""
    if isinstance(exc, Failure):
        exc.show()
        return exc.exit_code
    if isinstance(exc, click.UsageError) and exc.ctx is not None:
        tell(shown(exc.ctx.get_usage(), keep="\n"))
        tell(f"Try '{shown(exc.ctx.command_path)} --help' for help.\n")
    tell(f"Error: {shown(exc.format_message())}")
    return exc.exit_code


def unwritten(exc: OSError) -> int:
    """Say that a result could not be written. Python must not try again as it ends, and show a traceback."""
    if exc.filename is not None:
        raise exc
    say(f"the result could not be written: {exc.strerror or type(exc).__name__}")
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (AttributeError, OSError, ValueError):
        pass
    return FAILED


def closed_pipe() -> int:
    """Say that the reader of a result has gone; click has said nothing."""
    return unwritten(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))


def suggestion(typed: str, names: Iterable[str]) -> str:
    """What to say of a subcommand that there is not."""
    near = get_close_matches(typed, names, n=1, cutoff=0.5)
    return f"No such command {typed!r}." + (f" Did you mean {near[0]!r}?" if near else "")
