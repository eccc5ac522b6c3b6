"""What a notebook shows: the HTML of an `AriesAuth`, and docs/notebook.ipynb, executed and as it is kept."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from aries_auth import AriesAuth, FileTokenStore, Token
from aries_auth.settings.notebook import table
from aries_auth.store import profile_path
from aries_auth.testing import AriesSandbox
from tests.browser.conftest import ROOT, need
from tests.cli_process import clean_environment

PAGE = ROOT / "docs" / "notebook.ipynb"
NOW = 1764000000.0


def token(**changes: Any) -> Token:
    given = {"refresh_token": "refresh-secret", "scope": "user:information", "expires_at": NOW + 3599.0}
    return Token("access-secret", **{**given, "refresh_token_expires_at": NOW + 29.5 * 86400, **changes})


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html)).strip()


# The table


def test_the_table_says_profile_scopes_and_time_left() -> None:
    html = table(token(scope="user:information order:execution"), "paper", None, now=NOW)
    assert text_of(html) == (
        "AriesAuth profile paper scopes user:information order:execution access token 59 minutes left "
        "log in again in 29 days"
    )


def test_the_table_shows_no_token() -> None:
    html = table(token(), "paper", None, now=NOW)
    assert "access-secret" not in html
    assert "refresh-secret" not in html


def test_what_is_shown_is_escaped(tmp_path: Path) -> None:
    html = table(token(scope="<script>alert(1)</script>"), None, tmp_path / "<img src=x>.json", now=NOW)
    assert "<script>" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"expires_at": NOW + 1.5}, "1 second left"),
        ({"expires_at": NOW - 5}, "expired; the next call refreshes it"),
        ({"expires_at": NOW - 5, "refresh_token": None, "refresh_token_expires_at": None}, "access token expired"),
        ({"expires_at": NOW - 5, "refresh_token_expires_at": NOW - 1}, "expired log in again now"),
        ({"expires_at": None}, "expiry not known"),
        ({"scope": None}, "scopes not known"),
    ],
)
def test_the_table_says_how_things_stand(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    assert says in text_of(table(token(**changes), None, tmp_path / "none.json", now=NOW))


def test_without_a_token_it_says_so(tmp_path: Path) -> None:
    assert text_of(table(None, None, tmp_path / "none.json")).endswith("access token none: log in")


def test_a_store_that_cannot_be_read_does_not_fail_the_display(tmp_path: Path) -> None:
    path = tmp_path / "token.json"
    path.write_text("{")
    path.chmod(0o600)
    assert text_of(table(None, None, path)).endswith("access token not known (StoreError)")


def test_an_auth_that_has_not_called_yet_shows_what_is_stored(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], store: FileTokenStore
) -> None:
    auth = make_auth()
    secret = stored(scope="market:information")
    html = auth._repr_html_()
    assert "market:information" in html
    assert store.path in html
    assert "59 minutes left" in html
    assert secret.access_token not in html
    assert secret.refresh_token is not None
    assert secret.refresh_token not in html
    assert auth.token is None


def test_an_auth_whose_grant_came_from_elsewhere_does_not_say_that_a_call_refreshes_it(
    make_auth: Callable[..., AriesAuth], stored: Callable[..., Token], store: FileTokenStore
) -> None:
    kept = stored(age=4000.0)
    assert "expired; the next call refreshes it" in make_auth()._repr_html_()
    store.save(Token.from_dict({**kept.to_dict(), "token_url": "https://api.aries.com/v1/oauth2/token"}))
    assert "expired, and it can&#x27;t be refreshed: The grant in " in make_auth()._repr_html_()


def test_an_auth_shows_its_profile_and_what_is_in_memory_where_the_store_has_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    store = FileTokenStore(profile_path("paper"))
    store.save(Token("a", scope="order:execution"))
    auth = AriesAuth(profile="paper")
    auth.get_token()
    store.delete()
    shown = text_of(auth._repr_html_())
    assert "paper" in shown
    assert "order:execution" in shown


def test_the_file_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARIES_TOKEN_FILE", str(tmp_path / "token.json"))
    assert f"store {tmp_path / 'token.json'}" in text_of(AriesAuth()._repr_html_())


# The page

# Put before the first cell, it tells what must not be shown: every secret, code and token of that cell's sandbox.
SPY = """
import json, os
from aries_auth.testing import AriesSandbox

def tell(self, stop=AriesSandbox.stop):
    grants = self._grants
    with open(os.environ["TEST_SECRETS"], "w") as file:
        json.dump([self.client_secret, *grants._codes, *grants._access, *grants._refresh], file)
    stop(self)

AriesSandbox.stop = tell
"""

# In a process of its own: nbclient leaves sockets to the garbage collector.
EXECUTE = """
import sys, nbformat, nbclient
page, spy, into = sys.argv[1:]
notebook = nbformat.read(page, as_version=4)
notebook.cells.insert(0, nbformat.v4.new_code_cell(spy))
nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
del notebook.cells[0]
nbformat.write(notebook, into)
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The page after a run, and what must not be in it."""
    need("nbclient", "nbformat", "ipykernel", "pandas", "matplotlib")
    if not PAGE.is_file():
        pytest.skip("needs docs/, which the sdist leaves out")
    folder = tmp_path_factory.mktemp("notebook")
    told = {"TEST_SECRETS": str(folder / "secrets"), "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(PAGE), SPY, str(folder / "executed.ipynb")],
        env=clean_environment(folder, MPLCONFIGDIR=str(folder), **told),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {
        "notebook": json.loads((folder / "executed.ipynb").read_text(encoding="utf-8")),
        "secrets": json.loads((folder / "secrets").read_text()),
    }


def outputs(notebook: Any) -> str:
    return json.dumps([cell.get("outputs", []) for cell in notebook["cells"]])


def test_the_notebook_runs_and_shows_a_link_a_table_a_frame_and_a_plot(executed: dict[str, Any]) -> None:
    shown = outputs(executed["notebook"])
    assert "oauth2/authorize?response_type=code" in shown
    assert "AriesAuth" in shown
    assert "minutes left" in shown
    assert 'class=\\"dataframe\\"' in shown
    assert "image/png" in shown
    assert "Sandbox User" in shown


def test_no_secret_no_code_and_no_token_is_in_the_outputs(executed: dict[str, Any]) -> None:
    shown = outputs(executed["notebook"])
    assert len(executed["secrets"]) >= 4
    for secret in executed["secrets"]:
        assert secret not in shown


def test_the_kept_notebook_has_outputs_and_no_token(aries: AriesSandbox) -> None:
    """As it is in the repository, whose tokens nobody remembers: nothing in it looks like one."""
    if not PAGE.is_file():
        pytest.skip("needs docs/, which the sdist leaves out")
    notebook = json.loads(PAGE.read_text(encoding="utf-8"))
    shown = outputs(notebook)
    looks_like_a_token = re.compile(r"\b[ar]t-[\w-]{40}")
    assert looks_like_a_token.match(aries.issue_token().access_token)
    assert "minutes left" in shown
    assert "image/png" in shown
    assert "Traceback" not in shown
    assert not re.search(r"[?&]code=", shown)
    assert not looks_like_a_token.search(shown)
