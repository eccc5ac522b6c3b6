"""Calls at a steady pace while a refresh falls due at an endpoint of 300 ms: who waits?"""

from __future__ import annotations

import statistics
import time
from typing import Any, Callable

import httpx
import requests
from requests.adapters import HTTPAdapter

from aries_auth import AriesAuth, FileTokenStore, Token
from benchmarks import ours, peers
from benchmarks.attach import authlib_module
from benchmarks.results import Bar, Result, Size, short
from benchmarks.server import Addresses, Server
from benchmarks.whole_call import NullAdapter, null_httpx

PACE = 0.005
WAITED = 0.1
_LATE = 8.0

# Seconds before expiry at which each starts a refresh by default. Ours: a quarter of the lifetime, less 0 to 10 %.
_OUR_DUE = 0.2375
_DUE = {"requests-oauthlib": 0, "Authlib": 60, "requests_oauth2client": 20, "httpx_auth": 30}
_GOOGLE_DUE = 225


def _aries(token: Token, at: Addresses) -> AriesAuth:
    path = ours.scratch() / "token.json"
    FileTokenStore(path).save(token)
    return AriesAuth(client_secret=peers.CLIENT_SECRET, store=path, token_url=at.token_url, api_origins=[at.api_url])


def _session(session: Any, at: Addresses, auth: Any = None) -> Any:
    session.mount(at.api_url, NullAdapter())
    session.mount(at.token_url, HTTPAdapter())
    session.trust_env = False
    session.auth = auth or session.auth
    return session.get


def _as_dict(token: Token) -> dict[str, Any]:
    return {"token_type": "Bearer", **token.to_dict()}


def _google(token: Token, at: Addresses, *, non_blocking: bool) -> Any:
    return _session(peers.google_session(_as_dict(token), at.form_url, non_blocking=non_blocking), at)


def _httpx(auth: Any) -> Any:
    return httpx.Client(auth=auth, transport=null_httpx(), trust_env=False).get


def _authlib_httpx(token: Token, at: Addresses) -> Any:
    mounts = {at.api_url: null_httpx(authlib_module())}
    return peers.authlib_httpx(_as_dict(token), at.form_url, mounts=mounts, trust_env=False).get


Getter = Callable[[Token, Addresses], Any]
CONTENDERS: dict[str, tuple[float, Getter]] = {
    "aries-auth, requests": (_OUR_DUE, lambda token, at: _session(requests.Session(), at, _aries(token, at))),
    "aries-auth, httpx": (_OUR_DUE, lambda token, at: _httpx(_aries(token, at))),
    "requests-oauthlib": (
        _DUE["requests-oauthlib"],
        lambda token, at: _session(peers.requests_oauthlib_session(_as_dict(token), at.form_url, lambda _t: None), at),
    ),
    "Authlib, requests": (
        _DUE["Authlib"],
        lambda token, at: _session(peers.authlib_requests(_as_dict(token), at.form_url), at),
    ),
    "Authlib, httpx": (_DUE["Authlib"], _authlib_httpx),
    "httpx_auth": (_DUE["httpx_auth"], lambda token, at: _httpx(peers.httpx_auth_code(_as_dict(token), at.form_url))),
    "requests_oauth2client": (
        _DUE["requests_oauth2client"],
        lambda token, at: _session(
            requests.Session(), at, peers.requests_oauth2client_auth(_as_dict(token), at.form_url)
        ),
    ),
    "google-auth": (_GOOGLE_DUE, lambda token, at: _google(token, at, non_blocking=False)),
    "google-auth, non-blocking": (_GOOGLE_DUE, lambda token, at: _google(token, at, non_blocking=True)),
}


def boundary(server: Server, contender: str, calls: int, our_lifetime: float) -> tuple[list[tuple[float, float]], int]:
    """When each call began, in seconds from the first, and how long it took; and how many refreshes there were."""
    due, make = CONTENDERS[contender]
    is_ours = contender.startswith("aries-auth")
    lifetime = our_lifetime if is_ours else 3600.0
    left = (due * lifetime if is_ours else due) + calls * PACE / 2  # falls due halfway
    token = server.issue(expires_in=lifetime, age=lifetime - left)[0]
    server.counts()
    get, url = make(token, server.at), f"{server.at.api_url}/v1/users/me"
    for _ in range(3):
        get(url)
    latencies, start = [], time.perf_counter()
    for number in range(calls):
        time.sleep(max(0.0, start + number * PACE - time.perf_counter()))
        begun = time.perf_counter()
        get(url)
        latencies.append((begun - start, time.perf_counter() - begun))
    refreshes = server.counts()["refreshes"]
    while not refreshes and time.perf_counter() < start + _LATE:  # in a smoke run it can fall due after the last call
        time.sleep(PACE)
        get(url)
        refreshes = server.counts()["refreshes"]
    return latencies, refreshes


def measure(size: Size) -> Result:
    """Ours several times, the peers once."""
    calls, delay, our_lifetime = (30, 0.02, 2.0) if size.smoke else (540, 0.3, 20.0)
    result = Result(
        "ahead",
        f"{calls} calls {PACE * 1e3:.0f} ms apart while a refresh at a {delay * 1e3:.0f} ms endpoint falls due",
        ["contender", "refreshes", f"calls that waited (> {WAITED * 1e3:.0f} ms)", "median", "99 %", "maximum"],
    )
    with Server(delay) as server:
        for contender in CONTENDERS:
            is_ours = contender.startswith("aries-auth")
            runs: list[list[tuple[float, float]]] = []
            refreshes = 0
            for _ in range(min(3, size.repeats) if is_ours else 1):
                run, refreshes = boundary(server, contender, calls, our_lifetime)
                runs.append(run)
            maxima = [max(latency for _, latency in run) for run in runs]
            every = sorted(latency for run in runs for _, latency in run)
            waited = sum(latency > WAITED for latency in every)
            result.rows.append(
                [
                    contender,
                    str(refreshes),
                    str(waited),
                    *map(short, (every[len(every) // 2], every[len(every) * 99 // 100], statistics.median(maxima))),
                ]
            )
            result.raw[contender] = runs[-1]
            result.answered[contender] = refreshes >= 1
            if is_ours:
                result.bars += [
                    Bar(f"{contender}: calls that waited", waited, 0, "calls"),
                    Bar(
                        f"{contender}: maximum (median of {len(runs)}) < 20 ms",
                        statistics.median(maxima) * 1e3,
                        20,
                        "ms",
                    ),
                ]
    result.notes.append("Each starts to refresh at its own default distance from expiry, which is put halfway.")
    return result
