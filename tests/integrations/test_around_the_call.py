"""What programs put around their calls: retries, caches, hooks, and the ways in which errors travel between workers."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import httpx
import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from aries_auth import AriesAuth, LoginRequired, Token, TokenRequestError
from aries_auth.api_call import resend
from aries_auth.testing import AriesSandbox
from tests.cli_process import clean_environment
from tests.conftest import EXPIRED, ROOT

OLD = 100.0  # seconds; beyond the youth of 30


@pytest.fixture
def auth(make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox) -> AriesAuth:
    stored(age=OLD)
    auth = make_auth()
    auth.get_token()
    aries.revoke_access_tokens()
    return auth


# urllib3's Retry


def retrying(*statuses: int) -> requests.Session:
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=Retry(2, status_forcelist=statuses, backoff_factor=0.01)))
    return session


def test_a_retry_of_503_goes_together_with_a_resend(auth: AriesAuth, aries: AriesSandbox, url: str) -> None:
    aries.fail("api", status=503)
    with retrying(503) as session:
        assert session.get(url, auth=auth).status_code == 200
    assert [request.status for request in aries.api_requests] == [503, 401, 200]
    assert aries.refresh_count == 1


def test_a_retry_of_401_raises_and_makes_no_storm_of_token_requests(
    auth: AriesAuth, aries: AriesSandbox, url: str
) -> None:
    """urllib3 sends the refused request again by itself and raises: no 401 reaches us (docs/errors.md)."""
    with retrying(401) as session, pytest.raises(requests.exceptions.RetryError, match="too many 401"):
        session.get(url, auth=auth)
    assert [request.status for request in aries.api_requests] == [401, 401, 401]
    assert aries.token_requests == ()


# requests-cache, installed before the session


def test_requests_cache_keeps_neither_a_401_nor_a_token_request(
    auth: AriesAuth, aries: AriesSandbox, url: str, tmp_path: Path
) -> None:
    requests_cache = pytest.importorskip("requests_cache", reason="needs requests-cache")
    requests_cache.install_cache(str(tmp_path / "cache"), backend="sqlite", allowable_methods=("GET", "POST"))
    try:
        with requests.Session() as session:
            first, second = session.get(url, auth=auth), session.get(url, auth=auth)
            assert (first.status_code, second.status_code) == (200, 200)
            aries.revoke_access_tokens()
            assert session.post(url, auth=auth).status_code == 401, "the token is young"
        token = auth.token
        assert token is not None
    finally:
        requests_cache.uninstall_cache()
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("cache*"))
    assert stored
    assert token.access_token.encode() not in stored
    assert (token.refresh_token or "").encode() not in stored
    assert aries.refresh_count == 1


# A resend's time


def test_the_answer_of_a_resend_says_how_long_it_took(auth: AriesAuth, aries: AriesSandbox, url: str) -> None:
    answer = requests.get(url, auth=auth, timeout=10)
    assert [response.status_code for response in answer.history] == [401]
    assert answer.elapsed.total_seconds() > 0


# httpx's recipe of a hook that raises


def test_a_hook_that_raises_for_a_401_is_warned_of_once(
    auth: AriesAuth, url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    resend._warn_of_hook_once.cache_clear()

    def raise_for_status(response: httpx.Response) -> None:
        response.raise_for_status()

    with httpx.Client(auth=auth, event_hooks={"response": [raise_for_status]}) as client:
        for _ in range(2):
            with pytest.raises(httpx.HTTPStatusError):
                client.get(url)
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "event hook raised for a 401" in record.getMessage()


async def raise_for_status_async(response: httpx.Response) -> None:
    response.raise_for_status()


def test_an_async_hook_that_raises_for_a_401_is_warned_of_once(
    auth: AriesAuth, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    resend._warn_of_hook_once.cache_clear()

    async def call_twice() -> None:
        async with httpx.AsyncClient(auth=auth, event_hooks={"response": [raise_for_status_async]}) as client:
            for _ in range(2):
                with pytest.raises(httpx.HTTPStatusError):
                    await client.get(url)

    asyncio.run(call_twice())
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "event hook raised for a 401" in record.getMessage()


def test_a_call_that_succeeds_as_another_ones_401_is_handled_is_not_warned_of(
    make_auth: Callable[..., AriesAuth],
    stored: Callable[..., Token],
    url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    resend._warn_of_hook_once.cache_clear()
    stored(age=EXPIRED)
    refused = httpx.Response(401, request=httpx.Request("GET", "https://another-api.example"))

    async def call() -> int:
        async with httpx.AsyncClient(auth=make_auth()) as client:
            try:
                refused.raise_for_status()
            except httpx.HTTPStatusError:
                return (await client.get(url)).status_code
        return 0

    assert asyncio.run(call()) == 200
    assert [record for record in caplog.records if record.levelno == logging.WARNING] == []


def test_a_hook_that_raises_for_the_401_of_another_origin_is_not_warned_of(
    make_auth: Callable[..., AriesAuth], url: str, caplog: pytest.LogCaptureFixture
) -> None:
    resend._warn_of_hook_once.cache_clear()

    async def call() -> None:
        auth = make_auth(api_origins=["https://api.example"])
        async with httpx.AsyncClient(auth=auth, event_hooks={"response": [raise_for_status_async]}) as client:
            with pytest.raises(httpx.HTTPStatusError):
                await client.get(url)

    asyncio.run(call())
    assert [record for record in caplog.records if record.levelno == logging.WARNING] == []


def test_other_ends_of_a_call_are_not_warned_of(
    auth: AriesAuth, aries: AriesSandbox, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    aries.fail("api", drop="before")
    with httpx.Client(auth=auth) as client, pytest.raises(httpx.HTTPError):
        client.get(url)
    assert not caplog.records


# Streamlit


def test_streamlit_can_cache_it_and_what_takes_it(auth: AriesAuth) -> None:
    """`cache_resource` for the object, and a leading underscore for a parameter of `cache_data`."""
    streamlit = pytest.importorskip("streamlit", reason="needs streamlit")

    @streamlit.cache_resource
    def shared() -> AriesAuth:
        return auth

    @streamlit.cache_data
    def positions(_auth: AriesAuth, account: str) -> str:
        return f"{account} of {_auth!r}"

    assert shared() is shared()
    assert positions(auth, "A-1") == positions(auth, "A-1")


# Errors on their way between workers


@pytest.fixture
def error(make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox) -> TokenRequestError:
    stored(age=EXPIRED)
    aries.fail(status=503, headers={"Retry-After": "60"})
    with pytest.raises(TokenRequestError) as raised:
        make_auth().get_token()
    return raised.value


def test_an_error_keeps_what_it_carries_through_pickle_and_ray(error: TokenRequestError) -> None:
    cloudpickle = pytest.importorskip("cloudpickle", reason="needs cloudpickle, which Ray and Dask use")
    for again in (pickle.loads(pickle.dumps(error)), cloudpickle.loads(cloudpickle.dumps(error))):
        assert (type(again), str(again)) == (TokenRequestError, str(error))
        assert (again.retryable, again.status_code) == (True, 503)


def test_an_error_keeps_what_it_carries_through_rays_own_wrapper(error: TokenRequestError) -> None:
    exceptions = pytest.importorskip("ray.exceptions", reason="needs ray")
    wrapped = exceptions.RayTaskError("task", "traceback", error).as_instanceof_cause()
    assert isinstance(wrapped, TokenRequestError)
    assert (wrapped.retryable, wrapped.status_code) == (True, 503)


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_an_error_of_a_task_of_a_real_ray_is_caught_by_its_own_name(tmp_path: Path) -> None:
    """In a process of its own: Ray starts a cluster, and leaves threads."""
    pytest.importorskip("ray", reason="needs ray")
    environment = clean_environment(tmp_path, PYTHONPATH=str(ROOT), RAY_USAGE_STATS_ENABLED="0")
    command = [sys.executable, "-W", "ignore", "-c", RAY]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout.split() == ["True", "503", "slow_down", "login"], done.stderr


RAY = """
import ray
from aries_auth import LoginRequired, TokenRequestError

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)


@ray.remote(max_retries=0)
def call(kind):
    if kind == "login":
        raise LoginRequired("log in")
    raise TokenRequestError("later", status_code=503, retryable=True, error="slow_down")


try:
    ray.get(call.remote("request"))
except TokenRequestError as error:
    print(error.retryable, error.status_code, error.error)
try:
    ray.get(call.remote("login"))
except LoginRequired:
    print("login")
ray.shutdown()
"""


def test_celerys_json_backend_rebuilds_an_error_by_its_public_name(error: TokenRequestError) -> None:
    celery = pytest.importorskip("celery", reason="needs celery")
    backend = celery.Celery(set_as_current=False, backend="cache+memory://", result_serializer="json").backend
    stored: Any = json.loads(json.dumps(backend.prepare_exception(error, serializer="json")))
    again = backend.exception_to_python(stored)
    assert isinstance(again, TokenRequestError)
    assert str(again) == str(error)
    assert (again.retryable, again.status_code, again.error) == (True, 503, error.error)
    login = backend.exception_to_python(backend.prepare_exception(LoginRequired("log in"), serializer="json"))
    assert isinstance(login, LoginRequired)
