"""Bodies: whether a request's can be sent a second time, and how; and a refused response's, read to its end."""

from __future__ import annotations

import collections.abc
import inspect
from contextlib import suppress
from typing import Any

import requests

from aries_auth.token_endpoint.library import library_of_class


class BodyPosition:
    """Where a body stood before it was sent for the first time."""

    __slots__ = ("_positions", "_replayable")

    def __init__(self, *, replayable: bool, positions: tuple[tuple[Any, int], ...] = ()) -> None:
        self._replayable = replayable
        self._positions = positions

    def rewind(self) -> bool:
        """Bring the body back; returns whether it can be sent again."""
        try:
            for file, position in self._positions:
                file.seek(position)
        except (OSError, ValueError, AttributeError):  # closed, or not seekable after all
            return False
        return self._replayable


WHOLE = BodyPosition(replayable=True)
_ONCE = BodyPosition(replayable=False)


def position_of_body(body: Any) -> BodyPosition:
    """The position of the body of a requests.PreparedRequest."""
    if body is None or isinstance(body, (bytes, bytearray, str)):
        return WHOLE
    return _position(body)


def position_of_stream(stream: object) -> BodyPosition:
    """The position of the stream of an httpx or httpx2 request.

    What a stream holds is looked at, be it bytes, or a file or an iterable that the caller gave: neither library has a
    public way to ask.
    """
    # By its library, too: a class of the caller's own may have the name, and be read once.
    if library_of_class(type(stream)) is not None and type(stream).__name__ == "MultipartStream":
        # Its file fields seek to the start by themselves whenever they are read.
        files = [getattr(field, "file", b"") for field in getattr(stream, "fields", ())]
        return WHOLE if all(isinstance(file, (bytes, str)) or _is_seekable(file) for file in files) else _ONCE
    held = [value for value in getattr(stream, "__dict__", {}).values() if not isinstance(value, (bool, int))]
    return _position(held[0]) if len(held) == 1 else _ONCE


def _position(body: Any) -> BodyPosition:
    if _is_seekable(body):
        try:
            return BodyPosition(replayable=True, positions=((body, body.tell()),))
        except (OSError, ValueError, AttributeError):
            return _ONCE
    if (
        hasattr(body, "read")
        or hasattr(body, "aread")
        or isinstance(body, (collections.abc.Iterator, collections.abc.AsyncIterator))
    ):
        return _ONCE
    # A list, say, gives a new iterator each time.
    return BodyPosition(replayable=isinstance(body, (collections.abc.Iterable, collections.abc.AsyncIterable)))


def _is_seekable(file: Any) -> bool:
    if not hasattr(file, "seek") or not hasattr(file, "tell") or inspect.iscoroutinefunction(file.seek):
        return False
    seekable = getattr(file, "seekable", None)
    try:
        return seekable is None or seekable() is True
    except (OSError, ValueError):
        return False


def drain(response: requests.Response) -> None:
    """Read a 401 to its end, so that its connection can be used again."""
    with suppress(requests.RequestException, RuntimeError):  # broken off, or read by another hook
        _ = response.content
    response.close()
