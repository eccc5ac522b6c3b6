"""What the command says: escaped, with a cure that works, and nothing it can't say is a traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator

import pytest

from aries_auth import FileTokenStore, Token
from tests.cli_process import PROGRAM, Command, end, sandbox_with_free_redirect_uri, write_browser
from tests.test_cli_login import UNTOLD

posix = pytest.mark.skipif(os.name != "posix", reason="terminals, modes and files of POSIX")
HOSTILE = "red\x1b[31m\x1b]0;title\x07\x9b2J\r\nforged line\u202e"
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
GRANT_COMMANDS = ["login", "status", "token", "refresh", "logout", "doctor", "rekey"]


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    with sandbox_with_free_redirect_uri() as aries:
        command = Command(tmp_path, aries)
        yield command
        command.stop()


def assert_harmless(*texts: str) -> None:
    """Nothing in it that a terminal obeys, but line feeds and our own carriage returns of a countdown."""
    for text in texts:
        assert not CONTROLS.search(text), repr(text)


# Foreign text


@pytest.mark.parametrize("name", [*GRANT_COMMANDS, "status --all", "status --json", "doctor --json"])
def test_what_a_hostile_store_says_is_escaped(command: Command, name: str) -> None:
    token = Token(
        "access",
        "refresh",
        client_id=HOSTILE,
        redirect_uri=f"http://127.0.0.1:1/{HOSTILE}",
        scope=HOSTILE,
        token_type=HOSTILE,
        token_url=f"https://api.example/{HOSTILE}",
        expires_at=time.time() + 60,
        extra={HOSTILE: HOSTILE},
    )
    folder = command.home / "data" / "aries-auth"
    FileTokenStore(folder / "default.json").save(token)
    args = [*name.split(), *(["--timeout", "0.2", "--no-browser"] if name == "login" else [])]
    told = {"ARIES_TOKEN_FILE": None, "ARIES_CLIENT_ID": None, "ARIES_REDIRECT_URI": None}
    done = command.call(*args, **told)
    assert_harmless(done.stdout, done.stderr)


@pytest.mark.parametrize("name", GRANT_COMMANDS)
@pytest.mark.parametrize(
    "variable",
    [
        "ARIES_PROFILE",
        "ARIES_TOKEN_FILE",
        "ARIES_TOKEN_FILE_MODE",
        "ARIES_CLIENT_ID",
        "ARIES_CLIENT_SECRET_FILE",
        "ARIES_REDIRECT_URI",
        "ARIES_SCOPE",
        "ARIES_TOKEN_URL",
        "ARIES_AUTHORIZE_URL",
        "ARIES_API_ORIGINS",
        "ARIES_STORE_URL",
        "ARIES_STORE_KEY_FILE",
        "ARIES_PKCE",
        "SSH_CONNECTION",
    ],
)
def test_what_a_hostile_variable_says_is_escaped(command: Command, name: str, variable: str) -> None:
    changes: dict[str, str | None] = {variable: HOSTILE}
    if variable != "ARIES_TOKEN_FILE":
        command.log_in(age=4000.0)
    if variable == "ARIES_CLIENT_SECRET_FILE":
        changes["ARIES_CLIENT_SECRET"] = None
    if variable == "ARIES_PROFILE":
        changes["ARIES_TOKEN_FILE"] = None
    args = [name, *(["--timeout", "0.2", "--no-browser"] if name == "login" else [])]
    done = command.call(*args, **changes)
    assert_harmless(done.stdout, done.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        [HOSTILE],
        ["status", f"--{HOSTILE}"],
        ["status", HOSTILE],
        ["status", "--profile", HOSTILE],
        ["status", "--store", HOSTILE],
        ["login", "--timeout", HOSTILE],
        ["login", "--save-secret", HOSTILE],
        ["login", "--client-id", HOSTILE],
        ["login", "--redirect-uri", HOSTILE],
        ["login", "--scope", HOSTILE],
        ["sandbox", "--host", HOSTILE],
        ["sandbox", "--redirect-uri", HOSTILE, "--port", "70000"],
        [f"--{HOSTILE}"],
    ],
)
def test_what_a_hostile_argument_says_is_escaped(command: Command, arguments: list[str]) -> None:
    done = command.call(*arguments)
    assert done.returncode != 0
    assert_harmless(done.stdout, done.stderr)


@pytest.mark.parametrize("verbose", [[], ["-v"]])
@pytest.mark.parametrize(
    "body",
    [
        {"error": HOSTILE, "error_description": HOSTILE},
        {"error": {"type": HOSTILE, "message": HOSTILE, "request_id": HOSTILE}},
        {"error": HOSTILE, "codes": [{"code": HOSTILE, "description": HOSTILE}]},
        HOSTILE,
    ],
)
def test_what_a_hostile_answer_says_is_escaped(command: Command, body: Any, verbose: list[str]) -> None:
    command.log_in()
    command.aries.fail(status=403, body=body, times=None)
    done = command.call(*verbose, "refresh")
    assert done.returncode == 1
    assert_harmless(done.stdout, done.stderr)


@posix
def test_what_is_stored_is_escaped_in_the_questions_of_a_login(command: Command) -> None:
    """A scope of a token answer reached the terminal raw, in the question for scopes."""
    pytest.importorskip("pexpect")
    command.log_in()
    stored = command.store.load()
    assert stored is not None
    command.store.save(Token.from_dict({**stored.to_dict(), "scope": f"user:information {HOSTILE}"}))
    child = command.at_terminal("login", "--no-browser")
    child.expect(r"or all \[.*\]: ")
    assert_harmless(child.after.replace("\r\n", "\n"), child.before.replace("\r\n", "\n"))
    child.sendintr()
    end(child)


@posix
def test_a_callback_that_denies_with_a_hostile_text_is_escaped(command: Command) -> None:
    from urllib.parse import quote

    process = command.start("login", "--no-browser", "--scope", "user:information")
    assert process.stderr is not None
    link = command.read_link(process.stderr)
    callback = command.aries.deny(link)
    from aries_auth.testing.person import fetch

    fetch(re.sub(r"error_description=[^&]*", f"error_description={quote(HOSTILE)}", callback))
    _, err = process.communicate(timeout=20)
    assert_harmless(err)


# Output that can't be written


@posix
@pytest.mark.parametrize("name", ["status", "token", "status --json", "doctor", "--help", "--version"])
def test_a_full_device_is_one_line_and_exit_1(command: Command, name: str) -> None:
    command.log_in()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, *name.split()],
            env=command.environ({}),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("aries-auth: the result could not be written: ")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@posix
@pytest.mark.parametrize("name", ["status", "token"])
def test_a_closed_pipe_is_one_line_and_exit_1(command: Command, name: str) -> None:
    command.log_in()
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*PROGRAM, name], env=command.environ({}), stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


@posix
def test_a_path_that_the_output_s_encoding_does_not_have_is_escaped(command: Command) -> None:
    """Windows: ``status > file`` is written in cp1252."""
    path = command.home / "\u65e5\u672c.json"
    FileTokenStore(path).save(command.aries.issue_token())
    done = command.run("status", "--store", str(path), PYTHONIOENCODING="cp1252", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert "\\u65e5\\u672c.json" in done.stdout


# Suggestions


@pytest.mark.parametrize("typed, meant", [("logn", "login"), ("statsu", "status"), ("doctr", "doctor")])
def test_a_mistyped_subcommand_gets_a_suggestion(command: Command, typed: str, meant: str) -> None:
    done = command.call(typed)
    assert done.returncode == 2
    assert f"Did you mean '{meant}'?" in done.stderr


def test_what_is_like_no_subcommand_gets_none(command: Command) -> None:
    assert "Did you mean" not in command.call("xyzzy").stderr


def test_no_advice_of_the_command_speaks_of_parameters(command: Command) -> None:
    """The library says ``paste=True`` and ``client_secret=``; the command its options and variables."""
    command.log_in(age=4000.0)
    told = [command.call(name, **UNTOLD).stderr for name in ("token", "refresh", "status", "doctor", "login")]
    told.append(command.call("login", "--timeout", "0.1", "--no-browser", "--scope", "user:information").stderr)
    for text in told:
        assert not re.search(
            r"\b(paste|client_secret|client_id|redirect_uri|scope)=(?!%)", re.sub(r"http\S+", "", text)
        ), text


# Cures, carried out


def cure_in(text: str) -> list[str]:
    """The command that a message names."""
    found = re.search(r"aries-auth (logout|login)( --\w+ \S+)*", text)
    assert found is not None, text
    return found.group().split()[1:]


@posix
@pytest.mark.parametrize("spoil", ["{", "", "[]", '{"access_token": "x"}', '{"version": 1}'])
def test_a_damaged_store_names_the_logout_that_mends_it(command: Command, spoil: str) -> None:
    path = Path(command.store.path)
    path.write_text(spoil)
    path.chmod(0o600)
    failed = command.run("token")
    assert failed.returncode == 1
    cure = cure_in(failed.stderr)
    assert cure[0] == "logout"
    assert command.run(*cure).returncode == 0
    assert command.run("token").returncode == 3


@posix
def test_a_store_that_others_can_read_names_the_chmod_that_mends_it(command: Command) -> None:
    command.log_in()
    Path(command.store.path).chmod(0o644)
    failed = command.run("token")
    cure = re.search(r"run: (chmod \d+ '?[^',]+'?)[,;]", failed.stderr)
    assert cure is not None, failed.stderr
    subprocess.run(["sh", "-c", cure.group(1)], check=True)
    assert command.run("token").returncode == 0


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="gives a file to another user")
def test_a_store_of_somebody_else_names_the_chown_that_mends_it(command: Command) -> None:
    command.log_in()
    os.chown(command.store.path, 65534, -1)
    failed = command.run("token")
    assert "chown" in failed.stderr
    subprocess.run(["chown", str(os.geteuid()), command.store.path], check=True)
    assert command.run("token").returncode == 0


@posix
@pytest.mark.parametrize(
    "changes, options",
    [
        ({"ARIES_TOKEN_FILE": None}, []),
        ({"ARIES_TOKEN_FILE": None, "ARIES_PROFILE": "paper"}, []),
        ({"ARIES_TOKEN_FILE": None}, ["--profile", "paper"]),
        ({}, []),
        ({}, ["--profile", "paper"]),
        ({}, ["--store", "it's here.json"]),
    ],
)
def test_the_command_that_login_required_names_logs_in_to_that_very_store(
    command: Command, changes: dict[str, Any], options: list[str]
) -> None:
    import shlex

    failed = command.run("token", *options, **changes)
    assert failed.returncode == 3
    named = shlex.split(failed.stderr.partition("Run: ")[2])
    assert named[:2] == ["aries-auth", "login"]
    browser = str(write_browser(command.home / "browser"))
    done = command.run(*named[1:], "--scope", "user:information", BROWSER=browser, **changes)
    assert done.returncode == 0, done.stderr
    assert command.run("token", *options, **changes).returncode == 0


@posix
def test_with_a_database_in_the_environment_login_and_programs_meet_there(command: Command) -> None:
    """It was a circle: the command logged in to the database, and AriesAuth() looked in a file."""
    pytest.importorskip("sqlalchemy")
    url = f"sqlite:///{command.home / 'tokens.db'}"
    browser = str(write_browser(command.home / "browser"))
    program = [sys.executable, "-c", "from aries_auth import AriesAuth; print(AriesAuth().get_token())"]
    there: dict[str, str | None] = {"ARIES_STORE_URL": url, "BROWSER": browser}
    assert command.run("login", "--scope", "user:information", **there).returncode == 0
    done = subprocess.run(program, env=command.environ(there), capture_output=True, text=True, check=False)
    assert done.stdout == command.run("token", **there).stdout, done.stderr


# What is waited for


HOLD = "import sys, time\nfrom aries_auth import FileTokenStore\nwith FileTokenStore(sys.argv[1]).locked():\n"


@posix
@pytest.mark.parametrize("name", ["logout", "refresh", "login"])
def test_what_is_waited_for_is_said_after_two_seconds_with_its_holder(command: Command, name: str) -> None:
    command.log_in()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD + "    print('held', flush=True)\n    sys.stdin.read()", command.store.path],
        env=command.environ({}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()
        process = command.start(name, *(["--scope", "user:information", "--timeout", "0.1"] if name == "login" else []))
        assert process.stderr is not None
        said = process.stderr.readline()
        holder.stdin.close()
        process.communicate(timeout=30)
    assert "aiting" in said
    assert command.store.path in said
    if sys.platform == "linux":
        assert f"process {holder.pid}" in said


@posix
def test_a_named_pipe_as_the_secret_file_is_a_failure_at_once_and_the_lock_is_free(command: Command) -> None:
    command.log_in()
    os.mkfifo(command.home / "pipe")
    told = {"ARIES_CLIENT_SECRET": None, "ARIES_CLIENT_SECRET_FILE": str(command.home / "pipe")}
    begun = time.monotonic()
    done = command.run("refresh", **told)
    assert done.returncode == 1
    assert "no regular file" in done.stderr
    assert time.monotonic() - begun < 10
    with command.store.locked(0):
        pass


# The sandbox's lines


@posix
def test_the_sandbox_prints_the_lines_of_the_shell_that_is_asked_for(command: Command) -> None:
    process = command.start("sandbox", "--port", "0", "--shell")
    assert process.stdout is not None
    text = "".join(process.stdout.readline() for _ in range(3 * 8 + 2))
    process.terminate()
    assert "\nexport ARIES_CLIENT_ID=sandbox-client\n" in text
    assert "\n$env:ARIES_CLIENT_ID = 'sandbox-client'\n" in text
    assert '\nset "ARIES_CLIENT_ID=sandbox-client"\n' in text


@pytest.mark.parametrize(
    "shell, line", [("posix", "export A='it'\"'\"'s'"), ("powershell", "$env:A = 'it''s'"), ("cmd", 'set "A=it\'s"')]
)
def test_a_line_for_each_shell(shell: str, line: str) -> None:
    from aries_auth.settings.shell import assignment

    assert assignment(shell, "A", "it's") == line


# Nobody pays for what they don't use


def loaded(command: Command, *args: str) -> tuple[str, set[str]]:
    program = (
        "import sys\nfrom aries_auth.cli import main\n"
        "try: main(sys.argv[1:])\nfinally: print(*sorted(sys.modules), file=sys.stderr)\n"
    )
    environment = {name: value for name, value in command.environ({}).items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", program, *args], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout, set(done.stderr.split())


HEAVY = {"requests", "httpx", "sqlalchemy", "cryptography", "urllib3", "httpcore", "ssl", "logging", "asyncio"}


@pytest.mark.parametrize("args", [["token"], ["status", "--json"]])
def test_token_and_status_of_a_fresh_token_load_no_http_library_and_nothing_that_the_store_does_not_need(
    command: Command, args: list[str]
) -> None:
    token = command.log_in()
    out, modules = loaded(command, *args)
    assert out.strip() == token.access_token or json.loads(out)["access_token_valid"]
    assert not modules & HEAVY


def processor_time(environment: dict[str, str], *arguments: str) -> float:
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@posix
@pytest.mark.ci
@pytest.mark.parametrize("args", [["token"], ["status", "--json"]])
def test_it_costs_at_most_half_more_than_importing_click(command: Command, args: list[str]) -> None:
    command.log_in()
    dropped = ("COV", "PYTHONDONTWRITE")  # compiled once, as an installed package is
    environment = {name: value for name, value in command.environ({}).items() if not name.startswith(dropped)}
    environment["PYTHONPYCACHEPREFIX"] = str(command.home / "compiled")
    best = {"click": 9.0, "ours": 9.0}
    for attempt in range(60):  # the best of many: what else this machine does is none of ours
        best["click"] = min(best["click"], processor_time(environment, "-c", "import click"))
        best["ours"] = min(best["ours"], processor_time(environment, "-m", "aries_auth", *args))
        if attempt >= 10 and best["ours"] <= 1.5 * best["click"]:
            break
    assert best["ours"] <= 1.5 * best["click"], best


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells who holds a lock")
def test_a_lock_that_is_held_elsewhere_is_named_with_its_holder_in_the_error(tmp_path: Path) -> None:
    from aries_auth import LockTimeout

    store = FileTokenStore(tmp_path / "t.json", lock_timeout=0.3)
    with store.locked():
        with pytest.raises(LockTimeout, match=rf"t\.json.*process {os.getpid()}\b"):
            _wait_for(store)
        with pytest.raises(LockTimeout, match=rf"process {os.getpid()}\b"), store.locked(1.0):
            pass


def _wait_for(store: FileTokenStore) -> None:
    from aries_auth.store import locked_in_slices

    with locked_in_slices(store, should_stop=lambda: False):
        pass
