"""Calls of niquests, with a `Session` and with an `AsyncSession`.

Its prepared requests look like those of requests, and are known by what they are: niquests is no dependency. Which
kind of session prepared one can't be seen. Inside a running event loop it may be either (a notebook's cell runs in
one), so both ways are laid out there, and the session takes its own.
"""

from __future__ import annotations

import inspect
import sys
import time
from functools import lru_cache, partial
from typing import Any, NamedTuple

from aries_auth.api_call.body import WHOLE, BodyPosition, position_of_body
from aries_auth.api_call.origins import Origins
from aries_auth.api_call.resend import bearer, token_after_401
from aries_auth.refresh.policy import CachedToken
from aries_auth.refresh.source import Beside, TokenSource
from aries_auth.singleflight.flight import drive, drive_async
from aries_auth.token import Secret
from aries_auth.token_endpoint.library import is_outdated_niquests, outdated_niquests
from aries_auth.token_endpoint.sender import Sender

_LIBRARY = "niquests"


def is_prepared_request(request: object) -> bool:
    """Whether it is a request that a session of niquests has prepared."""
    kind: Any = type(request)  # mypy takes no class for hashable
    return _is_of_niquests(kind)


@lru_cache(maxsize=32)  # asked for every call
def _is_of_niquests(kind: type[Any]) -> bool:
    return any(
        base.__name__ == "PreparedRequest" and base.__module__.partition(".")[0] == _LIBRARY for base in kind.__mro__
    )


class Authorizer(NamedTuple):
    """Puts the tokens of one source on requests for some origins, and looks at their answers."""

    source: TokenSource
    origins: Origins

    def authorize(self, request: Any) -> Any:
        """Put the token on a prepared request, at once or when its session sends it, and look at its answer.

        Raises:
            ConfigurationError: this niquests is too old.
        """
        # 3.13 looks the same, but its Session runs no "pre_request" hook of an auth: in a loop, no token would be sent.
        if is_outdated_niquests():
            raise outdated_niquests()
        url = request.url or ""
        if not url.startswith(self.origins.prefixes) and not self.origins.admit(url):
            return request
        if not _in_loop():
            self.attach(request)
            return request
        waiting = _Waiting(self, request)
        # An AsyncSession awaits the first before it sends; a Session knows only the second.
        request._asynchronous_auth, request._pending_async_auth = True, waiting.attach_async  # noqa: SLF001
        request.hooks["pre_request"].append(waiting.attach)
        return request

    def attach(self, request: Any) -> None:
        """Put the token on a request of a Session."""
        cached, beside = self.source.slot.cached, None
        now = time.time()
        if now >= cached.fresh_until:
            cached, beside = drive(self.source.get(now, Sender(_LIBRARY)))
        request.headers["Authorization"] = cached.authorization
        hook = partial(self._on_response, position=position_of_body(request.body), beside=beside)
        request.hooks["response"].append(hook)

    def _on_response(
        self, response: Any, position: BodyPosition = WHOLE, beside: Beside | None = None, **options: Any
    ) -> Any:
        if beside is not None:
            beside.wait()
        sent = self._refused(response)
        if sent is None or inspect.iscoroutinefunction(getattr(response.connection, "send", None)):
            return response  # the latter: prepared by hand, and sent by an AsyncSession, which we could only block
        try:
            cached = drive(token_after_401(self.source, sent, _sender(response, options)))
        except BaseException:
            response.close()
            raise
        if cached is None or not _rewound(response.request, position):
            return response
        _ = response.content
        response.close()
        connection = response.connection
        again = _again(response, cached)
        return _taken_over(response, again, connection.send(again, **_plain(options)), options)

    async def on_response_async(
        self, response: Any, position: BodyPosition = WHOLE, beside: Beside | None = None, **options: Any
    ) -> Any:
        """The same for an AsyncSession."""
        if beside is not None:
            await beside.wait_async()
        sent = self._refused(response)
        if sent is None:
            return response
        try:
            cached = await drive_async(token_after_401(self.source, sent, _sender(response, options)))
        except BaseException:
            await response.close()
            raise
        if cached is None or not _rewound(response.request, position):
            return response
        await response.content
        await response.close()
        connection = response.connection
        again = _again(response, cached)
        return _taken_over(response, again, await connection.send(again, **_plain(options)), options)

    def _refused(self, response: Any) -> Secret | None:
        """The token that was refused. The hook stays on across redirects, so foreign hosts' answers come here, too."""
        if response.status_code != 401 or response.connection is None:
            return None
        request = response.request
        return bearer(request.headers.get("Authorization")) if self.origins.cover(request.url or "") else None


class _Waiting:
    """A request whose token is put on when its session sends it."""

    def __init__(self, authorizer: Authorizer, request: Any) -> None:
        self._authorizer = authorizer
        self._position = position_of_body(request.body)
        self._done = False

    async def attach_async(self, request: Any) -> Any:
        """For an AsyncSession."""
        self._done = True
        cached, beside = await drive_async(self._authorizer.source.get(time.time(), Sender(_LIBRARY)))
        request.headers["Authorization"] = cached.authorization
        hook = partial(self._authorizer.on_response_async, position=self._position, beside=beside)
        request.hooks["response"].append(hook)
        return request

    def attach(self, request: Any) -> Any:
        """For a Session. Every hop of a redirect comes here, and nothing is added back to a later one."""
        if not self._done:
            self._done = True
            self._authorizer.attach(request)
        return request


def _sender(response: Any, options: dict[str, Any]) -> Sender:
    return Sender.of_call(_LIBRARY, response.request.url or "", options)


def _in_loop() -> bool:
    asyncio = sys.modules.get("asyncio")  # loaded if a loop runs; other programs need not pay for it
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _rewound(request: Any, position: BodyPosition) -> bool:
    # The position is that of the first hop; a redirect may have dropped the body.
    return (WHOLE if request.body is None else position).rewind()


def _again(response: Any, cached: CachedToken) -> Any:
    """The request to send again; the 401 keeps a copy of what it was sent with."""
    request = response.request
    # The next hop of a redirect is prepared from this very request: it must carry the new token, too.
    response.request = request.copy()
    request.headers["Authorization"] = cached.authorization
    return request


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """A multiplexed call waits for its second answer at once: there is nobody to gather it any more."""
    return {**options, "multiplexed": False} if "multiplexed" in options else options


def _taken_over(refused: Any, request: Any, resent: Any, options: dict[str, Any]) -> Any:
    """The answer as the call's; where niquests has handed out the 401 before it came, under that object."""
    resent.request = request
    if not options.get("multiplexed"):
        resent.history = [*resent.history, refused]
        return resent
    old: Any = object.__new__(refused.__class__)
    old.__dict__.update(refused.__dict__)
    refused.__dict__.update(resent.__dict__)
    refused.history = [*resent.history, old]
    return refused
