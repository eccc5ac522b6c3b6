"""Sends a token request, and again if that is safe, within 30 s in all.

What goes wrong comes back as a value: an exception raised in here would carry frames that hold the request's body.
"""

from __future__ import annotations

import random
import sys
import time
from typing import Any, Callable, NamedTuple

from aries_auth.errors import PythonExiting, TokenRequestError, printable
from aries_auth.token_endpoint import backoff, verdict
from aries_auth.token_endpoint.answer import Attempt
from aries_auth.token_endpoint.attempt import send_once
from aries_auth.token_endpoint.protocol import Answer, TokenRequest
from aries_auth.token_endpoint.sender import Sender

# An attempt with less time than this for its answer is not begun: the answer may be the only copy of a rotated token.
_LEAST_TIME = 3.0


class Outcome(NamedTuple):
    """What became of a token request.

    Attributes:
        error: None for an answer that says success.
        answer: the answer, where one came.
        sent_after: seconds from the start until just before the last attempt.
        remember: seconds for which the same failure is sure to come again.
    """

    error: TokenRequestError | None
    answer: Answer | None = None
    sent_after: float = 0.0
    remember: float = 0.0


def send(
    request: TokenRequest,
    *,
    client: Any,
    sender: Sender,
    pause: Callable[[float], bool],
    monotonic: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
    chance: Callable[[], float] = random.random,
) -> Outcome:
    """Send a token request, and again if the endpoint has certainly not spent what it was sent.

    Args:
        request: the request.
        client: the caller's own client, or None.
        sender: who sends if there is no client.
        pause: waits so many seconds; False means that no new attempt may be started.
    """
    start = monotonic()
    deadline = start + backoff.SENDING_TIME
    number = 0
    while True:
        if not pause(0.0):
            return Outcome(PythonExiting("Python is exiting; no token request was sent.", retryable=True))
        sent_after = monotonic() - start
        attempt = send_once(request, client, sender, deadline - monotonic())
        answer = attempt.answer
        if answer is not None and not verdict.is_later(answer.status_code):
            return _concluded(answer, request, sent_after)
        if answer is None and not attempt.unsent:
            return Outcome(_no_answer(request, attempt), sent_after=sent_after)
        wait = backoff.retry_after(answer.headers.get("retry-after"), wall()) if answer is not None else None
        left = deadline - monotonic() - _LEAST_TIME
        # The back-off holds under a Retry-After of nothing, or of a date that has passed.
        delay = max(wait or 0.0, min(backoff.back_off(number, chance()), left))
        if not attempt.retryable or delay > left or delay <= 0 or not pause(delay):
            return _given_up(request, attempt, sent_after, wait)
        number += 1


def _concluded(answer: Answer, request: TokenRequest, sent_after: float) -> Outcome:
    if verdict.is_success(answer):
        return Outcome(None, answer, sent_after)
    remember = backoff.FINAL_REMEMBERED if verdict.is_final(answer) else 0.0
    return Outcome(verdict.refusal(answer, request), answer, sent_after, remember)


def _given_up(request: TokenRequest, attempt: Attempt, sent_after: float, wait: float | None) -> Outcome:
    if attempt.answer is None:
        return Outcome(_no_answer(request, attempt), sent_after=sent_after)
    remember = 0.0 if wait is None else min(wait, backoff.LONGEST_REMEMBERED)
    return Outcome(verdict.refusal(attempt.answer, request), attempt.answer, sent_after, remember)


def _no_answer(request: TokenRequest, attempt: Attempt) -> TokenRequestError:
    fault = printable(attempt.fault, request.secrets).rstrip(".")
    return TokenRequestError(
        f"No usable answer from {request.url}: {fault}. {_advice(attempt, request.grant_type)}",
        retryable=attempt.retryable,
    )


def _advice(attempt: Attempt, grant_type: str) -> str:
    if sys.platform == "emscripten":
        return "Python in a browser has no connection of its own: log in, and refresh, with Python outside of it."
    if grant_type == "authorization_code" and not attempt.unsent:
        return "The endpoint may have spent the code: start the login again."
    usual = "Try again later." if attempt.retryable else "Check the token URL, the proxy and the CA bundle."
    return attempt.advice or usual
