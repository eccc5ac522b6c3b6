"""The decisions: use, refresh ahead or wait; young or not; newer or not; how long to wait and when to try again."""

from __future__ import annotations

import math
import time
from datetime import datetime, timezone
from email.utils import format_datetime

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from aries_auth import Token
from aries_auth.refresh import policy
from aries_auth.refresh.policy import CachedToken, Use, cache
from aries_auth.token import is_alive, is_refresh_token_alive
from aries_auth.token_endpoint import backoff

NOW = 1_764_000_000.0


def token(lifetime: float | None = 3600.0, *, access_token: str = "t", obtained_at: float | None = NOW) -> Token:
    return Token(access_token, "r", obtained_at=obtained_at, expires_at=None if lifetime is None else NOW + lifetime)


def held(lifetime: float | None = 3600.0, margin: float = 300.0, spread: float = 0.0) -> CachedToken:
    return cache(token(lifetime), now=NOW, refresh_margin=margin, spread=spread)


# Refresh ahead


@pytest.mark.parametrize(
    "lifetime, left, use",
    [
        (3600, 3600, Use.NOW),
        (3600, 300.1, Use.NOW),
        (3600, 300, Use.AHEAD),
        (3600, 10.1, Use.AHEAD),
        (3600, 10, Use.WAIT),
        (3600, 0, Use.WAIT),
        (3600, -5, Use.WAIT),
        (40, 10.1, Use.NOW),
        (40, 10, Use.AHEAD),
        (40, 4.1, Use.AHEAD),
        (40, 4, Use.WAIT),
    ],
)
def test_above_margin_it_is_used_down_to_last_call_refreshed_ahead_and_then_waited_for(
    lifetime: float, left: float, use: Use
) -> None:
    assert held(lifetime).use(NOW + lifetime - left) is use


def test_the_margin_is_spread_by_up_to_ten_percent_downwards() -> None:
    assert [held(3600, 300, spread).fresh_until for spread in (0.0, 0.5, 1.0)] == [NOW + 3300, NOW + 3315, NOW + 3330]


def test_a_token_of_half_a_second_has_windows_in_proportion() -> None:
    own = held(0.5)
    assert (own.fresh_until, own.last_call_at) == (NOW + 0.375, pytest.approx(NOW + 0.45))


def test_a_margin_of_zero_never_refreshes_ahead_and_uses_the_token_to_its_end() -> None:
    own = held(3600, margin=0)
    assert [own.use(NOW + 3600 - left) for left in (5, 0.1, 0)] == [Use.NOW, Use.NOW, Use.WAIT]


def test_expiry_not_known_is_never_refreshed_ahead() -> None:
    own = held(None)
    assert own.use(NOW + 1e9) is Use.NOW
    assert own.is_alive(NOW + 1e9)


def test_obtained_at_unknown_makes_the_margin_refresh_margin_and_last_call_ten_seconds() -> None:
    own = cache(token(20, obtained_at=None), now=NOW, refresh_margin=15, spread=0)
    assert (own.fresh_until, own.last_call_at) == (NOW + 5, NOW + 10)


def test_the_authorization_is_made_once_and_not_shown() -> None:
    for lifetime in (3600, None):
        planted = token(lifetime, access_token="planted")
        own = cache(planted, now=NOW, refresh_margin=300, spread=0)
        assert (own.token, own.authorization) == (planted, "Bearer planted")
        assert "planted" not in repr(own)


def test_the_same_access_token_again_starts_no_refresh_before_half_of_what_is_left_has_passed() -> None:
    own = cache(token(100), now=NOW + 80, refresh_margin=300, spread=0, predecessor=token(100))
    assert own.fresh_until == NOW + 90
    assert own.use(NOW + 89.9) is Use.NOW


def test_a_token_that_comes_inside_its_margin_starts_no_refresh_before_half_of_what_is_left_has_passed() -> None:
    own = cache(token(100), now=NOW + 80, refresh_margin=300, spread=0, predecessor=token(100, access_token="before"))
    assert own.fresh_until == NOW + 90


def test_a_token_that_comes_just_when_its_margin_begins_starts_no_refresh_either() -> None:
    own = cache(token(), now=NOW + 3300, refresh_margin=300, spread=0, predecessor=token(access_token="before"))
    assert own.fresh_until == NOW + 3450


def test_a_new_token_outside_its_margin_keeps_its_margin() -> None:
    own = cache(token(3600), now=NOW, refresh_margin=300, spread=0, predecessor=token(access_token="before"))
    assert own.fresh_until == NOW + 3300


def test_the_first_token_in_memory_is_refreshed_ahead_at_once_where_it_is_inside_its_margin() -> None:
    assert cache(token(100), now=NOW + 80, refresh_margin=300, spread=0).use(NOW + 80) is Use.AHEAD


def test_the_guard_holds_for_refreshes_ahead_alone() -> None:
    own = cache(token(100), now=NOW + 88, refresh_margin=300, spread=0, predecessor=token(100))
    assert own.last_call_at == NOW + 90
    assert own.use(NOW + 90) is Use.WAIT


def test_a_token_that_arrives_already_expired_is_neither_fresh_nor_living() -> None:
    own = cache(token(10), now=NOW + 11, refresh_margin=300, spread=0, predecessor=token(10))
    assert own.use(NOW + 11) is Use.WAIT
    assert not own.is_alive(NOW + 11)


instants = st.floats(0, 4e9)
lifetimes = st.none() | st.floats(-1e4, 1e6)
margins = st.floats(0, 1e5)
spreads = st.floats(0, 1)


@given(instants, lifetimes, instants, margins, spreads, st.sampled_from([None, "t", "other"]), st.booleans())
def test_fresh_until_is_never_after_last_call_and_last_call_never_after_expiry(
    obtained_at: float,
    lifetime: float | None,
    now: float,
    margin: float,
    spread: float,
    before: str | None,
    known: bool,
) -> None:
    expires_at = None if lifetime is None else max(0.0, obtained_at + lifetime)
    own = Token("t", obtained_at=obtained_at if known else None, expires_at=expires_at)
    predecessor = None if before is None else Token(before)
    windows = cache(own, now=now, refresh_margin=margin, spread=spread, predecessor=predecessor)
    assert windows.fresh_until <= windows.last_call_at <= windows.expires_at
    if expires_at is None:
        return
    left_when_stale = expires_at - windows.fresh_until
    assert left_when_stale <= margin + 1e-6
    if known:
        assert left_when_stale <= max(0.0, expires_at - obtained_at) / 4 + 1e-6
    assert expires_at - windows.last_call_at <= 10 + 1e-6


@given(st.floats(1, 1e6), margins, spreads, st.floats(0, 1))
def test_after_the_same_token_again_half_of_what_is_left_passes_without_a_refresh_ahead(
    lifetime: float, margin: float, spread: float, passed: float
) -> None:
    now = NOW + lifetime * passed
    own = cache(token(lifetime), now=now, refresh_margin=margin, spread=spread, predecessor=token(lifetime))
    half = now + (NOW + lifetime - now) / 2
    for instant in (now, now + (half - now) / 2, half - 1e-3):
        assume(now <= instant < half)
        assert own.use(instant) is not Use.AHEAD


# 401


@pytest.mark.parametrize(
    "lifetime, age, young",
    [
        (3600, 0, True),
        (3600, 30, True),
        (3600, 30.1, False),
        (3600, -0.1, False),
        (40, 10, True),
        (40, 10.1, False),
        (0.5, 0.125, True),
        (0.5, 0.2, False),
        (None, 30, True),
        (None, 30.1, False),
    ],
)
def test_a_token_is_young_from_zero_to_thirty_seconds_or_a_quarter_of_its_lifetime(
    lifetime: float | None, age: float, young: bool
) -> None:
    assert policy.is_young(token(lifetime), NOW + age) is young


def test_obtained_at_unknown_makes_no_token_young() -> None:
    assert not policy.is_young(token(3600, obtained_at=None), NOW)


# Newer


def test_a_stored_token_that_differs_is_the_newer_one_whatever_the_clocks_of_two_hosts_say() -> None:
    earlier_clock = Token("other", obtained_at=NOW - 9999, expires_at=NOW + 10)
    assert policy.is_newer(earlier_clock, token(), now=NOW)


def test_a_stored_token_that_is_the_same_is_not_newer() -> None:
    assert not policy.is_newer(token(), token(), now=NOW)


def test_a_stored_token_that_has_expired_while_memorys_lives_is_not_newer() -> None:
    expired = token(-1, access_token="other")
    assert not policy.is_newer(expired, token(), now=NOW)
    assert policy.is_newer(expired, token(-2), now=NOW)


def test_a_token_has_expired_at_the_very_instant() -> None:
    assert is_alive(token(0.1), NOW)
    assert not is_alive(token(0), NOW)
    assert is_alive(token(None), NOW)


@pytest.mark.parametrize(
    "refresh_token, ends_at, lives",
    [("r", None, True), ("r", NOW + 1, True), ("r", NOW, False), (None, None, False), ("", NOW + 1, False)],
)
def test_a_refresh_token_lives_until_its_own_expiry(
    refresh_token: str | None, ends_at: float | None, lives: bool
) -> None:
    assert is_refresh_token_alive(Token("t", refresh_token, refresh_token_expires_at=ends_at), NOW) is lives


# How long to wait


def test_in_last_call_callers_give_up_a_quarter_of_a_second_before_expiry_or_a_quarter_of_what_is_left() -> None:
    assert policy.patience(held(100), now=NOW + 92, timeout=30) == 7.75
    assert policy.patience(held(100), now=NOW + 99.6, timeout=30) == pytest.approx(0.3, abs=1e-3)


def test_a_call_never_waits_longer_than_its_timeout() -> None:
    assert policy.patience(held(100), now=NOW + 92, timeout=2) == 2
    assert policy.patience(None, now=NOW, timeout=3) == 3
    assert policy.patience(held(100), now=NOW + 100, timeout=3) == 3
    assert policy.patience(held(None), now=NOW, timeout=3) == 3


@given(st.floats(0.001, 1e5), st.floats(0, 1e5), st.floats(0, 60))
def test_patience_ends_while_a_living_token_can_still_be_used(lifetime: float, age: float, timeout: float) -> None:
    assume(NOW + age < NOW + lifetime)
    wait = policy.patience(held(lifetime), now=NOW + age, timeout=timeout)
    assert 0 <= wait <= timeout
    assert held(lifetime).is_alive(NOW + age + wait - 1e-6)


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_back_off_is_exponential_jittered_and_bounded(attempt: int, chance: float) -> None:
    assert 0.25 <= backoff.back_off(attempt, chance) <= 8
    assert 0.5 <= policy.ahead_back_off(attempt, chance) <= 60
    assert backoff.back_off(attempt, 1.0) <= backoff.back_off(attempt + 1, 1.0)


def test_back_off_doubles_and_is_at_least_half_of_itself() -> None:
    assert [backoff.back_off(n, 1.0) for n in range(6)] == [0.5, 1, 2, 4, 8, 8]
    assert backoff.back_off(2, 0.0) == 1
    assert [policy.ahead_back_off(n, 1.0) for n in (0, 1, 5, 6, 50)] == [1, 2, 32, 60, 60]


@given(st.floats(1, 1e5), st.floats(0, 1))
def test_the_store_is_looked_at_again_shortly(lifetime: float, passed: float) -> None:
    assert 0.05 <= policy.look_again(held(lifetime), NOW + lifetime * passed) <= 1


def test_the_store_is_looked_at_four_times_before_last_call() -> None:
    assert [policy.look_again(held(3600), NOW + 3590 - left) for left in (60, 4, 2, 0.1, -5)] == [1, 1, 0.5, 0.05, 0.05]


# Retry-After


@pytest.mark.parametrize(
    "value, seconds",
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("0000000000000120", 120),
        ("9" * 500, 1e9),
        (format_datetime(datetime.fromtimestamp(NOW + 90, timezone.utc), usegmt=True), 90),
        (format_datetime(datetime.fromtimestamp(NOW - 90, timezone.utc), usegmt=True), 0),
        (format_datetime(datetime.fromtimestamp(NOW + 90, timezone.utc)), 90),
        ("Mon, 24 Nov 2025 16:01:30 -0000", 90),
        ("Mon, 24 Nov 2025 16:01:30", 90),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 1e9),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    set_zone = getattr(time, "tzset", lambda: None)  # Windows stays in its own
    monkeypatch.setenv("TZ", "America/New_York")
    set_zone()
    try:
        assert backoff.retry_after(value, NOW) == pytest.approx(seconds)
    finally:
        monkeypatch.undo()
        set_zone()


@pytest.mark.parametrize("value", [None, "", " ", "soon", "-5", "1.5", "١٢", "0x10", "Mon, 99 Foo 2025", "1e3", "+5"])
def test_a_retry_after_that_says_nothing_is_none(value: str | None) -> None:
    assert backoff.retry_after(value, NOW) is None


dates = st.datetimes(timezones=st.just(timezone.utc)).map(lambda at: format_datetime(at, usegmt=True))
oddities = st.text("0123456789 :,+-GMTDecMonFri/.", max_size=40)


@given(st.text() | dates | oddities | st.integers().map(str), instants)
@example("Mon, 24 Nov 0000 16:01:30 GMT", NOW)
@example("1 Jan 2025 00:00:00 +9999999", NOW)
@example("Mon, 24 Nov 2025 16:01:30 -9959", NOW)
def test_any_retry_after_is_none_or_a_bounded_wait(value: str, now: float) -> None:
    wait = backoff.retry_after(value, now)
    assert wait is None or 0 <= wait <= 1e9
    assert wait is None or math.isfinite(wait)
