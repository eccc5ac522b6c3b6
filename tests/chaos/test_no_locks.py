"""A store on a filesystem that has no locks: a clear error, and never a refresh without one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .test_syscalls import Bench

pytestmark = [
    pytest.mark.ci,
    pytest.mark.chaos,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
    pytest.mark.timeout(60),
]


@pytest.mark.parametrize("error", ["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_without_flock_nothing_is_sent_and_the_error_says_why(tmp_path: Path, error: str) -> None:
    folder = tmp_path.resolve() / "store"
    folder.mkdir(0o700)
    with Bench(folder) as bench:
        printed, trace = bench.run("-e", f"inject=flock:error={error}")
        assert "(INJECTED)" in trace
        assert not bench.aries.token_requests
        assert bench.stored_number == 0
    assert printed.startswith("StoreError: ")
    assert "gives no lock" in printed
    assert "Keep the token file on a local filesystem" in printed
    assert str(bench.path) in printed
