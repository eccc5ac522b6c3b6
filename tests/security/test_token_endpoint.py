"""The token endpoint's side: who stands in its place or in its way gets no secret, no second token, and no thread."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
import requests
import urllib3

from aries_auth import (
    AriesAuth,
    AuthorizationCodeFlow,
    FileTokenStore,
    LoginRequired,
    Token,
    TokenRequestError,
)
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED, Program

Stored = Callable[..., Token]
MakeAuth = Callable[..., AriesAuth]


class Listener:
    """Somebody who keeps all that is sent to an address, and answers with nothing."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5.0)
                self.heard.append(connection.recv(65536))

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def eavesdropper() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


def with_proxy(proxy: str) -> dict[str, str]:
    names = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
    left = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    return {**left, **dict.fromkeys(names, proxy)}


@pytest.mark.parametrize(
    "act",
    [
        "make_auth().get_token()",
        "make_auth(token_client=requests.Session()).get_token()",
        "make_auth(token_client=httpx.Client()).refresh()",
        "import niquests; make_auth(token_client=niquests.Session()).refresh()",
        "from aries_auth.cli import main; sys.argv = ['aries-auth', 'refresh', '--store', store_path]; main()",
    ],
    ids=["a program", "its session", "its client", "its niquests", "the command"],
)
def test_a_proxy_never_sees_a_token_request_to_this_machine(
    aries: AriesSandbox, stored: Stored, program: Program, eavesdropper: Listener, act: str
) -> None:
    if "niquests" in act:
        pytest.importorskip("niquests", reason="needs niquests")
    stored(age=EXPIRED)
    program._environment = {**with_proxy(eavesdropper.url), **program._environment}
    for name in ("NO_PROXY", "no_proxy"):
        program._environment.pop(name, None)
    process = program.start(act)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert len(aries.token_requests) == 1
    assert eavesdropper.heard == []


@pytest.mark.ci
def test_an_endpoint_that_drips_for_ever_leaves_no_thread_and_no_descriptor(
    aries: AriesSandbox, stored: Stored, program: Program
) -> None:
    stored(age=EXPIRED)
    aries.fail(drip=0.1, drip_of="headers", times=None)  # its shortest answer takes longer than an attempt may
    output = program(
        """
        import json
        from aries_auth.token_endpoint import backoff
        backoff.SENDING_TIME = 3.5  # what an attempt needs at least, and half a second
        def count():
            return threading.active_count(), len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        auth = make_auth()
        before = None
        for _ in range(3):
            begun = time.monotonic()
            try:
                auth.refresh()
            except TokenRequestError as exc:
                assert exc.retryable
            assert time.monotonic() - begun < 5.0
            time.sleep(0.6)
            before = before or count()
        print(json.dumps([before, count()]))
        """,
        timeout=60.0,
    )
    before, after = json.loads(output)
    assert after == before
    assert after[0] == 1, "the main thread alone"


def test_a_session_that_retries_post_does_not_revoke_the_grant(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox
) -> None:
    stored(age=EXPIRED)
    aries.fail(drop="after")  # the endpoint has spent the token; the answer never came
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=urllib3.Retry(3, allowed_methods=None)))
        with pytest.raises(TokenRequestError):
            make_auth(token_client=session).get_token()
    assert len(aries.token_requests) == 1
    assert aries.reused_refresh_tokens == 0


@pytest.mark.parametrize("kind", ["mac", "DPoP", "N_A"])
def test_a_token_of_another_type_is_saved_and_never_sent(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, aries: AriesSandbox, url: str, kind: str
) -> None:
    old = stored(age=EXPIRED)
    answer = {"access_token": "foreign-token", "refresh_token": "next", "token_type": kind, "expires_in": 3600}
    aries.fail(body=answer)
    with pytest.raises(TokenRequestError, match=kind):
        requests.get(url, auth=make_auth(), timeout=10)
    saved = store.load()
    assert saved is not None
    assert (saved.access_token, saved.refresh_token, saved.token_type) == ("foreign-token", "next", kind)
    assert saved.refresh_token != old.refresh_token
    with pytest.raises((TokenRequestError, LoginRequired)):  # the sandbox does not know that refresh token
        requests.get(url, auth=make_auth(), timeout=10)
    assert aries.api_requests == ()


def test_an_answer_that_names_an_error_under_200_is_an_error_and_asked_for_once_a_second(
    make_auth: MakeAuth, stored: Stored, store: FileTokenStore, aries: AriesSandbox
) -> None:
    old = stored(age=EXPIRED)
    aries.fail(body={"error": "invalid_client", "error_description": "no"}, times=None)
    auth = make_auth()
    for _ in range(3):
        with pytest.raises(TokenRequestError) as failed:
            auth.get_token()
        assert (failed.value.error, failed.value.status_code) == ("invalid_client", 200)
    assert len(aries.token_requests) == 1
    assert store.load() == old


def test_a_firewalls_page_costs_one_request_a_second_and_says_what_it_is(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox
) -> None:
    stored(age=EXPIRED)
    aries.fail(status=403, body="<h1>Blocked by policy</h1>", times=None)
    auth = make_auth()
    for _ in range(3):
        with pytest.raises(TokenRequestError, match="a firewall, a proxy or a login page"):
            auth.get_token()
    assert len(aries.token_requests) == 1


def test_a_redirect_to_somebody_else_takes_no_secret_there(
    make_auth: MakeAuth, stored: Stored, aries: AriesSandbox, eavesdropper: Listener
) -> None:
    stored(age=EXPIRED)
    for status in (301, 302, 303, 307, 308):
        aries.fail(status=status, headers={"Location": eavesdropper.url})
        with pytest.raises(TokenRequestError, match="Redirects of a token request are not followed"):
            make_auth().get_token()
    assert eavesdropper.heard == []


def test_a_proxys_password_is_on_no_terminal(
    aries: AriesSandbox, stored: Stored, store_path: Path, tmp_path: Path
) -> None:
    stored(age=EXPIRED)
    environment: dict[str, Any] = {
        **with_proxy("http://somebody:zQ7#zX9@127.0.0.1:9"),
        **aries.environ,
        "ARIES_TOKEN_URL": "https://aries.invalid/token",
    }
    token = json.loads(store_path.read_text())
    token["token_url"] = None
    store_path.write_text(json.dumps(token))
    done = subprocess.run(
        [sys.executable, "-m", "aries_auth", "refresh", "--store", str(store_path)],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "proxy" in done.stderr
    for part in ("zQ7", "zX9", aries.client_secret):
        assert part not in done.stdout + done.stderr


@pytest.mark.parametrize("with_store", [True, False], ids=["with a store", "without one"])
def test_a_login_that_brings_a_token_of_another_type_is_an_error_after_the_save(
    aries: AriesSandbox, store: FileTokenStore, with_store: bool
) -> None:
    flow = AuthorizationCodeFlow(
        aries.client_id, aries.client_secret, aries.redirect_uri, scope="user:information",
        authorize_url=aries.authorize_url, token_url=aries.token_url,
    )  # fmt: skip
    url, state = flow.authorization_url()
    callback = aries.approve(url)
    aries.fail(body={"access_token": "foreign-token", "refresh_token": "next", "token_type": "mac"})
    with pytest.raises(TokenRequestError, match="of the type mac") as failed:
        flow.fetch_token(callback, state=state, store=store if with_store else None)
    assert "foreign-token" not in str(failed.value)
    saved = store.load()
    assert (saved is not None and saved.refresh_token == "next") is with_store
