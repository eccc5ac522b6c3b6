"""The client middleware for aiohttp: ``aiohttp.ClientSession(middlewares=(AriesMiddleware(auth),))``.

aiohttp 3.12 and later have client middlewares. They see every hop of a redirect as a request of its own, websocket
handshakes too. Token requests are sent by httpx, in a thread: nothing blocks the loop.
"""

from __future__ import annotations

import contextlib
import time
from contextvars import ContextVar
from importlib import import_module
from typing import Any, Awaitable, Callable, NamedTuple

from aries_auth.api_call import resend
from aries_auth.api_call.origins import Origins
from aries_auth.auth import AriesAuth
from aries_auth.errors import ConfigurationError
from aries_auth.refresh.source import Beside
from aries_auth.singleflight.flight import drive_async
from aries_auth.token import Secret
from aries_auth.token_endpoint.sender import HTTPX

_LOWEST = (3, 12)
_SCHEMES = {"ws": "http", "wss": "https"}
_LONGEST_REFUSAL = 1024 * 1024


class _Hop(NamedTuple):
    """The last hop of a task's call: by which middleware, of which call, to which URL, and whether with the token."""

    middleware: object
    call: object
    url: Any
    carried: bool


# One for each middleware of the session, each of which has origins of its own; all of one call.
_last_hops: ContextVar[tuple[_Hop, ...]] = ContextVar("aries_auth_last_hops", default=())


class AriesMiddleware:
    """Authorizes the calls of an ``aiohttp.ClientSession``, websockets included.

    It attaches the token for listed origins alone, and sends a call once more that was answered 401. After a redirect
    to another origin nothing is added back.

    Args:
        auth: whose tokens; any number of sessions and middlewares may share it.

    Raises:
        ConfigurationError: aiohttp is missing or older than 3.12, or `auth` is no `AriesAuth`.
    """

    def __init__(self, auth: AriesAuth) -> None:
        if not isinstance(auth, AriesAuth):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"AriesMiddleware takes an AriesAuth, not {type(auth).__name__}.")
        _check_version()
        self._auth = auth

    async def __call__(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """One hop of a call."""
        ready = self._auth._ready or self._auth._prepare()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        hop = self._new_hop(request, ready.origins)
        if not hop.carried:
            return await handler(request)
        cached, beside = ready.slot.cached, None
        now = time.time()
        if now >= cached.fresh_until:
            cached, beside = await drive_async(ready.source.get(now, HTTPX))
        request.headers["Authorization"] = cached.authorization
        call = handler(request)
        response = await (call if beside is None else _answer(call, beside))
        if response.status != 401:
            return response
        sent = Secret(cached.token.access_token)
        try:
            newer = await drive_async(resend.token_after_401(ready.source, sent, HTTPX))
        except BaseException:
            response.close()
            raise
        if newer is None or not await _is_replayable(request):
            return response
        await _drain(response)
        request.headers["Authorization"] = newer.authorization
        return await handler(request)

    def _new_hop(self, request: Any, origins: Origins) -> _Hop:
        """Whether this hop gets the token: the call's first by its origin, a later one only if the last had it.

        aiohttp makes the request of each hop anew, without what a middleware put on the one before, and tells nobody
        which call it is of: its timer is what all hops of a call have in common, and no two calls.
        """
        url = request.url
        if url.scheme in _SCHEMES:
            url = url.with_scheme(_SCHEMES[url.scheme])
        call = getattr(request, "_timer", None)
        last: _Hop | None = None
        others: tuple[_Hop, ...] = ()
        for hop in _last_hops.get():
            if hop.call is not call or call is None:
                continue  # an earlier call of this task
            if hop.middleware is self:
                last = hop
            else:
                others = (*others, hop)
        if last is not None:
            carried = last.carried and last.url.origin() == url.origin()
        else:
            text = str(url)
            carried = text.startswith(origins.prefixes) or origins.admit(text)
        hop = _Hop(self, call, url, carried)
        _last_hops.set((*others, hop))
        return hop

    def __repr__(self) -> str:
        return f"AriesMiddleware({self._auth!r})"


async def _answer(call: Awaitable[Any], beside: Beside) -> Any:
    """The answer, or the error, of a call; handed over once a refresh beside it has ended that must not outlive it."""
    try:
        response = await call
    except Exception:  # no cancellation, which must not wait
        await beside.wait_async()
        raise
    await beside.wait_async()
    return response


async def _is_replayable(request: Any) -> bool:
    # What is still being sent has not been read to its end, and must not be rewound under the writer.
    await request.close()
    return _can_be_read_again(request.body)


def _can_be_read_again(body: Any) -> bool:
    if isinstance(body, bytes) or isinstance(getattr(body, "_value", None), (bytes, bytearray)):
        return True
    if getattr(body, "consumed", True):  # aiohttp 3.12.0 and 3.12.1 can't tell
        return False
    # Before 3.14 a multipart body does not ask its parts: one that was read would be sent as an empty one.
    parts = body if hasattr(body, "__iter__") else ()
    return all(_can_be_read_again(part) for part, *_ in parts)


async def _drain(response: Any) -> None:
    """Read a 401 to its end, so that its connection can be used again; a long one costs more than a connection."""
    with contextlib.suppress(Exception):  # broken off: nothing of it is needed
        size = 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > _LONGEST_REFUSAL:
                break
        else:
            response.release()
            return
    response.close()


def _check_version() -> None:
    try:
        aiohttp = import_module("aiohttp")  # no dependency: who makes a middleware has it
    except ImportError:
        raise ConfigurationError("AriesMiddleware needs aiohttp. Run: pip install 'aiohttp>=3.12'") from None
    version: str = aiohttp.__version__
    if tuple(int(part) for part in version.split(".")[:2]) < _LOWEST:
        raise ConfigurationError(
            f"AriesMiddleware needs aiohttp 3.12 or later, which has client middlewares; {version} is installed. "
            "Run: pip install --upgrade 'aiohttp>=3.12'. Without it, send 'Authorization: Bearer ' + await "
            "auth.get_token_async(), and after a 401 await auth.get_token_async(refused=token) once."
        )
