"""What an answer of the token endpoint means: a token, "later", or a refusal, and of what. No I/O and no clock."""

from __future__ import annotations

import json
from typing import Any, Mapping, Sequence, cast

from aries_auth.errors import TokenRequestError, printable
from aries_auth.token import Token, is_bearer
from aries_auth.token_endpoint.protocol import Answer, TokenRequest

PROXY_LOGIN = (
    "The proxy asks for a user name and a password: set $HTTPS_PROXY to http://user:password@host:port, with "
    "characters such as #, / and % percent-encoded, or pass a token_client= that knows them."
)
# docs/architecture.md, "What went wrong": a refresh refused with one of these is not a verdict on the grant.
_OTHER_CAUSES = frozenset({
    "invalid_request", "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
    "validation", "rate_limit", "internal",
})  # fmt: skip
_LATER = frozenset({408, 425, 429})
# What stands between us and Aries says these: a firewall, a proxy, a law.
_FORBIDDEN = frozenset({403, 407, 451})


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


def is_grant_dead(answer: Answer) -> bool:
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
    """Whether an answer says success: a 2xx that does not name an error instead of a token."""
    if not 200 <= answer.status_code < 300:
        return False
    document = _object(_json(answer.body)[1]) or {}
    return not document.get("error") or bool(_text(document.get("access_token")))


def is_final(answer: Answer) -> bool:
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
        return True, _DECODER.decode(body.decode("utf-8").lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return False, None


def _integer(digits: str) -> float:
    # Python refuses to make an int of thousands of digits, and an absurd lifetime must not cost the token beside it.
    return int(digits) if len(digits) < 100 else float(digits)


_DECODER = json.JSONDecoder(parse_int=_integer)  # made once: json makes one for each call that names an option


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
    is_json, document = _json(answer.body)
    if not is_json and (answer.body.strip() or status in _FORBIDDEN):
        return (
            "It did not answer with Aries' JSON: a firewall, a proxy or a login page of the network answered in Aries' "
            "place. Ask who runs it to let this program through, or check the token URL."
        )
    if "rate_limit" in _Fault(_object(document) or {}).names:
        return "Try again later."
    return "Check client id, client secret and redirect URI against Aries' Client Center."
