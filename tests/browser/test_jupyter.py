"""`login` in the cells of a real kernel, spoken to as Jupyter does."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path
from typing import Any, Iterator
from urllib.parse import urlsplit

import pytest

from aries_auth.testing import AriesSandbox
from tests.browser.conftest import ROOT, need, quiet_port
from tests.cli_process import clean_environment
from tests.conftest import wait_until

LOGIN = "from aries_auth import login; auth = login(scope='user:information', open_browser=False{more})"

NO_KEYRING = {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}


class Kernel:
    """One ipykernel, and a client of it."""

    def __init__(self, folder: Path, aries: AriesSandbox) -> None:
        from jupyter_client.manager import KernelManager

        self._streams: dict[str, set[str]] = {}
        self._last = ""
        self.token_file = folder / "token.json"
        told = {
            "ARIES_TOKEN_FILE": str(self.token_file),
            **NO_KEYRING,
            "PYTHONPATH": str(ROOT),
            "IPYTHONDIR": str(folder),
        }
        environment = clean_environment(folder, **aries.environ, **told)
        self._manager = KernelManager(kernel_name="python3", connection_file=str(folder / "kernel.json"))
        self._manager.start_kernel(env=environment, cwd=str(folder))
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=30)

    def execute(self, code: str, *, allow_stdin: bool = True) -> str:
        # stop_on_error would have the kernel drop a cell that comes right after one that failed.
        self._last = str(self._client.execute(code, allow_stdin=allow_stdin, stop_on_error=False))
        return self._last

    def reply(self, request: str, timeout: float = 15.0) -> dict[str, Any]:
        """The outcome of a cell."""
        give_up_at = time.monotonic() + timeout
        while time.monotonic() < give_up_at:
            message = self._client.get_shell_msg(timeout=timeout)
            if message["parent_header"].get("msg_id") == request:
                return dict(message["content"])
        raise AssertionError("the cell did not end")

    def output(self, request: str, until: str | None = None, timeout: float = 15.0) -> str:
        """What a cell has shown, as soon as a pattern is in it, else at its end."""
        shown = ""
        give_up_at = time.monotonic() + timeout
        while time.monotonic() < give_up_at:
            message = self._client.get_iopub_msg(timeout=timeout)
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                self._streams.setdefault(request, set()).add(str(content["name"]))
            shown += str(content.get("text", "")) + "".join(map(str, content.get("data", {}).values()))
            shown += "\n".join(content.get("traceback", []))
            if until is not None and re.search(until, shown):
                return shown
            if message["msg_type"] == "status" and content["execution_state"] == "idle":
                return shown
        raise AssertionError(shown)

    def streams(self, request: str) -> set[str]:
        """The streams that a cell wrote to, as far as its output was read."""
        return self._streams.get(request, set())

    def run(self, code: str) -> str:
        """A cell that must go well; what it showed."""
        request = self.execute(code)
        reply = self.reply(request)
        assert reply["status"] == "ok", reply
        return self.output(request)

    def asked(self) -> str:
        """The question of a field that the last cell shows; those of earlier ones may have gone unanswered."""
        while True:
            message = self._client.get_stdin_msg(timeout=15)
            if message["parent_header"].get("msg_id") == self._last:
                return str(message["content"]["prompt"])

    def answer(self, text: str) -> None:
        self._client.input(text)

    def interrupt(self) -> None:
        self._manager.interrupt_kernel()

    @property
    def alive(self) -> bool:
        return bool(self._manager.is_alive())

    def stop(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[AriesSandbox]:
    with AriesSandbox(redirect_uris=[f"http://127.0.0.1:{quiet_port()}/callback"]) as aries:
        yield aries


@pytest.fixture(scope="module")
def kernel_of_module(sandbox: AriesSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    need("jupyter_client", "ipykernel")
    kernel = Kernel(tmp_path_factory.mktemp("kernel"), sandbox)
    yield kernel
    kernel.stop()


@pytest.fixture
def kernel(kernel_of_module: Kernel, sandbox: AriesSandbox) -> Kernel:
    """The kernel, not logged in."""
    sandbox.reset()
    kernel_of_module.token_file.unlink(missing_ok=True)
    return kernel_of_module


def link_in(shown: str, aries: AriesSandbox) -> str:
    found = re.search(rf"{re.escape(aries.authorize_url)}\S+", shown)
    assert found is not None, shown
    return found.group()


def listens(aries: AriesSandbox) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(aries.redirect_uri).port or 0)) == 0


def test_a_cell_logs_in_while_it_listens(kernel: Kernel, sandbox: AriesSandbox) -> None:
    cell = kernel.execute(LOGIN.format(more=""))
    link = link_in(kernel.output(cell, until=r"Waiting"), sandbox)
    assert sandbox.browser(link).status == 200
    assert kernel.reply(cell)["status"] == "ok"
    assert "user:information" in kernel.run("auth")
    assert kernel.token_file.exists()


def test_an_interrupt_ends_the_wait_at_once_and_the_kernel_goes_on(kernel: Kernel, sandbox: AriesSandbox) -> None:
    cell = kernel.execute(LOGIN.format(more=""))
    kernel.output(cell, until=r"Waiting")
    wait_until(lambda: listens(sandbox))
    begun = time.monotonic()
    kernel.interrupt()
    reply = kernel.reply(cell)
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    assert kernel.run("1 + 1") == "2"
    assert time.monotonic() - begun < 3.0
    assert kernel.alive
    assert not listens(sandbox)
    assert not kernel.token_file.exists()


def test_a_login_after_an_interrupt_has_the_same_port_again(kernel: Kernel, sandbox: AriesSandbox) -> None:
    for _ in range(2):
        cell = kernel.execute(LOGIN.format(more=""))
        link = link_in(kernel.output(cell, until=r"Waiting"), sandbox)
        kernel.interrupt()
        assert kernel.reply(cell)["ename"] == "KeyboardInterrupt"
    cell = kernel.execute(LOGIN.format(more=""))
    link = link_in(kernel.output(cell, until=r"Waiting"), sandbox)
    assert sandbox.browser(link).status == 200
    assert kernel.reply(cell)["status"] == "ok"


# A kernel on another computer than the browser


def test_a_field_takes_the_address_while_it_listens(kernel: Kernel, sandbox: AriesSandbox) -> None:
    """The browser can't reach the kernel; its person pastes the address that it ended on."""
    cell = kernel.execute(LOGIN.format(more=""))
    shown = kernel.output(cell, until=r"Waiting for the browser")
    assert "ended on" in kernel.asked()
    assert listens(sandbox)
    kernel.answer("not an address")
    kernel.asked()
    callback = sandbox.approve(link_in(shown, sandbox))
    kernel.answer(f" '{callback}'\n")
    assert kernel.reply(cell)["status"] == "ok"
    assert callback not in kernel.output(cell)
    assert kernel.token_file.exists()
    assert not listens(sandbox)


def test_the_field_ends_with_the_login_and_nothing_after_it_is_interrupted(
    kernel: Kernel, sandbox: AriesSandbox
) -> None:
    cell = kernel.execute(LOGIN.format(more="") + "; import time; time.sleep(0.5); print('went on')")
    link = link_in(kernel.output(cell, until=r"Waiting for the browser"), sandbox)
    kernel.asked()
    assert sandbox.browser(link).status == 200
    assert kernel.reply(cell)["status"] == "ok"
    assert "went on" in kernel.output(cell)
    assert kernel.run("1 + 1") == "2"


def test_after_an_interrupt_the_same_login_goes_on(kernel: Kernel, sandbox: AriesSandbox) -> None:
    """The person approved while nobody listened: run again, the cell takes the address of the first link."""
    cell = kernel.execute(LOGIN.format(more=""))
    link = link_in(kernel.output(cell, until=r"Waiting for the browser"), sandbox)
    kernel.asked()
    kernel.interrupt()
    assert kernel.reply(cell)["ename"] == "KeyboardInterrupt"
    callback = sandbox.approve(link)
    cell = kernel.execute(LOGIN.format(more=""))
    assert link_in(kernel.output(cell, until=r"Waiting for the browser"), sandbox) == link
    kernel.asked()
    kernel.answer(callback)
    assert kernel.reply(cell)["status"] == "ok"
    assert kernel.token_file.exists()


def test_a_state_that_was_used_is_not_offered_again(kernel: Kernel, sandbox: AriesSandbox) -> None:
    links = []
    for _ in range(2):
        cell = kernel.execute(LOGIN.format(more=""))
        links.append(link_in(kernel.output(cell, until=r"Waiting"), sandbox))
        assert sandbox.browser(links[-1]).status == 200
        assert kernel.reply(cell)["status"] == "ok"
    assert links[0] != links[1]


def test_a_login_for_other_scopes_is_another_one(kernel: Kernel, sandbox: AriesSandbox) -> None:
    links = []
    for scope in ("user:information", "order:information"):
        cell = kernel.execute(LOGIN.format(more="").replace("user:information", scope))
        links.append(link_in(kernel.output(cell, until=r"Waiting"), sandbox))
        kernel.interrupt()
        assert kernel.reply(cell)["ename"] == "KeyboardInterrupt"
    states = [re.search(r"state=([^&\s]+)", link) for link in links]
    assert None not in states
    assert len({found.group(1) for found in states if found}) == 2


def test_where_nobody_answers_it_listens_all_the_same(kernel: Kernel, sandbox: AriesSandbox) -> None:
    cell = kernel.execute(LOGIN.format(more=""), allow_stdin=False)
    link = link_in(kernel.output(cell, until=r"Waiting"), sandbox)
    assert sandbox.browser(link).status == 200
    assert kernel.reply(cell)["status"] == "ok"


def test_paste_asks_in_a_field(kernel: Kernel, sandbox: AriesSandbox) -> None:
    cell = kernel.execute(LOGIN.format(more=", paste=True"))
    shown = kernel.output(cell, until=r"(?s)https?://\S+.*can't be reached:")
    kernel.asked()
    callback = sandbox.approve(link_in(shown, sandbox))
    kernel.answer(callback)
    assert kernel.reply(cell)["status"] == "ok"
    assert callback not in kernel.output(cell)
    assert kernel.token_file.exists()


def test_an_interrupt_ends_the_field(kernel: Kernel) -> None:
    cell = kernel.execute(LOGIN.format(more=", paste=True"))
    kernel.asked()
    begun = time.monotonic()
    kernel.interrupt()
    assert kernel.reply(cell)["ename"] == "KeyboardInterrupt"
    assert kernel.run("1 + 1") == "2"
    assert time.monotonic() - begun < 3.0
    assert not kernel.token_file.exists()


def test_an_interrupt_while_the_code_is_exchanged_keeps_the_token(kernel: Kernel, sandbox: AriesSandbox) -> None:
    cell = kernel.execute(LOGIN.format(more=", paste=True"))
    shown = kernel.output(cell, until=r"(?s)https?://\S+.*can't be reached:")
    kernel.asked()
    sandbox.fail(delay=1.0)
    kernel.answer(sandbox.approve(link_in(shown, sandbox)))
    sandbox.wait_for_requests(1)
    kernel.interrupt()
    assert kernel.reply(cell, timeout=0.8)["ename"] == "KeyboardInterrupt"
    assert not kernel.token_file.exists()
    wait_until(kernel.token_file.exists)


def test_the_traceback_in_a_cell_shows_no_secret_and_no_code(kernel: Kernel, sandbox: AriesSandbox) -> None:
    """Verbose tracebacks print the local variables of every frame."""
    kernel.run("%xmode Verbose")
    cell = kernel.execute(LOGIN.format(more=", paste=True"))
    shown = kernel.output(cell, until=r"(?s)https?://\S+.*can't be reached:")
    kernel.asked()
    callback = sandbox.approve(link_in(shown, sandbox))
    code = re.search(r"code=([^&]+)", callback)
    assert code is not None
    kernel.answer(callback.replace("state=", "state=not"))
    assert kernel.reply(cell)["ename"] == "AuthorizationError"
    shown = kernel.output(cell)
    kernel.run("%xmode Context")
    assert "may be forged" in shown
    assert code.group(1) not in shown
    assert sandbox.client_secret not in shown


def test_a_kernel_without_a_field_says_so(kernel: Kernel) -> None:
    """papermill and nbconvert execute notebooks with nobody there to answer."""
    cell = kernel.execute(LOGIN.format(more=", paste=True"), allow_stdin=False)
    assert kernel.reply(cell)["ename"] == "AuthorizationError"


def test_the_texts_are_an_ordinary_output_with_a_countdown_and_a_last_line(
    kernel: Kernel, sandbox: AriesSandbox
) -> None:
    """Red boxes are for errors: nothing goes to standard error."""
    cell = kernel.execute(LOGIN.format(more=""))
    shown = kernel.output(cell, until=r"Waiting for the browser: \d+ s left")
    link = link_in(shown, sandbox)
    assert sandbox.browser(link).status == 200
    assert kernel.reply(cell)["status"] == "ok"
    rest = kernel.output(cell)
    assert "Logged in: client sandbox-client; the access token is good until " in rest
    assert kernel.streams(cell) <= {"stdout"}


def test_what_is_missing_is_asked_for_in_fields_and_the_secret_is_not_shown(
    kernel: Kernel, sandbox: AriesSandbox
) -> None:
    kernel.run("import os; told = {name: os.environ.pop(name) for name in list(os.environ) if 'CLIENT' in name}")
    try:
        cell = kernel.execute("from aries_auth import login; auth = login(open_browser=False)")
        asked: list[str] = []
        for answer in (sandbox.client_id, "1 3", sandbox.client_secret, "y"):
            asked.append(kernel.asked())
            kernel.answer(answer)
        link = link_in(kernel.output(cell, until=r"Waiting"), sandbox)
        assert sandbox.browser(link).status == 200
        assert kernel.reply(cell)["status"] == "ok"
        assert [question.split()[0] for question in asked] == ["Client", "Scopes,", "Client", "Keep"]
        assert sandbox.client_secret not in kernel.output(cell)
        assert kernel.run("auth.refresh().access_token != ''") == "True"
    finally:
        kernel.run("os.environ.update(told)")
        Path(f"{kernel.token_file}.secret").unlink(missing_ok=True)


def test_run_all_asks_nobody_while_the_login_serves(kernel: Kernel, sandbox: AriesSandbox) -> None:
    cell = kernel.execute(LOGIN.format(more=""))
    sandbox.browser(link_in(kernel.output(cell, until=r"Waiting"), sandbox))
    kernel.reply(cell)
    again = kernel.execute(LOGIN.format(more=", if_needed=True"), allow_stdin=False)
    assert kernel.reply(again)["status"] == "ok"
    assert "Logged in: " in kernel.output(again)
    assert len(sandbox.token_requests) == 1


def test_a_notebook_that_is_executed_with_nobody_there_names_what_is_missing(kernel: Kernel) -> None:
    kernel.run("import os; told = {name: os.environ.pop(name) for name in list(os.environ) if 'CLIENT' in name}")
    try:
        cell = kernel.execute("from aries_auth import login; login()", allow_stdin=False)
        reply = kernel.reply(cell)
        assert reply["ename"] == "ConfigurationError"
        assert "ARIES_CLIENT_ID" in reply["evalue"]
    finally:
        kernel.run("os.environ.update(told)")
