"""The 401 path: a call is refused, the token refreshed, the call sent again; against the same three done by hand."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any, Callable

import httpx
import requests

from aries_auth import AriesAuth, FileTokenStore, Token
from benchmarks import by_hand, ours, peers
from benchmarks.results import Bar, Result, Size, short
from benchmarks.server import Addresses, Server

Call = Callable[[], int]


def _requests_session(url: str) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.get(url)  # opens the connection
    return session


def _httpx_client(url: str) -> httpx.Client:
    client = httpx.Client(trust_env=False)
    client.get(url)
    return client


def _hand(token: Token, at: Addresses, path: Path, client: Any, post: Any) -> Call:
    url = f"{at.api_url}/v1/users/me"

    def call() -> int:
        response = client.get(url, headers={"Authorization": f"Bearer {token.access_token}"})
        if response.status_code != 401:
            return 0
        with by_hand.locked(path):
            new = by_hand.refresh(path, at.token_url, post)
        response = client.get(url, headers={"Authorization": f"Bearer {new['access_token']}"})
        return int(response.status_code)

    return call


def _own(at: Addresses, path: Path, client: Any) -> Call:
    auth = AriesAuth(client_secret=peers.CLIENT_SECRET, store=path, token_url=at.token_url, api_origins=[at.api_url])
    auth.get_token()
    return lambda: int(client.get(f"{at.api_url}/v1/users/me", auth=auth).status_code)


def measure(size: Size) -> Result:
    """Interleaved, each round with a grant of its own; the difference is taken within a round."""
    context = httpx.create_ssl_context()

    def post_httpx(url: str, **options: Any) -> httpx.Response:
        with httpx.Client(trust_env=False, verify=context) as client:
            return client.post(url, **options)

    kinds: dict[str, tuple[Callable[[str], Any], Any]] = {
        "requests": (_requests_session, requests.post),
        "httpx": (_httpx_client, post_httpx),
    }
    result = Result(
        "refused",
        "The 401 path: refused, refreshed, resent",
        ["library", "by hand", "aries-auth", "aries-auth - by hand", "token requests a call"],
    )
    folder = ours.scratch()
    with Server() as server:
        for name, (make_client, post) in kinds.items():
            client = make_client(server.at.api_url)
            hand, own, more, statuses = [], [], [], set()
            for number in range(max(2, size.repeats * 15)):
                taken = []
                for kind in ("hand", "own") if number % 2 else ("own", "hand"):
                    path = folder / f"{name}-{number}-{kind}.json"
                    token = server.issue(age=100)[0]
                    FileTokenStore(path).save(token)
                    is_own = kind == "own"
                    call = _own(server.at, path, client) if is_own else _hand(token, server.at, path, client, post)
                    server.revoke_access_tokens()
                    server.counts()
                    start = time.perf_counter()
                    statuses.add(call())
                    taken.append((kind, time.perf_counter() - start))
                    if is_own:
                        requests_made = server.counts()["token_requests"]
                times = dict(taken)
                hand.append(times["hand"])
                own.append(times["own"])
                more.append(times["own"] - times["hand"])
            by_hand_typical, typical = statistics.median(hand), statistics.median(own)
            difference = statistics.median(more)
            result.rows.append(
                [name, short(by_hand_typical), short(typical), f"{difference * 1e3:.2f} ms", str(requests_made)]
            )
            result.raw[name] = {"by hand": hand, "aries-auth": own}
            result.answered[name] = statuses == {200}
            result.bars += [
                Bar(f"{name}: beyond one refresh and two calls <= 1 ms", difference * 1e3, 1, "ms"),
                Bar(f"{name}: token requests beside the one", abs(requests_made - 1), 0, "requests"),
            ]
    result.notes.append(
        "By hand: a call, the flock, the refresh, a durable save, a call; nothing is checked or retried."
    )
    result.notes.append(
        "By hand, too, each refresh opens a connection of its own; the CA bundle is read once, beforehand."
    )
    return result
