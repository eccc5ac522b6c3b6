"""The API behind the token: a few of Aries' routes, an echo of what was sent, and redirects to anywhere."""

from __future__ import annotations

import re
import threading
import uuid
from typing import TYPE_CHECKING, Any, Callable, Mapping, NamedTuple

from aries_auth.testing.messages import Request, Response, flat_error, json_response, nested_error, redirect
from aries_auth.testing.records import fingerprint

if TYPE_CHECKING:
    from aries_auth.testing.grants import Grants

_SYMBOLS = {
    "AAPL": "Apple Inc.",
    "AMZN": "Amazon.com, Inc.",
    "GOOG": "Alphabet Inc.",
    "MSFT": "Microsoft Corporation",
    "NVDA": "NVIDIA Corporation",
    "TSLA": "Tesla, Inc.",
}
_REFUSALS = {
    "unknown": ("INVALID_TOKEN", "The access token is not known."),
    "expired": ("TOKEN_EXPIRED", "The access token has expired."),
    "revoked": ("TOKEN_REVOKED", "The access token was revoked."),
}
_ACCOUNT = {
    "id": "SANDBOX-1",
    "trading_account_id": "SANDBOX-1",
    "broker_account_id": "",
    "account_type": "INDIVIDUAL",
    "account_class": "MARGIN",
    "status": "OPEN",
    "is_sim": True,
}


class Route(NamedTuple):
    """Who may call (the scope; "" is any token, None is nobody asked for one), and what answers."""

    scope: str | None
    answer: Callable[[Request], Response]


class Api:
    """The routes. Its only state is the orders that were placed."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants
        self._lock = threading.Lock()
        self._orders: list[dict[str, Any]] = []
        self._routes: Mapping[str, Mapping[str, Route]] = {
            "/v1/users/me": {"GET": Route("user:information", _me)},
            "/v1/users/me/accounts": {"GET": Route("account:information", _accounts)},
            "/v2/users/me/accounts": {"GET": Route("account:information", _accounts)},
            "/v1/orders": {"POST": Route("order:execution", self._place_order)},
            "/v1/marketdata/search": {"GET": Route("market:information", _search)},
            "/v1/echo": {"*": Route("", _echo)},
            "/v1/redirect": {"*": Route(None, _redirect)},
        }

    @property
    def orders(self) -> tuple[dict[str, Any], ...]:
        """Copies of the orders that were placed."""
        with self._lock:
            return tuple(dict(order) for order in self._orders)

    def clear(self) -> None:
        """Forgets the orders."""
        with self._lock:
            self._orders.clear()

    def answer(self, request: Request) -> Response:
        """The route's answer, or why there is none."""
        methods = self._routes.get(request.path)
        if methods is None:
            return json_response(nested_error("NOT_FOUND", "ROUTE_NOT_FOUND", "There is no such route."), 404)
        method = "GET" if request.method == "HEAD" else request.method
        route = methods.get(method) or methods.get("*")
        if route is None:
            body = nested_error("VALIDATION", "METHOD_NOT_ALLOWED", "The route has no such method.")
            return json_response(body, 405, {"Allow": ", ".join(methods)})
        return self._refusal(request, route) or route.answer(request)

    def _refusal(self, request: Request, route: Route) -> Response | None:
        """The 401 or 403 for a request that may not pass."""
        if route.scope is None:
            return None
        if request.bearer is None:
            return _unauthorized("MISSING_TOKEN", "The request has no bearer token.")
        access = self._grants.access(request.bearer)
        if access.state != "valid":
            return _unauthorized(*_REFUSALS[access.state])
        if route.scope and route.scope not in access.scope.split():
            message = f"The token has not the scope {route.scope}."
            return json_response(nested_error("AUTHORIZATION", "INSUFFICIENT_SCOPE", message), 403)
        return None

    def _place_order(self, request: Request) -> Response:
        order = request.json_object()
        if not order:
            return _invalid("BODY_INVALID", "The body must be a JSON object that describes an order.", "body")
        symbol = order.get("symbol", "-")
        if not isinstance(symbol, str) or not symbol.strip():
            return _invalid("SYMBOL_INVALID", "The symbol must be text.", "symbol")
        for name in ("quantity", "qty"):
            if name in order and not _is_positive(order[name]):
                return _invalid("QUANTITY_INVALID", "The quantity must be a number above zero.", name)
        order_id = f"ord-{uuid.uuid4().hex}"
        placed = {**order, "id": order_id, "clOrdId": order_id, "success": True, "status": "PENDING_NEW"}
        with self._lock:
            self._orders.append(placed)
        return json_response(placed)


def _unauthorized(code: str, message: str) -> Response:
    challenge = "Bearer" if code == "MISSING_TOKEN" else 'Bearer error="invalid_token"'
    return json_response(nested_error("AUTHENTICATION", code, message), 401, {"WWW-Authenticate": challenge})


def _invalid(code: str, description: str, field: str) -> Response:
    detail = {"code": code, "description": description, "field": field}
    return json_response(flat_error("VALIDATION", detail), 400)


def _is_positive(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return False
    try:
        return 0 < float(value) < float("inf")
    except ValueError:
        return False


def _me(_: Request) -> Response:
    return json_response({"id": "sandbox-user", "name": "Sandbox User", "email": "user@example.com"})


def _accounts(_: Request) -> Response:
    return json_response({"accounts": [_ACCOUNT]})


def _search(request: Request) -> Response:
    query = (request.parameter("query") or "").strip().lower()
    if not query:
        return _invalid("QUERY_REQUIRED", "The parameter query is missing.", "query")
    found = [
        {"symbol": symbol, "description": name, "tag": "XNAS", "type": "stock"}
        for symbol, name in _SYMBOLS.items()
        if query in symbol.lower() or query in name.lower()
    ]
    return json_response(found)


def _echo(request: Request) -> Response:
    """What came, with the token's fingerprint in the place of its text."""
    headers = dict(request.headers)
    if "authorization" in headers:
        headers["authorization"] = "hidden"
    return json_response(
        {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": headers,
            "body": request.body.decode("utf-8", "replace"),
            "token": fingerprint(request.bearer) if request.bearer else None,
        }
    )


def _redirect(request: Request) -> Response:
    """``?to=URL&status=307``. Asks for no token: a test may come from where none is sent."""
    target = request.parameter("to") or ""
    status = request.parameter("status") or "307"
    # Visible ASCII only: anything else could end the header and start another.
    if not re.fullmatch(r"[\x21-\x7e]+", target):
        return _invalid("TO_INVALID", "The parameter to must be a URL.", "to")
    if status not in ("301", "302", "303", "307", "308"):
        return _invalid("STATUS_INVALID", "The status must be one of 301, 302, 303, 307, 308.", "status")
    return redirect(target, int(status))
