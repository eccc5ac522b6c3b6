"""Token, one grant's tokens and what is known of their lives, and Secret: values, with no I/O and no clock."""

from __future__ import annotations

import re
from collections import abc
from dataclasses import dataclass, field
from typing import Any, Mapping

from aries_auth.errors import ConfigurationError, StoreError, TokenRequestError

VERSION = 1
_UPGRADE = "a newer aries-auth wrote it: upgrade this one"
LOGIN_DUE = 3 * 86400.0  # seconds before the end of a refresh token from which on people are warned
_LONGEST_LIFETIME = 10 * 366 * 86400.0
_END_OF_TIME = 1e14

# RFC 6750 section 2.1 (b64token), widened to what RFC 9110 section 5.5 lets stand in a field value without spaces:
# anything else would be refused, or split into two headers, by an HTTP library.
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+\Z")
_TEXTS = ("client_id", "redirect_uri", "token_url", "refresh_token", "token_type", "scope")
_TIMES = ("obtained_at", "expires_at", "refresh_token_expires_at")
_FILE_ORDER = (
    "client_id",
    "redirect_uri",
    "token_url",
    "access_token",
    "refresh_token",
    "token_type",
    "scope",
    *_TIMES,
)


class Secret:
    """Text that must not be shown: a frame or an object that holds one can be printed."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; keep it out of local variables of frames that may raise."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __eq__(self, other: object) -> bool:
        import hmac  # noqa: PLC0415 - it loads OpenSSL, which the command's quick ways do without

        # surrogatepass: what was pasted may hold half a surrogate pair, which is unequal and no error.
        return isinstance(other, Secret) and hmac.compare_digest(
            self._text.encode("utf-8", "surrogatepass"), other._text.encode("utf-8", "surrogatepass")
        )

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, init=False)
class Token:
    """The tokens of one grant. Instants are Unix time in seconds; None is "not known".

    Args:
        access_token: what authorizes a call (RFC 6749 section 1.4).
        refresh_token: what gets the next access token; single use at Aries.
        token_type: ``Bearer``.
        scope: the scopes granted, separated by spaces.
        expires_at: when the access token ends.
        refresh_token_expires_at: when the refresh token ends.
        obtained_at: the instant just before the token was requested.
        client_id: the client that the grant belongs to.
        redirect_uri: the redirect URI of the authorization; a refresh has to repeat it.
        extra: keys of a stored token that this version does not know; kept, but neither shown nor compared.
        token_url: the token endpoint that the grant came from; a refresh goes nowhere else.

    Raises:
        ConfigurationError: a token that can't stand in a header, or a time that is no time.
    """

    __module__ = "aries_auth"

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    token_type: str = "Bearer"
    scope: str | None = None
    expires_at: float | None = None
    refresh_token_expires_at: float | None = None
    obtained_at: float | None = None
    client_id: str | None = None
    redirect_uri: str | None = None
    extra: Mapping[str, Any] = field(default_factory=lambda: {}, repr=False, compare=False)  # pyrefly: ignore[implicit-any-empty-container]
    token_url: str | None = None

    def __init__(
        self,
        access_token: str,
        refresh_token: str | None = None,
        token_type: str = "Bearer",
        scope: str | None = None,
        expires_at: float | None = None,
        refresh_token_expires_at: float | None = None,
        obtained_at: float | None = None,
        client_id: str | None = None,
        redirect_uri: str | None = None,
        extra: Mapping[str, Any] | None = None,
        token_url: str | None = None,
    ) -> None:
        # Written by hand rather than generated: what is refused below is raised from a frame that no longer holds
        # the tokens, since a traceback printed with its locals would show them.
        self.__dict__.update(access_token=access_token, refresh_token=refresh_token)
        access_token = refresh_token = ""
        self.__dict__.update(token_type=token_type, scope=scope, client_id=client_id, redirect_uri=redirect_uri)
        self.__dict__.update(expires_at=expires_at, refresh_token_expires_at=refresh_token_expires_at)
        self.__dict__.update(obtained_at=obtained_at, extra={} if extra is None else dict(extra), token_url=token_url)
        del extra
        fault = _fault(self.__dict__)
        if fault:
            raise ConfigurationError(f"This is not a usable Token: {fault}.")

    @classmethod
    def from_response(
        cls,
        mapping: Mapping[str, Any],
        *,
        now: float,
        previous: Token | None = None,
        client_id: str | None = None,
        redirect_uri: str | None = None,
        token_url: str | None = None,
    ) -> Token:
        """The token of an answer of the token endpoint (RFC 6749 section 5.1).

        Args:
            mapping: the decoded JSON object. No field but ``access_token`` is taken for granted.
            now: when the request was sent, in Unix time; lifetimes count from here.
            previous: the token that was refreshed. What the answer leaves out of refresh token, scope and unknown
                keys is carried forward from it (RFC 6749 section 6).
            client_id: the client that asked.
            redirect_uri: the redirect URI that the grant is bound to.
            token_url: the token endpoint that answered.

        Raises:
            TokenRequestError: there is no access token, or it would not be a valid header value.
        """
        fault = _answer_fault(mapping)
        if fault:
            mapping = {}
            raise TokenRequestError(
                f"The answer of {token_url or 'the token endpoint'} can't be used: {fault}. Check the token URL; if it "
                "is right, tell Aries' support."
            )
        scope = _text(mapping.get("scope"))
        refresh_token = _text(mapping.get("refresh_token"))
        refresh_token_expires_at = _end(now, mapping.get("refresh_token_expires_in"))
        if previous is not None:
            if refresh_token in (None, previous.refresh_token):
                refresh_token = previous.refresh_token
                if refresh_token_expires_at is None:
                    refresh_token_expires_at = previous.refresh_token_expires_at
            scope = scope or previous.scope
        return cls(
            access_token=mapping["access_token"],
            refresh_token=refresh_token,
            token_type=_text(mapping.get("token_type")) or "Bearer",
            scope=scope,
            expires_at=_end(now, mapping.get("expires_in")),
            refresh_token_expires_at=refresh_token_expires_at,
            obtained_at=now if _is_instant(now) else None,
            client_id=client_id,
            redirect_uri=redirect_uri,
            token_url=token_url,
            extra=previous.extra if previous is not None else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """The token as the store's document: ``version`` first, the known keys in their order, then the unknown."""
        known = {"version": VERSION, **{name: self.__dict__[name] for name in _FILE_ORDER}}
        return {**known, **{name: value for name, value in self.extra.items() if name not in known}}

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> Token:
        """The token of a stored document; ``version`` may be left out.

        Raises:
            StoreError: a version that this package does not know, no access token, a value of the wrong type, or a
                time that is negative, not finite or not a number.
        """
        fault = document_fault(mapping)
        if fault:
            mapping = {}
            raise StoreError(f"The stored token can't be used: {fault}.")
        known: dict[str, Any] = {name: mapping.get(name) for name in _FILE_ORDER}
        known["token_type"] = known["token_type"] or "Bearer"
        for name in _TIMES:
            known[name] = None if known[name] is None else float(known[name])
        extra = {name: value for name, value in mapping.items() if name not in known and name != "version"}
        return cls(**known, extra=extra)


def is_bearer(token: Token) -> bool:
    """Whether the token is one that a request can carry as ``Bearer`` (RFC 6750); types compare without case."""
    return token.token_type.lower() == "bearer"


def is_alive(token: Token, now: float) -> bool:
    """Whether the access token can be used, as far as is known. One of a foreign type counts as expired."""
    return is_bearer(token) and (token.expires_at is None or now < token.expires_at)


def is_refresh_token_alive(token: Token, now: float) -> bool:
    """Whether there is a refresh token that has not passed its own expiry, as far as is known."""
    ends_at = token.refresh_token_expires_at
    return bool(token.refresh_token) and (ends_at is None or now < ends_at)


def _fault(values: Mapping[str, Any]) -> str | None:
    """What keeps these values from being a token, in words that don't repeat them, or None."""
    access_token = values.get("access_token")
    if not isinstance(access_token, str) or not access_token:
        return "access_token is missing, empty or not text"
    if not _HEADER_SAFE.match(access_token):
        return "access_token has characters that can't stand in an HTTP header"
    for name in _TEXTS:
        value = values.get(name)
        if value is not None and not _is_text(value):
            return f"{name} is not text"
    for name in _TIMES:
        value = values.get(name)
        if value is not None and not _is_instant(value):
            return f"{name} is not a Unix time in seconds"
    return None


def document_fault(mapping: Any) -> str | None:
    """What keeps a stored document from being a token, in words that don't repeat it, or None."""
    if not _is_object(mapping):
        return "it is not a JSON object"
    return version_fault(mapping.get("version", VERSION)) or _fault(mapping)


def version_fault(version: object) -> str:
    """What keeps a document of this version from being read; "" if nothing does. True is no number, though it is 1."""
    if isinstance(version, bool) or version != VERSION:
        newer = isinstance(version, int) and version > VERSION
        return f"its version is not {VERSION}" + (f"; {_UPGRADE}" if newer else "")
    return ""


def is_for_upgrade(fault: str) -> bool:
    """Whether what is wrong with a document is that a newer version of this package wrote it."""
    return _UPGRADE in fault


def _answer_fault(mapping: Any) -> str | None:
    if not _is_object(mapping):
        return "it is not a JSON object"
    return _fault({"access_token": mapping.get("access_token")})


def _is_object(value: object) -> bool:
    return isinstance(value, abc.Mapping)  # typing's own takes the long way round


def _is_instant(value: object) -> bool:
    # NaN and the infinities fail the comparison.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _END_OF_TIME


def _end(now: float, expires_in: object) -> float | None:
    """When a lifetime that starts `now` ends, or None if that says nothing usable (numeric text is usable)."""
    if isinstance(expires_in, bool) or not isinstance(expires_in, (int, float, str)):
        return None
    try:
        seconds = float(expires_in)
    except (ValueError, OverflowError):
        return None
    # A clock that stands before 1970 makes the end unknown; it must not make the answer unusable.
    return now + seconds if 0 < seconds <= _LONGEST_LIFETIME and _is_instant(now + seconds) else None


def _text(value: object) -> str | None:
    # A field of the wrong type counts as absent: refusing the answer for it would lose the rotated grant.
    return value if isinstance(value, str) and value and _is_text(value) else None


def _is_text(value: object) -> bool:
    """Whether it is text that can be sent and stored: JSON can spell half a surrogate pair, UTF-8 can't."""
    if not isinstance(value, str):
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
