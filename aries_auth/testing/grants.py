"""The authorization server's state and rules, with no HTTP: codes, grants, access and refresh tokens.

Everything happens under one lock, so that what two requests at a time see is what one after the other would.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable


@dataclass
class Rules:
    """What the sandbox does with tokens; may be changed while it runs. Lifetimes are in seconds.

    Args:
        access_token_lifetime: how long an access token is accepted.
        refresh_token_lifetime: how long a refresh token is accepted.
        code_lifetime: how long an authorization code is accepted.
        rotate: a refresh brings a new refresh token and ends the old one. Off: the answer carries none.
        reuse_revokes: a spent refresh token that is sent again revokes its whole grant.
        expires_in: what answers claim: ``...`` the truth, None nothing, anything else as it is.
        require_pkce: a login without PKCE (RFC 7636) is refused. One with it has its verifier checked in any case.
        edit_answer: gets each answer of the token endpoint and returns the one to send.
    """

    __module__ = "aries_auth.testing"

    access_token_lifetime: float = 3600.0
    refresh_token_lifetime: float = 2592000.0
    code_lifetime: float = 600.0
    rotate: bool = True
    reuse_revokes: bool = True
    expires_in: Any = ...
    require_pkce: bool = False
    edit_answer: Callable[[dict[str, Any]], dict[str, Any]] | None = None


class Refused(Exception):
    """A grant that is not given: `error` and `description` as in RFC 6749 section 5.2."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description


class _Grant:
    """What a user allowed: lives from the code's exchange until it is revoked."""

    def __init__(self, scope: str, redirect_uri: str) -> None:
        self.scope = scope
        self.redirect_uri = redirect_uri
        self.revoked = False
        self.newest: str | None = None
        self.previous: str | None = None


class _Code:
    def __init__(self, grant: _Grant, expires_at: float, challenge: str | None) -> None:
        self.grant = grant
        self.challenge = challenge
        self.expires_at = expires_at
        self.used = False


class _Issued:
    """An access or refresh token: whose it is, until when, and whether it was revoked or spent before."""

    def __init__(self, grant: _Grant, expires_at: float, lifetime: float) -> None:
        self.grant = grant
        self.expires_at = expires_at
        self.lifetime = lifetime
        self.ended = False


@dataclass(frozen=True)
class Access:
    """What is known of an access token: "valid", "unknown", "expired" or "revoked", its scopes and its life."""

    state: str
    scope: str = ""
    expires_at: float = 0.0
    lifetime: float = 0.0


class Grants:
    """Gives and takes back grants. `clock` tells Unix time; None: ``time.time``, looked up at each call."""

    def __init__(self, rules: Rules, clock: Callable[[], float] | None = None) -> None:
        self.rules = rules
        self.refresh_count: int = 0
        self.reused_refresh_tokens: int = 0
        self._clock = clock
        self._lock = threading.RLock()
        self._codes: dict[str, _Code] = {}
        self._access: dict[str, _Issued] = {}
        self._refresh: dict[str, _Issued] = {}
        self._grants: list[_Grant] = []

    def now(self) -> float:
        """Unix time."""
        # Not bound once: freezegun and time-machine replace time.time while we run.
        return self._clock() if self._clock is not None else time.time()

    def authorize(self, scope: str, redirect_uri: str, challenge: str | None = None) -> str:
        """A code for what the user has just approved, bound to a PKCE challenge if there was one."""
        with self._lock:
            code = secrets.token_urlsafe(24)
            self._codes[code] = _Code(_Grant(scope, redirect_uri), self.now() + self.rules.code_lifetime, challenge)
            return code

    def exchange(self, code: str, redirect_uri: str, verifier: str | None = None) -> dict[str, Any]:
        """The code's tokens, once, for the verifier of its challenge."""
        with self._lock:
            entry = self._codes.get(code)
            if entry is None:
                raise Refused("invalid_grant", "The authorization code is not known.")
            if entry.used:
                entry.grant.revoked = True  # RFC 6749 section 4.1.2: what was given for it is taken back
                raise Refused("invalid_grant", "The authorization code was used before; its grant is revoked.")
            if self.now() >= entry.expires_at:
                raise Refused("invalid_grant", "The authorization code has expired.")
            if redirect_uri != entry.grant.redirect_uri:
                raise Refused("invalid_grant", "The redirect URI is not that of the authorization request.")
            if not _fits(entry.challenge, verifier):
                raise Refused("invalid_grant", "The code_verifier does not fit the authorization request.")
            entry.used = True
            self._grants.append(entry.grant)
            return self._issue(entry.grant, self.now())

    def refresh(self, refresh_token: str, redirect_uri: str) -> dict[str, Any]:
        """New tokens for a refresh token, which is spent by it when tokens rotate."""
        with self._lock:
            entry = self._refresh.get(refresh_token)
            if entry is None:
                raise Refused("invalid_grant", "The refresh token is not known.")
            if entry.ended:
                self.reused_refresh_tokens += 1
                entry.grant.revoked = entry.grant.revoked or self.rules.reuse_revokes
                raise Refused("invalid_grant", "The refresh token was used before.")
            if entry.grant.revoked:
                raise Refused("invalid_grant", "The grant was revoked.")
            if self.now() >= entry.expires_at:
                raise Refused("invalid_grant", "The refresh token has expired.")
            if redirect_uri != entry.grant.redirect_uri:
                raise Refused("invalid_grant", "The redirect URI is not that of the grant.")
            self.refresh_count += 1
            entry.ended = self.rules.rotate
            return self._issue(entry.grant, self.now())

    def issue(
        self,
        scope: str,
        redirect_uri: str,
        at: float,
        expires_in: float | None = None,
        refresh_expires_in: float | None = None,
    ) -> dict[str, Any]:
        """The answer of a grant made at an instant, with no user and no code."""
        with self._lock:
            grant = _Grant(scope, redirect_uri)
            self._grants.append(grant)
            return self._issue(grant, at, expires_in, refresh_expires_in)

    def _issue(
        self,
        grant: _Grant,
        at: float,
        lifetime: float | None = None,
        refresh_lifetime: float | None = None,
    ) -> dict[str, Any]:
        rules = self.rules
        claimed = rules.expires_in if lifetime is None else ...
        lifetime = rules.access_token_lifetime if lifetime is None else lifetime
        access_token = f"at-{secrets.token_urlsafe(32)}"
        self._access[access_token] = _Issued(grant, at + lifetime, lifetime)
        answer: dict[str, Any] = {"access_token": access_token, "token_type": "Bearer", "scope": grant.scope}
        if claimed is not None:
            answer["expires_in"] = _seconds(lifetime) if claimed is ... else claimed
        if grant.newest is None or rules.rotate:
            if refresh_lifetime is None:
                refresh_lifetime = rules.refresh_token_lifetime
            refresh_token = f"rt-{secrets.token_urlsafe(32)}"
            self._refresh[refresh_token] = _Issued(grant, at + refresh_lifetime, refresh_lifetime)
            grant.previous, grant.newest = grant.newest, refresh_token
            answer.update(refresh_token=refresh_token, refresh_token_expires_in=_seconds(refresh_lifetime))
        return rules.edit_answer(answer) if rules.edit_answer is not None else answer

    def access(self, access_token: str) -> Access:
        """What is known of an access token."""
        with self._lock:
            entry = self._access.get(access_token)
            if entry is None:
                return Access("unknown")
            if entry.ended or entry.grant.revoked:
                return Access("revoked")
            if self.now() >= entry.expires_at:
                return Access("expired")
            return Access("valid", entry.grant.scope, entry.expires_at, entry.lifetime)

    def revoke_access_tokens(self) -> None:
        """Ends every access token; the grants live on."""
        with self._lock:
            for entry in self._access.values():
                entry.ended = True

    def expire_access_tokens(self) -> None:
        """Every access token has reached its end."""
        with self._lock:
            for entry in self._access.values():
                entry.expires_at = min(entry.expires_at, self.now())

    def revoke_grants(self) -> None:
        """Ends every grant with all its tokens."""
        with self._lock:
            for grant in self._grants:
                grant.revoked = True

    def forget_rotation(self) -> None:
        """Each grant's newest refresh token is unknown, the one before it lives: as after a restore."""
        with self._lock:
            for grant in self._grants:
                if grant.newest is not None and grant.previous is not None:
                    del self._refresh[grant.newest]
                    self._refresh[grant.previous].ended = False
                    grant.previous, grant.newest = None, grant.previous

    def live_grants(self) -> int:
        """How many grants could still be refreshed."""
        with self._lock:
            live = [grant.newest for grant in self._grants if not grant.revoked and grant.newest is not None]
            return sum(self.now() < self._refresh[refresh_token].expires_at for refresh_token in live)

    def reset_counts(self) -> None:
        """Starts to count again."""
        with self._lock:
            self.refresh_count = 0
            self.reused_refresh_tokens = 0

    def clear(self) -> None:
        """Forgets every code, grant and token."""
        with self._lock:
            self._codes.clear()
            self._access.clear()
            self._refresh.clear()
            self._grants.clear()
            self.reset_counts()


def _fits(challenge: str | None, verifier: str | None) -> bool:
    """Whether a verifier is that of the challenge (RFC 7636 section 4.6); one without a challenge fits nothing."""
    if challenge is None or verifier is None:
        return challenge is None and verifier is None
    digest = hashlib.sha256(verifier.encode("utf-8", "replace")).digest()
    computed = base64.urlsafe_b64encode(digest).rstrip(b"=")
    return hmac.compare_digest(computed, challenge.encode("utf-8", "replace"))


def _seconds(lifetime: float) -> float:
    """A whole number if it is one, as Aries writes it."""
    return int(lifetime) if float(lifetime).is_integer() else lifetime
