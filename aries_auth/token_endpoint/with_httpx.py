"""One attempt with httpx or httpx2, which have the same names."""

from __future__ import annotations

import ssl
import zlib
from contextlib import closing
from typing import Any, Iterator

from aries_auth.token_endpoint.answer import Attempt, read_answer
from aries_auth.token_endpoint.deadline import Deadline
from aries_auth.token_endpoint.network import trust
from aries_auth.token_endpoint.protocol import TokenRequest
from aries_auth.token_endpoint.twin import can_have_twin, twin


def send(
    module: Any,
    request: TokenRequest,
    client: Any,
    seconds: tuple[float, float],
    headers: dict[str, str],
    deadline: Deadline,
) -> Attempt:
    """Send the request once; `seconds` are for the connection and for each read."""
    if client is None:
        # The environment says no more than which proxy, and what the context is made from.
        sender = module.Client(verify=trust(module), trust_env=not request.is_local)
    else:
        sender = _without_proxies(client) if request.is_local else client
    try:
        prepared = sender.build_request(
            "POST",
            request.url,
            json=dict(request.body),
            headers=headers,
            timeout=module.Timeout(seconds[1], connect=seconds[0]),
        )
        prepared.headers.pop("Authorization", None)
        prepared.extensions["trace"] = _Trace(sender, deadline)
        # An Auth that does nothing stands in for the client's own and for netrc.
        with closing(sender.send(prepared, stream=True, auth=module.Auth(), follow_redirects=False)) as response:
            # A mock's answer has been read already.
            chunks = response.iter_bytes() if response.is_stream_consumed else _inflated(response)
            return read_answer(response.status_code, response.headers, chunks)
    finally:
        if client is None:
            sender.close()


def ends_in_time(module: Any, client: Any) -> bool:
    """Whether the reads of this client can be given a deadline.

    Not of a transport of the caller's own; and one of HTTP/2 carries the caller's other requests, too.
    """
    if client is None:
        return True
    transports = [getattr(client, "_transport", None), *getattr(client, "_mounts", {}).values()]
    return type(client) is module.Client and all(
        transport is None or (type(transport) is module.HTTPTransport and not getattr(transport._pool, "_http2", True))  # noqa: SLF001
        for transport in transports
    )


class _Trace:
    """Lets a request end at its deadline: by the events that httpcore documents."""

    def __init__(self, client: Any, deadline: Deadline) -> None:
        self._client = client
        self._deadline = deadline

    def __call__(self, event: str, info: Any) -> None:
        """Look at an event: a connection was made, or one that was open already is about to be used."""
        if event.endswith((".connect_tcp.complete", ".connect_unix_socket.complete", ".start_tls.complete")):
            self._limit(info.get("return_value"))
        elif event == "http11.send_request_headers.started" and not self._deadline.is_seen_to:
            self._limit(self._stream_in_use())

    def _limit(self, stream: Any) -> None:
        if stream is None:
            return
        used = stream.get_extra_info("socket")
        if isinstance(used, ssl.SSLSocket):
            self._deadline.limit_tls(used)
            return
        read, start_tls, left = stream.read, stream.start_tls, self._deadline.left

        def limited_read(max_bytes: int, timeout: float | None = None) -> Any:
            return read(max_bytes, timeout=left(timeout))

        def limited_start(ssl_context: Any, server_hostname: Any = None, timeout: float | None = None) -> Any:
            return start_tls(ssl_context, server_hostname, left(timeout))

        self._deadline.replace(stream, "read", limited_read)
        self._deadline.replace(stream, "start_tls", limited_start)

    def _stream_in_use(self) -> Any:
        """The stream of the client's own connection that httpcore has picked; it has no public way to tell."""
        transports = (getattr(self._client, "_transport", None), *getattr(self._client, "_mounts", {}).values())
        for transport in transports:
            for picked in tuple(getattr(getattr(transport, "_pool", None), "_requests", ())):
                if picked.request.extensions.get("trace") is self:
                    connection = picked.connection
                    while hasattr(connection, "_connection"):
                        connection = connection._connection  # noqa: SLF001
                    return getattr(connection, "_network_stream", None)
        return None


def _without_proxies(client: Any) -> Any:
    """A client that is the caller's in all but its proxies: a token request to this machine goes nowhere else."""
    if not can_have_twin(client) or not getattr(client, "_mounts", None):
        return client
    view = twin(client)
    view._mounts = {pattern: None if _is_proxy(used) else used for pattern, used in client._mounts.items()}  # noqa: SLF001
    return view


def _is_proxy(transport: Any) -> bool:
    # httpcore's HTTPProxy and SOCKSProxy; a plain pool has no such attribute.
    return hasattr(getattr(transport, "_pool", None), "_proxy_url")


def _inflated(response: Any) -> Iterator[bytes]:
    """The body of an answer of httpx in steps of bounded size: by itself it decodes what it has read in one go."""
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("gzip", "deflate"):
        yield from response.iter_raw()
        return
    decoder = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)  # takes both
    for chunk in response.iter_raw():
        left = chunk
        while left:
            yield decoder.decompress(left, 65536)
            left = decoder.unconsumed_tail
