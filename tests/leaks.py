"""assert_no_secret: an error, a log record or a text shows none of the secrets that a test planted.

It looks where people and tools look: texts, arguments, fields and notes of an exception, all that stands behind it,
and the local variables of every frame of every traceback, in containers, too, as pytest and Sentry print them.
Frames of the tests themselves are left out, since they hold what they planted.
"""

from __future__ import annotations

import functools
import logging
import traceback
from collections import deque
from pathlib import Path
from typing import Any, Iterator, Mapping
from urllib.parse import quote

_TESTS = str(Path(__file__).parent)


def assert_no_secret(thing: object, *secrets: str) -> None:
    """Fail where `thing` (an exception, a log record, a text, or a container of them) shows one of the secrets."""
    assert secrets, "name what must not be shown"
    forms = {form: secret for secret in secrets for form in (secret, quote(secret, safe=""), repr(secret)[1:-1])}
    for where, text in shown(thing):
        for form, secret in forms.items():
            assert form not in text, f"{where} shows {secret!r}: {text[:2000]}"


def shown(thing: object) -> Iterator[tuple[str, str]]:
    """Every text that `thing` can be made to show, with where it stands."""
    yield from _values(type(thing).__name__, thing, set())


def _values(where: str, value: Any, seen: set[int]) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
        return
    if isinstance(value, (bytes, bytearray, memoryview)):
        yield where, bytes(value).decode("latin-1")
        return
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, BaseException):
        yield from _exception(where, value, seen)
    elif isinstance(value, logging.LogRecord):
        yield where, value.getMessage()
        yield from _values(f"{where}.__dict__", vars(value), seen)
    elif isinstance(value, Mapping):
        for key, item in list(value.items()):
            yield from _values(f"{where} key", key, seen)
            yield from _values(f"{where}[{key!r:.40}]", item, seen)
    elif isinstance(value, (list, tuple, set, frozenset, deque)):
        for number, item in enumerate(list(value)):
            yield from _values(f"{where}[{number}]", item, seen)
    elif isinstance(value, functools.partial):
        yield from _values(f"{where}.args", value.args, seen)
        yield from _values(f"{where}.keywords", value.keywords, seen)
    yield where, f"{value!r} {value!s}"


def _exception(where: str, exc: BaseException, seen: set[int]) -> Iterator[tuple[str, str]]:
    name = f"{where} > {type(exc).__name__}"
    yield name, f"{exc} {exc!r}"
    yield from _values(f"{name}.args", exc.args, seen)
    yield from _values(f"{name}.__dict__", vars(exc), seen)
    for attribute in ("__cause__", "__context__", "exceptions", "reason", "object"):
        yield from _values(f"{name}.{attribute}", getattr(exc, attribute, None), seen)
    for frame, line in traceback.walk_tb(exc.__traceback__):
        if not frame.f_code.co_filename.startswith(_TESTS):
            place = f"{name}, local variable in {frame.f_code.co_filename}:{line} {frame.f_code.co_name}"
            yield from _values(place, dict(frame.f_locals), seen)
    yield f"{name}, printed with its locals", "".join(_printed(exc))


def _printed(exc: BaseException) -> Iterator[str]:
    printed = traceback.TracebackException(type(exc), exc, exc.__traceback__, capture_locals=True)
    pending = [printed]
    while pending:
        part = pending.pop()
        part.stack = traceback.StackSummary.from_list([f for f in part.stack if not f.filename.startswith(_TESTS)])
        pending += [other for other in (part.__cause__, part.__context__) if other is not None]
    yield from printed.format()
