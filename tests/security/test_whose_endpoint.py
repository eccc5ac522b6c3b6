"""A grant goes to no other token endpoint than the one that it came from (docs/architecture.md, "Whose endpoint")."""

from __future__ import annotations

from typing import Callable

import pytest
import requests

from aries_auth import AriesAuth, ConfigurationError, FileTokenStore, Token
from aries_auth.settings.urls import same_endpoint
from aries_auth.testing import AriesSandbox
from tests.conftest import EXPIRED, IN_MARGIN

ARIES = "https://api.aries.com/v1/oauth2/token"
MakeAuth = Callable[..., AriesAuth]


def keep(store: FileTokenStore, aries: AriesSandbox, age: float, token_url: str | None = ARIES) -> Token:
    token = replace_url(aries.issue_token(age=age), token_url)
    store.save(token)
    return token


def replace_url(token: Token, token_url: str | None) -> Token:
    return Token.from_dict({**token.to_dict(), "token_url": token_url})


@pytest.mark.parametrize("way", ["a call", "refresh()", "after a 401"])
def test_a_shell_that_still_has_the_sandboxs_variables_sends_no_real_refresh_token_to_it(
    make_auth: MakeAuth, store: FileTokenStore, aries: AriesSandbox, url: str, way: str
) -> None:
    kept = keep(store, aries, 60.0 if way == "after a 401" else EXPIRED)
    auth = make_auth()
    aries.revoke_access_tokens()
    act = auth.refresh if way == "refresh()" else lambda: requests.get(url, auth=auth, timeout=10)
    with pytest.raises(ConfigurationError) as raised:
        act()
    assert ARIES in str(raised.value)
    assert aries.token_url in str(raised.value)
    assert aries.token_requests == ()
    assert store.load() == kept


def test_a_living_token_serves_on(make_auth: MakeAuth, store: FileTokenStore, aries: AriesSandbox, url: str) -> None:
    keep(store, aries, IN_MARGIN)
    auth = make_auth()
    assert requests.get(url, auth=auth, timeout=10).status_code == 200
    assert auth.wait(10)
    assert aries.token_requests == ()


def test_an_endpoint_that_is_not_known_is_filled_in_by_the_next_refresh(
    make_auth: MakeAuth, store: FileTokenStore, aries: AriesSandbox
) -> None:
    keep(store, aries, EXPIRED, token_url=None)
    make_auth().get_token()
    saved = store.load()
    assert saved is not None
    assert saved.token_url == aries.token_url


@pytest.mark.parametrize(
    "other, same",
    [
        ("HTTPS://API.Aries.com:443/v1/oauth2/token", True),
        ("https://api.aries.com/v1/oauth2/token/", False),
        ("https://api.aries.com:8443/v1/oauth2/token", False),
        ("https://api.aries.com/V1/oauth2/token", False),
        ("http://api.aries.com/v1/oauth2/token", False),
        ("https://[", False),
    ],
)
def test_scheme_and_host_compare_without_case_and_a_default_port_says_nothing(other: str, same: bool) -> None:
    assert same_endpoint(ARIES, other) is same
