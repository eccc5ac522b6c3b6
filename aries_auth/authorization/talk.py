"""Talking with the person who logs in: at a terminal, in a notebook, or with nobody there."""

from __future__ import annotations

import sys
from functools import partial
from getpass import getpass
from typing import Any, Callable

from aries_auth.errors import AriesAuthError, ConfigurationError, escaped
from aries_auth.terminal import Countdown, has_person, write
from aries_auth.token import Secret


class NoAnswer(ConfigurationError):
    """Nobody answered."""


class Talk:
    """What is said and asked. Everything that is shown is escaped here.

    Args:
        prefix: begins what the person has to notice; the command's own.
        in_command: whether advice speaks of options rather than of parameters.
    """

    def __init__(self, prefix: str = "", *, in_command: bool = False) -> None:
        self._prefix = prefix
        self.in_command = in_command
        self.in_notebook: bool = _is_notebook()
        self.at_terminal: bool = has_person() and not self.in_notebook

    @property
    def can_ask(self) -> bool:
        """Whether somebody may be there to answer."""
        return self.at_terminal or self.in_notebook

    def say(self, text: str) -> None:
        """A line, or several."""
        self._write(escaped(text, keep="\n") + "\n")

    def warn(self, text: str) -> None:
        """A line that the person has to notice."""
        self._write(f"{self._prefix}{escaped(text)}\n")

    def ask(self, question: str) -> str:
        """The answer to a question, without white space around it.

        Raises:
            NoAnswer: there was none.
        """
        prompt = f"{escaped(question)}: "
        if self.in_notebook:
            return str(self._from_field(partial(input, prompt))).strip()
        self._write(prompt)
        line = sys.stdin.readline()
        if not line:
            self._write("\n")
            raise NoAnswer("no answer")
        return line.strip()

    def ask_hidden(self, question: str) -> Secret:
        """The answer to a question, which is not shown while it is typed."""
        prompt = f"{escaped(question)} (not shown): "
        while True:
            answer: Secret = self._from_field(partial(_hidden, prompt))
            if answer.reveal():
                return answer

    def ask_until(self, question: str, check: Callable[[str], Any], *, default: str = "") -> str:
        """Ask until there is an answer that `check` does not refuse.

        Args:
            question: without the colon.
            check: gets the answer, and raises an AriesAuthError for one that can't be.
            default: what an empty answer means; without one the question comes again.
        """
        while True:
            answer = self.ask(question) or default
            try:
                if answer:
                    check(answer)
                    return answer
            except AriesAuthError as exc:
                self.warn(str(exc))

    def confirm(self, question: str) -> bool:
        """Yes or no; an empty answer is yes."""
        while True:
            answer = self.ask(f"{question} [Y/n]").lower()
            if answer in ("", "y", "yes", "n", "no"):
                return answer in ("", "y", "yes")

    def countdown(self, text: str) -> Countdown:
        """A countdown where somebody looks; it shows nothing elsewhere."""
        return Countdown(text, self._write if self.can_ask else None)

    def _from_field(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (EOFError, OSError, RuntimeError):  # a notebook that is executed with nobody there
            raise NoAnswer("no answer") from None

    def _write(self, text: str) -> None:
        write(text, sys.stdout if self.in_notebook else sys.stderr)


def _hidden(prompt: str) -> Secret:
    return Secret(getpass(prompt, sys.stderr).strip())


def _is_notebook() -> bool:
    """Whether this runs in a kernel, which shows standard output under the cell and has fields for questions."""
    ipython: Any = sys.modules.get("IPython")
    try:
        return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None
    except Exception:  # noqa: BLE001 - half imported, or another module of that name
        return False
