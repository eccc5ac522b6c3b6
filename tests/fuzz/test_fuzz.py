"""The parsers under bytes of every kind, and under valid documents that were damaged."""

from __future__ import annotations

import json
from typing import Any, Callable

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tests.fuzz import targets

pytestmark = pytest.mark.timeout(300)

names = st.sampled_from(
    ["access_token", "refresh_token", "expires_in", "refresh_token_expires_in", "scope", "token_type", "version",
     "error", "codes", "code", "type", "message", "request_id", "error_description", "expires_at", "obtained_at",
     "ciphertext"]
)  # fmt: skip
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from(["a", "Bearer", "3600", "invalid_grant", "the-client-secret", "refresh-0", "\r\nX: y", "\x1b[2J"])
)  # fmt: skip
documents = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=12)
damaged = st.dictionaries(names, documents).map(lambda document: json.dumps(document).encode())
urls = st.builds(
    lambda *parts: "".join(parts).encode("utf-8", "surrogatepass"),
    st.sampled_from(["https://", "http://", "HTTPS://", "//", "https:\\\\", ""]),
    st.sampled_from(["", "user@", "user:pw@", "api.aries.com@"]) | st.text(max_size=5),
    st.sampled_from(["api.aries.com", "API.aries.com", "api.aries.com.", "[::1]", "127.0.0.1", "ⓐpi.aries.com"]),
    st.sampled_from(["", ":443", ":0443", ":80", ":x", ":99999", "@evil.example"]),
    st.sampled_from(["", "/", "/callback", "/callback?code=a&state=the-state", "?state=the-state&code=", "#f"])
    | st.text(max_size=8),
)


@pytest.mark.parametrize("target", targets.TARGETS, ids=lambda target: target.__name__)
def test_whatever_comes_in_is_understood_or_refused_with_an_error_of_our_own(target: Callable[[bytes], None]) -> None:
    number = targets.TARGETS.index(target)

    @given(st.binary(max_size=300) | damaged | damaged.map(lambda data: b"\x02" + data) | urls)
    def feed(data: Any) -> None:
        targets.one(bytes([number]) + data)

    feed()


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 50_000, b"9" * 10_000, b"\xff\xfe", b"\xef\xbb\xbf{}"])
@pytest.mark.parametrize("number", range(len(targets.TARGETS)))
def test_bodies_made_to_hurt_a_parser_do_not(number: int, body: bytes) -> None:
    targets.one(bytes([number]) + body)
