"""The API behind the token: which route needs which scope, an echo of what was sent, and redirects to anywhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Callable, Mapping, NamedTuple

from aries_auth.testing import brokerage, websocket
from aries_auth.testing.messages import Request, Response, json_response, nested_error, redirect
from aries_auth.testing.records import fingerprint

if TYPE_CHECKING:
    from aries_auth.testing.grants import Grants

_REFUSALS = {
    "unknown": ("INVALID_TOKEN", "The access token is not known."),
    "expired": ("TOKEN_EXPIRED", "The access token has expired."),
    "revoked": ("TOKEN_REVOKED", "The access token was revoked."),
}
_ACCOUNT = re.compile(r"(/v[12]/accounts/)([^/]+)(/.+)")


class Route(NamedTuple):
    """Who may call (the scope; "" is any token, None is nobody asked for one), and what answers."""

    scope: str | None
    answer: Callable[[Request], Response]


class Api:
    """The routes. Their only state is the orders that were placed."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants
        self._brokerage = brokerage.Brokerage()
        orders = Route("order:information", self._brokerage.list_orders)
        self._routes: Mapping[str, Mapping[str, Route]] = {
            "/v1/users/me": {"GET": Route("user:information", brokerage.me)},
            "/v1/users/me/accounts": {"GET": Route("account:information", brokerage.accounts)},
            "/v2/users/me/accounts": {"GET": Route("account:information", brokerage.accounts)},
            "/v1/accounts/{id}/positions": {"GET": Route("position:information", brokerage.positions)},
            "/v2/accounts/{id}/balance": {"GET": Route("account:information", brokerage.balance)},
            "/v2/accounts/{id}/orders": {"GET": orders},
            "/v2/accounts/{id}/orders/history": {"GET": orders},
            "/v1/orders": {"POST": Route("order:execution", self._place_order)},
            "/v1/marketdata/search": {"GET": Route("market:information", brokerage.search)},
            "/v1/echo": {"*": Route("", _echo)},
            "/v1/redirect": {"*": Route(None, _redirect)},
            # A websocket is opened without a token, and shows one in its first message.
            **{path: {"GET": Route(None, websocket.upgrade)} for path in websocket.SCOPES},
        }

    @property
    def orders(self) -> tuple[dict[str, Any], ...]:
        """Copies of the orders that were placed."""
        return self._brokerage.orders

    def clear(self) -> None:
        """Forgets the orders."""
        self._brokerage.clear()

    def answer(self, request: Request) -> Response:
        """The route's answer, or why there is none."""
        account = _ACCOUNT.fullmatch(request.path)
        methods = self._routes.get(account.expand(r"\1{id}\3") if account else request.path)
        if methods is None:
            return json_response(nested_error("NOT_FOUND", "ROUTE_NOT_FOUND", "There is no such route."), 404)
        method = "GET" if request.method == "HEAD" else request.method
        route = methods.get(method) or methods.get("*")
        if route is None:
            body = nested_error("VALIDATION", "METHOD_NOT_ALLOWED", "The route has no such method.")
            return json_response(body, 405, {"Allow": ", ".join(methods)})
        refusal = self._refusal(request, route)
        if refusal is None and account and account.group(2) != brokerage.ACCOUNT_ID:
            return brokerage.unknown_account()
        return refusal or route.answer(request)

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
        return self._brokerage.place_order(request, self._grants.now())


def _unauthorized(code: str, message: str) -> Response:
    challenge = "Bearer" if code == "MISSING_TOKEN" else 'Bearer error="invalid_token"'
    return json_response(nested_error("AUTHENTICATION", code, message), 401, {"WWW-Authenticate": challenge})


def _echo(request: Request) -> Response:
    """What came, with the token's fingerprint instead of its text."""
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
    """``?to=URL&status=307``. Asks for no token: a test may come from a host that sends none."""
    target = request.parameter("to") or ""
    status = request.parameter("status") or "307"
    # Visible ASCII only: anything else could end the header and start another.
    if not re.fullmatch(r"[\x21-\x7e]+", target):
        return brokerage.invalid("TO_INVALID", "The parameter to must be a URL.", "to")
    if status not in ("301", "302", "303", "307", "308"):
        return brokerage.invalid("STATUS_INVALID", "The status must be one of 301, 302, 303, 307, 308.", "status")
    return redirect(target, int(status))
