"""Calls: puts the token on the requests of one AriesAuth, and looks at their answers. The hot path is here."""

from __future__ import annotations

import sys
import time
from typing import Any, AsyncGenerator, Generator

import requests

from aries_auth.api_call import resend
from aries_auth.api_call.body import WHOLE, BodyPosition, position_of_stream
from aries_auth.api_call.httpx_base import BYTE_STREAMS
from aries_auth.api_call.origins import Origins
from aries_auth.refresh.policy import CachedToken, CacheSlot
from aries_auth.refresh.source import TokenSource
from aries_auth.singleflight.flight import Flight, drive, drive_async
from aries_auth.token_endpoint.library import library_of_request
from aries_auth.token_endpoint.sender import Sender


class Calls:
    """What a first call works out from parameters and environment, and every later one uses."""

    __slots__ = ("keys", "origins", "prefixes", "slot", "source")

    def __init__(self, source: TokenSource, origins: Origins) -> None:
        self.source: TokenSource = source
        self.slot: CacheSlot = source.slot
        self.origins: Origins = origins
        self.prefixes: tuple[str, ...] = origins.prefixes
        self.keys: tuple[tuple[str, bytes, int | None], ...] = origins.keys

    def on_response(
        self,
        response: requests.Response,
        position: BodyPosition | None = None,
        beside: Flight[Any] | None = None,
        **options: Any,
    ) -> requests.Response:
        """The response hook of requests.

        Args:
            response: what came.
            position: that of the call's body, if it had one when it was sent for the first time.
            beside: a refresh that must not outlive the call.
            options: what requests sent it with.
        """
        if beside is not None:
            beside.wait(self.source.timeout)
        if response.status_code != 401:
            return response
        return resend.resend_with_requests(self.source, self.origins, response, position, options)

    def sync_flow(self, request: Any) -> Generator[Any, Any, None]:
        """The auth flow of a client of httpx or httpx2: send, look, renew, send."""
        url = request.url
        if (url.scheme, url.raw_host, url.port) not in self.keys and not self.origins.admit_httpx(url):
            yield request
            return
        cached, beside = self.slot.cached, None
        now = time.time()
        if now >= cached.fresh_until:
            cached, beside = drive(self.source.get(now, Sender(library_of_request(request))))
        request.headers["Authorization"] = cached.authorization
        stream = request.stream
        position = WHOLE if type(stream) in BYTE_STREAMS else position_of_stream(stream)
        try:
            response, resent = (yield request), None
        except GeneratorExit as closed:
            # The library closes the flow as an error passes through it, or a Ctrl-C: that does not wait.
            resend.warn_of_hook(closed.__context__)
            if beside is not None and isinstance(closed.__context__, Exception):
                beside.wait(self.source.timeout)
            raise
        if beside is not None:
            beside.wait(self.source.timeout)
        while response.status_code == 401 and response.request is not resent:
            resent = drive(resend.request_to_resend(self.source, self.origins, request, response, position))
            if resent is None:
                return
            response = yield resent

    def async_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """The same for an async client, on asyncio and on trio."""
        cached = self.slot.cached
        if time.time() < cached.fresh_until:
            return self._async_flow(request, cached, None)
        beside = _Beside(self.source.timeout)
        return _AsyncFlow(self._async_flow(request, None, beside), beside)

    async def _async_flow(
        self, request: Any, cached: CachedToken | None, ending: _Beside | None
    ) -> AsyncGenerator[Any, Any]:
        url = request.url
        if (url.scheme, url.raw_host, url.port) not in self.keys and not self.origins.admit_httpx(url):
            yield request
            return
        beside = None
        if cached is None:
            handout = await drive_async(self.source.get(time.time(), Sender(library_of_request(request))))
            cached, beside = handout.cached, handout.beside
            if ending is not None:
                ending.flight = beside
        request.headers["Authorization"] = cached.authorization
        stream = request.stream
        position = WHOLE if type(stream) in BYTE_STREAMS else position_of_stream(stream)
        resent = None
        try:
            response = yield request
        except GeneratorExit:
            response = None
        if response is None:  # what ended the call is still being handled by the library, which closes the flow
            resend.warn_of_hook(sys.exc_info()[1])
            return
        if beside is not None:
            await beside.wait_async(self.source.timeout)
        while response.status_code == 401 and response.request is not resent:
            steps = resend.request_to_resend(self.source, self.origins, request, response, position)
            resent = await drive_async(steps)
            if resent is None:
                return
            response = yield resent


class _Beside:
    """The refresh that must not outlive one async call, once there is one."""

    __slots__ = ("_timeout", "flight")

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self.flight: Flight[Any] | None = None

    async def end(self) -> None:
        if self.flight is not None:
            await self.flight.wait_async(self._timeout)


class _AsyncFlow(AsyncGenerator[Any, Any]):
    """An async auth flow that hears which error ends its call: a generator that is closed does not.

    An error that the library raises waits for the refresh beside the call; a cancellation does not.
    """

    def __init__(self, flow: AsyncGenerator[Any, Any], beside: _Beside) -> None:
        self._flow = flow
        self._beside = beside

    def __anext__(self) -> Any:
        return self._flow.__anext__()

    def asend(self, value: Any) -> Any:
        return self._flow.asend(value)

    def athrow(self, *error: Any) -> Any:
        return self._flow.athrow(*error)

    async def aclose(self) -> None:
        error = sys.exc_info()[1]
        resend.warn_of_hook(error)
        if isinstance(error, Exception):
            await self._beside.end()
        await self._flow.aclose()
