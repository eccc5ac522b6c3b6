"""Calls: what every call of one AriesAuth uses. The hot path of httpx is here; that of requests is AriesAuth's own."""

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
from aries_auth.refresh.source import Beside, Handout, TokenSource
from aries_auth.singleflight.flight import Steps, drive, drive_async
from aries_auth.token_endpoint.library import library_of
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
        beside: Beside | None = None,
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
            beside.wait()
        if response.status_code != 401:
            return response
        return resend.resend_with_requests(self.source, self.origins, response, position, options)

    def sync_flow(self, request: Any) -> Generator[Any, Any, None]:
        """The auth flow of a client of httpx or httpx2: send, look, refresh, send."""
        url = request.url
        if (url.scheme, url.raw_host, url.port) not in self.keys and not self.origins.admit_httpx(url):
            yield request
            return
        cached, beside = self.slot.cached, None
        if time.time() >= cached.fresh_until:
            cached, beside = drive(self._handout(request))
        request.headers["Authorization"] = cached.authorization
        position = WHOLE if type(request.stream) in BYTE_STREAMS else position_of_stream(request.stream)
        try:
            response = yield request
        except GeneratorExit as closed:
            # The library closes the flow as an error passes through it, or a Ctrl-C: that does not wait.
            resend.warn_of_hook(closed.__context__)
            if beside is not None and isinstance(closed.__context__, Exception):
                beside.wait()
            raise
        if beside is not None:
            beside.wait()
        resent = None
        while response.status_code == 401 and response.request is not resent:
            resent = drive(resend.request_to_resend(self.source, self.origins, request, response, position))
            if resent is None:
                return
            response = yield resent

    def _handout(self, request: Any) -> Steps[Handout]:
        return self.source.get(time.time(), Sender(library_of(request, "httpx")))

    def async_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """The same for an async client, on asyncio and on trio."""
        cached = self.slot.cached
        if time.time() < cached.fresh_until:
            return self._async_flow(request, cached, None)
        ending = _Ending()
        return _AsyncFlow(self._async_flow(request, cached, ending), ending)

    async def _async_flow(self, request: Any, cached: CachedToken, ending: _Ending | None) -> AsyncGenerator[Any, Any]:
        url = request.url
        if (url.scheme, url.raw_host, url.port) not in self.keys and not self.origins.admit_httpx(url):
            yield request
            return
        if ending is not None:
            cached, ending.beside = await drive_async(self._handout(request))
        request.headers["Authorization"] = cached.authorization
        position = WHOLE if type(request.stream) in BYTE_STREAMS else position_of_stream(request.stream)
        try:
            response = yield request
        except GeneratorExit:
            response = None
        if response is None:  # what ended the call is still being handled by the library, which closes the flow
            resend.warn_of_hook(sys.exc_info()[1])
            return
        if ending is not None:
            await ending.wait()
        resent = None
        while response.status_code == 401 and response.request is not resent:
            steps = resend.request_to_resend(self.source, self.origins, request, response, position)
            resent = await drive_async(steps)
            if resent is None:
                return
            response = yield resent


class _Ending:
    """What the end of one async call waits for: a refresh beside it, from its token to its answer or error."""

    __slots__ = ("beside",)

    def __init__(self) -> None:
        self.beside: Beside | None = None

    async def wait(self) -> None:
        beside, self.beside = self.beside, None
        if beside is not None:
            await beside.wait_async()


class _AsyncFlow(AsyncGenerator[Any, Any]):
    """An async auth flow that hears which error ends its call: a generator that is closed does not.

    An error that the library raises waits for the refresh beside the call; a cancellation does not.
    """

    def __init__(self, flow: AsyncGenerator[Any, Any], ending: _Ending) -> None:
        self._flow = flow
        self._ending = ending

    def __anext__(self) -> Any:
        return self._flow.__anext__()

    def asend(self, value: Any) -> Any:
        return self._flow.asend(value)

    def athrow(self, *error: Any) -> Any:
        return self._flow.athrow(*error)

    async def aclose(self) -> None:
        if isinstance(sys.exc_info()[1], Exception):
            await self._ending.wait()
        await self._flow.aclose()
