"""The protocol without I/O: the authorization URL, request bodies and callbacks. No socket and no clock.

RFC 6749 (OAuth 2.0), as Aries documents its own endpoints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterable, Mapping, NamedTuple, Sequence
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from aries_auth.errors import AuthorizationError, printable
from aries_auth.token import Secret
from aries_auth.token_endpoint.addresses import is_loopback

SCOPES = (
    "user:information",
    "account:information",
    "order:execution",
    "order:information",
    "position:information",
    "market:information",
    "calendar:information",
    "options:information",
    "analytics:information",
    "market:supplemental",
    "watchlist:information",
    "watchlist:management",
)


class Credentials(NamedTuple):
    """Who asks: the registered client and the redirect URI of its grant."""

    client_id: str
    client_secret: Secret
    redirect_uri: str

    def serve(self, client_id: str | None, redirect_uri: str | None) -> bool:
        """Whether they are those of a grant; None fits all."""
        return client_id in (None, self.client_id) and redirect_uri in (None, self.redirect_uri)


@dataclass(frozen=True)
class TokenRequest:
    """One token request: its JSON body, which is not shown, and the secrets to mask in what comes back."""

    url: str
    grant_type: str
    body: Mapping[str, str] = field(repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values of the body that an error text must not repeat."""
        return tuple(
            self.body[name] for name in ("client_secret", "refresh_token", "code", "code_verifier") if name in self.body
        )

    @property
    def is_local(self) -> bool:
        """Whether it goes to a loopback address; then no proxy has any business with it."""
        return is_loopback(urlsplit(self.url).hostname)


@dataclass(frozen=True)
class Answer:
    """The HTTP answer to a token request, read whole."""

    status_code: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def authorization_url(
    authorize_url: str, *, client_id: str, redirect_uri: str, scope: str, state: str, verifier: Secret | None = None
) -> str:
    """The address to send the user's browser to (RFC 6749 section 4.1.1; with a verifier, RFC 7636 section 4.3)."""
    parameters = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": scope,
        "state": state,
    }
    if verifier is not None:
        from aries_auth.token_endpoint.pkce import code_challenge  # noqa: PLC0415 - it loads OpenSSL

        parameters.update(code_challenge=code_challenge(verifier), code_challenge_method="S256")
    query = urlencode(parameters)
    return f"{authorize_url}{'&' if '?' in authorize_url else '?'}{query}"


def join_scope(scope: str | Sequence[str]) -> str:
    """Scopes given as text or as a sequence, as one text separated by single spaces (RFC 6749 section 3.3)."""
    words = scope.split() if isinstance(scope, str) else [word for item in scope for word in item.split()]
    return " ".join(dict.fromkeys(words))


def code_request(url: str, credentials: Credentials, code: Secret, verifier: Secret | None = None) -> TokenRequest:
    """The exchange of an authorization code (RFC 6749 section 4.1.3), as the JSON that Aries takes."""
    grant = {"code": code.reveal()}
    if verifier is not None:
        grant["code_verifier"] = verifier.reveal()
    return TokenRequest(url, "authorization_code", _body("authorization_code", credentials, **grant))


def refresh_request(url: str, credentials: Credentials, refresh_token: Secret) -> TokenRequest:
    """A refresh (RFC 6749 section 6) with all five fields that Aries requires."""
    return TokenRequest(url, "refresh_token", _body("refresh_token", credentials, refresh_token=refresh_token.reveal()))


def _body(grant_type: str, credentials: Credentials, **grant: str) -> dict[str, str]:
    return {
        "grant_type": grant_type,
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret.reveal(),
        **grant,
        "redirect_uri": credentials.redirect_uri,
    }


def parse_callback(response: Secret, *, redirect_uri: str, state: str) -> Secret:
    """The authorization code of a callback, after every check of docs/architecture.md, "The callback".

    The state is looked at before everything else: without it, nothing in the callback is from Aries.

    Raises:
        AuthorizationError: the state is not ours, the authorization was denied, the address is not the redirect
            URI, or there is not exactly one code.
    """
    is_ours, shown, pairs = _split_callback(response, redirect_uri, state)
    if not _values(pairs, "state"):
        raise AuthorizationError(
            "The callback has no state, so it may be forged; nothing was sent. Start the login again and use the whole "
            "address of that very login."
        )
    if not state_matches(pairs, state):
        raise AuthorizationError(
            "The callback's state is not the one of this login, so it may be forged; nothing was sent. "
            "Start the login again and use the address of that very login."
        )
    if not is_ours:
        raise AuthorizationError(
            f"The callback went to {shown}, which is another address than the redirect URI {printable(redirect_uri)}; "
            "nothing was sent. Use the whole address that the browser ended on. If a proxy stands before your program, "
            "have it forward the scheme and the host that the browser sees."
        )
    error = _values(pairs, "error")
    if error:
        raise _denied(error[0], pairs)
    codes = _values(pairs, "code")
    if len(codes) != 1 or not codes[0].reveal():
        raise AuthorizationError(
            f"The callback has {'no' if not codes else 'an empty or more than one'} authorization code; nothing was "
            "sent. Start the login again."
        )
    return codes[0]


def state_matches(pairs: Iterable[tuple[str, Secret]], state: str) -> bool:
    """Whether a callback carries exactly one state, and the right one (compared in constant time)."""
    states = _values(pairs, "state")
    return len(states) == 1 and bool(state) and states[0] == Secret(state)


def callback_pairs(query: str) -> tuple[tuple[str, Secret], ...]:
    """The parameters of a callback's query."""
    return tuple((name, Secret(value)) for name, value in parse_qsl(query, keep_blank_values=True))


def _split_callback(
    response: Secret, redirect_uri: str, state: str
) -> tuple[bool, str, tuple[tuple[str, Secret], ...]]:
    """Whether a callback's address is the redirect URI, that address as it may be shown, and its parameters."""
    # What is pasted may have its code anywhere, so no part of it is handed to a frame that raises, but for scheme, host
    # and path of a callback that carries our state, and these with the values of its query masked.
    try:
        parts = urlsplit(response.reveal().strip())
        pairs = callback_pairs(parts.query)
        is_ours = _address(parts) == _address(urlsplit(redirect_uri))
    except ValueError:
        return False, "something that is no address", ()
    if not state_matches(pairs, state):
        return is_ours, "", pairs
    if not parts.netloc:
        return is_ours, "something that is no whole address", pairs
    values = [value.reveal() for _, value in pairs]
    # A path that is the redirect URI's own has no code in it, whatever word the code is.
    path = parts.path if parts.path == urlsplit(redirect_uri).path else printable(parts.path, values)
    host = printable(parts.netloc.rpartition("@")[2], values)
    return is_ours, f"{printable(parts.scheme)}://{host}{path}", pairs


def _address(parts: SplitResult) -> tuple[str, str | None, int | None, str]:
    port = {"https": 443, "http": 80}.get(parts.scheme) if parts.port is None else parts.port
    return parts.scheme, parts.hostname, port, parts.path or "/"


def _values(pairs: Iterable[tuple[str, Secret]], name: str) -> list[Secret]:
    return [value for key, value in pairs if key == name]


def _denied(error: Secret, pairs: Iterable[tuple[str, Secret]]) -> AuthorizationError:
    # Forged or not, such a callback may carry a code as well, and repeat it in the text.
    codes = [code.reveal() for code in _values(pairs, "code")]
    shown = printable(error.reveal(), codes)
    descriptions = _values(pairs, "error_description")
    description = printable(descriptions[0].reveal(), codes) if descriptions else None
    advice = (
        "Ask for scopes that your client has in Aries' Client Center, spelt as there."
        if shown == "invalid_scope"
        else "Start it again and approve it there."
    )
    detail = f" ({description})" if description else ""
    return AuthorizationError(
        f"Aries did not authorize the login: {shown or 'it gave no reason'}{detail}. {advice}",
        error=shown,
        error_description=description,
    )
