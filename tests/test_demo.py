"""``aries-auth demo``: it holds, it is quick, it touches nothing of the user's, and it notices what does not hold."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator

import pytest

from aries_auth.cli import demo_steps
from aries_auth.testing import AriesSandbox
from tests.cli_process import PROGRAM, clean_environment

STEPS = ["A local Aries listens", "Logged in", "Called the API", "reached its margin", "revoked", "second process"]


@pytest.fixture
def poisoned(tmp_path: Path) -> dict[str, str]:
    """The environment of a user whose variables would ruin a demo that read them."""
    store = tmp_path / "mine.json"
    store.write_text("not to be read")
    return clean_environment(
        tmp_path,
        ARIES_TOKEN_FILE=str(store),
        ARIES_PROFILE="../nowhere",
        ARIES_CLIENT_ID="mine",
        ARIES_CLIENT_SECRET="mine",
        ARIES_REDIRECT_URI="nonsense#",
        ARIES_TOKEN_URL="http://example.com/",
        ARIES_AUTHORIZE_URL="http://example.com/",
        ARIES_API_ORIGINS="http://example.com",
        ARIES_STORE_KEY="nonsense",
        HTTP_PROXY="http://127.0.0.1:9",
        http_proxy="http://127.0.0.1:9",
        ALL_PROXY="http://127.0.0.1:9",
    )


@pytest.mark.slow
def test_the_demo_holds_within_15_seconds_and_touches_nothing_of_the_user_s(
    poisoned: dict[str, str], tmp_path: Path
) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    began = time.monotonic()
    done = subprocess.run(
        [*PROGRAM, "demo"], env=poisoned, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    took = time.monotonic() - began
    assert (done.returncode, done.stderr) == (0, "")
    assert took < 15
    lines = done.stdout.splitlines()
    assert len(lines) == len(STEPS) + 1
    for line, step in zip(lines, STEPS):
        assert re.match(r" *\d+\.\d\d s  ok  ", line)
        assert step in line
    times = [float(line.split()[0]) for line in lines]
    assert times == sorted(times)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert Path(poisoned["ARIES_TOKEN_FILE"]).read_text() == "not to be read"


def failing_step(broken: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Tell the story with something broken: how many lines held, and why the next did not."""
    quickly = {"_TOKEN_AGE": 31.0, "_ANSWER_DELAY": 0.3}  # inside its margin from the start
    for name, value in {**quickly, **broken}.items():
        owner, _, attribute = name.rpartition(".")
        monkeypatch.setattr(AriesSandbox if owner else demo_steps, attribute, value)
    before = dict(os.environ)
    lines: list[str] = []
    with pytest.raises(demo_steps.Untrue) as caught:
        _append_each(lines, demo_steps.steps())
    assert dict(os.environ) == before
    return len(lines), str(caught.value)


def _append_each(lines: list[str], told: Iterator[str]) -> None:
    for line in told:
        lines.append(line)  # noqa: PERF402 - those before the error are wanted


def _deny(aries: AriesSandbox, link: str) -> Any:
    from aries_auth.testing.person import fetch

    return fetch(aries.deny(link))


def _refuse_calls(aries: AriesSandbox) -> AriesSandbox:
    _real_start(aries)
    aries.fail("api", status=403, times=None)
    return aries


_real_start = AriesSandbox.start
_REFRESHING = (
    "import sys; sys.path += sys.argv[2:]\n"
    "import requests\nfrom aries_auth import AriesAuth\nauth = AriesAuth()\nauth.refresh()\n"
    "print(requests.get(sys.argv[1] + '/v1/users/me', auth=auth).status_code)"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken, held, reason",
    [
        ({"AriesSandbox.browser": _deny}, 1, "access_denied"),
        ({"AriesSandbox.start": _refuse_calls}, 2, "403"),
        ({"_ANSWER_DELAY": 0.0}, 3, "during the refresh|waited for the refresh"),
        ({"AriesSandbox.revoke_access_tokens": lambda _: None}, 4, r"\[200\]"),
        ({"AriesSandbox.revoke_access_tokens": AriesSandbox.revoke_grants}, 4, "LoginRequired"),
        ({"_SECOND_PROCESS": _REFRESHING}, 5, "a token request of its own"),
        ({"_SECOND_PROCESS": "raise SystemExit('no such luck')"}, 5, "no such luck"),
    ],
    ids=["denied", "forbidden", "too-quick", "not-revoked", "grant-revoked", "refreshing", "broken"],
)
def test_a_step_that_does_not_hold_ends_the_story(
    broken: dict[str, Any], held: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, said = failing_step(broken, monkeypatch)
    assert count == held
    assert re.search(reason, said)


def test_a_demo_that_does_not_hold_exits_with_1_and_the_reason(tmp_path: Path) -> None:
    program = (
        "from aries_auth.cli import main, demo_steps\n"
        "def tell():\n    yield 'It began'\n    raise demo_steps.Untrue('nobody\\x1b clicked')\n"
        "demo_steps.steps = tell\nmain(['demo'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "It began" in done.stdout
    assert re.fullmatch(r"aries-auth: the demo failed after \d+\.\d\d s: nobody\\x1b clicked\n", done.stderr)
