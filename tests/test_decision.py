"""What a refresh does next, as a table: memory, store, what is asked and what was refused before."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from aries_auth import Token, TokenRequestError
from aries_auth.refresh.decision import Restraints, Step, decide, digest, fulfils
from aries_auth.refresh.request import Reason, RefreshRequest
from aries_auth.token_endpoint.sender import HTTPX

NOW = 1_764_000_000.0
AT = 500.0


def token(name: str, *, left: float = 1800.0, age: float = 1800.0, refresh: str | None = "") -> Token:
    return Token(
        f"access-{name}",
        refresh if refresh is None or refresh else f"refresh-{name}",
        expires_at=NOW + left,
        obtained_at=NOW - age,
    )


A, B = token("a"), token("b")
EXPIRED = token("a", left=-1.0)
YOUNG = token("a", left=3590.0, age=10.0)
BARE = token("a", left=-1.0, refresh=None)
OVER = replace(EXPIRED, refresh_token_expires_at=NOW - 1.0)
FOREIGN_TYPE = replace(A, token_type="mac")
FAILURE = TokenRequestError("Later.", retryable=True)


def asked(reason: Reason, known: Token | None = None) -> RefreshRequest:
    return RefreshRequest(reason, NOW, known, HTTPX, at=AT)


@pytest.mark.parametrize(
    "reason, known, memory, stored, step, newest, from_store",
    [
        # first use
        (Reason.FIRST, None, None, A, Step.SERVE, A, True),
        (Reason.FIRST, None, None, EXPIRED, Step.SERVE, EXPIRED, True),
        (Reason.FIRST, None, None, None, Step.NO_TOKEN, None, False),
        # the store has what the caller found wanting
        (Reason.AHEAD, A, A, A, Step.SEND, A, False),
        (Reason.NEEDED, EXPIRED, EXPIRED, EXPIRED, Step.SEND, EXPIRED, False),
        (Reason.REFUSED, A, A, A, Step.SEND, A, False),
        (Reason.REFUSED, YOUNG, YOUNG, YOUNG, Step.SERVE, YOUNG, False),
        (Reason.FORCED, YOUNG, YOUNG, YOUNG, Step.SEND, YOUNG, False),
        (Reason.FORCED, None, None, A, Step.SEND, A, True),
        # the store has another one
        (Reason.AHEAD, A, A, B, Step.SERVE, B, True),
        (Reason.NEEDED, EXPIRED, EXPIRED, B, Step.SERVE, B, True),
        (Reason.REFUSED, A, A, B, Step.SERVE, B, True),
        (Reason.FORCED, A, A, B, Step.SERVE, B, True),
        # … of no use
        (Reason.NEEDED, A, A, token("b", left=-1.0), Step.SEND, A, False),
        (Reason.NEEDED, EXPIRED, EXPIRED, token("b", left=-1.0), Step.SEND, token("b", left=-1.0), True),
        # a type that can't be sent counts as expired
        (Reason.NEEDED, FOREIGN_TYPE, FOREIGN_TYPE, FOREIGN_TYPE, Step.SEND, FOREIGN_TYPE, False),
        (Reason.NEEDED, A, A, FOREIGN_TYPE, Step.SEND, A, False),
        # no way to the next
        (Reason.NEEDED, A, A, None, Step.NO_TOKEN, A, False),
        (Reason.NEEDED, BARE, BARE, BARE, Step.NO_REFRESH_TOKEN, BARE, False),
        (Reason.NEEDED, OVER, OVER, OVER, Step.EXPIRED, OVER, False),
    ],
)  # fmt: skip
def test_what_is_done_follows_from_memory_store_and_what_is_asked(
    reason: Reason,
    known: Token | None,
    memory: Token | None,
    stored: Token | None,
    step: Step,
    newest: Token | None,
    from_store: bool,
) -> None:
    decision = decide(asked(reason, known), memory, stored, unsaved=False, restraints=Restraints(), at=AT)
    assert decision == (newest, from_store, step)


@pytest.mark.parametrize(
    "restraints, reason, step",
    [
        (Restraints(dead=digest(EXPIRED)), Reason.NEEDED, Step.DEAD),
        (Restraints(dead=digest(EXPIRED)), Reason.FORCED, Step.DEAD),
        (Restraints(spent=frozenset([digest(EXPIRED)])), Reason.FORCED, Step.SPENT),
        (Restraints(failure=FAILURE, failure_until=AT + 1), Reason.NEEDED, Step.REMEMBERED),
        (Restraints(failure=FAILURE, failure_until=AT + 1), Reason.FORCED, Step.SEND),
        (Restraints(failure=FAILURE, failure_until=AT), Reason.NEEDED, Step.SEND),
        (Restraints(dead=digest(B)), Reason.NEEDED, Step.SEND),
    ],
)
def test_what_was_refused_before_keeps_the_next_from_being_sent(
    restraints: Restraints, reason: Reason, step: Step
) -> None:
    decision = decide(asked(reason, EXPIRED), EXPIRED, EXPIRED, unsaved=False, restraints=restraints, at=AT)
    assert decision.step is step


def test_a_failure_was_the_old_tokens_once_the_store_has_another() -> None:
    other = token("b", left=-1.0)
    restraints = Restraints(failure=FAILURE, failure_until=math.inf)
    assert decide(asked(Reason.NEEDED, EXPIRED), EXPIRED, other, unsaved=False, restraints=restraints, at=AT) == (
        other,
        True,
        Step.SEND,
    )


def test_a_spent_token_that_a_backup_brings_back_does_not_replace_memorys() -> None:
    restraints = Restraints(spent=frozenset([digest(B)]))
    decision = decide(asked(Reason.NEEDED, EXPIRED), EXPIRED, B, unsaved=False, restraints=restraints, at=AT)
    assert decision == (EXPIRED, False, Step.SEND)


@pytest.mark.parametrize("stored", [B, None])
def test_a_token_that_is_not_saved_yet_outranks_the_store(stored: Token | None) -> None:
    decision = decide(asked(Reason.NEEDED, EXPIRED), EXPIRED, stored, unsaved=True, restraints=Restraints(), at=AT)
    assert decision == (EXPIRED, False, Step.SEND)


def test_the_same_access_token_again_fulfils_a_refused_one_only_while_it_is_young() -> None:
    again = replace(YOUNG, refresh_token="another")
    assert fulfils(again, asked(Reason.REFUSED, YOUNG))
    assert not fulfils(replace(again, obtained_at=NOW - 1800.0), asked(Reason.REFUSED, YOUNG))


def test_a_forked_child_keeps_what_is_known_of_refresh_tokens_and_no_wait() -> None:
    before = Restraints(frozenset([b"1"]), b"2", FAILURE, 9.0, 8.0, 7.0, 6)
    assert before.for_child() == Restraints(frozenset([b"1"]), b"2")


def test_another_token_ends_a_failure_and_no_other_restraint() -> None:
    before = Restraints(frozenset([b"1"]), b"2", FAILURE, 9.0, 8.0, 7.0, 6)
    assert before.after_token() == Restraints(frozenset([b"1"]), b"2", None, -math.inf, 8.0, 7.0, 6)


def test_a_refresh_token_is_spent_only_if_another_came() -> None:
    assert Restraints().after_refresh(A, A) == Restraints()
    assert Restraints().after_refresh(A, B).spent == {digest(A)}


def test_failures_in_a_row_make_the_next_one_wait_longer() -> None:
    first = Restraints().after_failure(AT, 1.0)
    second = first.after_failure(AT, 1.0)
    assert (first.failures, second.failures) == (1, 2)
    assert AT < first.no_calls_until < second.no_calls_until
    assert second.after_success().failures == 0
