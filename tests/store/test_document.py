"""The stored document: a token as pretty-printed JSON, encrypted or plain, and back."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aries_auth import StoreError, Token
from aries_auth.store.document import decode, encode
from tests.leaks import assert_no_secret
from tests.store.conftest import ACCESS, REFRESH, some_token

fernet = pytest.importorskip("cryptography.fernet", reason="there is no wheel of cryptography for this Python")
Fernet, MultiFernet = fernet.Fernet, fernet.MultiFernet
KEY, OTHER_KEY = Fernet.generate_key(), Fernet.generate_key()


def written(token: Token, stored_extra: Any = None, cipher: Any = None) -> bytes:
    return encode(token, stored_extra=stored_extra or {}, cipher=cipher).reveal().encode("ascii")


# Plain


def test_the_document_is_pretty_printed_with_the_keys_in_the_designs_order() -> None:
    assert written(some_token(extra={"region": "us"})).decode() == (
        "{\n"
        '  "version": 1,\n'
        '  "client_id": "client-1",\n'
        '  "redirect_uri": "http://localhost:8000/callback",\n'
        '  "token_url": null,\n'
        f'  "access_token": "{ACCESS}",\n'
        f'  "refresh_token": "{REFRESH}",\n'
        '  "token_type": "Bearer",\n'
        '  "scope": "user:information",\n'
        '  "obtained_at": 1764000000.0,\n'
        '  "expires_at": 1764003600.0,\n'
        '  "refresh_token_expires_at": 1766592000.0,\n'
        '  "region": "us"\n'
        "}\n"
    )


def test_what_is_written_is_read_again() -> None:
    assert decode(written(some_token()), cipher=None) == (some_token(), "")
    assert decode(written(Token("t")), cipher=None) == (Token("t"), "")


def test_unknown_keys_of_the_stored_document_are_kept_as_they_are() -> None:
    stored_extra = {"region": "us", "nested": {"a": [1, None, "ü"]}, "access_token": "not this one"}
    token, _fault = decode(written(some_token(), stored_extra), cipher=None)
    assert token is not None
    assert token.access_token == ACCESS
    assert token.extra == {"region": "us", "nested": {"a": [1, None, "ü"]}}


def test_a_tokens_own_unknown_keys_beat_the_stored_ones() -> None:
    token, _ = decode(written(some_token(extra={"region": "eu"}), {"region": "us", "other": 1}), cipher=None)
    assert token is not None
    assert token.extra == {"region": "eu", "other": 1}


@pytest.mark.parametrize("value", [object(), float("nan"), float("inf"), {1, 2}, {("a",): 1}, b"x"])
def test_an_unknown_key_that_is_no_json_is_a_store_error_that_shows_nothing(value: Any) -> None:
    for token, stored in (
        (some_token(extra={"x": value}), {}),
        (some_token(), {"x": value, "hidden": "OTHER-planted"}),
    ):
        with pytest.raises(StoreError, match="no JSON") as caught:
            encode(token, stored_extra=stored, cipher=None)
        assert_no_secret(caught.value, ACCESS, REFRESH, "OTHER-planted")


def test_a_cycle_in_an_unknown_key_is_a_store_error() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(StoreError, match="no JSON"):
        encode(some_token(extra={"x": cycle}), stored_extra={}, cipher=None)


@pytest.mark.parametrize(
    "raw, why",
    [
        (b"", "it is empty"),
        (b" \n\t", "it is empty"),
        (b"\x00" * 16384, "it is not JSON"),
        (b"{", "it is not JSON"),
        (b"not json", "it is not JSON"),
        (b"\xff\xfe{}", "it is not JSON"),
        (b"[" * 200_000, "it is not JSON"),
        (b'{"a":' * 200_000, "it is not JSON"),
        (b'{"version": 1, "access_token": "t", "expires_at": NaN}', "it is not JSON"),
        (b'{"version": 1, "access_token": "t", "expires_at": Infinity}', "it is not JSON"),
        (b'{"version": 1, "access_token": "t", "expires_at": -Infinity}', "it is not JSON"),
        (b'{"version": 1, "access_token": "t", "expires_at": 1e999}', "expires_at is not a Unix time"),
        (b'{"version": 1, "access_token": "t", "expires_at": -1}', "expires_at is not a Unix time"),
        (b'{"version": 1, "access_token": "t", "obtained_at": "1764000000"}', "obtained_at is not a Unix time"),
        (b"null", "it is not a JSON object"),
        (b'["x"]', "it is not a JSON object"),
        (b"{}", "it has no version"),
        (b'{"access_token": "t"}', "it has no version"),
        (
            b'{"version": 99, "access_token": "t"}',
            "its version is not 1; a newer aries-auth wrote it: upgrade this one",
        ),
        (b'{"version": "1", "access_token": "t"}', "its version is not 1"),
        (b'{"version": null, "access_token": "t"}', "its version is not 1"),
        (b'{"version": true, "access_token": "t"}', "its version is not 1"),
        (b'{"version": 1}', "access_token is missing"),
        (b'{"version": 1, "access_token": "t", "refresh_token": "\\ud800"}', "refresh_token is not text"),
        (b'{"version": 1, "access_token": "\\ud800"}', "access_token has characters"),
    ],
)
def test_what_cannot_be_read_is_said_and_not_raised(raw: bytes, why: str) -> None:
    token, fault = decode(raw, cipher=None)
    assert token is None
    assert why in fault


@pytest.mark.parametrize("cut", range(1, len(written(some_token())) - 2, 7))
def test_a_truncated_document_is_no_token(cut: int) -> None:
    assert decode(written(some_token())[:cut], cipher=None)[0] is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
fields_of_a_token = frozenset(some_token().to_dict())
fields = st.sampled_from(["version", "access_token", "refresh_token", "expires_at", "scope", "ciphertext", "unknown"])


def test_a_reason_is_half_a_sentence_as_the_stores_errors_take_it() -> None:
    newer = b'{"version": 99, "access_token": "t"}'
    assert decode(newer, cipher=None)[1] == "its version is not 1; a newer aries-auth wrote it: upgrade this one"


@given(
    st.binary(max_size=60)
    | st.dictionaries(fields, json_values | st.just(1), max_size=6).map(lambda d: json.dumps(d).encode())
)
@example(b'{"version": 1, "access_token": "t", "expires_at": ' + b"9" * 4000 + b"}")
@example(b'{"version": 1.0, "access_token": "t"}')
@example(b'{"version": 1, "ciphertext": 5}')
def test_any_bytes_are_a_token_or_a_reason(raw: bytes) -> None:
    for cipher in (None, Fernet(KEY)):
        token, fault = decode(raw, cipher=cipher)
        assert (token is None) == bool(fault)
        if token is not None and token.extra == {}:
            assert decode(written(token), cipher=None) == (token, "")


@given(
    st.dictionaries(st.text(max_size=6), st.none() | st.booleans() | st.integers() | st.text(max_size=6), max_size=4)
)
def test_any_unknown_keys_survive_a_load_and_a_save(unknown: dict[str, Any]) -> None:
    known = some_token().to_dict()
    raw = json.dumps({**unknown, **known}).encode()
    if "ciphertext" in unknown:
        return
    token, fault = decode(raw, cipher=None)
    assert token is not None, fault
    again, _ = decode(written(some_token("another"), token.extra), cipher=None)
    assert again is not None
    assert again.extra == {name: value for name, value in unknown.items() if name not in known}


@given(st.dictionaries(st.text(max_size=6), json_values, max_size=4))
@example({"list": [1, {"a": []}], "empty": {}})
def test_what_is_written_is_pretty_printed_whatever_the_unknown_keys_hold(unknown: dict[str, Any]) -> None:
    document = {**some_token().to_dict(), **{name: unknown[name] for name in unknown if name not in fields_of_a_token}}
    try:
        expected = json.dumps(document, indent=2, allow_nan=False) + "\n"
    except ValueError:
        return
    assert written(some_token(), unknown).decode() == expected


# Encrypted


@pytest.mark.parametrize("cipher", [Fernet(KEY), MultiFernet([Fernet(KEY), Fernet(OTHER_KEY)])])
def test_an_encrypted_document_is_a_version_and_base64_of_what_encrypt_returned(cipher: Any) -> None:
    raw = written(some_token(extra={"region": "us"}), cipher=cipher)
    document = json.loads(raw)
    assert list(document) == ["version", "ciphertext"]
    assert document["version"] == 1
    plain = json.loads(cipher.decrypt(base64.b64decode(document["ciphertext"], validate=True)))
    assert plain["access_token"] == ACCESS
    for secret in (ACCESS, REFRESH, "client-1", "region"):
        assert secret.encode() not in raw
    token, _ = decode(raw, cipher=cipher)
    assert token == some_token()
    assert token is not None
    assert token.extra == {"region": "us"}


def test_a_key_that_was_rotated_still_reads() -> None:
    raw = written(some_token(), cipher=Fernet(OTHER_KEY))
    assert decode(raw, cipher=MultiFernet([Fernet(KEY), Fernet(OTHER_KEY)])) == (some_token(), "")


def test_encrypted_but_no_cipher_given_a_wrong_key_or_a_plain_file_are_told_apart_and_name_rekey() -> None:
    encrypted = written(some_token(), cipher=Fernet(KEY))
    _, no_cipher = decode(encrypted, cipher=None)
    _, wrong_key = decode(encrypted, cipher=Fernet(OTHER_KEY))
    _, plain = decode(written(some_token()), cipher=Fernet(KEY))
    assert "no cipher was given" in no_cipher
    assert "ARIES_STORE_KEY" in no_cipher
    assert "key is wrong" in wrong_key
    assert "not encrypted" in plain
    for fault in (wrong_key, plain, no_cipher):
        assert "aries-auth rekey" in fault


@pytest.mark.parametrize(
    "document, why",
    [
        ({"version": 1, "ciphertext": "!!"}, "not base64"),
        ({"version": 1, "ciphertext": None}, "not base64"),
        ({"version": 1, "ciphertext": 5}, "not base64"),
        ({"version": 1, "ciphertext": "ü"}, "not base64"),
        ({"version": 1, "ciphertext": ""}, "can't be decrypted (InvalidToken)"),
        ({"version": 99, "ciphertext": ""}, "version"),
        ({"version": True, "ciphertext": ""}, "its version is not 1"),
    ],
)
def test_a_damaged_envelope_is_said(document: dict[str, Any], why: str) -> None:
    assert why in decode(json.dumps(document).encode(), cipher=Fernet(KEY))[1]


class Odd:
    """A cipher that returns or raises what it is told."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def encrypt(self, data: bytes) -> Any:
        if isinstance(self._result, Exception):
            raise type(self._result)(f"could not encrypt {data!r}")
        return self._result

    def decrypt(self, token: bytes) -> Any:
        if isinstance(self._result, Exception):
            raise type(self._result)(f"could not decrypt {token!r}")
        return self._result


@pytest.mark.parametrize("result", [ValueError(), RuntimeError(), "text", None, object()])
def test_a_cipher_that_fails_to_encrypt_is_a_store_error_that_shows_nothing(result: Any) -> None:
    with pytest.raises(StoreError, match="encrypt raised") as caught:
        encode(some_token(), stored_extra={}, cipher=Odd(result))
    assert_no_secret(caught.value, ACCESS, REFRESH)


@pytest.mark.parametrize("result", [ValueError(), RuntimeError(), "text", None, b"", b"\xff", b"[]", b'{"version": 2}'])
def test_a_cipher_that_decrypts_to_no_document_is_said(result: Any) -> None:
    raw = written(some_token(), cipher=Fernet(KEY))
    token, fault = decode(raw, cipher=Odd(result))
    assert token is None
    assert fault
