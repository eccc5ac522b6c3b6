"""Listener: waits on a loopback redirect URI for the callback of a login, and shows the browser how it went.

One thread, the caller's, and never a blocking call longer than a moment, so that Ctrl-C works and slow
clients hold up nobody. Requests are never logged: their query may hold a code.
"""

from __future__ import annotations

import selectors
import socket
import time
from contextlib import suppress
from functools import partial
from typing import Callable
from urllib.parse import urlsplit

from aries_auth.authorization import pages
from aries_auth.authorization.callback_request import Authority, Request, parse_head
from aries_auth.authorization.field import FieldPaste
from aries_auth.authorization.pages import Page
from aries_auth.authorization.pasting import TerminalPaste, read_pieces
from aries_auth.authorization.sockets import open_sockets
from aries_auth.errors import AuthorizationError
from aries_auth.log import logger
from aries_auth.settings.values import advised
from aries_auth.singleflight.clock import monotonic
from aries_auth.token import Secret
from aries_auth.token_endpoint import protocol

MOST_CONNECTIONS = 8
CONNECTION_TIME = 5.0
LINGER = 1.0

_SLICE = 0.2
_CHUNK = 16 * 1024


class _Connection:
    """One client, from its connection until it is closed, `CONNECTION_TIME` at the most."""

    __slots__ = ("answered", "callback", "ends_at", "received", "socket")

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.received = bytearray()
        self.ends_at = monotonic() + CONNECTION_TIME
        self.answered = False
        self.callback: Secret | None = None

    @property
    def waits(self) -> bool:
        """Whether it brought the callback, and its browser waits for the verdict."""
        return self.callback is not None and not self.answered

    def answer(self, page: Page, *, with_body: bool = True) -> None:
        """Send the page. It fits in a new connection's buffer, so this never waits."""
        self.answered = True
        # What the client still sends is read and dropped: to close on it would reset the connection.
        self.ends_at = monotonic() + LINGER
        with suppress(OSError):
            self.socket.send(page.render(with_body=with_body))
            self.socket.shutdown(socket.SHUT_WR)


class Listener:
    """Listens on exactly the address of a loopback redirect URI, from construction until it is closed.

    Args:
        redirect_uri: the redirect URI.
        authority: its host and port.

    Raises:
        ConfigurationError: the address is busy, or can't be listened on.
    """

    def __init__(self, redirect_uri: str, authority: Authority) -> None:
        self._redirect_uri = redirect_uri
        self._authority = authority
        self._path = urlsplit(redirect_uri).path or "/"
        self._state = ""
        self._verdict: Page | None = None
        self._connections: list[_Connection] = []
        self._listening = open_sockets(authority)
        self._selector = selectors.DefaultSelector()
        for each in self._listening:
            self._selector.register(each, selectors.EVENT_READ, partial(self._accept, each))

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every socket."""
        for connection in list(self._connections):
            self._drop(connection)
        for each in self._listening:
            each.close()
        self._selector.close()

    def wait(
        self,
        state: str,
        *,
        timeout: float,
        on_wait: Callable[[float], object] | None = None,
        typed: TerminalPaste | FieldPaste | None = None,
    ) -> Secret:
        """The whole address of the first callback with this state. Its browser waits until `conclude`.

        Args:
            state: the state of this login. A callback with another one is answered 400, and the wait goes on.
            timeout: seconds to wait.
            on_wait: called about once a second with the seconds left.
            typed: takes an address from the terminal meanwhile.

        Raises:
            AuthorizationError: none came in time.
        """
        self._state = state
        watched = self._watch(typed) if isinstance(typed, TerminalPaste) else None
        try:
            return self._wait(timeout, on_wait, typed)
        finally:
            if watched is not None:
                self._forget(watched)

    def _wait(
        self, timeout: float, on_wait: Callable[[float], object] | None, typed: TerminalPaste | FieldPaste | None
    ) -> Secret:
        ends_at = monotonic() + timeout
        tell_at = 0.0
        while True:
            left = ends_at - monotonic()
            if left <= 0:
                break
            if on_wait is not None and monotonic() >= tell_at:
                tell_at = monotonic() + 1.0
                on_wait(left)
            self._turn(min(_SLICE, left))
            for connection in self._connections:
                if connection.callback is not None:
                    return connection.callback
            if typed is not None:
                typed.poll()
                if typed.address is not None:
                    return typed.address
        raise advised(
            AuthorizationError,
            f"The browser did not come back to {self._redirect_uri} within {timeout:g} s. If Aries showed an error "
            "page, check client id and redirect URI in the Client Center. Start the login again; if the browser runs "
            "on another computer,",
            in_code="use paste=True (the command: --paste).",
            in_command="use --paste.",
        )

    def _watch(self, typed: TerminalPaste) -> int | None:
        """Take what is typed at the terminal, until its end."""
        descriptor = typed.descriptor
        if descriptor is None:
            return None

        def receive() -> None:
            if not typed.receive(partial(read_pieces, descriptor, wait=0.0)):
                self._forget(descriptor)

        try:
            self._selector.register(descriptor, selectors.EVENT_READ, receive)
        except (OSError, ValueError):
            return None
        return descriptor

    def _forget(self, descriptor: int) -> None:
        with suppress(KeyError, ValueError, OSError):
            self._selector.unregister(descriptor)

    def conclude(self, page: Page, *, linger: float = LINGER) -> None:
        """Show the browser how the login went, also if it has asked a second time meanwhile.

        Args:
            page: what to show.
            linger: seconds to wait at most until it has been read.
        """
        self._verdict = page
        for connection in self._connections:
            if connection.waits:
                connection.answer(page)
        for _ in range(2):  # a reload that waits to be accepted, and then to be read
            self._turn(0.0)
        ends_at = monotonic() + linger
        while monotonic() < ends_at and any(connection.answered for connection in self._connections):
            self._turn(_SLICE)

    def _turn(self, seconds: float) -> None:
        """Do what can be done at once, after waiting so long for something to do."""
        for key, _ in self._selector.select(seconds):
            key.data()
        now = monotonic()
        for connection in list(self._connections):
            if now >= connection.ends_at and not connection.waits:
                self._drop(connection)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(MOST_CONNECTIONS):
            try:
                accepted, _ = listening.accept()
            except BlockingIOError:
                return
            except OSError:  # no descriptors left, say: don't spin
                time.sleep(_SLICE)
                return
            accepted.setblocking(False)
            connection = _Connection(accepted)
            self._connections.append(connection)
            self._selector.register(accepted, selectors.EVENT_READ, partial(self._receive, connection))
            # A browser has sent its request by now; read it before the next one can make this one go.
            self._receive(connection)
            self._make_room()

    def _make_room(self) -> None:
        """Close the oldest rather than refuse the newest: slow clients must not keep the browser out."""
        if len(self._connections) > MOST_CONNECTIONS:
            self._drop(next((each for each in self._connections if not each.waits), self._connections[-1]))

    def _drop(self, connection: _Connection) -> None:
        self._connections.remove(connection)
        with suppress(KeyError):  # Ctrl-C came between its two lists
            self._selector.unregister(connection.socket)
        connection.socket.close()

    def _receive(self, connection: _Connection) -> None:
        if connection not in self._connections:
            return  # it made room in this very turn
        try:
            chunk = connection.socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._drop(connection)
        elif not connection.answered and connection.callback is None:
            connection.received += chunk
            self._look_at(connection)

    def _look_at(self, connection: _Connection) -> None:
        request = parse_head(connection.received)
        if request is None:
            return
        status = self._refusal(request) if isinstance(request, Request) else request
        if status is not None:
            logger.debug("The login's listener refused a request with %s", status)
            is_head = isinstance(request, Request) and request.method == "HEAD"
            connection.answer(pages.refused(status), with_body=not is_head)
        elif self._verdict is not None:
            connection.answer(self._verdict)
        else:
            connection.callback = self._address(connection)

    def _refusal(self, request: Request) -> int | None:
        """Why a request is not the callback, as a status; None for the callback."""
        # A page elsewhere whose name was made to resolve to this machine (DNS rebinding) has another Host.
        if request.authority != self._authority:
            return 421
        if request.method != "GET":
            return 405
        if request.path != self._path:
            return 404
        return None if protocol.state_matches(protocol.callback_pairs(request.query), self._state) else 400

    def _address(self, connection: _Connection) -> Secret:
        target = bytes(connection.received).split(b" ", 2)[1].decode("ascii")
        parts = urlsplit(self._redirect_uri)
        return Secret(f"{parts.scheme}://{parts.netloc}{target}")
