"""A notebook's field for the pasted address while the listener waits: whichever has the address first ends the other.

A field blocks the main thread and can be ended by an interrupt alone. So the wait goes on in a thread of its own.
"""

from __future__ import annotations

import _thread
import threading
import time
from contextlib import suppress
from contextvars import copy_context
from typing import Callable

from aries_auth.authorization.pasting import MOST_TRIES, cleaned, is_callback, refusal
from aries_auth.authorization.talk import Talk
from aries_auth.token import Secret

_PROMPT = "The address that your browser ended on, if it could not be reached: "
_ON_ITS_WAY = 1.0  # seconds; a real interrupt comes much sooner


class Stopped(Exception):
    """The wait was given up."""


class FieldPaste:
    """Takes an address in a notebook's field while something else is waited for.

    Args:
        talk: the person.
        redirect_uri: what a callback begins with.
    """

    descriptor: int | None = None  # nothing to select on, unlike a terminal

    def __init__(self, talk: Talk, redirect_uri: str) -> None:
        self._talk = talk
        self._redirect_uri = redirect_uri
        self._lock = threading.Lock()  # orders the end of the wait and the end of the field
        self._is_asking = False
        self._is_over = False
        self._was_ended = False
        self._stopped = False
        self.address: Secret | None = None

    def poll(self) -> None:
        """Called by the wait, many times a second.

        Raises:
            Stopped: an interrupt has ended the cell.
        """
        if self._stopped:
            raise Stopped

    def wait(self, wait: Callable[[], Secret]) -> Secret:
        """The address: what `wait` returns, which looks at `address`, too. It runs in another thread."""
        found: list[Secret] = []
        failures: list[BaseException] = []

        def run() -> None:
            try:
                found.append(wait())
            except BaseException as exc:  # noqa: BLE001 - raised below
                failures.append(exc)
            finally:
                self._end_field()

        thread = threading.Thread(target=copy_context().run, args=(run,), name="aries-auth-login", daemon=True)
        thread.start()
        try:
            self._ask()
            while thread.is_alive():
                thread.join(0.1)  # on Windows, an interrupt waits for the end of a join
        finally:
            self._stopped = True
            thread.join()
        if failures:
            raise failures[0]
        return found[0]

    def _ask(self) -> None:
        for _ in range(MOST_TRIES):
            text = self._read()
            if text is None:
                return
            address = cleaned(text)
            if is_callback(address):
                self.address = address
                return
            self._talk.warn(refusal(address, self._redirect_uri))

    def _read(self) -> Secret | None:
        """What was pasted; None if the wait is over, or there is nobody to ask."""
        text = None
        try:
            with self._lock:
                if self._is_over:
                    return None
                self._is_asking = True
            with suppress(EOFError, OSError, RuntimeError):  # a notebook that is executed with nobody there
                text = Secret(input(_PROMPT))
            with self._lock:
                self._is_asking = False
            if self._was_ended:
                time.sleep(_ON_ITS_WAY)  # the interrupt must come here, and not in the person's next line
        except KeyboardInterrupt:
            with self._lock:
                self._is_asking = False
            if not self._was_ended:
                raise
            return None
        return text

    def _end_field(self) -> None:
        with self._lock:
            self._is_over = True
            if self._is_asking:
                self._was_ended = True
                _thread.interrupt_main()
