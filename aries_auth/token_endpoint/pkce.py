"""PKCE (RFC 7636), S256: the verifier of a login and its challenge. Pure, as the protocol is."""

from __future__ import annotations

import base64
import hashlib
import hmac

from aries_auth.token import Secret


def code_verifier(client_secret: Secret, state: str) -> Secret:
    """The verifier of a login (section 4.1), derived from its state under the client secret.

    So a web backend keeps nothing but the state between the two requests, and a code that somebody put into another
    session does not fit.
    """
    digest = hmac.new(client_secret.reveal().encode("utf-8", "surrogatepass"), state.encode(), hashlib.sha256).digest()
    return Secret(_base64url(digest))


def code_challenge(verifier: Secret) -> str:
    """What the browser is sent with (section 4.2)."""
    return _base64url(hashlib.sha256(verifier.reveal().encode()).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
