"""The soak (see `soak`), short. The hour: ``python -m tests.chaos.soak --seconds 3600 --seed 1``."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from aries_auth.testing import TokenRequestRecord

from .soak import SHARED, Record, Soak, summary


@pytest.mark.chaos
@pytest.mark.soak
@pytest.mark.timeout(300)
def test_no_call_fails_while_a_token_lives_whatever_fails_around_it(tmp_path: Path) -> None:
    seed = int(os.environ.get("ARIES_CHAOS_SEED") or random.randrange(10**6))
    soak = Soak(40.0, seed, 0.5, tmp_path)
    record = soak.run()
    print(summary(soak, seed))
    assert not record.violations


@pytest.mark.parametrize(
    "books, name, cause",
    [
        ({}, SHARED, None),
        ({"killed_at": [50.0, 200.0]}, SHARED, None),
        ({"killed_at": [102.5]}, SHARED, "SIGKILL in the window"),
        ({"killed_at": [102.5]}, "jobs alone", None),
        ({"broke_at": [102.5]}, "jobs alone", "connection broken"),
        ({"broke_at": [90.0]}, SHARED, None),
        ({"dropping": [(99.0, 101.0)]}, SHARED, "answer dropped"),
        ({"dropping": [(101.0, 106.0)]}, SHARED, None),
    ],
)
def test_a_lost_grant_is_explained_by_what_happened_to_its_own_request(
    books: dict[str, Any], name: str, cause: str | None
) -> None:
    request = TokenRequestRecord(
        *("refresh_token", 200, 100.0, "spent", 3.0, None), answered=False, fields=(), had_authorization=False
    )
    record = Record(rotations={"spent": request}, **books)
    assert record.cause(name, "spent") == cause
    assert record.cause(name, "another") is None
