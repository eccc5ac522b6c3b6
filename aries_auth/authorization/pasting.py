"""The address that a person pastes: read in one piece, freed of what mailers and terminals add, and judged."""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress
from typing import Callable
from urllib.parse import urlsplit

from aries_auth.authorization.talk import Talk
from aries_auth.errors import AuthorizationError
from aries_auth.token import Secret
from aries_auth.token_endpoint import protocol

MOST_TRIES = 10

_PIECE = 64 * 1024
_REST = 0.25  # seconds within which the rest of a pasted text comes
_AROUND = dict.fromkeys(map(ord, "\"'`<>\u2018\u2019\u201c\u201d\u00ab\u00bb\x00"))


def cleaned(text: Secret) -> Secret:
    """A pasted text without quotes, white space, line breaks, and the marks of a terminal's paste."""
    joined = "".join(text.reveal().split())
    for mark in ("\x1b[200~", "\x1b[201~"):
        joined = joined.replace(mark, "")
    # Without lone surrogates, which no URL has.
    return Secret(joined.translate(_AROUND).encode("utf-8", "replace").decode("utf-8"))


def is_callback(address: Secret) -> bool:
    """Whether it is the address of a callback at all. Whether it is the one of this login is for the flow to say."""
    with suppress(ValueError):
        parts = urlsplit(address.reveal())
        names = {name for name, _ in protocol.callback_pairs(parts.query)}
        return bool(parts.scheme and (parts.netloc or parts.path) and "state" in names and names & {"code", "error"})
    return False


def refusal(address: Secret, redirect_uri: str) -> str:
    """What to tell a person whose text is no callback."""
    what = "That is not the address of the login" if address.reveal() else "Nothing was pasted"
    return (
        f"{what}. It begins with {redirect_uri} and has state= and code= in it. Nothing was sent. Paste the whole "
        "address that the browser ended on:"
    )


def ask_for_address(talk: Talk, redirect_uri: str) -> Secret:
    """Ask until a callback's address is pasted.

    Raises:
        AuthorizationError: nobody is there, or gives one.
    """
    for _ in range(MOST_TRIES):
        text = _read_block() if talk.at_terminal and sys.platform != "win32" else _read_line()
        if text is None:
            raise AuthorizationError("No address was given, so nothing was sent. Start the login again.")
        address = cleaned(text)
        if is_callback(address):
            return address
        talk.warn(refusal(address, redirect_uri))
    raise AuthorizationError("No address of this login was given, so nothing was sent. Start the login again.")


def _read_line() -> Secret | None:
    # No terminal, a notebook without input, no text; PyPy's AttributeError without any standard input.
    with suppress(AttributeError, EOFError, OSError, RuntimeError, ValueError):
        return Secret(input())
    return None


def _read_block() -> Secret | None:
    """What is pasted into a terminal, all of its lines; None at its end."""
    return read_pieces(sys.stdin.fileno(), wait=None)


def read_pieces(descriptor: int, *, wait: float | None) -> Secret | None:
    """What comes from a terminal until it rests; None at its end.

    Args:
        descriptor: the terminal.
        wait: seconds to wait for the first piece; None waits for it.
    """
    pieces: list[Secret] = []
    while select.select([descriptor], [], [], _REST if pieces else wait)[0]:
        try:
            # A terminal gives a line at a time.
            piece = Secret(os.read(descriptor, _PIECE).decode("utf-8", "replace"))
        except OSError:
            break
        if not piece.reveal():
            break
        pieces.append(piece)
    return Secret("".join(piece.reveal() for piece in pieces)) if pieces else None


class TerminalPaste:
    """Takes an address at the terminal while something else is waited for.

    Args:
        talk: the person.
        redirect_uri: what a callback begins with.
    """

    def __init__(self, talk: Talk, redirect_uri: str) -> None:
        self._talk = talk
        self._redirect_uri = redirect_uri
        self._typed: list[str] = []
        self.address: Secret | None = None

    @property
    def descriptor(self) -> int | None:
        """What to select on; None if this process may not read from its terminal, or the system can't wait for it."""
        if sys.platform == "win32":
            return None
        try:
            descriptor = sys.stdin.fileno()
            return descriptor if os.tcgetpgrp(descriptor) == os.getpgrp() else None
        except (OSError, ValueError):
            return None

    def receive(self, read: Callable[[], Secret | None]) -> bool:
        """Look at what was pasted; returns whether more may come."""
        text = read()
        if text is None:
            return False
        self._judge(cleaned(text))
        return True

    def poll(self) -> None:
        """Take the keys that were pressed since, on Windows, since a console can't be selected on there."""
        if sys.platform == "win32":  # pragma: no cover - needs a console of Windows
            import msvcrt  # noqa: PLC0415 - on this platform alone

            while msvcrt.kbhit():
                key = msvcrt.getwche()
                if key == "\x03":
                    raise KeyboardInterrupt
                if key in "\r\n":
                    text, self._typed = Secret("".join(self._typed)), []
                    self._judge(cleaned(text))
                else:
                    self._typed.append(key)

    def _judge(self, address: Secret) -> None:
        if is_callback(address):
            self.address = address
        else:
            self._talk.warn(refusal(address, self._redirect_uri))
