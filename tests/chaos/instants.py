"""Raises in the middle of the package's code: at the nth instant at which a thread may be interrupted there."""

from __future__ import annotations

import dis
import functools
import gc
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import aries_auth

_BEFORE_AN_EXIT = ("SWAP", "NOP", "POP_BLOCK", "ROT_TWO", "BEGIN_FINALLY", "CALL_FINALLY", "COPY")

PACKAGE = str(Path(aries_auth.__file__).parent)


class AtInstant:
    """While this is entered, the nth instant in this thread raises; 0 raises nowhere, and counts.

    Args:
        number: which; from 1 on.
        error: what is raised, KeyboardInterrupt or SystemExit.
        every: "line" is every line of the package. "check" is where CPython 3.11 and later really look for signals:
            as a function of the package begins and as one written in C that it calls returns. (Not in `threading`
            below it: a Ctrl-C as `Condition` takes its lock leaves that locked, and nobody can mend `Thread.start`.)
    """

    def __init__(self, number: int, error: type[BaseException], *, every: str = "line") -> None:
        self._number = number
        self._error = error
        self._lines = every == "line"
        self._before: Any = None
        self.count = 0
        self.happened = ""

    def __enter__(self) -> AtInstant:
        # Else a generator that an earlier call left behind may be closed in here, where nobody hears what is raised.
        gc.disable()
        if self._lines:
            self._before = sys.gettrace()
            sys.settrace(self._called)
        else:
            sys.setprofile(self._checked)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lines:
            sys.settrace(self._before)
        else:
            sys.setprofile(None)
        gc.enable()

    def _called(self, frame: FrameType, _event: str, _arg: object) -> Any:
        return self._line if frame.f_code.co_filename.startswith(PACKAGE) else None

    def _line(self, frame: FrameType, event: str, _arg: object) -> Any:
        if event == "line" and frame.f_lasti not in _exits(frame.f_code):
            self._meet(frame)
        return self._line

    def _checked(self, frame: FrameType, event: str, _arg: object) -> None:
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(PACKAGE):
            self._meet(frame)

    def _meet(self, frame: FrameType) -> None:
        self.count += 1
        if self.count == self._number:
            self.happened = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} ({frame.f_code.co_name})"
            raise self._error


@functools.lru_cache(maxsize=None)
def _exits(code: CodeType) -> frozenset[int]:
    """Where a with block that ended well is about to call ``__exit__``.

    The tracer sees one more line there, and what it raises would skip the call; CPython looks for no signal there.
    """
    found = list(dis.get_instructions(code))
    exits: set[int] = set()
    leading: list[int] = []
    nones = 0
    for each in found:
        # Python 3.9 and 3.10 load None once, and double it.
        doubled = nones and each.opname == "DUP_TOP"
        none = doubled or (each.opname.startswith("LOAD_CONST") and each.argval is None)
        none = none or (each.opname == "LOAD_COMMON_CONSTANT" and each.argrepr == "None")  # from Python 3.15 on
        nones = nones + 1 if none else 0
        if each.opname == "WITH_CLEANUP_START" or nones == 3:
            exits.update([*leading, each.offset])
        leading = [*leading, each.offset] if nones or each.opname in _BEFORE_AN_EXIT else []
    return frozenset(exits)
