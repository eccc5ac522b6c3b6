"""What an exception of an HTTP library says: whether the endpoint can have seen the request, and what to do next."""

from __future__ import annotations

import base64
import re
from typing import Any, Iterable, Iterator, cast
from urllib.parse import unquote
from urllib.request import getproxies

from urllib3.exceptions import NewConnectionError

from aries_auth.errors import printable
from aries_auth.token_endpoint import verdict
from aries_auth.token_endpoint.answer import Attempt
from aries_auth.token_endpoint.network import UNREACHED_ADVICE, UNTRUSTED_ADVICE
from aries_auth.token_endpoint.protocol import Answer, TokenRequest

_NEVER_MADE = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})
_NOT_TRUSTED = frozenset({"SSLCertVerificationError", "CertificateError"})  # the latter is urllib3 1.26's own
_TUNNEL_STATUS = re.compile(r"(?:Tunnel connection failed: |\A)([1-5]\d\d)\b")


def classified(exc: Exception, request: TokenRequest, client: Any) -> Attempt:
    """The attempt that ended with an exception of an HTTP library, or of whatever a caller put under it."""
    try:
        return _classified(exc, request, client)
    except Exception:  # noqa: BLE001 - its text or its answer may raise themselves
        return Attempt(fault=type(exc).__name__)


def _classified(exc: Exception, request: TokenRequest, client: Any) -> Attempt:
    fault = _shown(exc, request, client)
    causes = list(_causes(exc))
    if any(type(cause).__name__ in _NOT_TRUSTED for cause in causes):
        return Attempt(
            fault=f"its certificate is not trusted ({fault})",
            unsent=True,
            retryable=False,
            advice=UNTRUSTED_ADVICE,
        )
    proxy_status = _tunnel_status(causes)
    if proxy_status is not None:
        # A 4xx of a proxy comes again, and each try would show it the password once more.
        retryable = verdict.is_later(proxy_status) or proxy_status < 400
        advice = verdict.PROXY_LOGIN if proxy_status in (401, 407) else ""
        return Attempt(fault=fault, unsent=True, retryable=retryable, advice=advice)
    if _is_a(exc, "RequestException"):
        return _of_requests(exc, causes, fault)
    if type(exc).__name__ in (*_NEVER_MADE, "ProxyError"):
        return Attempt(fault=fault, unsent=True, advice=UNREACHED_ADVICE)
    status = getattr(getattr(exc, "response", None), "status_code", None)
    if isinstance(status, int) and verdict.is_later(status):  # a client with an event hook that raises for status
        return Attempt(Answer(status, {}, b""))
    return Attempt(fault=fault, retryable=_is_a(exc, "TimeoutException", "NetworkError", "RemoteProtocolError"))


def _of_requests(exc: Exception, causes: Iterable[BaseException], fault: str) -> Attempt:
    if _is_a(exc, "ConnectionError"):
        # Not by the name ProxyError: urllib3 1.26 calls any broken connection so if there is a proxy.
        unsent = type(exc).__name__ in _NEVER_MADE or any(
            isinstance(cause, NewConnectionError) or str(cause).startswith("Tunnel connection failed")
            for cause in causes
        )
        return Attempt(fault=fault, unsent=unsent, advice=UNREACHED_ADVICE if unsent else "")
    return Attempt(fault=fault, retryable=_is_a(exc, "Timeout", "ChunkedEncodingError", "RetryError"))


def _is_a(exc: Exception, *names: str) -> bool:
    """By name: httpx and httpx2, requests and niquests have the same ones."""
    return bool({base.__name__ for base in type(exc).__mro__} & set(names))


def _tunnel_status(causes: Iterable[BaseException]) -> int | None:
    """The status with which a proxy refused the tunnel, in http.client's words or as httpx's ProxyError."""
    for cause in causes:
        text = str(cause)
        if text.startswith("Tunnel connection failed") or type(cause).__name__ == "ProxyError":
            match = _TUNNEL_STATUS.match(text)
            if match:
                return int(match.group(1))
    return None


def _shown(exc: Exception, request: TokenRequest, client: Any) -> str:
    name, said = type(exc).__name__, str(exc)
    if not said:
        return name
    # A malformed URL of a proxy is quoted in part, so that even a part of its password can be in the text.
    if any(part in said for part in _proxy_secrets(client)):
        return f"{name}; its text is withheld, as it may show a part of the proxy's password: check the proxy's URL"
    return printable(f"{name}: {said}", request.secrets)


def _proxy_secrets(client: Any) -> Iterator[str]:
    """The passwords in the proxies' URLs, whole, decoded, as they are sent, and the parts that a parser could see."""
    given: Any = getattr(client, "proxies", None)
    own = list(cast("dict[str, Any]", given).values()) if isinstance(given, dict) else []
    for url in (*getproxies().values(), *own):
        login = str(url).partition("://")[2].rpartition("@")[0]
        user, _, password = login.partition(":")
        if password:
            yield from {password, unquote(password), *re.split(r"[#/?@:\[\]\\]", password)} - {""}
            yield base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()


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
