"""The soak (see `soak`), short. The hour: ``python -m tests.chaos.soak --seconds 3600 --seed 1``."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from .soak import Soak, summary


@pytest.mark.chaos
@pytest.mark.soak
@pytest.mark.timeout(300)
def test_no_call_fails_while_a_token_lives_whatever_fails_around_it(tmp_path: Path) -> None:
    seed = int(os.environ.get("ARIES_CHAOS_SEED") or random.randrange(10**6))
    soak = Soak(40.0, seed, 0.5, tmp_path)
    record = soak.run()
    print(summary(soak, seed))
    assert not record.violations
