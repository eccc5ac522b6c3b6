"""Requests and responses as values, and the three error shapes that Aries documents. No sockets, no rules."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, cast
from urllib.parse import parse_qs


@dataclass(frozen=True, repr=False)
class Request:
    """One HTTP request, read to its end. Header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def parameters(self) -> dict[str, list[str]]:
        """The query's parameters, each with every value that it was given."""
        return parse_qs(self.query, keep_blank_values=True)

    def parameter(self, name: str) -> str | None:
        """The first value of a parameter of the query."""
        return self.parameters().get(name, [None])[0]

    @property
    def media_type(self) -> str:
        """The body's, without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def bearer(self) -> str | None:
        """The access token that the request carries (RFC 6750 section 2.1)."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None

    def json_object(self) -> dict[str, Any] | None:
        """The body as a JSON object; None if it is something else."""
        try:
            value: object = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return cast("dict[str, Any]", value) if isinstance(value, dict) else None


@dataclass(frozen=True, repr=False)
class Response:
    """One HTTP response."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=Dict[str, str])


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer that is not to be cached (RFC 6749 section 5.1)."""
    every = {"Content-Type": "application/json", "Cache-Control": "no-store", **(headers or {})}
    return Response(status, json.dumps(body).encode(), every)


def redirect(location: str, status: int) -> Response:
    """Sends the client elsewhere."""
    return Response(status, b"", {"Location": location, "Cache-Control": "no-store"})


def flat_error(text: str, *codes: Mapping[str, str]) -> dict[str, Any]:
    """``{"error": "text", "codes": [{"code", "description", "field"}], "metadata": {}}``."""
    return {"error": text, "codes": [dict(code) for code in codes], "metadata": {}}


def nested_error(kind: str, code: str, message: str, request_id: str | None = None) -> dict[str, Any]:
    """``{"error": {"type", "code", "message", "request_id", "details"}}``; `kind` is its type."""
    request_id = request_id or f"req-{uuid.uuid4().hex}"
    return {"error": {"type": kind, "code": code, "message": message, "request_id": request_id, "details": {}}}


def oauth_error(error: str, description: str | None = None) -> dict[str, Any]:
    """``{"error", "error_description"}`` (RFC 6749 section 5.2); the description may be left out."""
    return {"error": error} if description is None else {"error": error, "error_description": description}
