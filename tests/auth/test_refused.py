"""The contract's "get_token(refused=)": a token that another library's call was answered 401 with."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Callable

import pytest

from aries_auth import AriesAuth, ConfigurationError, LoginRequired, Token
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED, in_threads


def ask(auth: AriesAuth, refused: str, *, in_loop: bool) -> str:
    if in_loop:
        return asyncio.run(auth.get_token_async(refused=refused))
    return auth.get_token(refused=refused)


in_both = pytest.mark.parametrize("in_loop", [False, True], ids=["get_token", "get_token_async"])


@in_both
def test_a_refused_token_is_refreshed(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox, in_loop: bool
) -> None:
    old = stored(age=60).access_token
    new = ask(make_auth(), old, in_loop=in_loop)
    assert new != old
    assert aries.refresh_count == 1


def test_one_refresh_serves_all_who_bring_the_same_one(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox
) -> None:
    auth, old = make_auth(), stored(age=60).access_token
    new = set(in_threads(20, lambda: auth.get_token(refused=old)))
    assert len(new) == 1
    assert old not in new
    assert aries.refresh_count == 1


def test_one_refresh_serves_all_tasks_who_bring_the_same_one(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox
) -> None:
    auth, old = make_auth(), stored(age=60).access_token

    async def many() -> list[str]:
        return await asyncio.gather(*(auth.get_token_async(refused=old) for _ in range(20)))

    new = set(asyncio.run(many()))
    assert len(new) == 1
    assert old not in new
    assert aries.refresh_count == 1


@in_both
def test_a_newer_one_is_handed_out_without_a_refresh(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox, in_loop: bool
) -> None:
    token = stored(age=60)
    assert ask(make_auth(), "an-older-one", in_loop=in_loop) == token.access_token
    assert aries.token_requests == ()


@in_both
def test_a_young_one_comes_back(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox, in_loop: bool
) -> None:
    token = stored(age=1)
    assert ask(make_auth(), token.access_token, in_loop=in_loop) == token.access_token
    assert aries.token_requests == ()


@in_both
def test_the_same_one_comes_back_with_a_warning_if_the_refresh_fails(
    make_auth: Callable[..., AriesAuth],
    stored: Callable[..., Token],
    aries: AriesSandbox,
    caplog: pytest.LogCaptureFixture,
    in_loop: bool,
) -> None:
    token = stored(age=60)
    aries.fail(status=503, headers={"Retry-After": "60"})
    with caplog.at_level(logging.WARNING, "aries_auth"):
        assert ask(make_auth(), token.access_token, in_loop=in_loop) == token.access_token
    assert "could not be refreshed" in caplog.text
    assert token.access_token not in caplog.text


@in_both
def test_a_dead_grant_is_login_required(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox, in_loop: bool
) -> None:
    token = stored(age=60)
    aries.revoke_grants()
    with pytest.raises(LoginRequired):
        ask(make_auth(), token.access_token, in_loop=in_loop)


def test_another_clients_token_is_a_configuration_error(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token]
) -> None:
    token = stored(age=60)
    with pytest.raises(ConfigurationError):
        make_auth(client_id="another").get_token(refused=token.access_token)


def test_a_frame_that_an_error_leaves_does_not_show_it(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox
) -> None:
    token = stored(age=60)
    aries.revoke_grants()
    with pytest.raises(LoginRequired) as raised:
        make_auth().get_token(refused=token.access_token)
    shown: list[Any] = []
    traceback = raised.value.__traceback__
    while traceback is not None:
        if (
            "aries_auth" in traceback.tb_frame.f_code.co_filename
            and "tests" not in traceback.tb_frame.f_code.co_filename
        ):
            shown.append(repr(traceback.tb_frame.f_locals))
        traceback = traceback.tb_next
    assert shown
    assert not any(token.access_token in each for each in shown)


def test_refresh_async_refreshes_now(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], aries: AriesSandbox
) -> None:
    old = stored(age=EXPIRED)
    new = asyncio.run(make_auth().refresh_async())
    assert isinstance(new, Token)
    assert new != old
    assert aries.refresh_count == 1
