"""The protocol without I/O: the authorization URL, request bodies, callbacks and answers. No socket and no clock.

RFC 6749 (OAuth 2.0), as Aries documents its own endpoints.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, NamedTuple, Sequence, cast
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from aries_auth.errors import AuthorizationError, TokenRequestError, printable
from aries_auth.token import Secret, Token, is_bearer

AUTHORIZE_URL = "https://app.aries.com/oauth2/authorize"
TOKEN_URL = "https://api.aries.com/v1/oauth2/token"
API_ORIGIN = "https://api.aries.com"

SCOPES = (
    "user:information",
    "account:information",
    "order:execution",
    "order:information",
    "position:information",
    "market:information",
    "calendar:information",
    "options:information",
    "analytics:information",
    "market:supplemental",
    "watchlist:information",
    "watchlist:management",
)

PROXY_LOGIN = (
    "The proxy asks for a user name and a password: check those in its URL ($HTTPS_PROXY, or that of your "
    "token_client); characters such as #, / and % have to be percent-encoded there."
)

# docs/architecture.md, "What went wrong": a refresh refused with one of these is not a verdict on the grant.
_OTHER_CAUSES = frozenset({
    "invalid_request", "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
    "validation", "rate_limit", "internal",
})  # fmt: skip
_LATER = frozenset({408, 425, 429})
# What stands between us and Aries says these: a firewall, a proxy, a law.
_FORBIDDEN = frozenset({403, 407, 451})


class Credentials(NamedTuple):
    """Who asks: the registered client and the redirect URI of its grant."""

    client_id: str
    client_secret: Secret
    redirect_uri: str

    def serve(self, client_id: str | None, redirect_uri: str | None) -> bool:
        """Whether they are those of a grant; None fits all."""
        return client_id in (None, self.client_id) and redirect_uri in (None, self.redirect_uri)


@dataclass(frozen=True)
class TokenRequest:
    """One token request: its JSON body, which is not shown, and the secrets to mask in what comes back."""

    url: str
    grant_type: str
    body: Mapping[str, str] = field(repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values of the body that an error text must not repeat."""
        return tuple(
            self.body[name] for name in ("client_secret", "refresh_token", "code", "code_verifier") if name in self.body
        )

    @property
    def is_local(self) -> bool:
        """Whether it goes to a loopback address; then no proxy has any business with it."""
        return is_loopback(urlsplit(self.url).hostname)


@dataclass(frozen=True)
class Answer:
    """The HTTP answer to a token request, read whole."""

    status_code: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address can only mean this machine."""
    try:
        return host is not None and (host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False


def authorization_url(
    authorize_url: str, *, client_id: str, redirect_uri: str, scope: str, state: str, verifier: Secret | None = None
) -> str:
    """Where to send the user's browser (RFC 6749 section 4.1.1; with a verifier, RFC 7636 section 4.3)."""
    parameters = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": scope,
        "state": state,
    }
    if verifier is not None:
        from aries_auth.token_endpoint.pkce import code_challenge  # noqa: PLC0415 - it loads OpenSSL

        parameters.update(code_challenge=code_challenge(verifier), code_challenge_method="S256")
    query = urlencode(parameters)
    return f"{authorize_url}{'&' if '?' in authorize_url else '?'}{query}"


def join_scope(scope: str | Sequence[str]) -> str:
    """Scopes given as text or as a sequence, as one text separated by single spaces (RFC 6749 section 3.3)."""
    words = scope.split() if isinstance(scope, str) else [word for item in scope for word in item.split()]
    return " ".join(dict.fromkeys(words))


def code_request(url: str, credentials: Credentials, code: Secret, verifier: Secret | None = None) -> TokenRequest:
    """The exchange of an authorization code (RFC 6749 section 4.1.3), as the JSON that Aries takes."""
    grant = {"code": code.reveal()}
    if verifier is not None:
        grant["code_verifier"] = verifier.reveal()
    return TokenRequest(url, "authorization_code", _body("authorization_code", credentials, **grant))


def refresh_request(url: str, credentials: Credentials, refresh_token: Secret) -> TokenRequest:
    """A refresh (RFC 6749 section 6) with all five fields that Aries requires."""
    return TokenRequest(url, "refresh_token", _body("refresh_token", credentials, refresh_token=refresh_token.reveal()))


def _body(grant_type: str, credentials: Credentials, **grant: str) -> dict[str, str]:
    return {
        "grant_type": grant_type,
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret.reveal(),
        **grant,
        "redirect_uri": credentials.redirect_uri,
    }


def parse_callback(response: Secret, *, redirect_uri: str, state: str) -> Secret:
    """The authorization code of a callback, after every check of docs/architecture.md, "The callback".

    The state is looked at before everything else: without it, nothing in the callback is from Aries.

    Raises:
        AuthorizationError: the state is not ours, the authorization was denied, the address is not the redirect
            URI, or there is not exactly one code.
    """
    is_ours, shown, pairs = _split_callback(response, redirect_uri, state)
    if not _values(pairs, "state"):
        raise AuthorizationError(
            "The callback has no state, so it may be forged; nothing was sent. Start the login again and use the whole "
            "address of that very login."
        )
    if not state_matches(pairs, state):
        raise AuthorizationError(
            "The callback's state is not the one of this login, so it may be forged; nothing was sent. "
            "Start the login again and use the address of that very login."
        )
    if not is_ours:
        raise AuthorizationError(
            f"The callback went to {shown}, which is another address than the redirect URI {printable(redirect_uri)}; "
            "nothing was sent. Use the whole address that the browser ended on. If a proxy stands before your program, "
            "have it forward the scheme and the host that the browser sees."
        )
    error = _values(pairs, "error")
    if error:
        raise _denied(error[0], pairs)
    codes = _values(pairs, "code")
    if len(codes) != 1 or not codes[0].reveal():
        raise AuthorizationError(
            f"The callback has {'no' if not codes else 'an empty or more than one'} authorization code; nothing was "
            "sent. Start the login again."
        )
    return codes[0]


def state_matches(pairs: Iterable[tuple[str, Secret]], state: str) -> bool:
    """Whether a callback carries exactly one state, and the right one (compared in constant time)."""
    states = _values(pairs, "state")
    return len(states) == 1 and bool(state) and states[0] == Secret(state)


def callback_pairs(query: str) -> tuple[tuple[str, Secret], ...]:
    """The parameters of a callback's query."""
    return tuple((name, Secret(value)) for name, value in parse_qsl(query, keep_blank_values=True))


def _split_callback(
    response: Secret, redirect_uri: str, state: str
) -> tuple[bool, str, tuple[tuple[str, Secret], ...]]:
    """Whether a callback's address is the redirect URI, that address as it may be shown, and its parameters."""
    # What is pasted may have its code anywhere, so no part of it is handed to a frame that raises, but for scheme, host
    # and path of a callback that carries our state, and these with the values of its query masked.
    try:
        parts = urlsplit(response.reveal().strip())
        pairs = callback_pairs(parts.query)
        is_ours = _address(parts) == _address(urlsplit(redirect_uri))
    except ValueError:
        return False, "something that is no address", ()
    if not state_matches(pairs, state):
        return is_ours, "", pairs
    host = parts.netloc.rpartition("@")[2]
    shown = printable(f"{parts.scheme}://{host}{parts.path}", [value.reveal() for _, value in pairs])
    return is_ours, shown, pairs


def _address(parts: SplitResult) -> tuple[str, str | None, int | None, str]:
    port = {"https": 443, "http": 80}.get(parts.scheme) if parts.port is None else parts.port
    return parts.scheme, parts.hostname, port, parts.path or "/"


def _values(pairs: Iterable[tuple[str, Secret]], name: str) -> list[Secret]:
    return [value for key, value in pairs if key == name]


def _denied(error: Secret, pairs: Iterable[tuple[str, Secret]]) -> AuthorizationError:
    # Forged or not, such a callback may carry a code as well, and repeat it in the text.
    codes = [code.reveal() for code in _values(pairs, "code")]
    shown = printable(error.reveal(), codes)
    descriptions = _values(pairs, "error_description")
    description = printable(descriptions[0].reveal(), codes) if descriptions else None
    advice = (
        "Ask for scopes that your client has in Aries' Client Center, spelt as there."
        if shown == "invalid_scope"
        else "Start it again and approve it there."
    )
    return AuthorizationError(
        f"Aries did not authorize the login: {shown}{f' ({description})' if description else ''}. {advice}",
        error=shown,
        error_description=description,
    )


def parse_answer(answer: Answer, request: TokenRequest) -> Mapping[str, Any]:
    """The JSON object of a successful token answer.

    Raises:
        TokenRequestError: it is not a JSON object.
    """
    document = _object(_json(answer.body)[1])
    if document is None:
        raise TokenRequestError(
            f"{request.url} answered {answer.status_code}, but not with a JSON object. If a proxy stands in between, "
            "its page came instead of Aries' answer.",
            status_code=answer.status_code,
        )
    return document


def refusal(answer: Answer, request: TokenRequest) -> TokenRequestError:
    """The error for an answer that is no success, whatever of Aries' shapes its body has."""
    status, secrets = answer.status_code, request.secrets
    fault = _Fault(_object(_json(answer.body)[1]) or {})
    named = (fault.error, fault.description, fault.request_id or answer.headers.get("x-request-id") or None)
    error, description, request_id = (None if text is None else printable(text, secrets) for text in named)
    detail = ("" if error is None else f": {error}") + ("" if description is None else f" ({description})")
    return TokenRequestError(
        f"{request.url} answered {status}{detail}. {_advice(answer)}",
        status_code=status,
        error=error,
        error_description=description,
        request_id=request_id,
        retryable=is_later(status),
    )


def is_later(status: int) -> bool:
    """Whether a status says "later" (RFC 9110, RFC 6585): the endpoint has not spent what it was sent."""
    return status >= 500 or status in _LATER


def is_grant_refused(answer: Answer) -> bool:
    """Whether a refused refresh means that the grant is gone, rather than that something else was wrong.

    400 or 401 with ``invalid_grant``, with no body, or with JSON that names no other cause. A page that is not JSON
    comes from a proxy, and is no word of Aries.
    """
    if answer.status_code not in (400, 401):
        return False
    if not answer.body.strip():
        return True
    is_json, document = _json(answer.body)
    names = _Fault(_object(document) or {}).names
    return is_json and ("invalid_grant" in names or not names & _OTHER_CAUSES)


def is_success(answer: Answer) -> bool:
    """Whether an answer says success: a 2xx that does not name an error in the place of a token."""
    if not 200 <= answer.status_code < 300:
        return False
    document = _object(_json(answer.body)[1]) or {}
    return not document.get("error") or bool(_text(document.get("access_token")))


def is_verdict(answer: Answer) -> bool:
    """Whether a refusal is sure to come again at once.

    That is an error in JSON with a 2xx or with a 4xx that is not "later", and what a firewall or a proxy forbids.
    """
    if answer.status_code in _FORBIDDEN:
        return True
    if 200 <= answer.status_code < 300:
        return not is_success(answer)
    return 400 <= answer.status_code < 500 and not is_later(answer.status_code) and _json(answer.body)[0]


def unusable_type(token: Token, url: str) -> TokenRequestError | None:
    """The error for a token that is no bearer token, once it was saved; None for one that can be sent (RFC 6750)."""
    if is_bearer(token):
        return None
    return TokenRequestError(
        f"{url} answered with a token of the type {printable(token.token_type)}, and only Bearer tokens can be sent to "
        "the API. If there is a store, the grant was saved there. Ask Aries' support why."
    )


class _Fault:
    """What an error body names, in whichever of the documented shapes it comes."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        nested = _object(document.get("error"))
        names = _codes(document.get("codes"))
        if nested is not None:
            kinds = [kind for kind in (_text(nested.get("code")), _text(nested.get("type"))) if kind]
            self.error = kinds[0] if kinds else None
            self.description = _text(nested.get("message"))
            self.request_id = _text(nested.get("request_id"))
            names += kinds
        else:
            flat = _text(document.get("error"))
            self.error = names[0] if names else flat
            self.description = _text(document.get("error_description")) or (flat if names else None)
            self.request_id = _text(document.get("request_id"))
            names += [flat] if flat else []
        self.names = frozenset(name.lower() for name in names)


def _codes(codes: object) -> list[str]:
    items = cast("Sequence[Any]", codes if isinstance(codes, list) else [])
    named = (_text((_object(item) or {}).get("code")) for item in items)
    return [code for code in named if code]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _json(body: bytes) -> tuple[bool, Any]:
    # RecursionError: a body of a hundred thousand brackets. Not by the codec "utf-8-sig", which is a module to import:
    # with no descriptor left, say, that fails, and the body may be the only copy of a rotated token.
    try:
        return True, json.loads(body.decode("utf-8").lstrip("\ufeff"), parse_int=_integer)
    except (ValueError, RecursionError):
        return False, None


def _integer(digits: str) -> float:
    # Python refuses to make an int of thousands of digits, and an absurd lifetime must not cost the token beside it.
    return int(digits) if len(digits) < 100 else float(digits)


def _object(value: object) -> Mapping[str, Any] | None:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _advice(answer: Answer) -> str:
    status = answer.status_code
    if is_later(status):
        return "Try again later."
    if 300 <= status < 400:
        return "Redirects of a token request are not followed; check the token URL."
    if status == 407:
        return PROXY_LOGIN
    if answer.body.strip() and not _json(answer.body)[0]:
        return (
            "It answered with a page and not with Aries' JSON: a firewall, a proxy or a login page of the network "
            "answered in Aries' place. Ask who runs it to let this program through, or check the token URL."
        )
    return "Check client id, client secret and redirect URI against Aries' Client Center."
