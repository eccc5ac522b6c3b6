"""One attempt to send a token request, with requests, httpx or httpx2, and what an exception of theirs says.

What goes wrong comes back as a value: an exception raised in here would carry frames that hold the request's body.
"""

from __future__ import annotations

import functools
import os
import platform
import time
import zlib
from contextlib import closing, suppress
from typing import Any, Callable, Iterator, Mapping, NamedTuple

import httpx
import requests
from urllib3 import HTTPResponse

from aries_auth.errors import printable
from aries_auth.token_endpoint import protocol
from aries_auth.token_endpoint.network import (
    PROXY_ADVICE,
    UNREACHED_ADVICE,
    UNTRUSTED_ADVICE,
    options_for,
    settings_of,
    trust,
)
from aries_auth.token_endpoint.protocol import Answer, TokenRequest

_LARGEST_ANSWER = 1024 * 1024
_LONGEST_CONNECT = 10.0
# What is decoded in steps bounded by what was read; br and zstd expand without such a bound, and so do layers.
_ENCODINGS = frozenset({"", "identity", "gzip", "deflate"})
_NEVER_MADE = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})
_NOT_TRUSTED = frozenset({"SSLCertVerificationError", "CertificateError"})  # the latter is urllib3 1.26's own


# Where this module was loaded. A client that is met in another process may have been made here, before a fork.
FIRST_PROCESS = os.getpid()


class Attempt(NamedTuple):
    """What became of it: an answer, or why there is none and whether the endpoint can have spent what it was sent."""

    answer: Answer | None = None
    fault: str = ""
    unsent: bool = False
    retryable: bool = True
    advice: str = ""


def send_once(request: TokenRequest, client: Any, library: str, seconds: float) -> Attempt:
    """Send the request once, with `client` or else with `library`; reads of the answer take `seconds` at most."""
    send = _with_requests if library in ("requests", "niquests") else _with_httpx
    try:
        return send(_module(library), request, client, seconds, options_for(library, request.url))
    except Exception as exc:  # noqa: BLE001 - a mock or an adapter may raise anything, and its frames hold the body
        return _classified(exc, request)


def drop_inherited_connections(client: Any) -> None:
    """Close a client's idle connections in a forked child: they are its parent's, too, and could mix up answers."""
    if isinstance(client, requests.Session):
        client.close()  # it can be used on, and a connection in use stays open
        return
    # httpx has no public way to close what is idle; a closed client is of no use any more.
    for transport in (getattr(client, "_transport", None), *getattr(client, "_mounts", {}).values()):
        with suppress(Exception):
            for connection in getattr(getattr(transport, "_pool", None), "connections", ()):
                if connection.is_idle():
                    connection.close()


def _module(library: str) -> Any:
    if library == "requests":
        return requests
    if library == "niquests":
        import niquests  # noqa: PLC0415 - no dependency, as httpx2

        return niquests
    if library == "httpx2":
        import httpx2  # noqa: PLC0415 - no dependency: here only when the caller uses it

        return httpx2
    return httpx


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


def _with_requests(
    module: Any, request: TokenRequest, client: Any, seconds: float, options: Mapping[str, Any]
) -> Attempt:
    session = module.Session() if client is None else client
    try:
        with closing(
            session.post(
                request.url,
                json=dict(request.body),
                headers=_headers(module.__name__, module.__version__),
                auth=_without_authorization,
                hooks={"response": _without_location},
                **settings_of(session, client, options),
                timeout=(min(seconds, _LONGEST_CONNECT), seconds),
                allow_redirects=False,
                stream=True,
            )
        ) as response:
            if isinstance(response.raw, HTTPResponse):  # an adapter's or a mock's may be anything
                response.raw.enforce_content_length = True  # else urllib3 1.26 takes half an answer for a whole one
            # Small steps: urllib3 1.26 decodes each in one go, however large it becomes.
            return _read(response.status_code, response.headers, response.iter_content(4096), seconds)
    finally:
        if client is None:
            session.close()


def _without_authorization(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stands in for the session's own auth and for netrc, and takes off the session's Authorization header."""
    prepared.headers.pop("Authorization", None)
    return prepared


def _without_location(response: requests.Response, **_options: Any) -> None:
    """Stands in for the session's own hooks, and keeps requests from reading a redirect's body, however long."""
    response.headers.pop("Location", None)


def _with_httpx(
    module: Any, request: TokenRequest, client: Any, seconds: float, _options: Mapping[str, Any]
) -> Attempt:
    sender = module.Client(verify=trust(module)) if client is None else client
    try:
        prepared = sender.build_request(
            "POST",
            request.url,
            json=dict(request.body),
            headers=_headers(module.__name__, module.__version__),
            timeout=module.Timeout(seconds, connect=min(seconds, _LONGEST_CONNECT)),
        )
        prepared.headers.pop("Authorization", None)
        # An Auth that does nothing stands in for the client's own and for netrc.
        with closing(sender.send(prepared, stream=True, auth=module.Auth(), follow_redirects=False)) as response:
            # A mock's answer has been read already.
            chunks = response.iter_bytes() if response.is_stream_consumed else _inflated(response)
            return _read(response.status_code, response.headers, chunks, seconds)
    finally:
        if client is None:
            sender.close()


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


def _read(
    status: int,
    headers: Mapping[str, str],
    chunks: Iterator[bytes],
    seconds: float,
    monotonic: Callable[[], float] = time.monotonic,
) -> Attempt:
    known = {name.lower(): value for name, value in headers.items()}
    encoding = known.get("content-encoding", "").strip().lower()
    fault = "" if encoding in _ENCODINGS else f"the answer came as {printable(encoding)}, unasked"
    deadline = monotonic() + seconds
    body = bytearray()
    for chunk in () if fault else chunks:
        body += chunk
        if len(body) > _LARGEST_ANSWER:
            fault = f"the answer is larger than {_LARGEST_ANSWER} bytes"
            break
        if monotonic() > deadline:
            return Attempt(fault="the answer was not complete in time")
    if fault and not protocol.is_later(status):
        return Attempt(fault=fault, retryable=False)
    # "Later" is said by the status; what page a gateway puts under it is no matter.
    return Attempt(Answer(status, known, b"" if fault else bytes(body)))


def _classified(exc: Exception, request: TokenRequest) -> Attempt:
    """What an exception of either library says about whether the endpoint has seen the request."""
    fault = printable(f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__, request.secrets)
    causes = list(_causes(exc))
    if any(type(cause).__name__ in _NOT_TRUSTED for cause in causes):
        return Attempt(
            fault=f"its certificate is not trusted ({fault})", unsent=True, retryable=False, advice=UNTRUSTED_ADVICE
        )
    if any(_wants_credentials(cause) for cause in causes):
        return Attempt(
            fault=f"the proxy wants credentials ({fault})", unsent=True, retryable=False, advice=PROXY_ADVICE
        )
    requests_like = _requests_like(exc)
    if isinstance(exc, requests_like.ConnectionError):
        # Not by the name ProxyError: urllib3 1.26 calls any broken connection so, where there is a proxy.
        unsent = type(exc).__name__ in _NEVER_MADE or any(
            _is_new_connection_error(cause) or str(cause).startswith("Tunnel connection failed") for cause in causes
        )
        return Attempt(fault=fault, unsent=unsent, advice=UNREACHED_ADVICE if unsent else "")
    if isinstance(exc, requests_like.RequestException):
        later = (requests_like.Timeout, requests_like.ChunkedEncodingError, requests_like.RetryError)
        return Attempt(fault=fault, retryable=isinstance(exc, later))
    if type(exc).__name__ in (*_NEVER_MADE, "ProxyError"):
        return Attempt(fault=fault, unsent=True, advice=UNREACHED_ADVICE)
    status = getattr(getattr(exc, "response", None), "status_code", 0)
    if protocol.is_later(status):  # a client with an event hook that raises for status
        return Attempt(Answer(status, {}, b""))
    bases = {base.__name__ for base in type(exc).__mro__}
    return Attempt(fault=fault, retryable=bool(bases & {"TimeoutException", "NetworkError", "RemoteProtocolError"}))


def _requests_like(exc: Exception) -> Any:
    """The exceptions of the library that raised this one: niquests' have requests' names, and not its classes."""
    if any(base.__module__.partition(".")[0] == "niquests" for base in type(exc).__mro__):
        return _module("niquests").exceptions
    return requests.exceptions


def _wants_credentials(cause: BaseException) -> bool:
    """Whether a proxy said 407, or 401 as some do, to a CONNECT: the same request gets the same answer."""
    said = str(cause)
    return said.startswith(("Tunnel connection failed: 407", "Tunnel connection failed: 401")) or (
        type(cause).__name__ == "ProxyError" and said.startswith(("407", "401"))
    )


def _is_new_connection_error(cause: BaseException) -> bool:
    # By its name: niquests has a urllib3 of its own.
    return any(base.__name__ == "NewConnectionError" for base in type(cause).__mro__)


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    """An exception and all that stands behind it, including what urllib3 keeps in `reason` and in its arguments."""
    seen: list[BaseException] = []
    pending: list[Any] = [exc]
    while pending:
        cause = pending.pop()
        if not isinstance(cause, BaseException) or any(cause is other for other in seen):
            continue
        seen.append(cause)
        yield cause
        pending += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
