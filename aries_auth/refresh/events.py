"""Events: what a program that watches its tokens can hear: log records with fields. docs/observability.md lists them.

Records and no callback: a callback that raises or hangs would stand between an answer and its save.
"""

from __future__ import annotations

import logging
import math

from aries_auth.errors import LockTimeout, LoginRequired, PythonExiting, loggable
from aries_auth.log import logger
from aries_auth.refresh.grant import Grant
from aries_auth.refresh.request import Reason, RefreshRequest
from aries_auth.singleflight.clock import monotonic
from aries_auth.token import LOGIN_DUE, Token

_WARN_EVERY = 86400.0


class Events:
    """Speaks for one grant: its store, and the command that a person has to run when it ends."""

    def __init__(self, grant: Grant) -> None:
        self._grant = grant
        self._warned_at = -math.inf

    def refreshed(self, request: RefreshRequest, sent_at: float) -> None:
        """A refresh has brought a token; `sent_at` is when its request was sent, on the clock of `monotonic`."""
        fields = self._fields(request, sent_at, "refreshed")
        logger.info("Refreshed the token in %s (%s)", self._grant.name, request.reason.value, extra=fields)

    def adopted(self) -> None:
        """The store had a newer token than memory."""
        where = self._grant.name
        fields = {"event": "adoption", "store": where}
        logger.debug("Adopted the token that somebody else saved in %s", where, extra=fields)

    def failed(self, request: RefreshRequest, sent_at: float | None, error: Exception) -> None:
        """A refresh has brought none; `sent_at` is None if no request was sent.

        Loud where no caller gets the error, since a living token serves them all.
        """
        where = self._grant.name
        if request.reason is Reason.AHEAD and isinstance(error, LockTimeout):
            text = "Another holder of the lock of %s refreshes; the store is looked at again shortly"
            logger.debug(text, where, extra=self._fields(request, sent_at, "busy"))
            return
        level = logging.WARNING if request.spares_callers else logging.DEBUG if sent_at is None else logging.INFO
        if isinstance(error, PythonExiting):
            level = logging.DEBUG
        outcome = "login_required" if isinstance(error, LoginRequired) else "failed"
        logger.log(
            level,
            "The token in %s could not be refreshed%s: %s",
            where,
            ", and is used while it lives" if request.spares_callers else "",
            loggable(error),
            extra=self._fields(request, sent_at, outcome, error),
        )

    def look_at(self, token: Token, now: float) -> None:
        """Warn, once a day, when the refresh token of a living token is near its end: a refresh has not renewed it."""
        ends_at = token.refresh_token_expires_at
        if ends_at is None or ends_at - now >= LOGIN_DUE or abs(now - self._warned_at) < _WARN_EVERY:
            return
        self._warned_at = now
        where, left = self._grant.name, ends_at - now
        logger.warning(
            "The refresh token in %s ends in %.0f hours: a person has to log in again. Run: %s",
            where,
            max(0.0, left / 3600),
            self._grant.login_command,
            extra={"event": "login_due", "store": where, "seconds_left": left},
        )

    def _fields(
        self, request: RefreshRequest, sent_at: float | None, outcome: str, error: Exception | None = None
    ) -> dict[str, object]:
        return {
            "event": "refresh",
            "store": self._grant.name,
            "reason": request.reason.name.lower(),
            "outcome": outcome,
            "seconds_left": request.seconds_left,
            "duration": None if sent_at is None else monotonic() - sent_at,
            "error": None if error is None else type(error).__name__,
        }
