"""The exceptions, what they carry across processes, and foreign text made fit for a message."""

from __future__ import annotations

import copy
import logging
import multiprocessing
import pickle
import string
import sys
from typing import Any, Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import aries_auth
from aries_auth.errors import (
    AriesAuthError,
    AuthorizationError,
    ConfigurationError,
    InsecureTransportError,
    LockTimeout,
    LoginRequired,
    StoreError,
    TokenRequestError,
    printable,
)
from tests.leaks import assert_no_secret

EVERY_ERROR = [
    AriesAuthError("a"),
    ConfigurationError("b"),
    InsecureTransportError("c"),
    StoreError("d"),
    LockTimeout("e"),
    LoginRequired("f"),
    AuthorizationError("g", error="access_denied", error_description="no"),
    TokenRequestError(
        "h", status_code=429, error="slow_down", error_description="later", request_id="req-1", retryable=True
    ),
]


def test_all_errors_derive_from_aries_auth_error() -> None:
    named = [getattr(aries_auth, name) for name in aries_auth.__all__]
    classes = [cls for cls in named if isinstance(cls, type) and issubclass(cls, BaseException)]
    assert len(classes) == len(EVERY_ERROR)
    assert all(issubclass(cls, AriesAuthError) for cls in classes)
    assert {type(error) for error in EVERY_ERROR} == set(classes)


def test_a_lock_timeout_is_a_store_error() -> None:
    assert issubclass(LockTimeout, StoreError)


def test_a_token_request_error_has_its_five_attributes_with_defaults() -> None:
    error = TokenRequestError("it failed")
    assert (error.status_code, error.error, error.error_description, error.request_id) == (None,) * 4
    assert error.retryable is False
    assert str(error) == "it failed"


def test_an_authorization_error_has_error_and_error_description() -> None:
    error = AuthorizationError("denied", error="access_denied", error_description="no")
    assert (error.error, error.error_description) == ("access_denied", "no")
    assert (AuthorizationError("x").error, AuthorizationError("x").error_description) == (None, None)


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "travel",
    [
        copy.copy,
        copy.deepcopy,
        *(lambda e, p=protocol: pickle.loads(pickle.dumps(e, p)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)),
    ],
)
def test_every_error_keeps_its_text_and_fields_where_it_is_pickled_or_copied(
    error: AriesAuthError, travel: Callable[[Any], Any]
) -> None:
    there = travel(error)
    assert type(there) is type(error)
    assert (str(there), vars(there)) == (str(error), vars(error))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes came with Python 3.11")
def test_an_error_with_a_note_pickles_too() -> None:
    error = TokenRequestError("h", status_code=500, retryable=True)
    error.add_note("seen by pytest")
    there = pickle.loads(pickle.dumps(error))
    assert (there.__notes__, there.status_code) == (["seen by pytest"], 500)


def _fail() -> None:
    raise TokenRequestError("from a child", status_code=503, error="busy", request_id="r", retryable=True)


def test_an_error_comes_out_of_a_process_pool_as_it_was_raised() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(TokenRequestError) as caught:
        pool.apply(_fail)
    assert (caught.value.status_code, caught.value.error, caught.value.request_id) == (503, "busy", "r")
    assert caught.value.retryable is True


# Foreign text


def test_a_server_that_echoes_a_secret_in_an_error_text_finds_it_masked() -> None:
    assert printable("bad secret s3cr3t!", ["s3cr3t"]) == "bad secret [hidden]!"


def test_a_secret_that_begins_another_leaves_no_tail_of_it() -> None:
    assert printable("abcdef and abc", ["abc", "abcdef"]) == "[hidden] and [hidden]"


@pytest.mark.parametrize("echo", ["a+b/c=", "a%2Bb%2Fc%3D", "a%2Bb/c%3D"])
def test_a_secret_escaped_for_a_url_is_masked(echo: str) -> None:
    assert printable(f"no client with secret={echo}.", ["a+b/c="]) == "no client with secret=[hidden]."


def test_a_secret_escaped_for_json_is_masked() -> None:
    assert printable(r'{"secret": "q\"\\z"}', ['q"\\z']) == '{"secret": "[hidden]"}'


def test_no_secret_given_masks_nothing() -> None:
    assert printable("as it is", ["", ""]) == "as it is"


@pytest.mark.parametrize(
    "text, shown",
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\r\nSet-Cookie: x", r"a\r\nSet-Cookie: x"),
        ("\x00", r"\x00"),
        ("\u202etxt", r"\u202etxt"),
        ("\ud800", r"\ud800"),
        ("\x9b1m", r"\x9b1m"),
        ("prüfen ✓", "prüfen ✓"),
    ],
)
def test_control_characters_of_foreign_text_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_foreign_text_is_cut_where_it_is_long() -> None:
    assert printable("x" * 10_000) == "x" * 500 + "…"


def test_a_short_secret_is_masked_where_it_is_a_word_and_not_inside_of_others() -> None:
    assert printable("access_denied for code c at /callback", ["c"]) == "access_denied for code [hidden] at /callback"
    assert printable("Connection refused", ["ref"]) == "Connection refused"
    assert printable("xxsecret88xx", ["secret88"]) == "xx[hidden]xx"


words = st.text(string.ascii_letters + string.digits, min_size=4, max_size=20).filter(
    lambda word: word not in "[hidden]"
)


@given(st.lists(words, min_size=1, max_size=4), st.lists(st.text(max_size=20), max_size=8), st.randoms())
def test_whatever_a_server_writes_is_printable_bounded_and_without_the_secrets(
    secrets: list[str], noise: list[str], order: Any
) -> None:
    noise = [text.replace("\\", "") for text in noise]
    # "0000" stands in the escape of U+70000, too.
    assume(not any(secret in printable(text) for secret in secrets for text in noise))
    parts = noise + secrets * 2
    order.shuffle(parts)
    shown = printable(" ".join(parts), secrets)
    assert shown.isprintable()
    assert len(shown) <= 501 * len(r"\U00010000")
    assert not any(secret in shown for secret in secrets)


# The walker that the other tests rely on


class _Leaky(Exception):
    pass


def _raise_with_local(make: Callable[[str], Any], secret: str) -> None:
    exec(
        compile("held = make(secret)\ndel secret, make\nraise leaky('x')", "<elsewhere>", "exec"),
        _namespace(make, secret),
    )


def _namespace(make: Callable[[str], Any], secret: str) -> dict[str, Any]:
    return {"make": make, "secret": secret, "leaky": _Leaky}


@pytest.mark.parametrize(
    "make",
    [
        lambda secret: secret,
        lambda secret: secret.encode(),
        lambda secret: [{"deep": (secret,)}],
        lambda secret: {secret: 1},
        lambda secret: memoryview(secret.encode()),
        ValueError,
    ],
)
def test_the_walker_finds_a_secret_in_a_local_variable(make: Callable[[str], Any]) -> None:
    with pytest.raises(_Leaky) as caught:
        _raise_with_local(make, "PLANTED-1")
    with pytest.raises(AssertionError, match="shows 'PLANTED-1'"):
        assert_no_secret(caught.value, "PLANTED-1")
    assert_no_secret(caught.value, "PLANTED-2")


def test_the_walker_finds_a_secret_in_a_suppressed_context_and_in_a_field() -> None:
    error = _Leaky("x")
    error.__context__, error.__suppress_context__ = ValueError("PLANTED-1"), True
    error.field = ["PLANTED-2"]  # type: ignore[attr-defined]
    for secret in ("PLANTED-1", "PLANTED-2"):
        with pytest.raises(AssertionError):
            assert_no_secret(error, secret)


def test_the_walker_finds_a_secret_in_a_log_record() -> None:
    record = logging.LogRecord("n", logging.INFO, "p", 1, "got %s", ("PLANTED-1",), None)
    with pytest.raises(AssertionError):
        assert_no_secret(record, "PLANTED-1")
