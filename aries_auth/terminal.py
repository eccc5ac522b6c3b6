"""Text for a person: fit for a stream or to be pasted into a shell, durations in words, and a countdown."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from typing import IO, Callable, Union

Stream = Union[IO[str], None]

_PLAIN = re.compile(r"[A-Za-z0-9_.:/\\-]+\Z")
_AMBIGUOUS = re.compile(r"[\"%$`!^&|<>\r\n]")


def is_terminal(stream: Stream) -> bool:
    """Whether a person looks at the stream, or types into it. It is None if the program was started with it closed."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed since
        return False


def has_person() -> bool:
    """Whether somebody is at a terminal to answer."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def fitted(text: str, stream: Stream) -> str:
    """The text with what the stream's encoding does not have as escapes: a Windows file in cp1252, say."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:
        pass
    return text


def write(text: str, stream: Stream) -> None:
    """Write text at once; nothing if the stream is closed or full, since it only tells how things go."""
    if stream is not None:
        with suppress(OSError, ValueError):
            stream.write(fitted(text, stream))
            stream.flush()


def in_words(seconds: float) -> str:
    """A duration as people say it, rounded down: ``29 days``, ``54 minutes``."""
    whole = max(0, int(seconds))
    for name, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if whole >= 2 * length:
            return f"{whole // length} {name}"
    return "1 second" if whole == 1 else f"{whole} seconds"


def quoted(text: str, *, windows: bool | None = None) -> str | None:
    """The text as one argument; on Windows as cmd.exe and PowerShell both read it, or None if no spelling does."""
    if not (os.name == "nt" if windows is None else windows):
        import shlex  # noqa: PLC0415 - the command's quick ways do without

        return shlex.quote(text)
    if _PLAIN.match(text):
        return text
    return None if _AMBIGUOUS.search(text) else f'"{text}"'


class Countdown:
    """The seconds that are left, in one line that is overwritten.

    Args:
        text: what is waited for.
        write: writes what the person reads; None for nobody.
    """

    def __init__(self, text: str, write: Callable[[str], object] | None) -> None:
        self._text = text
        self._write = write
        self._width = 0

    def show(self, seconds: float) -> None:
        """Say how many are left."""
        if self._write is not None:
            line = f"{self._text}: {seconds:.0f} s left"
            self._write(f"\r{line.ljust(self._width)}")
            self._width = len(line)

    def clear(self) -> None:
        """Take the line away."""
        if self._width and self._write is not None:
            self._write(f"\r{' ' * self._width}\r")
            self._width = 0
