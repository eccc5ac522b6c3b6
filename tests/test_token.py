"""Token and Secret: values, with no I/O and no clock."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aries_auth import ConfigurationError, StoreError, Token, TokenRequestError
from aries_auth.token import Secret
from tests.leaks import assert_no_secret

ACCESS, REFRESH = "ACCESS-planted-1", "REFRESH-planted-2"
NOW = 1_764_000_000.0
LONGEST = 10 * 366 * 86400


def full() -> Token:
    return Token(
        access_token=ACCESS,
        refresh_token=REFRESH,
        scope="user:information",
        expires_at=NOW + 3600,
        refresh_token_expires_at=NOW + 2_592_000,
        obtained_at=NOW,
        client_id="client",
        redirect_uri="http://localhost:8000/callback",
        extra={"region": "us"},
    )


# The value


def test_token_is_a_frozen_dataclass_with_the_fields_of_the_design_in_their_order() -> None:
    assert [field.name for field in dataclasses.fields(Token)] == [
        "access_token",
        "refresh_token",
        "token_type",
        "scope",
        "expires_at",
        "refresh_token_expires_at",
        "obtained_at",
        "client_id",
        "redirect_uri",
        "extra",
        "token_url",
    ]
    token = Token("t")
    assert dataclasses.astuple(token) == ("t", None, "Bearer", None, None, None, None, None, None, {}, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        token.scope = "x"  # type: ignore[misc]


def test_repr_hides_both_tokens_and_extra() -> None:
    assert_no_secret(full(), ACCESS, REFRESH, "region")
    assert "client" in repr(full())
    assert str(NOW + 3600) in repr(full())


def test_extra_is_not_compared() -> None:
    other = dataclasses.replace(full(), extra={"region": "eu"})
    assert other == full()
    assert hash(other) == hash(full())
    assert dataclasses.replace(full(), refresh_token="other") != full()


def test_extra_is_a_copy_of_what_was_given() -> None:
    given_extra = {"a": 1}
    token = Token("t", extra=given_extra)
    given_extra["b"] = 2
    assert token.extra == {"a": 1}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_token_pickles_with_all_its_fields(protocol: int) -> None:
    there = pickle.loads(pickle.dumps(full(), protocol))
    assert (there, there.extra) == (full(), {"region": "us"})


def test_a_token_copies_deeply() -> None:
    token = Token("t", extra={"list": [1]})
    there = copy.deepcopy(token)
    there.extra["list"].append(2)
    assert (there, token.extra) == (token, {"list": [1]})


@pytest.mark.parametrize(
    "fields",
    [
        {"access_token": ""},
        {"access_token": None},
        {"access_token": b"bytes"},
        {"access_token": f"{ACCESS}\r\nX-Evil: 1"},
        {"access_token": f"{ACCESS} x"},
        {"access_token": f"{ACCESS}\u00e9"},
        {"access_token": f"{ACCESS}\n"},
        {"refresh_token": 5},
        {"refresh_token": f"{REFRESH}\ud800"},
        {"token_type": 1},
        {"scope": ["a"]},
        {"client_id": b"c"},
        {"redirect_uri": object()},
        {"expires_at": "soon"},
        {"expires_at": math.nan},
        {"expires_at": math.inf},
        {"obtained_at": -1},
        {"refresh_token_expires_at": True},
    ],
)
def test_a_token_that_cannot_be_used_is_refused_and_not_shown(fields: dict[str, Any]) -> None:
    values: dict[str, Any] = {"access_token": ACCESS, "refresh_token": REFRESH, **fields}
    with pytest.raises(ConfigurationError, match=next(iter(fields))) as caught:
        Token(**values)
    assert_no_secret(caught.value, ACCESS, REFRESH)


def test_a_wrong_extra_shows_no_token() -> None:
    with pytest.raises(TypeError) as caught:
        Token(ACCESS, REFRESH, extra=5)  # type: ignore[arg-type]
    assert_no_secret(caught.value, ACCESS, REFRESH)


# From an answer


def answered(previous: Token | None = None, **answer: Any) -> Token:
    return Token.from_response(
        {"access_token": "new", **answer}, now=NOW, previous=previous, client_id="c", redirect_uri="http://localhost/"
    )


def test_no_field_but_access_token_is_taken_for_granted() -> None:
    token = Token.from_response({"access_token": "a"}, now=NOW)
    assert token == Token("a", obtained_at=NOW)


def test_the_documented_answer_becomes_a_token() -> None:
    answer = {
        "access_token": "a",
        "refresh_token": "r",
        "token_type": "Bearer",
        "expires_in": 3600,
        "refresh_token_expires_in": 2592000,
        "scope": "user:information",
    }
    token = Token.from_response(answer, now=NOW, client_id="c", redirect_uri="u")
    assert token == Token("a", "r", "Bearer", "user:information", NOW + 3600, NOW + 2592000, NOW, "c", "u")


@pytest.mark.parametrize("carried", [{}, {"refresh_token": None}, {"refresh_token": ""}, {"refresh_token": 7}])
def test_the_old_refresh_token_and_its_expiry_are_kept_where_the_answer_carries_none(carried: dict[str, Any]) -> None:
    token = answered(full(), **carried)
    assert (token.refresh_token, token.refresh_token_expires_at) == (REFRESH, NOW + 2_592_000)


def test_half_a_surrogate_pair_is_no_refresh_token() -> None:
    assert answered(full(), refresh_token="\ud800").refresh_token == REFRESH
    assert answered(refresh_token="\ud800", scope="\udfff", token_type="\ud800") == answered()


def test_a_new_refresh_token_does_not_inherit_the_old_ones_expiry() -> None:
    assert answered(full(), refresh_token="other").refresh_token_expires_at is None


def test_the_same_refresh_token_again_keeps_its_expiry_or_gets_the_new_one() -> None:
    assert answered(full(), refresh_token=REFRESH).refresh_token_expires_at == NOW + 2_592_000
    again = answered(full(), refresh_token=REFRESH, refresh_token_expires_in=60)
    assert again.refresh_token_expires_at == NOW + 60


def test_scope_and_unknown_keys_are_carried_forward() -> None:
    token = answered(full())
    assert (token.scope, token.extra) == ("user:information", {"region": "us"})
    assert answered(full(), scope="order:execution").scope == "order:execution"


def test_an_answer_adds_no_unknown_keys_to_the_file() -> None:
    assert answered(id_token="x").extra == {}


@pytest.mark.parametrize("lifetime", [3600, 3600.0, "3600", " 3600 ", "3.6e3"])
def test_expires_in_as_numeric_text_is_usable(lifetime: Any) -> None:
    token = answered(expires_in=lifetime, refresh_token_expires_in=lifetime)
    assert token.expires_at == token.refresh_token_expires_at == NOW + 3600


@pytest.mark.parametrize(
    "lifetime",
    [
        0,
        -1,
        "-5",
        math.nan,
        math.inf,
        -math.inf,
        "nan",
        "inf",
        "",
        "soon",
        "0x10",
        None,
        True,
        False,
        [3600],
        {},
        10**400,
        LONGEST + 1,
        str(LONGEST + 1),
        "9" * 1000,
        1e300,
    ],
)
def test_zero_negative_nan_infinite_absurd_or_no_number_is_a_lifetime_not_known(lifetime: Any) -> None:
    token = answered(expires_in=lifetime, refresh_token_expires_in=lifetime)
    assert (token.expires_at, token.refresh_token_expires_at) == (None, None)


def test_ten_years_is_not_absurd() -> None:
    assert answered(expires_in=LONGEST).expires_at == NOW + LONGEST


@pytest.mark.parametrize("now, obtained_at", [(-3600.0, None), (math.nan, None), (0.0, 0.0)])
def test_a_clock_that_stands_before_1970_loses_no_grant(now: float, obtained_at: float | None) -> None:
    token = Token.from_response({"access_token": "a", "refresh_token": "r", "expires_in": 60}, now=now)
    assert (token.refresh_token, token.obtained_at) == ("r", obtained_at)
    assert Token.from_dict(token.to_dict()) == token


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "text",
        {},
        {"access_token": None},
        {"access_token": ""},
        {"access_token": 5},
        {"access_token": [ACCESS]},
        {"access_token": f"{ACCESS}\r\nX: y"},
        {"access_token": f"{ACCESS}\x00"},
        {"access_token": f"{ACCESS} "},
        {"access_token": f"{ACCESS}\u2603"},
        {"access_token": f"{ACCESS}\ud800"},
    ],
)
def test_an_answer_without_a_usable_access_token_is_a_token_request_error_that_shows_nothing(answer: Any) -> None:
    if isinstance(answer, dict):
        answer = {**answer, "refresh_token": REFRESH}
    with pytest.raises(TokenRequestError, match=r"answer of .* can't be used") as caught:
        Token.from_response(answer, now=NOW, previous=full())
    assert_no_secret(caught.value, ACCESS, REFRESH)
    assert caught.value.retryable is False


# The stored document


def test_the_document_has_version_first_the_keys_in_the_designs_order_then_the_unknown_as_they_are() -> None:
    document = full().to_dict()
    assert list(document) == [
        "version",
        "client_id",
        "redirect_uri",
        "token_url",
        "access_token",
        "refresh_token",
        "token_type",
        "scope",
        "obtained_at",
        "expires_at",
        "refresh_token_expires_at",
        "region",
    ]
    assert document["version"] == 1


def test_absent_values_are_written_as_null() -> None:
    assert json.loads(json.dumps(Token("t").to_dict())) == {
        "version": 1,
        "client_id": None,
        "redirect_uri": None,
        "token_url": None,
        "access_token": "t",
        "refresh_token": None,
        "token_type": "Bearer",
        "scope": None,
        "obtained_at": None,
        "expires_at": None,
        "refresh_token_expires_at": None,
    }


def test_to_dict_has_version_and_from_dict_does_without() -> None:
    document = full().to_dict()
    assert document.pop("version") == 1
    assert Token.from_dict(document) == full()


def test_an_unknown_key_cannot_stand_in_for_a_known_one() -> None:
    assert Token("t", extra={"access_token": "x", "version": 9}).to_dict()["access_token"] == "t"
    assert Token("t", extra={"version": 9}).to_dict()["version"] == 1


def test_times_of_a_document_are_floats() -> None:
    token = Token.from_dict({"access_token": "t", "expires_at": 1764003600, "obtained_at": 1764000000})
    assert (type(token.expires_at), type(token.obtained_at)) == (float, float)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 99},
        {"version": 0},
        {"version": "1"},
        {"version": True},
        {"version": None},
        {"access_token": None},
        {"access_token": ""},
        {"access_token": 1},
        {"access_token": f"{ACCESS}\n"},
        {"refresh_token": 1},
        {"refresh_token": [REFRESH]},
        {"refresh_token": f"{REFRESH}\udc00"},
        {"token_type": {}},
        {"scope": ["a"]},
        {"client_id": 12},
        {"redirect_uri": False},
        *(
            {name: bad}
            for name in ("expires_at", "obtained_at", "refresh_token_expires_at")
            for bad in (-1, "1", math.nan)
        ),
        {"expires_at": math.inf},
        {"expires_at": 10**400},
        {"expires_at": True},
        {"expires_at": [1]},
    ],
)
def test_a_document_that_cannot_be_used_is_a_store_error_that_shows_nothing(change: dict[str, Any]) -> None:
    document = {**full().to_dict(), **change}
    with pytest.raises(StoreError, match=next(iter(change))) as caught:
        Token.from_dict(document)
    assert_no_secret(caught.value, ACCESS, REFRESH)


@pytest.mark.parametrize("document", [None, [], "x", 5])
def test_a_document_that_is_no_object_is_a_store_error(document: Any) -> None:
    with pytest.raises(StoreError, match="not a JSON object"):
        Token.from_dict(document)


# Any input

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
lifetimes = json_values | st.integers(-10, 10_000) | st.integers(0, 10**12).map(str) | st.floats()
answers = st.fixed_dictionaries(
    {},
    optional={
        "access_token": st.text("abc.-_~+/= \n\x7fé", max_size=6) | json_values,
        "refresh_token": st.text(max_size=5) | json_values,
        "token_type": json_values,
        "scope": json_values,
        "expires_in": lifetimes,
        "refresh_token_expires_in": lifetimes,
        "other": json_values,
    },
)


@given(answers, st.floats(allow_nan=True), st.booleans())
def test_any_answer_is_a_token_that_can_be_stored_or_a_token_request_error(
    answer: dict[str, Any], now: float, is_refresh: bool
) -> None:
    previous = full() if is_refresh else None
    try:
        token = Token.from_response(answer, now=now, previous=previous, client_id="c", redirect_uri="u")
    except TokenRequestError:
        access_token = answer.get("access_token")
        header_safe = isinstance(access_token, str) and access_token.isascii() and access_token.isprintable()
        assert not header_safe or " " in access_token or not access_token
        return
    assert token.access_token == answer["access_token"]
    assert token.access_token.encode("ascii").strip()
    assert token.obtained_at is None or token.obtained_at >= 0
    assert token.expires_at is None or math.isfinite(token.expires_at)
    assert token.refresh_token or previous is None
    document = json.dumps(token.to_dict(), allow_nan=False)
    assert Token.from_dict(json.loads(document)) == token


documents = st.fixed_dictionaries(
    {"access_token": st.just("t") | json_values},
    optional={
        **{name: st.text(max_size=4) | json_values for name in ("client_id", "redirect_uri", "refresh_token", "scope")},
        **{
            name: st.floats(0, 1e12) | json_values for name in ("obtained_at", "expires_at", "refresh_token_expires_at")
        },
        "version": st.just(1) | json_values,
        "unknown": json_values,
    },
)


@given(documents)
def test_any_document_is_a_token_that_keeps_its_unknown_keys_or_a_store_error(document: dict[str, Any]) -> None:
    try:
        token = Token.from_dict(document)
    except StoreError:
        return
    assert token.extra == {name: value for name, value in document.items() if name == "unknown"}
    assert Token.from_dict(token.to_dict()) == token
    assert {name for name in document if name != "version"} <= set(token.to_dict())


# Secret


def test_a_secret_is_not_shown() -> None:
    secret = Secret("planted")
    assert_no_secret(secret, "planted")
    assert_no_secret(f"{secret} {secret!r} {[secret]}", "planted")
    assert not hasattr(secret, "__dict__")
    assert secret.reveal() == "planted"


def test_secrets_are_equal_where_their_texts_are() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


def test_a_secret_with_half_a_surrogate_pair_compares() -> None:
    assert Secret("\ud800") != Secret("a")
    assert Secret("\ud800") == Secret("\ud800")


def test_a_secret_travels() -> None:
    assert pickle.loads(pickle.dumps(Secret("a"))) == copy.deepcopy(Secret("a")) == Secret("a")
