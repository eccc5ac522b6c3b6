"""The sandbox as a function from request to answer: picks the endpoint, lets faults act, keeps records."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aries_auth.testing import endpoints
from aries_auth.testing.api import Api
from aries_auth.testing.faults import Claim, Fault, FaultBoard
from aries_auth.testing.messages import Request, Response
from aries_auth.testing.records import ApiRequestRecord, Journal, TokenRequestRecord, fingerprint
from aries_auth.testing.websocket import Conversation

if TYPE_CHECKING:
    from aries_auth.testing.endpoints import Client
    from aries_auth.testing.frames import Frames
    from aries_auth.testing.grants import Grants


@dataclass(frozen=True, repr=False)
class Delivery:
    """An answer, and the fault that says how to send it, if there is one."""

    response: Response
    claim: Claim | None = None


class Visit:
    """One request on its way through the service: what became of it, for the records."""

    def __init__(self, request: Request, route: str, at: float) -> None:
        self.request = request
        self.route = route
        self.at = at
        self.started: float = time.perf_counter()
        self.status: int | None = None
        self.answered = False


class Service:
    """Answers requests. Thread-safe, as its parts are."""

    def __init__(self, client: Client, grants: Grants) -> None:
        self.client = client
        self.grants = grants
        self.api: Api = Api(grants)
        self.faults: FaultBoard = FaultBoard()
        self.journal: Journal = Journal()
        self.closed = False

    def answer(self, request: Request) -> Delivery | None:
        """The answer to send; None closes the connection without one."""
        route = _route(request.path)
        visit = Visit(request, route, self.grants.now())
        self.journal.enter(route)
        try:
            claim = self.faults.claim(route, request.path)
            return self._plain(visit) if claim is None else self._faulty(visit, claim)
        finally:
            self._record(visit)
            self.journal.leave(route)

    def converse(self, request: Request, frames: Frames) -> None:
        """Speak with a client on the websocket that an answer of status 101 has opened."""
        Conversation(request, frames, self.grants, self.journal).run()

    def _plain(self, visit: Visit) -> Delivery:
        response = self._process(visit.request, visit.route)
        visit.status, visit.answered = response.status, True
        self.journal.see(visit.route)
        return Delivery(response)

    def _faulty(self, visit: Visit, claim: Claim) -> Delivery | None:
        fault = claim.fault
        if fault.before:
            self.journal.see(visit.route)
            claim.hold()
        elif fault.drop == "before":
            self.journal.see(visit.route)
        if fault.drop == "before" or self.closed:
            return None
        response = self._respond(visit, fault)
        visit.status = response.status
        if not fault.before:
            self.journal.see(visit.route)
            claim.hold()
        if fault.drop == "after":
            return None
        visit.answered = True
        return Delivery(response, claim)

    def _respond(self, visit: Visit, fault: Fault) -> Response:
        """The real answer, or the fault's own; then the request is processed only if the fault says so."""
        if fault.replaces and not fault.processed:
            return fault.replacement()
        response = self._process(visit.request, visit.route)
        if fault.replaces:
            return fault.replacement()
        return Response(response.status, response.body, {**response.headers, **fault.headers})

    def _process(self, request: Request, route: str) -> Response:
        if route == "token":
            return endpoints.token(request, self.client, self.grants)
        if route == "authorize":
            return endpoints.authorize(request, self.client, self.grants)
        return self.api.answer(request)

    def _record(self, visit: Visit) -> None:
        duration = time.perf_counter() - visit.started
        if visit.route == "token":
            self.journal.add_token_request(_token_record(visit, duration))
        elif visit.route == "api":
            self.journal.add_api_request(_api_record(visit, duration))


def _route(path: str) -> str:
    if path == endpoints.TOKEN_PATH:
        return "token"
    return "authorize" if path == endpoints.AUTHORIZE_PATH else "api"


def _token_record(visit: Visit, duration: float) -> TokenRequestRecord:
    body = visit.request.json_object() or {}
    grant_type = body.get("grant_type")
    refresh_token = body.get("refresh_token")
    return TokenRequestRecord(
        grant_type=grant_type if isinstance(grant_type, str) else None,
        status=visit.status,
        at=visit.at,
        fingerprint=fingerprint(refresh_token) if isinstance(refresh_token, str) else None,
        duration=duration,
        user_agent=visit.request.headers.get("user-agent"),
        answered=visit.answered,
        fields=tuple(sorted(body)),
        had_authorization="authorization" in visit.request.headers,
    )


def _api_record(visit: Visit, duration: float) -> ApiRequestRecord:
    bearer = visit.request.bearer
    return ApiRequestRecord(
        method=visit.request.method,
        path=visit.request.path,
        status=visit.status,
        fingerprint=fingerprint(bearer) if bearer is not None else None,
        at=visit.at,
        duration=duration,
        user_agent=visit.request.headers.get("user-agent"),
        answered=visit.answered,
    )
