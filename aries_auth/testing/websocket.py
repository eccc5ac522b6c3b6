"""The sandbox's websockets, at the paths and with the messages of Aries' own SDK (finance-dev 0.9).

A client is let in by its first message, ``POST /auth`` with a token, is asked for another one when that comes near
its end (``refreshAuth``), and is put out when it has expired (``authExpired``).
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any, Iterable, cast

from aries_auth.testing import brokerage
from aries_auth.testing.frames import POLICY_VIOLATION, Frames, accept_of
from aries_auth.testing.messages import Request, Response, json_response, nested_error
from aries_auth.testing.records import ApiRequestRecord, fingerprint

if TYPE_CHECKING:
    from aries_auth.testing.grants import Grants
    from aries_auth.testing.records import Journal

SCOPES = {
    "/v1/market/ws": "market:information",
    "/v1/charts/ws": "market:information",
    "/v1/accounts/ws": "account:information",
}

_AUTH_WITHIN = 5.0
_LONGEST_LEAD = 60.0
_TICK = 0.02
_QUOTE = {"bidPrice": 184.99, "askPrice": 185.01, "bidSize": 100, "askSize": 200}


def upgrade(request: Request) -> Response:
    """The handshake (RFC 6455 section 4.2)."""
    headers = request.headers
    asked = headers.get("upgrade", "").lower() == "websocket" and "upgrade" in headers.get("connection", "").lower()
    key = headers.get("sec-websocket-key", "")
    if request.method != "GET" or not asked or not key or headers.get("sec-websocket-version") != "13":
        body = nested_error("VALIDATION", "UPGRADE_REQUIRED", "This is a websocket, version 13.")
        return json_response(body, 426, {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"})
    accepted = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept_of(key)}
    return Response(101, b"", accepted)


class Conversation:
    """One client on a websocket, from its upgrade to its end."""

    def __init__(self, request: Request, frames: Frames, grants: Grants, journal: Journal) -> None:
        self._request = request
        self._frames = frames
        self._grants = grants
        self._journal = journal
        self._token: str | None = None
        self._asked = False
        self._ended = threading.Event()

    def run(self) -> None:
        """Until either side ends it. A second thread watches the token, since this one waits for messages."""
        watcher = threading.Thread(target=self._watch, name="aries-sandbox-websocket", daemon=True)
        watcher.start()
        try:
            message = self._frames.receive()
            while message is not None:
                self._hear(message)
                message = self._frames.receive()
        finally:
            self._ended.set()
            watcher.join()

    def _watch(self) -> None:
        begun = time.monotonic()
        while not self._ended.wait(_TICK):
            token = self._token
            if token is None:
                if time.monotonic() - begun > _AUTH_WITHIN:
                    self._put_out("authTimeout", "No token came in time.")
                    return
                continue
            access = self._grants.access(token)
            if access.state != "valid":
                self._put_out("authExpired", f"The token is {access.state}.")
                return
            lead = min(_LONGEST_LEAD, access.lifetime / 10)
            if not self._asked and self._grants.now() >= access.expires_at - lead:
                self._asked = True
                self._event({"action": "refreshAuth"})

    def _put_out(self, action: str, error: str) -> None:
        self._event({"action": action, "error": error})
        self._frames.close(POLICY_VIOLATION)

    def _hear(self, text: bytes) -> None:
        """Every line is a message."""
        for line in text.splitlines():
            message = _json_object(line)
            if message is None:
                self._event({"action": "error", "error": "A message must be a JSON object."})
            else:
                self._answer(message)

    def _answer(self, message: dict[str, Any]) -> None:
        kind, ident, payload = message.get("type"), message.get("id"), message.get("payload")
        asked = _object(payload) if kind == "request" else {}
        if asked.get("path") == "/auth":
            self._authenticate(ident, _object(asked.get("body")).get("token"))
        elif kind == "ping":
            self._send({"type": "pong", "id": ident})
        elif self._token is None:
            self._put_out("authRequired", "The first message must bring a token.")
        elif kind == "subscribe":
            self._send({"type": "subscribed", "id": ident, "payload": {"status": 200}})
            for event in _events(self._request.path, payload):
                self._event(event)
        elif kind == "unsubscribe":
            self._respond(ident, {"status": 200})
        else:
            self._respond(ident, {"status": 404, "code": "ROUTE_NOT_FOUND", "error": "There is no such route."})

    def _authenticate(self, ident: object, token: object) -> None:
        access = self._grants.access(token) if isinstance(token, str) else None
        status = 401
        if access is not None and access.state == "valid":
            status = 200 if SCOPES[self._request.path] in access.scope.split() else 403
        # The record first: whoever has the answer may look at it at once.
        self._record(token, status)
        if status == 200:
            self._token, self._asked = str(token), False
            self._respond(ident, {"action": "authSuccess", "status": 200})
        else:
            self._respond(ident, {"status": status, "code": "AUTH_FAILED", "error": "The token is not accepted."})

    def _record(self, token: object, status: int) -> None:
        record = ApiRequestRecord(
            method="AUTH",
            path=self._request.path,
            status=status,
            fingerprint=fingerprint(token) if isinstance(token, str) else None,
            at=self._grants.now(),
            duration=0.0,
            user_agent=self._request.headers.get("user-agent"),
            answered=True,
        )
        self._journal.add_api_request(record)

    def _respond(self, ident: object, payload: dict[str, Any]) -> None:
        self._send({"type": "response", "id": ident, "payload": payload})

    def _event(self, payload: dict[str, Any]) -> None:
        self._send({"type": "event", "payload": payload})

    def _send(self, message: dict[str, Any]) -> None:
        self._frames.send(json.dumps(message))


def _events(path: str, payload: object) -> Iterable[dict[str, Any]]:
    """The first event of each subscription; nothing ever changes here."""
    for item in cast("list[object]", payload) if isinstance(payload, list) else [payload]:
        wanted = _object(item)
        if path == "/v1/accounts/ws":
            topic = wanted.get("topic")
            data = brokerage.account_snapshot() if topic == "account" else {}
            yield {"topic": topic, "name": "snapshot", "data": data}
        else:
            yield {"type": "quote", "action": "snapshot", "symbol": wanted.get("symbol"), "data": _QUOTE}


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _json_object(text: bytes) -> dict[str, Any] | None:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _object(value) if isinstance(value, dict) else None
