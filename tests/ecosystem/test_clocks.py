"""Under freezegun and time-machine a token is refreshed ahead, in the background, and nothing hangs."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from importlib import metadata
from typing import Any, Callable

import httpx
import pytest
import requests

from aries_auth import AriesAuth
from aries_auth.testing import AriesSandbox

MINUTE = 60.0
Travel = Callable[[float], "AbstractContextManager[Any]"]


def frozen(at: float) -> AbstractContextManager[Any]:
    freezegun = pytest.importorskip("freezegun")
    import datetime

    return freezegun.freeze_time(datetime.datetime.fromtimestamp(at, datetime.timezone.utc))  # type: ignore[no-any-return]


def travelled(at: float) -> AbstractContextManager[Any]:
    time_machine = pytest.importorskip("time_machine")
    # Version 2 stops the monotonic clock, too, by which back-off and time-outs are measured; it has to tick.
    ticks = int(metadata.version("time-machine").partition(".")[0]) < 3
    return time_machine.travel(at, tick=ticks)  # type: ignore[no-any-return]


def join_refreshes() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("aries-auth"):
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize("travel", [frozen, travelled])
def test_a_refresh_ahead_happens_once_and_serves_the_next_call(
    travel: Travel, aries_sandbox: AriesSandbox, aries_client_auth: AriesAuth
) -> None:
    url = f"{aries_sandbox.api_url}/v1/users/me"
    old = aries_client_auth.get_token()
    with travel(time.time() + 56 * MINUTE):  # of the fixture's 60 one has gone
        for _ in range(3):
            assert requests.get(url, auth=aries_client_auth, timeout=10).status_code == 200
        join_refreshes()
        with httpx.Client(auth=aries_client_auth) as client:
            assert client.get(url).status_code == 200
        assert aries_client_auth.get_token() != old
    assert aries_sandbox.refresh_count == 1


@pytest.mark.parametrize("travel", [frozen, travelled])
def test_an_endpoint_in_trouble_is_asked_again_though_time_stands_still(
    travel: Travel, aries_sandbox: AriesSandbox, aries_client_auth: AriesAuth
) -> None:
    aries_sandbox.fail(status=503, times=2)
    with travel(time.time() + 120 * MINUTE):
        assert aries_client_auth.get_token()
    assert [request.status for request in aries_sandbox.token_requests] == [503, 503, 200]


@pytest.mark.parametrize("travel", [frozen, travelled])
def test_back_from_the_future_the_token_serves_on(
    travel: Travel, aries_sandbox: AriesSandbox, aries_client_auth: AriesAuth
) -> None:
    with travel(time.time() + 120 * MINUTE):
        token = aries_client_auth.get_token()
    assert aries_client_auth.get_token() == token
    assert aries_sandbox.refresh_count == 1
