"""Setting up once: the secret that is kept, the login that forgives, and doctor. At a terminal, as a person has it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any, Iterator

import pytest

from aries_auth import FileTokenStore, Token
from aries_auth.testing import AriesSandbox
from tests.cli_process import PROGRAM, Command, clean_environment, end, sandbox_with_free_redirect_uri, write_browser
from tests.test_cli_login import PROMPTS, UNTOLD, answer_prompts, link_on, scope_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="terminals and signals of POSIX")
pytest.importorskip("pexpect")

SCOPE = ["--scope", "user:information"]


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    with sandbox_with_free_redirect_uri() as aries:
        command = Command(tmp_path, aries)
        # Whatever keyring this machine has is not asked.
        command.environment["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
        yield command
        command.stop()


@pytest.fixture
def secret_file(command: Command) -> Path:
    return Path(f"{command.store.path}.secret")


URLS = ("ARIES_TOKEN_URL", "ARIES_AUTHORIZE_URL", "ARIES_API_ORIGINS")


def log_in_at_terminal(command: Command, keep: str = "") -> None:
    aries = command.aries
    child = command.at_terminal("login", "--no-browser", **UNTOLD)
    answer_prompts(child, [aries.client_id, aries.redirect_uri, "all", aries.client_secret, keep])
    assert aries.browser(link_on(child, command)).status == 200
    child.expect("logged in, and the token is in")
    assert end(child) == 0


# The saved secret


def test_a_secret_that_was_typed_and_kept_serves_every_program_with_nothing_in_its_environment(
    command: Command, secret_file: Path
) -> None:
    log_in_at_terminal(command, keep="")
    assert json.loads(secret_file.read_text())["client_secret"] == command.aries.client_secret
    assert secret_file.stat().st_mode & 0o777 == 0o600
    done = command.run("refresh", **UNTOLD)
    assert done.returncode == 0, done.stderr
    assert json.loads(command.call("status", "--json", **UNTOLD).stdout)["client_secret"] == "saved"


def test_a_secret_that_was_typed_and_not_kept_leaves_no_file_and_the_login_says_what_programs_need(
    command: Command, secret_file: Path
) -> None:
    log_in_at_terminal(command, keep="n")
    assert not secret_file.exists()
    done = command.run("refresh", **UNTOLD)
    assert done.returncode == 1
    assert "aries-auth login --save-secret" in done.stderr
    assert "client_secret=" not in done.stderr


def test_the_cure_of_a_damaged_secret_mends_it(command: Command, secret_file: Path) -> None:
    log_in_at_terminal(command)
    secret_file.write_text("{")
    failed = command.run("refresh", **UNTOLD)
    assert failed.returncode == 1
    assert "aries-auth login --save-secret" in failed.stderr
    child = command.at_terminal("login", "--no-browser", "--save-secret", *SCOPE, **UNTOLD)
    child.expect("can't be used")
    child.expect(PROMPTS[3])
    child.sendline(command.aries.client_secret)
    command.aries.browser(link_on(child, command))
    assert end(child) == 0
    assert command.run("refresh", **UNTOLD).returncode == 0


def test_the_cure_of_a_secret_that_others_can_read_mends_it(command: Command, secret_file: Path) -> None:
    log_in_at_terminal(command)
    secret_file.chmod(0o644)
    failed = command.run("refresh", **UNTOLD)
    cure = re.search(r"run: (chmod \d+ '?[^',]+'?),", failed.stderr)
    assert cure is not None, failed.stderr
    subprocess.run(["sh", "-c", cure.group(1)], check=True)
    assert command.run("refresh", **UNTOLD).returncode == 0


def test_logout_removes_the_secret_too_and_says_so(command: Command, secret_file: Path) -> None:
    log_in_at_terminal(command)
    done = command.call("logout")
    assert "and the saved client secret" in done.stderr
    assert not secret_file.exists()
    assert not Path(command.store.path).exists()


def a_folder(secret_file: Path) -> None:
    secret_file.mkdir()


def a_link(secret_file: Path) -> None:
    secret_file.with_name("elsewhere").write_text("{")
    secret_file.symlink_to("elsewhere")


def in_a_keyring_that_is_gone(secret_file: Path) -> None:
    secret_file.write_text('{"version": 1, "client_id": "mine", "kept_in": "keyring"}')
    secret_file.chmod(0o600)


@pytest.mark.parametrize("has_token", [True, False])
@pytest.mark.parametrize(
    "spoil, named",
    [
        (a_folder, "can't be removed"),
        (a_link, "Remove the link yourself"),
        (in_a_keyring_that_is_gone, "remove it by hand: the keyring's entry of service 'aries-auth', user name '"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_logout_that_cannot_delete_the_secret_says_what_it_deleted_and_what_not(
    command: Command, secret_file: Path, spoil: Any, named: str, has_token: bool
) -> None:
    if has_token:
        command.log_in()
    spoil(secret_file)
    done = command.call("logout")
    did = f"deleted the token of client {command.aries.client_id} from" if has_token else "there was no token in"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"aries-auth: {did} {command.store.path}, but the saved client secret was not deleted: "
    )
    assert named in done.stderr
    assert str(secret_file) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not Path(command.store.path).exists()
    assert os.path.lexists(secret_file)


def test_logout_of_a_secret_alone_says_so(command: Command, secret_file: Path) -> None:
    secret_file.write_text("{}")
    done = command.call("logout")
    assert done.returncode == 0
    assert done.stderr == (f"aries-auth: deleted the saved client secret; there was no token in {command.store.path}\n")


def test_save_secret_keeps_what_the_environment_says(command: Command, secret_file: Path) -> None:
    browser = write_browser(command.home / "browser")
    done = command.run("login", "--save-secret=file", *SCOPE, BROWSER=str(browser))
    assert done.returncode == 0, done.stderr
    assert command.aries.client_secret in secret_file.read_text()
    assert command.run("refresh", **UNTOLD).returncode == 0


def test_nobody_who_did_not_type_it_is_asked(command: Command, secret_file: Path) -> None:
    browser = write_browser(command.home / "browser")
    child = command.at_terminal("login", *SCOPE, BROWSER=str(browser))
    assert end(child) == 0
    assert "[Y/n]" not in child.before
    assert not secret_file.exists()


def test_a_keyring_that_is_wanted_and_missing_is_a_failure_before_anything_is_asked(command: Command) -> None:
    done = command.run("login", "--save-secret=keyring", *SCOPE)
    assert done.returncode == 1
    assert "aries-auth[keyring]" in done.stderr
    assert command.aries.token_requests == ()


def test_a_database_keeps_no_secret(command: Command) -> None:
    pytest.importorskip("sqlalchemy")
    url = f"sqlite:///{command.home / 'tokens.db'}"
    done = command.run("login", "--save-secret", *SCOPE, ARIES_STORE_URL=url)
    assert done.returncode == 1
    assert "is no file" in done.stderr


@pytest.mark.slow
def test_from_install_to_the_first_200_are_two_commands_in_a_new_shell(command: Command, tmp_path: Path) -> None:
    """The figure of the setup: login, then run the program, with an empty environment."""
    aries = command.aries
    home = tmp_path / "person"
    home.mkdir()
    # A sandbox plays Aries, so its URLs are told, and nothing else. The home is what every shell has.
    urls = {name: aries.environ[name] for name in URLS}
    command.environment = clean_environment(home, **urls, PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring")
    log_in_at_terminal(command)  # the first command
    program = (
        "import os, requests\nfrom aries_auth import AriesAuth\n"
        "session = requests.Session()\nsession.auth = AriesAuth()\n"
        f"print(session.get('{aries.api_url}/v1/users/me').status_code)\n"
    )
    done = subprocess.run(  # the second
        [sys.executable, "-c", program], env=command.environ({}), capture_output=True, text=True, check=False
    )
    assert done.stdout == "200\n", done.stderr
    # And when the token has ended, nothing more is needed.
    renewed = subprocess.run(
        [sys.executable, "-c", "from aries_auth import AriesAuth; AriesAuth().refresh()"],
        env=command.environ({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert renewed.returncode == 0, renewed.stderr


# The login that forgives


@pytest.mark.parametrize(
    "spoil",
    [
        lambda url: url,
        lambda url: f'  "{url}"  ',
        lambda url: f"'{url[:40]}\n{url[40:90]} \n  {url[90:]}'",
        lambda url: f"<{url}>",
    ],
    ids=["plain", "quoted", "wrapped", "in brackets"],
)
def test_while_it_listens_a_terminal_takes_the_pasted_address_too(command: Command, spoil: Any) -> None:
    child = command.at_terminal("login", "--no-browser", *SCOPE)
    link = link_on(child, command)
    child.expect("s left")
    child.sendline(spoil(command.aries.approve(link)))
    child.expect("logged in, and the token is in")
    assert end(child) == 0


def test_what_is_typed_while_it_listens_and_is_no_callback_is_asked_for_again(command: Command) -> None:
    child = command.at_terminal("login", "--no-browser", *SCOPE)
    link = link_on(child, command)
    callback = command.aries.approve(link)
    code = re.search(r"code=([^&]+)", callback)
    assert code is not None
    for wrong in (code.group(1), "https://app.aries.com/", ""):
        child.expect("s left")
        child.sendline(wrong)
        child.expect("Nothing was sent. Paste the whole address")
    child.sendline(callback)
    child.expect("logged in, and the token is in")
    assert end(child) == 0
    assert len(command.aries.token_requests) == 1


def test_a_wrong_state_that_is_pasted_while_it_listens_ends_the_login(command: Command) -> None:
    child = command.at_terminal("login", "--no-browser", *SCOPE)
    link = link_on(child, command)
    child.expect("s left")
    child.sendline(command.aries.approve(link).replace("state=", "state=x"))
    child.expect("may be forged")
    assert end(child) == 1
    assert command.aries.token_requests == ()


def test_the_browser_may_come_back_after_something_was_typed(command: Command) -> None:
    child = command.at_terminal("login", "--no-browser", *SCOPE)
    link = link_on(child, command)
    child.sendline("nonsense")
    child.expect("Nothing was sent")
    assert command.aries.browser(link).status == 200
    assert end(child) == 0


def test_the_end_of_the_terminals_input_does_not_end_the_wait(command: Command) -> None:
    child = command.at_terminal("login", "--no-browser", *SCOPE)
    link = link_on(child, command)
    child.expect("s left")
    child.sendeof()
    child.expect("s left")
    assert command.aries.browser(link).status == 200
    assert end(child) == 0


def test_the_countdown_ends_when_the_browser_has_come_back(command: Command) -> None:
    child = command.at_terminal("login", "--no-browser", *SCOPE)
    link = link_on(child, command)
    child.expect("s left")
    command.aries.fail(delay=2.5)
    command.aries.browser(link)
    child.expect("logged in")
    assert child.before.count("s left") <= 1
    assert end(child) == 0


def test_over_ssh_it_says_so_and_shows_the_line_for_this_port(command: Command) -> None:
    port = command.aries.redirect_uri.rpartition(":")[2].partition("/")[0]
    child = command.at_terminal("login", "--no-browser", *SCOPE, SSH_CONNECTION="10.0.0.9 50000 192.0.2.7 2222")
    link = link_on(child, command)
    child.expect("over SSH")
    child.expect(rf"ssh -N -L {port}:127.0.0.1:{port} -p 2222 \S+@192.0.2.7")
    command.aries.browser(link)
    assert end(child) == 0


@pytest.mark.parametrize("connection", ["", "nonsense", "a b \x1b[31m c", "1.2.3.4 5 not-an-address 22"])
def test_an_odd_ssh_variable_does_no_harm(command: Command, connection: str) -> None:
    done = command.run("login", "--no-browser", "--timeout", "0.2", *SCOPE, SSH_CONNECTION=connection)
    assert done.returncode == 1
    assert "\x1b" not in done.stderr


def test_a_time_out_says_what_the_person_most_likely_saw(command: Command) -> None:
    done = command.run("login", "--no-browser", "--timeout", "0.2", *SCOPE)
    assert done.returncode == 1
    assert "If Aries showed an error page, check client id and redirect URI in the Client Center" in done.stderr
    assert "--paste" in done.stderr
    assert "paste=True" not in done.stderr


def test_the_redirect_uri_prompt_offers_the_usual_one_and_the_client_id_prompt_says_where_it_comes_from(
    command: Command,
) -> None:
    child = command.at_terminal("login", "--paste", **UNTOLD)
    child.expect("Client Center")
    child.expect(PROMPTS[0])
    child.sendline(command.aries.client_id)
    child.expect(PROMPTS[1])
    child.sendline("")
    child.expect(PROMPTS[2])
    child.sendline("1")
    child.expect(PROMPTS[3])
    child.sendline("secret")
    child.expect(PROMPTS[4])
    child.sendline("n")
    assert "redirect_uri=http%3A%2F%2F127.0.0.1%3A8765%2Fcallback" in link_on(child, command)
    child.sendintr()
    assert end(child) == 130


def test_add_scope_asks_for_the_granted_scopes_and_one_more(command: Command) -> None:
    command.log_in(scope="user:information market:information")
    process = command.start("login", "--no-browser", "--add-scope", "order:execution", ARIES_SCOPE="not:this")
    assert process.stderr is not None
    link = command.read_link(process.stderr)
    assert scope_of(link) == "user:information market:information order:execution"
    command.aries.browser(link)
    assert process.wait(20) == 0
    stored = command.store.load()
    assert stored is not None
    assert stored.scope == "user:information market:information order:execution"


def test_an_unknown_scope_gets_advice_about_scopes(command: Command) -> None:
    browser = write_browser(command.home / "browser")
    done = command.run("login", "--scope", "user:everything", BROWSER=str(browser))
    assert done.returncode == 1
    assert "Ask for scopes that your client has" in done.stderr


def test_if_needed_does_nothing_while_the_grant_serves_calls(command: Command) -> None:
    command.log_in(scope="user:information")
    done = command.run("login", "--if-needed", *SCOPE)
    assert (done.returncode, command.aries.token_requests) == (0, ())
    assert "still logged in" in done.stderr
    more = command.run("login", "--if-needed", "--no-browser", "--timeout", "0.2", "--scope", "order:execution")
    assert more.returncode == 1  # a scope that the grant does not have needs a login


def test_pkce_in_the_command_and_the_sandbox(command: Command) -> None:
    command.aries.rules.require_pkce = True
    browser = str(write_browser(command.home / "browser"))
    assert command.run("login", *SCOPE, BROWSER=browser).returncode == 1
    assert command.run("login", "--pkce", *SCOPE, BROWSER=browser).returncode == 0
    assert command.run("login", *SCOPE, BROWSER=browser, ARIES_PKCE="1").returncode == 0
    assert "$ARIES_PKCE" in command.run("login", *SCOPE, BROWSER=browser, ARIES_PKCE="maybe").stderr


# status and doctor


def test_status_of_an_expired_token_without_a_secret_exits_with_1_and_says_so(command: Command) -> None:
    command.log_in(age=4000.0)
    done = command.call("status", **UNTOLD)
    assert done.returncode == 1
    assert "calls don't work" in done.stderr
    assert "aries-auth login --save-secret" in done.stderr
    assert json.loads(command.call("status", "--json", **UNTOLD).stdout)["client_secret"] is None


def test_status_of_a_living_token_without_a_secret_says_until_when_calls_work(command: Command) -> None:
    command.log_in(age=100.0)
    done = command.call("status", **UNTOLD)
    assert done.returncode == 0
    assert "calls work for 58 minutes more" in done.stderr


ELSEWHERE = {"token_url": "https://api.aries.com/v1/oauth2/token"}
UNREFRESHABLE = pytest.mark.parametrize(
    "fields, changes, named",
    [
        (ELSEWHERE, {}, "Unset $ARIES_TOKEN_URL"),
        ({}, {"ARIES_TOKEN_URL": None}, "Set $ARIES_TOKEN_URL"),
        ({}, {"ARIES_TOKEN_URL": "garbage"}, "$ARIES_TOKEN_URL must be an https URL"),
        ({"client_id": None}, {"ARIES_CLIENT_ID": None}, "client_id is missing"),
        ({"redirect_uri": None}, {"ARIES_REDIRECT_URI": None}, "redirect_uri is missing"),
        ({"redirect_uri": "http://app.example/"}, {}, "plain http"),
    ],
    ids=["another endpoint", "not the default endpoint", "no endpoint", "no client id", "no URI", "an insecure URI"],
)


def keep_token(command: Command, fields: dict[str, Any], age: float) -> None:
    issued = command.aries.issue_token(age=age).to_dict()
    command.store.save(Token.from_dict({**issued, "token_url": command.aries.token_url, **fields}))


@UNREFRESHABLE
def test_an_expired_token_that_cannot_be_refreshed_from_here_serves_no_calls_whoever_says_so(
    command: Command, fields: dict[str, Any], changes: dict[str, str | None], named: str
) -> None:
    keep_token(command, fields, age=4000.0)
    assert command.call("token", **changes).returncode == 1
    done = command.call("status", **changes)
    assert (done.returncode, "calls don't work" in done.stderr) == (1, True)
    assert named in done.stderr
    assert command.call("status", "--json", **changes).returncode == 1
    done = command.call("doctor", "--json", **changes)
    check = check_of(json.loads(done.stdout), "token")
    assert (done.returncode, check["status"]) == (1, "failed")
    assert named in check["detail"]
    assert check["cure"]
    done = command.call("login", "--if-needed", "--no-browser", "--timeout", "0.1", **changes)
    assert (done.returncode, "still logged in" in done.stderr) == (1, False)
    assert command.aries.token_requests == ()


@UNREFRESHABLE
def test_a_living_token_that_cannot_be_refreshed_from_here_serves_and_status_says_until_when(
    command: Command, fields: dict[str, Any], changes: dict[str, str | None], named: str
) -> None:
    keep_token(command, fields, age=100.0)
    done = command.call("status", **changes)
    assert done.returncode == 0
    assert "calls work for 58 minutes more, not longer: " in done.stderr
    assert named in done.stderr
    examined = json.loads(command.call("doctor", "--json", **changes).stdout)
    assert "can't be refreshed" in check_of(examined, "token")["detail"]


def test_status_all_is_one_table_with_the_active_profile_marked(command: Command) -> None:
    told = {"ARIES_TOKEN_FILE": None, "ARIES_PROFILE": "paper"}
    folder = command.home / "data" / "aries-auth"
    for name in ("default", "paper"):
        FileTokenStore(folder / f"{name}.json").save(command.aries.issue_token(scope="user:information"))
    done = command.call("status", "--all", **told)
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert len(lines) == 3
    assert lines[0].split()[:2] == ["PROFILE", "CLIENT"]
    assert [line.split()[:2] for line in lines[1:]] == [["default", "sandbox-client"], ["*", "paper"]]


def doctor(command: Command, *args: str, **changes: str | None) -> tuple[int, dict[str, Any]]:
    done = command.call("doctor", "--json", *args, **changes)
    return done.returncode, json.loads(done.stdout)


def check_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(check for check in document["checks"] if check["name"] == name)


def test_a_directory_as_the_store_has_a_cure_that_no_subcommand_contradicts(command: Command) -> None:
    folder = command.home / "folder"
    folder.mkdir()
    for name in ("status", "token", "logout"):
        done = command.run(name, "--store", str(folder))
        assert done.returncode == 1
        assert "it is a directory" in done.stderr
        assert "Choose another path" in done.stderr
        assert "aries-auth logout" not in done.stderr
    code, said = doctor(command, "--store", str(folder))
    assert code == 1
    cures = {check["name"]: check["cure"] for check in said["checks"] if check["status"] == "failed"}
    assert cures["store"] == cures["write"] == "mend what the text names"


def test_doctor_says_each_setting_with_its_value_and_source_and_hides_secrets(command: Command) -> None:
    token = command.log_in()
    code, document = doctor(command, ARIES_PKCE="1")
    assert (code, document["ok"]) == (0, True)
    assert list(document) == ["ok", "settings", "checks"]
    settings = {setting["name"]: (setting["value"], setting["source"]) for setting in document["settings"]}
    assert all(list(setting) == ["name", "value", "source"] for setting in document["settings"])
    assert settings["client_id"] == (token.client_id, "stored token")
    assert settings["client_secret"] == ("(hidden)", "$ARIES_CLIENT_SECRET")
    assert settings["store"] == (command.store.path, "$ARIES_TOKEN_FILE")
    assert settings["token_url"] == (command.aries.token_url, "$ARIES_TOKEN_URL")
    assert settings["pkce"] == ("1", "$ARIES_PKCE")
    assert all(list(check) == ["name", "status", "detail", "cure"] for check in document["checks"])
    assert {check["status"] for check in document["checks"]} <= {"ok", "warning", "failed"}
    assert command.aries.client_secret not in json.dumps(document)
    assert command.aries.token_requests == ()
    assert command.aries.api_requests == ()


def test_doctor_without_a_token_exits_with_3(command: Command) -> None:
    code, document = doctor(command)
    assert (code, document["ok"]) == (3, False)
    assert check_of(document, "token")["cure"].startswith("run: aries-auth login")


def test_doctor_of_a_store_that_cannot_be_written_has_failed_also_while_a_token_lives(command: Command) -> None:
    command.log_in()
    Path(f"{command.store.path}.lock").unlink()
    Path(f"{command.store.path}.lock").mkdir()
    code, document = doctor(command)
    assert (code, document["ok"]) == (1, False)


def test_doctor_of_an_expired_token_without_a_secret_exits_as_status_does(command: Command) -> None:
    command.log_in(age=4000.0)
    code, document = doctor(command, **UNTOLD)
    assert code == 1
    assert check_of(document, "client secret")["status"] == "failed"


def test_the_cure_that_doctor_names_for_a_damaged_store_mends_it(command: Command) -> None:
    Path(command.store.path).write_text("{")
    Path(command.store.path).chmod(0o600)
    _, document = doctor(command)
    cure = check_of(document, "store")["cure"]
    first = cure.partition(", then ")[0].split()
    assert first[:2] == ["aries-auth", "logout"]
    assert command.run(*first[1:]).returncode == 0
    assert check_of(doctor(command)[1], "store")["status"] == "ok"


def test_doctor_names_no_logout_for_a_token_file_of_a_newer_version(command: Command) -> None:
    document = command.log_in().to_dict()
    Path(command.store.path).write_text(json.dumps({**document, "version": None}))
    assert all(cure.startswith("aries-auth logout") for cure in cures(command)), "it is damaged"
    Path(command.store.path).write_text(json.dumps({**document, "version": 2}))
    assert set(cures(command)) == {"pip install --upgrade aries-auth"}
    assert "upgrade this one" in command.call("status").stderr
    assert "Else, to start over, run: aries-auth logout" in command.call("status").stderr


def cures(command: Command, **changes: str | None) -> list[str]:
    """Those of what has failed in the store."""
    document = json.loads(command.call("doctor", "--json", **changes).stdout)
    return [check["cure"] for check in document["checks"] if check["status"] == "failed" and check["name"] != "token"]


@pytest.mark.parametrize("flag", ["i", "a"])
def test_doctor_names_no_logout_for_a_token_file_that_is_protected(command: Command, flag: str) -> None:
    command.log_in()
    if (
        shutil.which("chattr") is None
        or subprocess.run(["chattr", f"+{flag}", command.store.path], check=False).returncode
    ):
        pytest.skip("nothing can be protected here")
    try:
        done = command.call("doctor")
        assert f"chattr -{flag}" in done.stdout
        assert cures(command) == ["mend what the text names"]
    finally:
        subprocess.run(["chattr", f"-{flag}", command.store.path], check=True)


def test_doctor_names_no_logout_for_a_token_file_that_is_a_mount_point(command: Command) -> None:
    token, unshare = command.log_in(), ["unshare", "-m", "--propagation", "private"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    outside = command.home / "outside.json"
    FileTokenStore(outside).save(token)
    script = f'mount --bind {outside} {command.store.path}; exec "$@"'
    done = subprocess.run(
        [*unshare, "sh", "-ec", script, "sh", *PROGRAM, "doctor"],
        env=command.environ({}), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Mount the folder" in done.stdout
    assert "aries-auth logout" not in done.stdout


def test_doctor_names_no_logout_for_a_token_file_that_others_can_read_or_that_is_plain(command: Command) -> None:
    fernet = pytest.importorskip("cryptography.fernet", reason="needs aries-auth[encryption]")
    command.log_in()
    found = cures(command, ARIES_STORE_KEY=fernet.Fernet.generate_key().decode())
    Path(command.store.path).chmod(0o644)
    found += cures(command)
    assert set(found) == {"mend what the text names"}


def test_the_cure_that_doctor_names_for_a_damaged_row_mends_it(command: Command) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="needs aries-auth[sql]")
    from aries_auth.sql import SQLTokenStore

    url = f"sqlite:///{command.home / 'tokens.db'}"
    told = {"ARIES_TOKEN_FILE": None, "ARIES_STORE_URL": url, "ARIES_PROFILE": "paper"}
    SQLTokenStore(url, "paper").save(command.aries.issue_token())
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE aries_tokens SET document = '{'"))
    engine.dispose()
    cure = cures(command, **told)[0]
    assert cure == "aries-auth logout --profile paper, then aries-auth login --profile paper"
    assert command.call("logout", "--profile", "paper", **told).returncode == 0
    assert cures(command, **told) == []


def test_doctor_names_a_lock_that_is_held_and_its_holder(command: Command) -> None:
    command.log_in()
    with command.store.locked():
        document = json.loads(command.run("doctor", "--json").stdout)
    lock = check_of(document, "lock")
    assert lock["status"] == "failed"
    if sys.platform == "linux":
        assert f"process {os.getpid()} holds" in lock["detail"]


def test_doctor_tells_that_the_sandbox_s_variables_are_still_set(command: Command) -> None:
    token = command.log_in()
    fields = {**token.to_dict(), "token_url": "https://api.aries.com/v1/oauth2/token"}
    command.store.save(Token.from_dict(fields))
    _, document = doctor(command)
    assert check_of(document, "token")["status"] == "failed"
    assert "unset $ARIES_TOKEN_URL" in check_of(document, "token")["cure"]


@pytest.mark.parametrize(
    "name, value", [("ARIES_TOKEN_URL", "ftp://x"), ("ARIES_PKCE", "maybe"), ("ARIES_STORE_URL", "nonsense://")]
)
def test_doctor_tells_what_is_wrong_with_a_variable(command: Command, name: str, value: str) -> None:
    code, document = doctor(command, **{name: value})
    assert code in (1, 3)
    assert any(f"${name}" in check["detail"] for check in document["checks"] if check["status"] == "failed")


def test_doctor_online_sends_one_request_without_a_token(command: Command) -> None:
    command.log_in()
    _, document = doctor(command, "--online")
    assert check_of(document, "online")["status"] == "ok"
    assert check_of(document, "clock")["status"] in ("ok", "warning")
    assert command.aries.token_requests == ()
    assert not any(request.fingerprint for request in command.aries.api_requests)
    _, document = doctor(command, "--online", ARIES_API_ORIGINS="http://127.0.0.1:1")
    assert check_of(document, "online")["status"] == "failed"


@pytest.mark.parametrize(
    "lives, refresh_lives, code, status, detail",
    [
        (1800.0, 30 * 86400.0, 0, "ok", "the access token: 30 minutes left; the refresh token: 30 days left"),
        (1800.0, 86400.0, 0, "warning", "the refresh token: 24 hours left"),
        (1800.0, None, 0, "warning", "it can't be refreshed"),
        (-2.0, -2.0, 3, "failed", "access token and refresh token have ended"),
    ],
    ids=["both live", "a refresh token near its end", "no refresh token", "both have ended"],
)
def test_doctor_says_what_the_stored_token_is_worth(
    command: Command, lives: float, refresh_lives: float | None, code: int, status: str, detail: str
) -> None:
    now, aries = time.time(), command.aries
    command.store.save(
        Token(
            "access-1",
            None if refresh_lives is None else "refresh-1",
            obtained_at=now - 1800.0,
            expires_at=now + lives + 1.0,
            refresh_token_expires_at=None if refresh_lives is None else now + refresh_lives + 1.0,
            client_id=aries.client_id,
            redirect_uri=aries.redirect_uri,
        )
    )
    done = command.call("doctor", "--json")
    check = check_of(json.loads(done.stdout), "token")
    assert (done.returncode, check["status"]) == (code, status)
    assert detail in check["detail"]
    assert (check["cure"] is None) == (status == "ok")


@pytest.mark.parametrize("late, status", [(0.0, "ok"), (630.0, "failed")])
def test_doctor_online_compares_the_clocks(command: Command, late: float, status: str) -> None:
    command.log_in()
    command.aries.fail("api", status=200, headers={"Date": formatdate(time.time() + late, usegmt=True)})
    document = json.loads(command.call("doctor", "--json", "--online").stdout)
    check = check_of(document, "clock")
    assert check["status"] == status
    assert late == 0.0 or "differs from the API's by 10 minutes" in check["detail"]


def test_doctor_names_the_variables_for_a_secret_that_a_database_has_no_place_for(command: Command) -> None:
    pytest.importorskip("sqlalchemy", reason="needs aries-auth[sql]")
    told = {"ARIES_TOKEN_FILE": None, "ARIES_STORE_URL": f"sqlite:///{command.home / 'tokens.db'}"}
    document = json.loads(command.call("doctor", "--json", **{**UNTOLD, **told}).stdout)
    assert check_of(document, "client secret")["cure"] == "set $ARIES_CLIENT_SECRET, or $ARIES_CLIENT_SECRET_FILE"


@pytest.mark.parametrize(
    "changes, source",
    [({}, "default"), ({"ARIES_PROFILE": "default"}, "$ARIES_PROFILE"), ({"args": "--profile"}, "parameter")],
    ids=["default", "variable", "parameter"],
)
@pytest.mark.parametrize("by_option", [True, False])
def test_doctor_says_where_the_profile_of_a_database_came_from(
    command: Command, changes: dict[str, str], source: str, by_option: bool
) -> None:
    pytest.importorskip("sqlalchemy", reason="needs aries-auth[sql]")
    url = f"sqlite:///{command.home / 'tokens.db'}"
    told = {name: value for name, value in changes.items() if name != "args"}
    arguments = ["--profile", "default"] if "args" in changes else []
    arguments += ["--store", url] if by_option else []
    done = command.call("doctor", "--json", *arguments, **{"ARIES_TOKEN_FILE": None, "ARIES_STORE_URL": url, **told})
    settings = {setting["name"]: setting for setting in json.loads(done.stdout)["settings"]}
    assert settings["profile"] == {"name": "profile", "value": "default", "source": source}
    assert settings["store"]["source"] == ("parameter" if by_option else "$ARIES_STORE_URL")


@pytest.mark.parametrize(
    "changes, cure",
    [
        ({"SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"}, "check the network"),
        ({"HTTP_PROXY": "http://127.0.0.1:2"}, "check the network and the proxy: $HTTP_PROXY"),
        (
            {"http_proxy": "http://127.0.0.1:2", "ALL_PROXY": "http://127.0.0.1:2"},
            "check the network and the proxy: $http_proxy and $ALL_PROXY",
        ),
    ],
)
def test_doctor_online_names_the_variables_that_can_have_to_do_with_it(
    command: Command, changes: dict[str, str], cure: str
) -> None:
    done = command.call("doctor", "--json", "--online", ARIES_API_ORIGINS="http://127.0.0.1:1", **changes)
    assert check_of(json.loads(done.stdout), "online")["cure"] == cure


def test_doctor_online_names_the_certificates_for_one_that_is_not_trusted() -> None:
    from aries_auth.cli.checks import _cure_of_network

    fault = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate"
    assert (
        _cure_of_network("https://api.aries.com/", fault)
        == "check which certificates are trusted ($SSL_CERT_FILE, $SSL_CERT_DIR)"
    )


@pytest.mark.parametrize("age", [100.0, 4000.0], ids=["living", "expired"])
def test_nobody_is_told_to_save_a_secret_beside_a_database(command: Command, age: float) -> None:
    pytest.importorskip("sqlalchemy", reason="needs aries-auth[sql]")
    from aries_auth.sql import SQLTokenStore

    told = {**UNTOLD, "ARIES_TOKEN_FILE": None, "ARIES_STORE_URL": f"sqlite:///{command.home / 'tokens.db'}"}
    SQLTokenStore(told["ARIES_STORE_URL"] or "", "default").save(command.aries.issue_token(age=age))
    for arguments in (["status"], ["doctor"], ["refresh"], ["login", "--if-needed", "--scope", "order:execution"]):
        done = command.call(*arguments, **told)
        assert "$ARIES_CLIENT_SECRET" in done.stdout + done.stderr
        assert "--save-secret" not in done.stdout + done.stderr


def test_a_login_into_a_database_names_no_way_to_save_the_secret_there(command: Command) -> None:
    pytest.importorskip("sqlalchemy", reason="needs aries-auth[sql]")
    url = f"sqlite:///{command.home / 'tokens.db'}"
    aries = command.aries
    child = command.at_terminal("login", "--no-browser", **{**UNTOLD, "ARIES_TOKEN_FILE": None, "ARIES_STORE_URL": url})
    answer_prompts(child, [aries.client_id, aries.redirect_uri, "all", aries.client_secret])
    assert aries.browser(link_on(child, command)).status == 200
    child.expect("need the secret, too")
    assert end(child) == 0
    assert "--save-secret" not in child.before


def test_doctor_for_people_is_a_line_a_check_with_a_mark_and_the_cure(command: Command) -> None:
    done = command.call("doctor")
    assert done.returncode == 3
    assert re.search(r"^failed   token: .*To mend it: run: aries-auth login", done.stdout, re.MULTILINE)
    assert re.search(r"^ok       lock: ", done.stdout, re.MULTILINE)


# The cron job


CRON = """
import sys, time
real, offset = time.time, float(sys.argv[1])
time.time = lambda: real() + offset
import requests
from aries_auth import AriesAuth
auth = AriesAuth(token_url=sys.argv[2] + "/v1/oauth2/token", api_origins=[sys.argv[2]])
print(requests.get(sys.argv[2] + "/v1/users/me", auth=auth, timeout=20).status_code)
"""


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_24_hours_of_a_cron_job_every_15_minutes_after_one_login_with_an_empty_environment(tmp_path: Path) -> None:
    import time

    from aries_auth.settings import saved_secret
    from aries_auth.token import Secret

    passed = [0.0]
    with AriesSandbox(clock=lambda: time.time() + passed[0]) as aries:
        store = FileTokenStore(tmp_path / ".local" / "share" / "aries-auth" / "default.json")
        store.save(aries.issue_token())
        saved_secret.save(store, aries.client_id, Secret(aries.client_secret), "file")
        root = str(Path(__file__).parent.parent)
        cron = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}  # what cron itself sets
        answers: list[str] = []
        for _ in range(96):
            passed[0] += 900.0
            done = subprocess.run(
                [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n{CRON}", str(passed[0]), aries.url],
                env=cron,
                capture_output=True,
                text=True,
                check=False,
            )
            answers.append(done.stdout.strip() or done.stderr[-500:])
    assert answers == ["200"] * 96
    assert aries.refresh_count >= 23
    assert aries.reused_refresh_tokens == 0
