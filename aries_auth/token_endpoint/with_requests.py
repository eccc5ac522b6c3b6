"""One attempt with requests, or with niquests, which has the same names."""

from __future__ import annotations

import io
import socket
import ssl
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from typing import Any, Mapping
from urllib.parse import urlsplit

from urllib3 import Retry, connection

from aries_auth.token_endpoint.answer import Attempt, read_answer
from aries_auth.token_endpoint.deadline import Deadline, LimitedReads
from aries_auth.token_endpoint.network import settings_of
from aries_auth.token_endpoint.protocol import TokenRequest
from aries_auth.token_endpoint.twin import can_have_twin, twin

_CONNECTION: Any = connection.HTTPConnection  # of whichever urllib3 is there
_READS_BY_HTTP_CLIENT: bool = issubclass(_CONNECTION, HTTPConnection)
_POOL_GETTERS = ("get_connection_with_tls_context", "get_connection")


def send(
    module: Any,
    request: TokenRequest,
    client: Any,
    seconds: tuple[float, float],
    headers: dict[str, str],
    deadline: Deadline,
    options: Mapping[str, Any],
) -> Attempt:
    """Send the request once; `seconds` are for the connection and for each read, `options` those of the call."""
    session = module.Session() if client is None else client
    try:
        sender = _view(module, session, request.url, deadline) or session
        with closing(
            sender.post(
                request.url,
                json=dict(request.body),
                headers=headers,
                auth=_without_authorization,
                hooks={"response": _without_location},
                **_network(session, client, request, options),
                timeout=seconds,
                allow_redirects=False,
                stream=True,
            )
        ) as response:
            if hasattr(response.raw, "enforce_content_length"):  # an adapter's or a mock's may be anything
                response.raw.enforce_content_length = True  # else urllib3 1.26 takes half an answer for a whole one
            # Small steps: urllib3 1.26 decodes each in one go, however large it becomes.
            return read_answer(response.status_code, response.headers, response.iter_content(4096))
    finally:
        if client is None:
            session.close()


def ends_in_time(module: Any, client: Any, url: str) -> bool:
    """Whether the reads of this session can be given a deadline: those of http.client, which urllib3 stands on."""
    if module.__name__ != "requests" or not _READS_BY_HTTP_CLIENT:
        return False  # urllib3-future reads by itself, and puts itself in urllib3's place
    if client is None:
        return True
    if not can_have_twin(client):
        return False
    try:
        adapter: object = client.get_adapter(url)
        return getattr(type(adapter), "send", None) is module.adapters.HTTPAdapter.send
    except Exception:  # noqa: BLE001 - the attempt itself will say it
        return False


def drop_connections(adapter: Any) -> None:
    """Let go of a session's idle connections in a forked child; it can be used on, and what is in use stays open."""
    managers: list[Any] = [getattr(adapter, "poolmanager", None), *getattr(adapter, "proxy_manager", {}).values()]
    if not any(hasattr(getattr(manager, "pools", None), "memorize") for manager in managers):
        adapter.close()
        return
    # urllib3-future (niquests', and requests' where it stands in urllib3's place) shuts down what it closes, and a
    # socket is the parent's, too. So its pools are forgotten, with their locks, which another thread may have held.
    for manager in managers:
        old = manager.pools
        manager.pools = type(old)(old.maxsize, concurrency=True)
        manager.pools.strict_maxsize = getattr(old, "strict_maxsize", True)


def _network(session: Any, client: Any, request: TokenRequest, options: Mapping[str, Any]) -> Mapping[str, Any]:
    settings = settings_of(session, client, options)
    return {**settings, "proxies": _no_proxies(request.url)} if request.is_local else settings


def _no_proxies(url: str) -> dict[str, None]:
    """For a token request to this machine; they go before the environment's and the session's own."""
    parts = urlsplit(url)
    return dict.fromkeys((f"{parts.scheme}://{parts.hostname}", parts.scheme, f"all://{parts.hostname}", "all"))


def _without_authorization(prepared: Any) -> Any:
    """Stands in for the session's own auth and for netrc, and takes off the session's Authorization header."""
    prepared.headers.pop("Authorization", None)
    return prepared


def _without_location(response: Any, **_options: Any) -> None:
    """Stands in for the session's own hooks, and keeps requests from reading a redirect's body, however long."""
    response.headers.pop("Location", None)


def _view(module: Any, session: Any, url: str, deadline: Deadline) -> Any:
    """A session that is the caller's in all but two things: nothing is sent twice, and all reads end in time.

    An adapter whose `Retry` covers POST would send a refresh token again after the endpoint has spent it.
    """
    if not can_have_twin(session):
        return None
    adapter = session.get_adapter(url)
    if not isinstance(adapter, module.adapters.HTTPAdapter):
        return None
    sender = twin(adapter)
    sender.max_retries = Retry(0, read=False) if module.__name__ == "requests" else 0
    for name in _POOL_GETTERS:
        if hasattr(adapter, name):
            setattr(sender, name, partial(_limited_pool, getattr(adapter, name), deadline))
    view = twin(session)

    def get_adapter(*_args: Any, **_kwargs: Any) -> Any:
        return sender

    view.get_adapter = get_adapter
    return view


def _limited_pool(get: Any, deadline: Deadline, *args: Any, **kwargs: Any) -> Any:
    pool = get(*args, **kwargs)
    if not hasattr(pool, "_get_conn"):  # not urllib3's
        return pool
    view = twin(pool)
    # The view's own method: niquests tells the pool that it was given whom to trust, and that is this one.
    get_connection = view._get_conn  # noqa: SLF001

    def get_limited(*args: Any, **kwargs: Any) -> Any:
        used = get_connection(*args, **kwargs)
        if isinstance(used, HTTPConnection):
            _limit(used, deadline)
        else:
            _watch(used, deadline)
        return used

    view._get_conn = get_limited  # noqa: SLF001 - urllib3 has no public way, from 1.26 to 2.8
    return view


def _limit(used: Any, deadline: Deadline) -> None:
    """Give the connection's handshake, and each read of its answers, what is left of the deadline."""
    connect: Any = getattr(used, "_new_conn", None)
    answer: Any = used.response_class

    def connect_limited() -> Any:
        made = connect()
        made.settimeout(deadline.left(made.gettimeout()))
        return made

    def limited_answer(connected: Any, *args: Any, **kwargs: Any) -> Any:
        response = answer(connected, *args, **kwargs)
        inside = getattr(connected, "socket", None)  # urllib3's TLS inside of TLS reads more than once for one read
        if isinstance(inside, ssl.SSLSocket):
            deadline.limit_tls(inside)
        response.fp = io.BufferedReader(LimitedReads(response.fp, connected, deadline))
        return response

    if connect is not None:
        deadline.replace(used, "_new_conn", connect_limited)
    deadline.replace(used, "response_class", limited_answer)


def _watch(used: Any, deadline: Deadline) -> None:
    """Let the deadline know the socket of urllib3-future's connection: what it has, or what it is about to make."""
    connect: Any = getattr(used, "_new_conn", None)
    if isinstance(getattr(used, "sock", None), socket.socket):
        deadline.watch(used.sock)

    def connect_watched() -> Any:
        made = connect()
        if isinstance(made, socket.socket):
            deadline.watch(made)
        return made

    if connect is not None:
        deadline.replace(used, "_new_conn", connect_watched)
