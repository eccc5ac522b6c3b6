"""Watch: what a program that watches its tokens can hear: log records with fields. docs/observability.md lists them.

Records and no callback: a callback that raises or hangs would stand between an answer and its save.
"""

from __future__ import annotations

import logging
import math

from aries_auth.errors import AriesAuthError, LockTimeout, LoginRequired
from aries_auth.log import logger
from aries_auth.refresh.request import Reason, RefreshRequest
from aries_auth.singleflight.clock import monotonic
from aries_auth.store import TokenStore, store_name
from aries_auth.token import Token

_LOGIN_DUE = 3 * 86400.0
_WARN_EVERY = 86400.0


class Watch:
    """Speaks for one grant.

    Args:
        store: where it is kept.
        login_command: what a person has to run when it ends.
    """

    def __init__(self, store: TokenStore, login_command: str) -> None:
        self._store = store
        self._login_command = login_command
        self._warned_at = -math.inf

    def refreshed(self, wish: RefreshRequest, begun: float) -> None:
        """A refresh has brought a token; `begun` is when its request was sent, on the clock of `monotonic`."""
        fields = self._fields(wish, begun, "refreshed")
        logger.info("Refreshed the token in %s (%s)", store_name(self._store), wish.why.value, extra=fields)

    def adopted(self) -> None:
        """The store had a newer token than memory."""
        where = store_name(self._store)
        fields = {"event": "adoption", "store": where}
        logger.debug("Adopted the token that somebody else saved in %s", where, extra=fields)

    def failed(self, wish: RefreshRequest, begun: float | None, error: Exception) -> None:
        """A refresh has brought none; `begun` is None where no request was sent.

        Loud where no caller gets the error, since a living token serves them all.
        """
        where = store_name(self._store)
        if wish.why is Reason.AHEAD and isinstance(error, LockTimeout):
            text = "Another holder of the lock of %s refreshes; the store is looked at again shortly"
            logger.debug(text, where, extra=self._fields(wish, begun, "busy"))
            return
        level = logging.WARNING if wish.spares_callers else logging.DEBUG if begun is None else logging.INFO
        outcome = "login_required" if isinstance(error, LoginRequired) else "failed"
        logger.log(
            level,
            "The token in %s could not be refreshed%s: %s",
            where,
            ", and is used while it lives" if wish.spares_callers else "",
            # What an error that is not ours says is for its author to answer for; ours shows no secret.
            error if isinstance(error, AriesAuthError) else type(error).__name__,
            extra=self._fields(wish, begun, outcome, error),
        )

    def look_at(self, token: Token, now: float) -> None:
        """Warn, once a day, when the refresh token of a living token is near its end: a refresh has not renewed it."""
        ends_at = token.refresh_token_expires_at
        if ends_at is None or ends_at - now >= _LOGIN_DUE or abs(now - self._warned_at) < _WARN_EVERY:
            return
        self._warned_at = now
        where, left = store_name(self._store), ends_at - now
        logger.warning(
            "The refresh token in %s ends in %.0f hours: a person has to log in again. Run: %s",
            where,
            max(0.0, left / 3600),
            self._login_command,
            extra={"event": "login_due", "store": where, "seconds_left": left},
        )

    def _fields(
        self, wish: RefreshRequest, begun: float | None, outcome: str, error: Exception | None = None
    ) -> dict[str, object]:
        return {
            "event": "refresh",
            "store": store_name(self._store),
            "reason": wish.why.name.lower(),
            "outcome": outcome,
            "seconds_left": wish.seconds_left,
            "duration": None if begun is None else monotonic() - begun,
            "error": None if error is None else type(error).__name__,
        }
