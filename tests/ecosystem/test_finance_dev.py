"""Aries' own SDK, the real package, with an AriesAuth in its clients and its websockets."""

from __future__ import annotations

import asyncio
import importlib.util
from contextlib import suppress
from typing import Any, Iterator

import httpx
import pytest

from aries_auth import AriesAuth, FileTokenStore, LoginRequired
from aries_auth.testing import AriesSandbox, fingerprint
from tests.conftest import EXPIRED, in_threads, wait_until
from tests.inside import store_of

pytest.importorskip("finance_dev", reason="needs finance-dev (Python 3.10 and later)")
# The SDK imports its models when they are first looked at. freezegun looks at everything, and they would be made with
# its datetime for good: pydantic then refuses every instant in any later test.
if importlib.util.find_spec("freezegun") is not None:
    import freezegun

    freezegun.configure(extend_ignore_list=["finance_dev"])

from finance_dev import FinanceDev, errors, models
from finance_dev.websocket.auth import AsyncCallbackTokenProvider
from finance_dev.websocket.config import WebSocketConfig
from finance_dev.websocket.errors import AriesWebSocketError, WebSocketAuthenticationError, WebSocketConnectionError
from finance_dev.websocket.models import MarketSubscription

# Of the SDK's own imports, on Python 3.12 and 3.13.
pytestmark = [pytest.mark.ci, pytest.mark.filterwarnings(r"ignore:ast\.\w+ is deprecated:DeprecationWarning")]

ACCOUNT = "SANDBOX-1"
ORDER: dict[str, Any] = {
    "symbol": "AAPL",
    "qty": "10",
    "side": "BUY",
    "type": "LIMIT",
    "price": "185.00",
    "time_in_force": "DAY",
    "trading_account_id": ACCOUNT,
}


@pytest.fixture
def sdk(aries_sandbox: AriesSandbox, aries_client_auth: AriesAuth) -> Iterator[FinanceDev]:
    with httpx.Client(auth=aries_client_auth) as client:
        yield FinanceDev(client=client, server_url=aries_sandbox.api_url)


def expired(aries: AriesSandbox, auth: AriesAuth) -> AriesAuth:
    """The same auth with a token that has just expired; its refresh token lives."""
    store = store_of(auth)
    assert isinstance(store, FileTokenStore)
    store.save(aries.issue_token(age=EXPIRED))
    return auth


def ws(aries: AriesSandbox, market: str = "market") -> str:
    return f"{aries.url.replace('http', 'ws', 1)}/v1/{market}/ws"


def shown_tokens(aries: AriesSandbox) -> list[str | None]:
    return [request.fingerprint for request in aries.api_requests if request.method == "AUTH"]


def test_accounts_and_balances_parse(sdk: FinanceDev) -> None:
    answer = sdk.accounts.get_user_accounts().get_accounts_response
    assert answer is not None
    (account,) = answer.accounts
    assert (account.trading_account_id, account.status) == (ACCOUNT, models.AccountItemStatus.OPEN)
    balance = sdk.accounts.get_account_balance(id=ACCOUNT).account_balance_v2
    assert balance is not None
    assert (balance.account_id, balance.cash_balance) == (ACCOUNT, "82750.00")
    positions = sdk.accounts.get_account_positions(id=ACCOUNT).get_positions_response
    assert positions is not None
    assert [position.symbol for position in positions.positions or []] == ["AAPL"]


def test_an_order_is_placed_and_listed(sdk: FinanceDev, aries_sandbox: AriesSandbox) -> None:
    placed = sdk.orders.place_order(request=ORDER).ord_response
    assert placed is not None
    assert (placed.success, placed.symbol, placed.qty) == (True, "AAPL", "10")
    listed = sdk.orders.list_active_orders(id=ACCOUNT).get_orders_v2_response
    assert listed is not None
    (order,) = listed.orders or []
    assert (order.cl_ord_id, order.price, order.side) == (placed.cl_ord_id, "185.00", models.OrderSideEnum.BUY)
    assert len(aries_sandbox.orders) == 1


def test_orders_come_in_pages(sdk: FinanceDev) -> None:
    for _ in range(3):
        sdk.orders.place_order(request=ORDER)
    page = sdk.orders.list_active_orders(id=ACCOUNT, limit=2)
    second = page.next()
    assert page.get_orders_v2_response is not None
    assert second is not None
    assert second.get_orders_v2_response is not None
    assert len(page.get_orders_v2_response.orders or []) == 2
    assert len(second.get_orders_v2_response.orders or []) == 1


def test_search_finds_symbols(sdk: FinanceDev) -> None:
    found = sdk.market.search_market_symbols(query="apple").search_symbol_response
    assert [item.symbol for item in found or []] == ["AAPL"]


def test_a_403_and_a_404_are_the_sdks_own_errors(sdk: FinanceDev, aries_sandbox: AriesSandbox) -> None:
    with pytest.raises(errors.NotFound):
        sdk.accounts.get_account_balance(id="SOMEBODY-ELSE")
    aries_sandbox.fail("api", status=403, body={"error": "no", "codes": [], "metadata": {}})
    with pytest.raises(errors.Forbidden):
        sdk.accounts.get_user_accounts()


def test_an_expired_token_is_refreshed_without_the_sdk_knowing(
    sdk: FinanceDev, aries_sandbox: AriesSandbox, aries_client_auth: AriesAuth
) -> None:
    expired(aries_sandbox, aries_client_auth)
    assert sdk.accounts.get_user_accounts().get_accounts_response is not None
    assert aries_sandbox.refresh_count == 1


def test_a_401_is_met_with_a_refresh_and_one_resend(aries_sandbox: AriesSandbox, aries_client_auth: AriesAuth) -> None:
    store = store_of(aries_client_auth)
    assert isinstance(store, FileTokenStore)
    store.save(aries_sandbox.issue_token(age=600))
    aries_sandbox.revoke_access_tokens()
    with httpx.Client(auth=aries_client_auth) as client:
        placed = FinanceDev(client=client, server_url=aries_sandbox.api_url).orders.place_order(request=ORDER)
    assert placed.ord_response is not None
    assert [request.status for request in aries_sandbox.api_requests] == [401, 200]
    assert (aries_sandbox.refresh_count, len(aries_sandbox.orders)) == (1, 1)


def test_a_lost_grant_comes_out_of_the_sdk_as_login_required(
    sdk: FinanceDev, aries_sandbox: AriesSandbox, aries_client_auth: AriesAuth
) -> None:
    expired(aries_sandbox, aries_client_auth)
    aries_sandbox.revoke_grants()
    with pytest.raises(LoginRequired):
        sdk.accounts.get_user_accounts()


def test_the_async_client_does_the_same(aries_sandbox: AriesSandbox, aries_client_auth: AriesAuth) -> None:
    expired(aries_sandbox, aries_client_auth)

    async def main() -> Any:
        async with httpx.AsyncClient(auth=aries_client_auth) as client:
            sdk = FinanceDev(async_client=client, server_url=aries_sandbox.api_url)
            calls = [sdk.accounts.get_user_accounts_async() for _ in range(10)]
            answers = await asyncio.gather(*calls)
            await sdk.orders.place_order_async(request=ORDER)
            return answers

    answers = asyncio.run(main())
    assert all(answer.get_accounts_response is not None for answer in answers)
    assert aries_sandbox.refresh_count == 1


@pytest.fixture
def refused(aries_sandbox: AriesSandbox, aries_client_auth: AriesAuth) -> AriesAuth:
    """The same auth with a token that is old enough and refused; half of the refusals come after the refresh."""
    store = store_of(aries_client_auth)
    assert isinstance(store, FileTokenStore)
    store.save(aries_sandbox.issue_token(age=600))
    aries_client_auth.get_token()
    aries_sandbox.revoke_access_tokens()
    aries_sandbox.fail("api", status=401, delay=0.3, times=10)
    return aries_client_auth


def test_20_threads_that_are_refused_at_once_make_one_refresh(aries_sandbox: AriesSandbox, refused: AriesAuth) -> None:
    with httpx.Client(auth=refused) as client:
        sdk = FinanceDev(client=client, server_url=aries_sandbox.api_url)
        sdk.accounts  # noqa: B018 - the SDK makes it when it is first looked at, and not for threads
        answers = in_threads(20, sdk.accounts.get_user_accounts)
    assert [answer.get_accounts_response is not None for answer in answers] == [True] * 20
    assert aries_sandbox.refresh_count == len(aries_sandbox.token_requests) == 1


def test_20_tasks_that_are_refused_at_once_make_one_refresh(aries_sandbox: AriesSandbox, refused: AriesAuth) -> None:
    async def main() -> Any:
        async with httpx.AsyncClient(auth=refused) as client:
            sdk = FinanceDev(async_client=client, server_url=aries_sandbox.api_url)
            return await asyncio.gather(*(sdk.accounts.get_user_accounts_async() for _ in range(20)))

    assert all(answer.get_accounts_response is not None for answer in asyncio.run(main()))
    assert aries_sandbox.refresh_count == len(aries_sandbox.token_requests) == 1


# Websockets


def test_an_auth_is_a_token_provider_as_it_stands(aries_sandbox: AriesSandbox, aries_client_auth: AriesAuth) -> None:
    expired(aries_sandbox, aries_client_auth)
    stream = FinanceDev().websocket.market.connect(token_provider=aries_client_auth, url=ws(aries_sandbox))
    with stream:
        stream.subscribe([MarketSubscription(symbol="AAPL", quote_fields="*")])
        event = next(item for item in stream if item.get("type") == "event")
        assert event["payload"]["symbol"] == "AAPL"
    assert shown_tokens(aries_sandbox) == [fingerprint(aries_client_auth.get_token())]
    assert aries_sandbox.refresh_count == 1


def test_the_accounts_websocket_takes_it_too(aries_sandbox: AriesSandbox, aries_client_auth: AriesAuth) -> None:
    stream = FinanceDev().websocket.account.connect(token_provider=aries_client_auth, url=ws(aries_sandbox, "accounts"))
    with stream:
        stream.subscribe_account(ACCOUNT)
        assert next(stream)["payload"]["data"]["account"]["accountId"] == ACCOUNT


def test_the_async_websocket_gets_its_token_without_blocking_the_loop(
    aries_sandbox: AriesSandbox, aries_client_auth: AriesAuth
) -> None:
    expired(aries_sandbox, aries_client_auth)
    aries_sandbox.fail(delay=0.5)
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    async def main() -> Any:
        heart = asyncio.ensure_future(beat())
        provider = AsyncCallbackTokenProvider(aries_client_auth.get_token_async)
        stream = FinanceDev().websocket.market.connect_async(token_provider=provider, url=ws(aries_sandbox))
        async with stream:
            await stream.subscribe([MarketSubscription(symbol="MSFT", quote_fields="*")])
            async for item in stream:
                if item.type == "event":
                    break
        heart.cancel()
        with suppress(asyncio.CancelledError):
            await heart
        return item

    assert asyncio.run(main()).payload["symbol"] == "MSFT"
    assert beats > 20
    assert shown_tokens(aries_sandbox) == [fingerprint(aries_client_auth.get_token())]


def test_the_async_websocket_takes_the_auth_itself_too(
    aries_sandbox: AriesSandbox, aries_client_auth: AriesAuth
) -> None:
    async def main() -> str:
        stream = FinanceDev().websocket.chart.connect_async(
            token_provider=aries_client_auth, url=ws(aries_sandbox, "charts")
        )
        async with stream:
            return str(stream.state)

    assert asyncio.run(main()) == "READY"


def test_a_stream_outlives_its_token(aries_sandbox: AriesSandbox, aries_client_auth: AriesAuth) -> None:
    aries_sandbox.rules.access_token_lifetime = 3.0  # so that some of it is left on a busy machine, too
    store = store_of(aries_client_auth)
    assert isinstance(store, FileTokenStore)
    store.save(aries_sandbox.issue_token())
    config = WebSocketConfig(reconnect_initial_delay=0.05, reconnect_max_delay=0.1)
    stream = FinanceDev().websocket.market.connect(
        token_provider=aries_client_auth, url=ws(aries_sandbox), config=config
    )
    with stream:
        stream.subscribe([MarketSubscription(symbol="AAPL", quote_fields="*")])
        wait_until(lambda: len(set(shown_tokens(aries_sandbox))) >= 3, timeout=60)
        wait_until(lambda: stream.state == "READY", timeout=60)
    assert aries_sandbox.reused_refresh_tokens == 0


def test_what_keeps_a_token_away_is_the_cause_of_the_sdks_error(
    aries_sandbox: AriesSandbox, aries_client_auth: AriesAuth
) -> None:
    expired(aries_sandbox, aries_client_auth)
    aries_sandbox.revoke_grants()
    with pytest.raises(WebSocketConnectionError) as caught:
        FinanceDev().websocket.market.connect(token_provider=aries_client_auth, url=ws(aries_sandbox)).connect()
    assert isinstance(caught.value.__cause__, LoginRequired)


def test_a_token_that_the_websocket_refuses_is_replaced_by_hand(
    aries_sandbox: AriesSandbox, aries_client_auth: AriesAuth
) -> None:
    aries_client_auth.get_token()
    aries_sandbox.revoke_access_tokens()
    market = FinanceDev().websocket.market
    with pytest.raises(WebSocketAuthenticationError):
        market.connect(token_provider=aries_client_auth, url=ws(aries_sandbox)).connect()
    aries_client_auth.refresh()
    with market.connect(token_provider=aries_client_auth, url=ws(aries_sandbox)) as stream:
        assert stream.state == "READY"


def test_the_sdks_errors_show_no_token(aries_sandbox: AriesSandbox, aries_client_auth: AriesAuth) -> None:
    token = aries_client_auth.get_token()
    aries_sandbox.revoke_access_tokens()
    with pytest.raises(AriesWebSocketError) as caught:
        FinanceDev().websocket.market.connect(token_provider=aries_client_auth, url=ws(aries_sandbox)).connect()
    assert token not in repr(caught.value)
