"""What the command says and asks: messages on standard error, questions on a terminal, times in words."""

from __future__ import annotations

import os
import sys
from typing import IO, Any, Callable

import click

PREFIX = "aries-auth: "


class Failure(click.ClickException):
    """Ends the command with a line and an exit code."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.__dict__["exit_code"] = exit_code  # typed as the class's own in click

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002
        """Say it on standard error."""
        say(self.message)


def say(text: str, *, color: str | None = None) -> None:
    """One line on standard error."""
    tell(paint(f"{PREFIX}{one_line(text)}", color, sys.stderr))


def tell(text: str = "", *, end: str = "\n") -> None:
    """Text as it is on standard error; nothing where that was closed."""
    if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]
        click.echo(text + end, nl=False, err=True)


def one_line(text: str) -> str:
    """Text with its control characters escaped: a terminal obeys them, and a log counts lines."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def paint(text: str, color: str | None, stream: IO[str] | None) -> str:
    """Text in a color, where the stream is a terminal and NO_COLOR (no-color.org) is not set."""
    if color is None or os.environ.get("NO_COLOR") or not _is_terminal(stream):
        return text
    return click.style(text, fg=color)


def has_terminal() -> bool:
    """Whether somebody is there to answer."""
    return _is_terminal(sys.stdin) and _is_terminal(sys.stderr)


def _is_terminal(stream: IO[str] | None) -> bool:
    # None where the program was started with it closed.
    return stream is not None and stream.isatty()


def ask(question: str, *, missing: str, check: Callable[[str], Any] = str, default: str = "") -> str:
    """Ask on the terminal until there is an answer that `check` does not refuse with a ConfigurationError.

    Args:
        question: without the colon.
        missing: what to do where there is no terminal.
        check: gets the answer.
        default: what an empty answer means; where there is none, the question comes again.

    Raises:
        ConfigurationError: there is no terminal.
    """
    from aries_auth.errors import ConfigurationError  # noqa: PLC0415

    _need_terminal(question, missing)
    while True:
        # Not click.prompt, which writes to standard output, too.
        tell(f"{question}: ", end="")
        line = sys.stdin.readline()
        if not line:
            tell()
            raise Failure("no answer")
        answer = line.strip() or default
        try:
            if answer:
                check(answer)
                return answer
        except ConfigurationError as exc:
            say(str(exc))


def ask_hidden(question: str, *, missing: str) -> Callable[[], str]:
    """Ask without echo. Returned as a callable, so that the answer stands in no frame of the caller's.

    Raises:
        ConfigurationError: there is no terminal.
    """
    from getpass import getpass  # noqa: PLC0415

    from aries_auth.token import Secret  # noqa: PLC0415

    _need_terminal(question, missing)
    while True:
        try:
            answer = Secret(getpass(f"{question} (not shown): ", sys.stderr).strip())
        except EOFError:
            raise Failure("no answer") from None
        if answer.reveal():
            return answer.reveal


def _need_terminal(question: str, missing: str) -> None:
    from aries_auth.errors import ConfigurationError  # noqa: PLC0415

    if not has_terminal():
        raise ConfigurationError(f"{question}: missing, and there is no terminal to ask for it. {missing}")


class Countdown:
    """The seconds that are left, in one line that is overwritten; nothing where standard error is no terminal."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._width = 0

    def show(self, seconds: float) -> None:
        """Say how many are left."""
        if _is_terminal(sys.stderr):
            line = f"{self._text}: {seconds:.0f} s left"
            tell(f"\r{line.ljust(self._width)}", end="")
            self._width = len(line)

    def clear(self) -> None:
        """Take the line away."""
        if self._width:
            tell(f"\r{' ' * self._width}\r", end="")
            self._width = 0


def in_words(seconds: float) -> str:
    """A duration as people say it, rounded down: ``29 days``, ``54 minutes``."""
    whole = max(0, int(seconds))
    for name, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if whole >= 2 * length:
            return f"{whole // length} {name}"
    return "1 second" if whole == 1 else f"{whole} seconds"
