"""Cheap processes to hurt: one process imports once, and forks a child for each that is asked for.

A child is a whole process: it talks to the test over a socket of its own, dies of the signals that it is sent, and
ends as an interpreter ends. What children do are the functions of `jobs`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Sequence

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows imports this, too


class Line:
    """Lines of JSON over a socket, in both directions."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = connection.makefile("r")

    def say(self, what: Any) -> None:
        self._connection.sendall(json.dumps(what).encode() + b"\n")

    def hear(self) -> Any:
        """The next line; EOFError where the other end is gone."""
        try:
            line = self._reader.readline()
        except ConnectionError:
            line = ""
        if not line:
            raise EOFError
        return json.loads(line)

    def close(self) -> None:
        self._reader.close()
        self._connection.close()


class Victim(Line):
    """A child, as the test sees it."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        super().__init__(connection)
        self.pid: int = self.hear()

    def ask(self, what: Any) -> Any:
        """Tell it something, and hear what it says to that."""
        self.say(what)
        return self.hear()

    def kill(self, number: int = KILL) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait_gone(self) -> None:
        """Until the process has ended, and all that it had is free."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.002)
        raise TimeoutError(f"process {self.pid} does not end")


class Zygote:
    """The process that forks. `prefix` is put before its command: ``unshare``, say."""

    def __init__(self, prefix: Sequence[str] = (), **environment: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="aries-zygote-")
        path = f"{self._folder.name}/s"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._listener.settimeout(PATIENCE)
        Path(self._folder.name).chmod(0o755)  # a child may become another user
        Path(path).chmod(0o666)
        self._victims: list[Victim] = []
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.chaos.zygote", path],
            stdin=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        self.pid: int = self._accept().pid

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *_: object) -> None:
        for victim in self._victims:
            with contextlib.suppress(OSError):
                victim.close()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self._listener.close()
        self._folder.cleanup()

    def start(self, job: str, **options: Any) -> Victim:
        """A child that does a job of `jobs`."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"job": job, **options}) + "\n")
        self.process.stdin.flush()
        return self._accept()

    def _accept(self) -> Victim:
        victim = Victim(self._listener.accept()[0])
        self._victims.append(victim)
        return victim


def connect(path: str) -> Line:
    """The child's end."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    line = Line(connection)
    line.say(os.getpid())
    return line


def main() -> None:
    from . import jobs

    path = sys.argv[1]
    keep = connect(path)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    if hasattr(gc, "freeze"):  # PyPy has none
        gc.freeze()  # what was imported is not looked through at the end of every child
    for order in iter(sys.stdin.readline, ""):
        options = json.loads(order)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            keep.close()
            # Returns to the end of the module, so that the interpreter ends as any other does.
            getattr(jobs, options.pop("job"))(connect(path), path=path, **options)
            return


if __name__ == "__main__":
    main()
