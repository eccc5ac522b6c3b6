"""Sends a token request with requests or httpx, with retries, within 30 s in all.

What goes wrong comes back as a value: an exception raised in here would carry frames that hold the request's body.
"""

from __future__ import annotations

import functools
import os
import platform
import random
import ssl
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping

import httpx
import requests
from urllib3.exceptions import NewConnectionError

from aries_auth import oauth, policy
from aries_auth.errors import ConfigurationError, TokenRequestError, printable
from aries_auth.oauth import Answer, TokenRequest

_LARGEST_ANSWER = 1024 * 1024
_LONGEST_CONNECT = 10.0
# What is decoded in steps bounded by what was read; br and zstd expand without such a bound, and so do layers.
_ENCODINGS = frozenset({"", "identity", "gzip", "deflate"})


@dataclass(frozen=True)
class Outcome:
    """What became of a token request.

    Attributes:
        error: None for an answer that says success.
        answer: the answer, where one came.
        sent_after: seconds from the start until just before the last attempt.
        remember: seconds for which the same failure is sure to come again.
    """

    error: TokenRequestError | None
    answer: Answer | None = None
    sent_after: float = 0.0
    remember: float = 0.0


@dataclass(frozen=True)
class _Attempt:
    """One attempt: an answer, or why there is none and whether the endpoint can have spent what it was sent."""

    answer: Answer | None = None
    fault: str = ""
    unsent: bool = False
    retryable: bool = True


def library_of(client: object, default: str) -> str:
    """Which library sends: the one whose client was given, else `default`."""
    return default if client is None else type_library(client) or _class_library(client)


def type_library(thing: object) -> str | None:
    """``requests``, ``httpx`` or ``httpx2`` for an object that one of them defines."""
    name = type(thing).__module__.partition(".")[0]
    return name if name in ("requests", "httpx", "httpx2") else None


def _class_library(client: object) -> str:
    for base in type(client).__mro__:
        name = base.__module__.partition(".")[0]
        if name in ("requests", "httpx", "httpx2"):
            return name
    raise ConfigurationError("token_client must be a requests.Session or an httpx.Client.")


def check_client(client: object) -> None:
    """Refuse a `token_client` that can't send token requests.

    Raises:
        ConfigurationError: it is neither a requests.Session nor a (sync) client of httpx or httpx2.
    """
    if client is None or isinstance(client, (requests.Session, httpx.Client)):
        return
    if any(base.__module__.startswith("httpx2.") and base.__name__ == "Client" for base in type(client).__mro__):
        return
    raise ConfigurationError(
        f"token_client must be a requests.Session or an httpx.Client, not {type(client).__name__}."
    )


def send(
    request: TokenRequest,
    *,
    client: Any,
    library: str,
    pause: Callable[[float], bool],
    monotonic: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
    chance: Callable[[], float] = random.random,
) -> Outcome:
    """Send a token request, and again where the endpoint has certainly not spent what it was sent.

    Args:
        request: the request.
        client: the caller's own client, or None.
        library: which library sends where there is no client.
        pause: waits so many seconds; False means that no new attempt may be started.
    """
    start = monotonic()
    deadline = start + policy.SENDING_TIME
    number = 0
    while True:
        if not pause(0.0):
            return Outcome(TokenRequestError("The interpreter is ending; no token request was sent.", retryable=True))
        sent_after = monotonic() - start
        attempt = _bounded(request, client, library, deadline - monotonic())
        answer = attempt.answer
        if answer is not None and not oauth.is_later(answer.status_code):
            return _concluded(answer, request, sent_after)
        if answer is None and not attempt.unsent:
            return Outcome(_no_answer(request, attempt), sent_after=sent_after)
        wait = policy.retry_after(answer.headers.get("retry-after"), wall()) if answer is not None else None
        delay = policy.back_off(number, chance()) if wait is None else wait
        if not attempt.retryable or monotonic() + delay >= deadline:
            return _given_up(request, attempt, sent_after, wait)
        if not pause(delay):
            return _given_up(request, attempt, sent_after, wait)
        number += 1


def _concluded(answer: Answer, request: TokenRequest, sent_after: float) -> Outcome:
    if 200 <= answer.status_code < 300:
        return Outcome(None, answer, sent_after)
    remember = policy.VERDICT_REMEMBERED if oauth.is_verdict(answer) else 0.0
    return Outcome(oauth.refusal(answer, request), answer, sent_after, remember)


def _given_up(request: TokenRequest, attempt: _Attempt, sent_after: float, wait: float | None) -> Outcome:
    if attempt.answer is None:
        return Outcome(_no_answer(request, attempt), sent_after=sent_after)
    remember = 0.0 if wait is None else min(wait, policy.LONGEST_REMEMBERED)
    return Outcome(oauth.refusal(attempt.answer, request), attempt.answer, sent_after, remember)


def _no_answer(request: TokenRequest, attempt: _Attempt) -> TokenRequestError:
    advice = "Try again later." if attempt.retryable else "Check the token URL, the proxy and the CA bundle."
    return TokenRequestError(
        f"No usable answer from {request.url}: {printable(attempt.fault, request.secrets)}. {advice}",
        retryable=attempt.retryable,
    )


def _bounded(request: TokenRequest, client: Any, library: str, seconds: float) -> _Attempt:
    """One attempt that ends after `seconds` whatever the endpoint does.

    The libraries' time-outs are per read, so an endpoint that drips its header byte by byte outlasts every one of
    them. The attempt therefore runs in a thread that is left behind when the time is up: a daemon, so that it can't
    hold up the end of the process.
    """
    attempts: list[_Attempt] = []
    done = threading.Event()

    def run() -> None:
        try:
            attempts.append(_exchange(request, client, library, seconds))
        finally:
            done.set()

    threading.Thread(target=run, name="aries-auth-send", daemon=True).start()
    done.wait(seconds + 0.5)
    return attempts[0] if attempts else _Attempt(fault=f"no answer within {policy.SENDING_TIME:g} s")


def _exchange(request: TokenRequest, client: Any, library: str, seconds: float) -> _Attempt:
    library = library_of(client, library)
    exchange = _with_requests if library == "requests" else functools.partial(_with_httpx, _module(library))
    try:
        return exchange(request, client, seconds)
    except Exception as exc:  # noqa: BLE001 - a mock or an adapter may raise anything, and its frames hold the body
        return _classified(exc, request)


def _module(library: str) -> Any:
    if library == "httpx2":
        import httpx2  # noqa: PLC0415 - no dependency: here only when the caller uses it

        return httpx2
    return httpx


def _headers(library: str, version: str) -> dict[str, str]:
    agent = f"aries-auth/{_version()} ({library}/{version}; python/{platform.python_version()})"
    # Not compressed: it is a few hundred bytes, and a bomb needs an encoding.
    return {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": agent}


@functools.lru_cache(maxsize=1)
def _version() -> str:
    from importlib import metadata  # noqa: PLC0415 - costs more than the rest of this module

    try:
        return metadata.version("aries-auth")
    except metadata.PackageNotFoundError:
        return "0"


def _with_requests(request: TokenRequest, client: requests.Session | None, seconds: float) -> _Attempt:
    session = requests.Session() if client is None else client
    try:
        with closing(
            session.post(
                request.url,
                json=dict(request.body),
                headers=_headers("requests", requests.__version__),
                auth=_without_authorization,
                timeout=(min(seconds, _LONGEST_CONNECT), seconds),
                allow_redirects=False,
                stream=True,
            )
        ) as response:
            return _read(response.status_code, response.headers, response.iter_content(65536), seconds)
    finally:
        if client is None:
            session.close()


def _without_authorization(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stands in for the session's own auth and for netrc, and takes off the session's Authorization header."""
    prepared.headers.pop("Authorization", None)
    return prepared


def _with_httpx(module: Any, request: TokenRequest, client: Any, seconds: float) -> _Attempt:
    sender = module.Client(verify=_trust(module)) if client is None else client
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
            return _read(response.status_code, response.headers, response.iter_bytes(), seconds)
    finally:
        if client is None:
            sender.close()


def _trust(module: Any) -> ssl.SSLContext:
    return _cached_trust(module, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.lru_cache(maxsize=4)
def _cached_trust(module: Any, _file: str | None, _folder: str | None) -> ssl.SSLContext:
    # Reading the CA bundle costs more than the rest of a refresh together; the variables are what it depends on.
    context: ssl.SSLContext = module.create_ssl_context()
    return context


def _read(
    status: int,
    headers: Mapping[str, str],
    chunks: Iterator[bytes],
    seconds: float,
    monotonic: Callable[[], float] = time.monotonic,
) -> _Attempt:
    encoding = (headers.get("Content-Encoding") or "").strip().lower()
    if encoding not in _ENCODINGS:
        return _Attempt(fault=f"the answer came as {printable(encoding)}, unasked", retryable=False)
    deadline = monotonic() + seconds
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > _LARGEST_ANSWER:
            return _Attempt(fault=f"the answer is larger than {_LARGEST_ANSWER} bytes", retryable=False)
        if monotonic() > deadline:
            return _Attempt(fault="the answer was not complete in time")
    return _Attempt(Answer(status, {name.lower(): value for name, value in headers.items()}, bytes(body)))


def _classified(exc: Exception, request: TokenRequest) -> _Attempt:
    """What an exception of either library says about whether the endpoint has seen the request."""
    fault = printable(f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__, request.secrets)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(exc)):
        return _Attempt(fault=f"its certificate is not trusted ({fault})", unsent=True, retryable=False)
    name = type(exc).__name__
    if name in ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError"):
        return _Attempt(fault=fault, unsent=True)
    if isinstance(exc, requests.ConnectionError):
        never_made = any(isinstance(cause, NewConnectionError) for cause in _causes(exc))
        return _Attempt(fault=fault, unsent=never_made)
    if isinstance(exc, requests.RequestException):
        retryable = isinstance(exc, (requests.Timeout, requests.exceptions.ChunkedEncodingError))
        return _Attempt(fault=fault, retryable=retryable)
    bases = {base.__name__ for base in type(exc).__mro__}
    return _Attempt(fault=fault, retryable=bool(bases & {"TimeoutException", "NetworkError", "RemoteProtocolError"}))


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
