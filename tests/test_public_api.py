"""Public names and signatures stay, or change on purpose."""

from __future__ import annotations

import pytest

from tests import public_api

RENEW = "Is that meant? Then run `python -m tests.public_api --write`, and name it in CHANGELOG.md."


@pytest.mark.parametrize("module", public_api.MODULES)
def test_public_names_and_signatures_are_those_on_record(module: str) -> None:
    if module == "aries_auth.sql":
        pytest.importorskip("sqlalchemy", reason="needs aries-auth[sql]")
    now, before = set(public_api.described(module)), set(public_api.recorded(module))
    assert now == before, f"new or changed: {sorted(now - before)}; gone: {sorted(before - now)}. {RENEW}"


def test_a_change_that_the_changelog_does_not_name_is_found() -> None:
    before = "# aries_auth\naries_auth.login(scope)\naries_auth.Token.to_dict(self)\n"
    now = "# aries_auth\naries_auth.login(scope, hint)\n"
    silent = "# Changelog\n\n## 2.0\n\n- Faster.\n\n## 1.0\n\n- `login` and `Token.to_dict`.\n"
    told = silent.replace("Faster", "`login` takes a `hint`; `Token.to_dict` is gone")
    assert len(public_api.unexplained(before, now, silent)) == 3
    assert public_api.unexplained(before, now, told) == []
