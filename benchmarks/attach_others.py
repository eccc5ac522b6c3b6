"""Attach in niquests and aiohttp: making a request ready to send, with ours and with the library's own static bearer.

Both attach while they prepare a request, so that is what is timed: neither can be driven by a bare hook.
"""

from __future__ import annotations

import asyncio
import atexit
from typing import Any

from benchmarks import ours, peers
from benchmarks.attach import BEARER, URL
from benchmarks.timing import Contender


def niquests_contenders() -> list[Contender]:
    """``session.prepare_request``."""
    import niquests

    session = niquests.Session()
    session.trust_env = False

    def contender(name: str, auth: Any) -> Contender:
        def make(count: int) -> list[Any]:
            return [
                niquests.Request("GET", URL, headers={"Accept": "application/json"}, auth=auth) for _ in range(count)
            ]

        def run(batch: list[Any]) -> None:
            for request in batch:
                session.prepare_request(request)

        def answers() -> bool:
            return bool(session.prepare_request(make(1)[0]).headers["Authorization"] == BEARER)

        return Contender(name, make, run, answers)

    return [
        contender("static bearer", niquests.auth.BearerTokenAuth(peers.ACCESS_TOKEN)),
        contender("aries-auth", ours.living_auth()),
    ]


class _Answer:
    """As much of a ClientResponse as a session looks at."""

    status = 200
    connection = _raw_cookie_headers = None
    seen: Any = None


def aiohttp_contenders() -> list[Contender]:
    """``session.get`` with all that it does but the network: the last middleware answers."""
    import aiohttp

    from aries_auth.integrations.aiohttp import AriesMiddleware

    loop = asyncio.new_event_loop()

    async def terminal(request: Any, _handler: Any) -> Any:
        answer = _Answer()
        answer.seen = request.headers.get("Authorization")
        return answer

    def contender(name: str, headers: dict[str, str], *middlewares: Any) -> Contender:
        async def open_session() -> aiohttp.ClientSession:
            return aiohttp.ClientSession(headers=headers, middlewares=(*middlewares, terminal))

        session = loop.run_until_complete(open_session())
        atexit.register(lambda: loop.run_until_complete(session.close()))

        async def send_all(batch: range) -> None:
            for _ in batch:
                await session._request("GET", URL)

        def answers() -> bool:
            answer: Any = loop.run_until_complete(session._request("GET", URL))
            return bool(answer.seen == BEARER)

        return Contender(name, range, lambda batch: loop.run_until_complete(send_all(batch)), answers)

    accept = {"Accept": "application/json"}
    return [
        contender("static bearer", {**accept, "Authorization": BEARER}),
        contender("aries-auth", accept, AriesMiddleware(ours.living_auth())),
    ]
