"""What the sandbox's API tells of accounts, balances, positions, orders and symbols.

The shapes are those that the models of Aries' own SDK (finance-dev) parse; the figures are made up and stay the same.
"""

from __future__ import annotations

import threading
import uuid
from datetime import datetime, timezone
from typing import Any, Mapping

from aries_auth.testing.messages import Request, Response, flat_error, json_response, nested_error

ACCOUNT_ID = "SANDBOX-1"

_SYMBOLS = {
    "AAPL": "Apple Inc.",
    "AMZN": "Amazon.com, Inc.",
    "GOOG": "Alphabet Inc.",
    "MSFT": "Microsoft Corporation",
    "NVDA": "NVIDIA Corporation",
    "TSLA": "Tesla, Inc.",
}
_ACCOUNT = {
    "id": ACCOUNT_ID,
    "trading_account_id": ACCOUNT_ID,
    "broker_account_id": "",
    "account_type": "INDIVIDUAL",
    "account_class": "MARGIN",
    "status": "OPEN",
    "is_sim": True,
}
_BALANCE = {
    "accountId": ACCOUNT_ID,
    "balance": "101250.00",
    "cashBalance": "82750.00",
    "settledFunds": "82750.00",
    "netBuyingPower": "165500.00",
    "stockBuyingPower": "165500.00",
    "optionBuyingPower": "82750.00",
    "amountAvailableToWithdraw": "82750.00",
    "openPnl": "1250.00",
    "unrealizedPl": "1250.00",
    "realizedPl": "0.00",
}
_POSITION = {
    "accountId": ACCOUNT_ID,
    "symbol": "AAPL",
    "securityType": "EQUITY",
    "quantity": "100",
    "averagePrice": "172.50",
    "price": "185.00",
    "costBasis": "17250.00",
    "marketValue": "18500.00",
    "unrealizedPl": "1250.00",
}
_LARGEST_PAGE = 500


class Brokerage:
    """The answers of the routes behind the token. Its only state is the orders that were placed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: list[dict[str, Any]] = []

    @property
    def orders(self) -> tuple[dict[str, Any], ...]:
        """Copies of the orders that were placed, as the answers to their requests had them."""
        with self._lock:
            return tuple(dict(order) for order in self._orders)

    def clear(self) -> None:
        """Forgets the orders."""
        with self._lock:
            self._orders.clear()

    def place_order(self, request: Request, now: float) -> Response:
        """Keeps an order, and echoes it with an id."""
        order = request.json_object()
        if not order:
            return invalid("BODY_INVALID", "The body must be a JSON object that describes an order.", "body")
        symbol = order.get("symbol", "-")
        if not isinstance(symbol, str) or not symbol.strip():
            return invalid("SYMBOL_INVALID", "The symbol must be text.", "symbol")
        for name in ("quantity", "qty"):
            if name in order and not _is_positive(order[name]):
                return invalid("QUANTITY_INVALID", "The quantity must be a number above zero.", name)
        order_id = f"ord-{uuid.uuid4().hex}"
        known = {"id": order_id, "clOrdId": order_id, "success": True, "status": "PENDING_NEW"}
        placed = {**order, **known, "cumQty": "0", "transactTime": _timestamp(now)}
        with self._lock:
            self._orders.append(placed)
        return json_response(placed)

    def list_orders(self, request: Request) -> Response:
        """A page of the orders, newest first: ``?limit=50&cursor=0``; a ``nextCursor`` of 0 is the last page's."""
        limit = min(_whole(request.parameter("limit"), 50), _LARGEST_PAGE)
        cursor = _whole(request.parameter("cursor"), 0)
        if limit < 1 or cursor < 0:
            return invalid("PAGE_INVALID", "limit must be above zero, and cursor what an answer had.", "limit")
        every = [_listed(order) for order in reversed(self.orders)]
        page = every[cursor : cursor + limit]
        more = cursor + limit < len(every)
        return json_response({"orders": page, "nextCursor": cursor + limit if more else 0})


def me(_: Request) -> Response:
    """The person who logged in."""
    return json_response({"id": "sandbox-user", "name": "Sandbox User", "email": "user@example.com"})


def accounts(_: Request) -> Response:
    """The one account."""
    return json_response({"accounts": [_ACCOUNT]})


def balance(_: Request) -> Response:
    """The account's balance; amounts are decimal text, as Aries has them."""
    return json_response(_BALANCE)


def positions(_: Request) -> Response:
    """The account's positions."""
    return json_response({"positions": [_POSITION]})


def account_snapshot() -> dict[str, Any]:
    """What the websocket tells of the account."""
    return {"account": _BALANCE, "positions": [_POSITION], "ordersV2": []}


def search(request: Request) -> Response:
    """The symbols whose name or ticker has the text in it."""
    query = (request.parameter("query") or "").strip().lower()
    if not query:
        return invalid("QUERY_REQUIRED", "The parameter query is missing.", "query")
    found = [
        {"symbol": symbol, "description": name, "tag": "XNAS", "type": "stock"}
        for symbol, name in _SYMBOLS.items()
        if query in symbol.lower() or query in name.lower()
    ]
    return json_response(found[: _whole(request.parameter("limit"), 20)])


def unknown_account() -> Response:
    """The answer for an account that is not this person's."""
    return json_response(nested_error("NOT_FOUND", "ACCOUNT_NOT_FOUND", "There is no such account."), 404)


def invalid(code: str, description: str, field: str) -> Response:
    """The flat 400 for a request that can't be right."""
    detail = {"code": code, "description": description, "field": field}
    return json_response(flat_error("VALIDATION", detail), 400)


def _listed(order: Mapping[str, Any]) -> dict[str, Any]:
    """An order as lists have it: some names differ from those in the answer that placed it."""
    quantity = str(order.get("qty", order.get("quantity", "1")))
    kept = {name: str(order[name]) for name in ("price", "side", "symbol", "timeInForce", "type") if name in order}
    return {
        "accountId": ACCOUNT_ID,
        "ordId": order["id"],
        "clOrdId": order["clOrdId"],
        "ordStatus": order["status"],
        "securityType": "EQUITY",
        "category": "EQUITY",
        "currency": "USD",
        "qty": quantity,
        "leavesQty": quantity,
        "cumQty": order["cumQty"],
        "createdAt": order["transactTime"],
        "updatedAt": order["transactTime"],
        **kept,
    }


def _is_positive(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return False
    try:
        return 0 < float(value) < float("inf")
    except ValueError:
        return False


def _whole(text: str | None, default: int) -> int:
    try:
        return default if text is None else int(text)
    except ValueError:
        return -1


def _timestamp(now: float) -> str:
    return datetime.fromtimestamp(now, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
