"""The OAuth endpoints: what a browser meets at /oauth2/authorize, and a client at /v1/oauth2/token."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence
from urllib.parse import parse_qs, urlencode

from aries_auth.testing.grants import Grants, Refused
from aries_auth.testing.messages import Request, Response, json_response, oauth_error, redirect
from aries_auth.testing.pages import consent_page, error_page
from aries_auth.token_endpoint.protocol import SCOPES

AUTHORIZE_PATH = "/oauth2/authorize"
TOKEN_PATH = "/v1/oauth2/token"

_AUTHORIZE_FIELDS = ("response_type", "client_id", "redirect_uri", "scope", "state")
_PKCE_FIELDS = ("code_challenge", "code_challenge_method")
_CHALLENGE = re.compile(r"[A-Za-z0-9._~-]{43,128}\Z")  # RFC 7636 section 4.2
_GRANT_FIELDS = {
    "authorization_code": ("client_id", "client_secret", "code", "redirect_uri"),
    "refresh_token": ("client_id", "client_secret", "refresh_token", "redirect_uri"),
}


@dataclass(frozen=True)
class Client:
    """A registered application."""

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uris: Sequence[str]

    def __post_init__(self) -> None:
        if isinstance(self.redirect_uris, str) or not self.redirect_uris:
            raise ValueError("redirect_uris must be a sequence of at least one redirect URI")

    def is_authentic(self, client_id: str, client_secret: str) -> bool:
        """Whether both are this client's, compared in constant time."""
        same_id = hmac.compare_digest(client_id.encode("utf-8", "replace"), self.client_id.encode())
        same_secret = hmac.compare_digest(client_secret.encode("utf-8", "replace"), self.client_secret.encode())
        return same_id and same_secret


def authorize(request: Request, client: Client, grants: Grants) -> Response:
    """``/oauth2/authorize``: GET shows the consent page, POST brings the person's decision."""
    if request.method not in ("GET", "HEAD", "POST"):
        return Response(405, b"", {"Allow": "GET, POST"})
    posted = request.method == "POST"
    if posted and request.media_type != "application/x-www-form-urlencoded":
        return error_page("The form must be sent as application/x-www-form-urlencoded.", 415)
    values = parse_qs(request.body.decode("utf-8", "replace"), keep_blank_values=True) if posted else None
    parameters = request.parameters() if values is None else values
    fault = _client_fault(parameters, client)
    if fault:
        return error_page(fault)
    status = 303 if posted else 302
    refused = _request_fault(parameters) or _pkce_fault(parameters, required=grants.rules.require_pkce)
    if refused:
        return _send_back(parameters, status, error=refused.error, error_description=refused.description)
    if not posted:
        fields = {name: parameters[name][0] for name in (*_AUTHORIZE_FIELDS, *_PKCE_FIELDS) if name in parameters}
        return consent_page(AUTHORIZE_PATH, fields, _scopes(parameters))
    decision = parameters.get("decision", [""])[0]
    if decision == "approve":
        challenge = parameters.get("code_challenge", [None])[0]
        code = grants.authorize(" ".join(_scopes(parameters)), parameters["redirect_uri"][0], challenge)
        return _send_back(parameters, status, code=code)
    if decision == "deny":
        return _send_back(parameters, status, error="access_denied", error_description="The user denied the request.")
    return error_page("Neither Approve nor Deny was chosen.")


def _client_fault(parameters: Mapping[str, list[str]], client: Client) -> str | None:
    """Why the browser must not be sent anywhere, if so."""
    if parameters.get("client_id") != [client.client_id]:
        return "The client_id is missing or not registered."
    redirect_uris = parameters.get("redirect_uri", [])
    if len(redirect_uris) != 1 or redirect_uris[0] not in client.redirect_uris:
        given = ", ".join(redirect_uris) or "none"
        return f"The redirect URI is not exactly one that is registered for this client: {given}"
    return None


def _request_fault(parameters: Mapping[str, list[str]]) -> Refused | None:
    doubled = sorted(name for name, given in parameters.items() if len(given) > 1)
    if doubled:
        return Refused("invalid_request", "A parameter was given more than once.")
    for name in ("response_type", "scope", "state"):
        if not parameters.get(name, [""])[0].strip():
            return Refused("invalid_request", f"The parameter {name} is missing.")
    if parameters["response_type"] != ["code"]:
        return Refused("unsupported_response_type", "The response_type must be code.")
    if not set(_scopes(parameters)) <= set(SCOPES):
        return Refused("invalid_scope", "A scope is not known.")
    return None


def _pkce_fault(parameters: Mapping[str, list[str]], *, required: bool) -> Refused | None:
    given = parameters.get("code_challenge", [""])[0]
    if not given and "code_challenge_method" not in parameters:
        return Refused("invalid_request", "The parameter code_challenge is missing.") if required else None
    if parameters.get("code_challenge_method") != ["S256"]:
        return Refused("invalid_request", "The code_challenge_method must be S256.")
    return None if _CHALLENGE.match(given) else Refused("invalid_request", "The code_challenge is malformed.")


def _scopes(parameters: Mapping[str, list[str]]) -> list[str]:
    return list(dict.fromkeys(parameters["scope"][0].split()))


def _send_back(parameters: Mapping[str, list[str]], status: int, **answer: str) -> Response:
    """The browser goes to the redirect URI with the answer and the request's state."""
    states = parameters.get("state", [])
    if len(states) == 1:
        answer["state"] = states[0]
    redirect_uri = parameters["redirect_uri"][0]
    return redirect(f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{urlencode(answer)}", status)


def token(request: Request, client: Client, grants: Grants) -> Response:
    """``/v1/oauth2/token``: an authorization code or a refresh token for new tokens."""
    if request.method != "POST":
        return Response(405, b"", {"Allow": "POST"})
    if request.media_type != "application/json":
        body = oauth_error("invalid_request", "The body must be JSON, with Content-Type application/json.")
        return json_response(body, 415)
    try:
        return json_response(_answer(_fields(request), client, grants))
    except Refused as refused:
        status = 401 if refused.error == "invalid_client" else 400
        return json_response(oauth_error(refused.error, refused.description), status)


def _fields(request: Request) -> dict[str, str]:
    """The body's fields, all there and all text; unknown ones are ignored (RFC 6749 section 3.2)."""
    body: dict[str, Any] | None = request.json_object()
    if body is None:
        raise Refused("invalid_request", "The body is not a JSON object.")
    grant_type = body.get("grant_type")
    if not isinstance(grant_type, str) or not grant_type:
        raise Refused("invalid_request", "The field grant_type is missing.")
    if grant_type not in _GRANT_FIELDS:
        raise Refused("unsupported_grant_type", "The grant_type must be authorization_code or refresh_token.")
    fields = {"grant_type": grant_type}
    for name in _GRANT_FIELDS[grant_type]:
        value = body.get(name)
        if not isinstance(value, str) or not value:
            raise Refused("invalid_request", f"The field {name} is missing or no text.")
        fields[name] = value
    if isinstance(body.get("code_verifier"), str):
        fields["code_verifier"] = body["code_verifier"]
    return fields


def _answer(fields: Mapping[str, str], client: Client, grants: Grants) -> dict[str, Any]:
    if not client.is_authentic(fields["client_id"], fields["client_secret"]):
        raise Refused("invalid_client", "The client is not known, or its secret is wrong.")
    if fields["grant_type"] == "authorization_code":
        return grants.exchange(fields["code"], fields["redirect_uri"], fields.get("code_verifier"))
    return grants.refresh(fields["refresh_token"], fields["redirect_uri"])
