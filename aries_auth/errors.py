"""What can go wrong, as exceptions, and how foreign text is made fit to be shown in one.

Every error of the package derives from `AriesAuthError`. A message says what happened, to which file or URL, and
what to do next; it never holds a client secret, an authorization code or a token.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping

_LONGEST_FOREIGN_TEXT = 500
_SHORT_SECRET = 8  # characters; no service gives out such, and tests do
_MASK = "[hidden]"


class AriesAuthError(Exception):
    """The base of every error that this package raises on purpose."""

    __module__ = "aries_auth"


class ConfigurationError(AriesAuthError):
    """Something that the caller or the environment says is missing, malformed, or contradicts the stored token."""

    __module__ = "aries_auth"


class InsecureTransportError(AriesAuthError):
    """A token or a secret would travel over plain http to something other than a loopback address."""

    __module__ = "aries_auth"


class StoreError(AriesAuthError):
    """The token store can't be read or written as it stands; it was left as it is."""

    __module__ = "aries_auth"


class LockTimeout(StoreError):
    """Timed out waiting for the store's lock: somebody else holds it."""

    __module__ = "aries_auth"


class LoginRequired(AriesAuthError):
    """There is no grant that could be refreshed: a person has to log in again (``aries-auth login``)."""

    __module__ = "aries_auth"


class _OAuthError(AriesAuthError):
    """An error that carries the two fields of an OAuth error answer (RFC 6749 section 4.1.2.1 and 5.2)."""

    error: str | None
    error_description: str | None

    def __init__(self, message: str, carried: Mapping[str, Any] | None, **fields: Any) -> None:
        known = {name: value for name, value in {**fields, **(carried or {})}.items() if value not in (None, False)}
        # What carries an exception from one worker to another as JSON (Celery's results) knows its class and its
        # arguments alone, and makes it anew from them.
        super().__init__(message, *([known] if known else []))
        # Into __dict__, which BaseException pickles and copies besides its positional arguments.
        self.__dict__.update({**fields, **known})

    def __str__(self) -> str:
        return str(self.args[0])


class AuthorizationError(_OAuthError):
    """The authorization was denied, or its callback can't be trusted, is incomplete, or did not arrive in time.

    Attributes:
        error: the ``error`` of the callback, e.g. ``access_denied``; None if the fault lies elsewhere.
        error_description: the text that came with it, or None.
    """

    __module__ = "aries_auth"

    def __init__(
        self,
        message: str,
        carried: Mapping[str, Any] | None = None,
        *,
        error: str | None = None,
        error_description: str | None = None,
    ) -> None:
        super().__init__(message, carried, error=error, error_description=error_description)


class TokenRequestError(_OAuthError):
    """A token request failed: no answer, an answer that can't be used, or a refusal that is not about the grant.

    Attributes:
        status_code: the HTTP status of the answer, or None if none came.
        error: RFC 6749's ``error``, or what stands for it in Aries' other error shapes; None if none was named.
        error_description: the text that came with it, or None.
        request_id: Aries' id of the request, for its support, or None.
        retryable: whether the same call can succeed later without anybody changing anything.
    """

    __module__ = "aries_auth"

    status_code: int | None
    request_id: str | None
    retryable: bool

    def __init__(
        self,
        message: str,
        carried: Mapping[str, Any] | None = None,
        *,
        status_code: int | None = None,
        error: str | None = None,
        error_description: str | None = None,
        request_id: str | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(
            message,
            carried,
            status_code=status_code,
            error=error,
            error_description=error_description,
            request_id=request_id,
            retryable=retryable,
        )


class PythonExiting(TokenRequestError):
    """Nothing was sent, and nothing went wrong: the program is over, and the next one's call refreshes the token."""


def loggable(error: BaseException) -> object:
    """What a log record may show of an error: ours show no secret, and others may quote what they were given."""
    return error if isinstance(error, AriesAuthError) else type(error).__name__


def printable(text: object, secrets: Iterable[str] = ()) -> str:
    """Text from elsewhere made fit for a message: secrets masked, control characters escaped, length bounded.

    A server may echo the secret or the token that it was sent, as it came or escaped for a URL or for JSON, and a
    terminal obeys escape sequences.
    """
    shown = str(text)
    forms = {form for secret in secrets if secret for form in (secret, *_spellings(secret))}
    # The longest first: one secret may be the beginning of another.
    for form in sorted(forms, key=len, reverse=True):
        shown = _masked(shown, form)
    if len(shown) > _LONGEST_FOREIGN_TEXT:
        shown = shown[:_LONGEST_FOREIGN_TEXT] + "…"
    return escaped(shown)


def _masked(text: str, secret: str) -> str:
    if len(secret) >= _SHORT_SECRET:
        return text.replace(secret, _MASK)
    import re  # noqa: PLC0415 - as below

    # As a word of its own: inside of others it is found by chance, and would take the sense from an error.
    return re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", _MASK, text)


def escaped(text: str, keep: str = "") -> str:
    """Text with its control characters escaped, but for those to keep: a terminal obeys them, a log counts lines."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)


def _spellings(secret: str) -> Iterable[str]:
    import json  # noqa: PLC0415 - only who masks pays for them
    from urllib.parse import quote, quote_plus  # noqa: PLC0415

    return (
        quote(secret, errors="surrogatepass"),
        quote(secret, safe="", errors="surrogatepass"),
        quote_plus(secret, errors="surrogatepass"),
        json.dumps(secret)[1:-1],
    )
