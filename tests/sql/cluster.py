"""A private PostgreSQL on loopback for the tests, from Debian's binaries, and what the tests do to it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

PASSWORD = "cluster-p@ss:w/rd%"


def binaries() -> str | None:
    """The folder with initdb and pg_ctl, the newest first."""
    debian = Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")
    newest = sorted(debian, key=lambda path: float(path.parts[-3]))[-1:]
    found = newest[0] if newest else shutil.which("pg_ctl")
    return str(Path(found).parent) if found else None


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def unprivileged(folder: Path) -> list[str]:
    """What to put before a program that refuses to run as root; the folder becomes its user's."""
    if os.geteuid() != 0:
        return []
    import pwd

    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    account = names.get("postgres") or names["nobody"]
    for path in (folder, *folder.iterdir()):
        os.chown(path, account.pw_uid, account.pw_gid)
    return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]


class Cluster:
    """`start`, `stop`, `restart` and `url`; run as another user where we are root, whom PostgreSQL refuses."""

    def __init__(self, folder_of_binaries: str) -> None:
        self._bin = folder_of_binaries
        # Not pytest's tmp_path, into which another user may not look.
        self.folder = Path(tempfile.mkdtemp(prefix="aries-auth-pg-"))
        self.port = free_port()
        self.user = "postgres"
        self._as = unprivileged(self.folder)

    def create(self) -> Cluster:
        password_file = self.folder / "password"
        password_file.write_text(PASSWORD + "\n")
        password_file.chmod(0o644)
        self._run("initdb", "-D", str(self.folder / "data"), "-U", self.user, "-A", "scram-sha-256",
                  f"--pwfile={password_file}", "--no-sync", "-E", "UTF8", "--locale=C")  # fmt: skip
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 400,
            "log_statement": "none",
            "checkpoint_timeout": "1h",
        }
        with (self.folder / "data" / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in options.items())
        self.start()
        return self

    def start(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-l", str(self.folder / "log"), "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", mode, "-w", "stop")

    def restart(self, mode: str = "immediate") -> None:
        self._run(
            "pg_ctl", "-D", str(self.folder / "data"), "-l", str(self.folder / "log"), "-m", mode, "-w", "restart"
        )

    def remove(self) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self._as, f"{self._bin}/{program}", *arguments],
            cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"}, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stderr.decode()}"

    def url(
        self, database: str = "postgres", *, user: str | None = None, password: str = PASSWORD, **query: str
    ) -> Any:
        from sqlalchemy import URL

        return URL.create(
            "postgresql", user or self.user, password, "127.0.0.1", self.port, database, query
        ).render_as_string(hide_password=False)

    def execute(self, statement: str, *parameters: Any, database: str = "postgres") -> list[Any]:
        """Run a statement as the superuser, by psycopg itself."""
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user=self.user, password=PASSWORD, dbname=database, autocommit=True
        ) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []


class MariaDB:
    """A private MariaDB on loopback."""

    def __init__(self, server: str, install: str) -> None:
        self._server, self._install = server, install
        self.folder = Path(tempfile.mkdtemp(prefix="aries-auth-maria-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0

    @classmethod
    def find(cls) -> MariaDB | None:
        server = shutil.which("mariadbd", path=os.environ.get("PATH", "") + ":/usr/sbin")
        install = shutil.which("mariadb-install-db")
        return cls(server, install) if server and install else None

    def start(self) -> None:
        data, socket_path = self.folder / "data", self.folder / "socket"
        user = [f"--user={'root' if os.geteuid() == 0 else os.environ.get('USER', '')}"]
        subprocess.run(
            [self._install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal",
             "--skip-test-db", *user],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60, check=True,
        )  # fmt: skip
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
            [self._server, "--no-defaults", f"--datadir={data}", f"--socket={socket_path}", f"--port={self.port}",
             "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=1", *user],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
        )  # fmt: skip
        self._wait()

    def _wait(self) -> None:
        import time

        import pymysql

        for _ in range(300):
            try:
                pymysql.connect(host="127.0.0.1", port=self.port, user="root").close()
                return
            except pymysql.err.OperationalError:
                time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def new_database(self) -> str:
        import pymysql

        self._count += 1
        name = f"t{self._count}"
        with pymysql.connect(host="127.0.0.1", port=self.port, user="root") as connection:
            connection.cursor().execute(f"CREATE DATABASE {name}")
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{name}"

    def remove(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)
