"""The command on a database and with keys: --store URL, $ARIES_STORE_URL, status --all, rekey."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Iterator

import pytest

fernet = pytest.importorskip("cryptography.fernet", reason="needs aries-auth[encryption]")

from aries_auth import FileTokenStore, Token  # noqa: E402
from aries_auth.sql import SQLTokenStore  # noqa: E402
from tests.cli_process import Command, sandbox_with_free_redirect_uri  # noqa: E402


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    with sandbox_with_free_redirect_uri() as aries:
        command = Command(tmp_path, aries)
        yield command
        command.stop()


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/tokens.db"


def key() -> str:
    return fernet.Fernet.generate_key().decode()


def test_every_subcommand_works_on_a_database(command, postgresql):
    store = SQLTokenStore(postgresql, "paper")
    store.save(command.aries.issue_token())
    on_it = ["--store", postgresql, "--profile", "paper"]
    shown = command.run("status", "--json", *on_it)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["profile"] == "paper"
    assert command.run("token", *on_it).stdout.strip() == store.load().access_token
    assert command.run("refresh", *on_it).returncode == 0
    assert command.aries.refresh_count == 1
    gone = command.run("logout", *on_it)
    assert gone.returncode == 0
    assert store.load() is None
    done = [shown, gone, command.run("status", *on_it), command.run("token", *on_it)]
    assert [each.returncode for each in done] == [0, 0, 3, 3]
    password = postgresql.split("@")[0].split(":")[-1]
    assert not any(password in each.stdout + each.stderr for each in done)


def test_the_database_may_be_named_by_the_environment(command, url):
    SQLTokenStore(url, "default").save(command.aries.issue_token())
    SQLTokenStore(url, "paper").save(command.aries.issue_token())
    default = command.call("status", "--json", ARIES_STORE_URL=url)
    assert (default.returncode, json.loads(default.stdout)["profile"]) == (0, "default")
    paper = command.call("token", ARIES_STORE_URL=url, ARIES_PROFILE="paper")
    assert paper.stdout.strip() == SQLTokenStore(url, "paper").load().access_token
    assert command.call("status", "--store", str(command.home / "none.json"), ARIES_STORE_URL=url).returncode == 3


@pytest.mark.parametrize("arguments", [["doctor"], ["logout"]])
def test_a_database_that_cannot_be_reached_is_waited_for_once(command, arguments):
    pytest.importorskip("psycopg", reason="needs aries-auth[sql]")
    begun = time.monotonic()
    done = command.call(*arguments, ARIES_STORE_URL="postgresql://me:hush-hush@127.0.0.1:1/tokens")
    assert time.monotonic() - begun < 8.0  # 5 s in all, and a slow machine
    assert done.returncode == 1
    assert "127.0.0.1:1/tokens" in done.stdout + done.stderr
    assert "hush-hush" not in done.stdout + done.stderr


def test_rekey_of_a_plain_store_names_the_variable_of_the_key(command):
    command.log_in()
    done = command.call("rekey", ARIES_STORE_KEY=key())
    assert done.returncode == 1
    assert "a cipher was given ($ARIES_STORE_KEY, " in done.stderr
    assert "--encrypt-plain" in done.stderr


def test_a_login_goes_into_the_database(command, url, monkeypatch):
    from aries_auth.authorization import AuthorizationCodeFlow, login

    flow = AuthorizationCodeFlow(
        command.aries.client_id, command.aries.client_secret, command.aries.redirect_uri, scope="user:information",
        authorize_url=command.aries.authorize_url, token_url=command.aries.token_url,
    )  # fmt: skip
    assert callable(login)
    link, state = flow.authorization_url()
    token = flow.fetch_token(command.aries.approve(link), state=state, store=SQLTokenStore(url, "default"))
    assert SQLTokenStore(url, "default").load() == token
    shown = command.call("status", "--store", url)
    assert shown.returncode == 0
    assert "(table aries_tokens, key default)" in shown.stdout


def test_status_lists_every_profile_of_a_database(command, url):
    for name in ("b-profile", "a-profile", "user:42"):
        SQLTokenStore(url, name).save(command.aries.issue_token())
    done = command.call("status", "--all", "--json", "--store", url)
    assert [report["profile"] for report in json.loads(done.stdout)] == ["a-profile", "b-profile", "user:42"]
    assert done.returncode == 0
    SQLTokenStore(url, "c-profile").save(Token("a", expires_at=1.0, obtained_at=0.5))
    done = command.call("status", "--all", ARIES_STORE_URL=url)
    assert done.returncode == 3
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == [
        "a-profile",
        "b-profile",
        "c-profile",
        "user:42",
    ]
    assert "--profile c-profile" in done.stderr


def test_status_lists_every_profile_of_the_default_folder(command):
    folder = command.home / "data" / "aries-auth"
    for name in ("paper", "live"):
        FileTokenStore(folder / f"{name}.json").save(command.aries.issue_token())
    done = command.call("status", "--all", "--json")
    assert [report["profile"] for report in json.loads(done.stdout)] == ["live", "paper"]
    (folder / "live.json").write_text("{")
    done = command.call("status", "--all", "--json")
    assert [report["profile"] for report in json.loads(done.stdout)] == ["paper"]
    assert (done.returncode, "not JSON" in done.stderr) == (1, True)


def test_status_of_all_where_there_are_none(command, url):
    done = command.call("status", "--all", "--store", url)
    assert (done.returncode, done.stdout, "there are no profiles" in done.stderr) == (0, "", True)
    done = command.call("status", "--all", "--store", str(command.home / "t.json"))
    assert (done.returncode, "a file has none" in done.stderr) == (1, True)


def test_rekey_encrypts_and_rotates(command, url):
    old, new = key(), key()
    token = command.aries.issue_token()
    for store, option in ((command.store, []), (SQLTokenStore(url, "default"), ["--store", url])):
        store.save(token)
        plain = command.call("rekey", *option, ARIES_STORE_KEY=old)
        assert (plain.returncode, "--encrypt-plain" in plain.stderr) == (1, True)
        assert command.call("rekey", "--encrypt-plain", *option, ARIES_STORE_KEY=old).returncode == 0
        assert command.call("token", *option, ARIES_STORE_KEY=old).stdout.strip() == token.access_token
        assert command.call("token", *option).returncode == 1
        keys = command.home / "keys"
        keys.write_text(f"{new}\n{old}\n")
        assert command.call("rekey", *option, ARIES_STORE_KEY_FILE=str(keys)).returncode == 0
        assert command.call("token", *option, ARIES_STORE_KEY=new).stdout.strip() == token.access_token
        wrong = command.call("rekey", *option, ARIES_STORE_KEY=key())
        assert (wrong.returncode, "the key is wrong" in wrong.stderr) == (1, True)
        assert command.call("token", *option, ARIES_STORE_KEY=new).stdout.strip() == token.access_token


def test_rekey_of_all_goes_on_past_one_that_cannot_be_moved(command, url):
    mine = key()
    SQLTokenStore(url, "a", cipher=fernet.Fernet(key())).save(command.aries.issue_token())
    SQLTokenStore(url, "b").save(command.aries.issue_token())
    done = command.call("rekey", "--all", "--encrypt-plain", "--store", url, ARIES_STORE_KEY=mine)
    assert done.returncode == 1
    assert "1 of them could not be moved" in done.stderr
    assert SQLTokenStore(url, "b", cipher=fernet.Fernet(mine)).load() is not None


def test_rekey_without_a_key_says_what_is_missing(command):
    done = command.call("rekey")
    assert (done.returncode, "ARIES_STORE_KEY" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    "bad", ["mongodb://u:hush-hush@h/x", "postgresql://u:hush-hush@[/x", "https://u:hush-hush@h/x"]
)
def test_a_url_that_cannot_be_used_is_not_shown(command, bad):
    for done in (command.call("status", "--store", bad), command.call("status", ARIES_STORE_URL=bad)):
        assert done.returncode == 1
        assert "hush-hush" not in done.stdout + done.stderr
