"""One attempt to send a token request: with which library, with which headers, and that it ends in time.

What goes wrong comes back as a value: an exception raised in here would carry frames that hold the request's body.
"""

from __future__ import annotations

import functools
import platform
from contextlib import suppress
from importlib import import_module
from typing import Any, Callable, Mapping

from aries_auth.token_endpoint import own_thread, with_httpx, with_requests
from aries_auth.token_endpoint.answer import Attempt, is_whole
from aries_auth.token_endpoint.deadline import Deadline
from aries_auth.token_endpoint.faults import classified
from aries_auth.token_endpoint.library import is_session, library_of
from aries_auth.token_endpoint.protocol import TokenRequest
from aries_auth.token_endpoint.sender import Sender

_LONGEST_CONNECT = 10.0
_OF_REQUESTS = frozenset({"requests", "niquests"})


def send_once(request: TokenRequest, client: Any, sender: Sender, seconds: float) -> Attempt:
    """Send the request once, with `client` or else as `sender` says; it has ended after `seconds` and a moment."""
    library = library_of(client, sender.library)
    module = import_module(library)  # httpx2 and niquests are no dependencies: here only when the caller uses them
    options = sender.options_at(request.url)
    deadline = Deadline(seconds)
    send = functools.partial(_send, module, request, client, seconds, options, deadline)
    if library in _OF_REQUESTS:
        ends = with_requests.ends_in_time(module, client, request.url)
    else:
        ends = with_httpx.ends_in_time(module, client)
    return send() if ends else own_thread.run(send, seconds, deadline.cut_off)


def _send(
    module: Any,
    request: TokenRequest,
    client: Any,
    seconds: float,
    options: Mapping[str, Any],
    deadline: Deadline,
) -> Attempt:
    library = module.__name__
    send: Callable[..., Attempt] = with_httpx.send
    if library in _OF_REQUESTS:
        send = functools.partial(with_requests.send, options=options)
    try:
        headers = _headers(library, module.__version__)
        attempt = send(module, request, client, (min(seconds, _LONGEST_CONNECT), seconds), headers, deadline)
    except Exception as exc:  # noqa: BLE001 - a mock or an adapter may raise anything, and its frames hold the body
        attempt = classified(exc, request, client)
    finally:
        deadline.close()
    # What was cut short can look like an answer's end.
    if deadline.passed and (attempt.answer is None or not is_whole(attempt.answer)):
        return Attempt(fault="the answer was not complete in time", unsent=attempt.unsent)
    return attempt


def drop_inherited_connections(client: Any) -> None:
    """Close a client's idle connections in a forked child: they are its parent's, too, and could mix up answers."""
    if is_session(client):
        for adapter in client.adapters.values():
            with_requests.drop_connections(adapter)
        return
    # httpx has no public way to close what is idle; a closed client is of no use any more.
    for transport in (getattr(client, "_transport", None), *getattr(client, "_mounts", {}).values()):
        with suppress(Exception):
            for connection in getattr(getattr(transport, "_pool", None), "connections", ()):
                if connection.is_idle():
                    connection.close()


def _headers(library: str, version: str) -> dict[str, str]:
    return {
        "Accept": "application/json",
        "Accept-Encoding": "identity",  # it is a few hundred bytes, and a bomb needs an encoding
        "Cache-Control": "no-store",  # an installed requests-cache would keep the tokens on disk, and answer with them
        "Connection": "close",  # the next refresh is an hour away, and a child forked meanwhile would share it
        "Content-Type": "application/json",
        "User-Agent": f"aries-auth/{_version()} ({library}/{version}; python/{platform.python_version()})",
    }


@functools.lru_cache(maxsize=1)
def _version() -> str:
    from importlib import metadata  # noqa: PLC0415 - costs more than the rest of this module

    try:
        return metadata.version("aries-auth")
    except metadata.PackageNotFoundError:
        return "0"
