"""What the command says: results on standard output, messages on standard error, every text escaped."""

from __future__ import annotations

import os
import sys
from typing import IO, Any

import click

PREFIX = "aries-auth: "
FAILED, LOGIN_REQUIRED = 1, 3  # what the command exits with; click has 2 for wrong usage


def is_out_of_reach(error: BaseException) -> bool:
    """Whether a store's error says that its database can't be reached: then what else is to be done there is left."""
    return "out_of_reach" in error.__dict__


class Failure(click.ClickException):
    """Ends the command with a line and an exit code."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.__dict__["exit_code"] = exit_code  # typed as the class's own in click

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002
        """Say it on standard error."""
        say(self.message)


def say(text: str, *, color: str | None = None) -> None:
    """One line on standard error."""
    tell(f"{PREFIX}{shown(text)}", color)


def tell(text: str, color: str | None = None) -> None:
    """A line that is fit to be shown; nothing if standard error was closed or is full."""
    from aries_auth.terminal import write  # noqa: PLC0415

    write(paint(text, color, sys.stderr) + "\n", sys.stderr)


def put(text: str, *, color: str | None = None) -> None:
    """A result on standard output, its lines as they are.

    Raises:
        OSError: it can't be written.
    """
    from aries_auth.terminal import fitted  # noqa: PLC0415

    click.echo(fitted(paint(shown(text, keep="\n"), color, sys.stdout), sys.stdout))


def shown(text: str, keep: str = "") -> str:
    """The one way of foreign text to a terminal: control characters are escaped."""
    from aries_auth.errors import escaped  # noqa: PLC0415

    return escaped(text, keep)


def paint(text: str, color: str | None, stream: IO[str] | None) -> str:
    """Text in a color, if the stream is a terminal and NO_COLOR (no-color.org) is not set."""
    from aries_auth.terminal import is_terminal  # noqa: PLC0415

    if color is None or os.environ.get("NO_COLOR") or not is_terminal(stream):
        return text
    return click.style(text, fg=color)
