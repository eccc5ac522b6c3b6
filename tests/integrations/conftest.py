"""A sandbox behind TLS and HTTP/2, as companies' proxies and newer libraries meet it."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from pathlib import Path
from typing import Iterator, NamedTuple

import pytest

from aries_auth.testing import AriesSandbox
from tests.conftest import wait_until


class Front(NamedTuple):
    """A server in front of the sandbox: its URL, and the file with the CA that issued its certificate."""

    url: str
    bundle: str


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def wait_for_port(port: int, host: str = "127.0.0.1") -> None:
    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((host, port)) == 0

    wait_until(listens, timeout=60)


@pytest.fixture
def front(aries: AriesSandbox, tmp_path: Path) -> Iterator[Front]:
    if importlib.util.find_spec("hypercorn") is None:
        pytest.skip("needs hypercorn")
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    files = [str(tmp_path / name) for name in ("ca.pem", "cert.pem", "key.pem")]
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(files[0])
    certificate.cert_chain_pems[0].write_to_path(files[1])
    certificate.private_key_pem.write_to_path(files[2])
    port = free_port()
    program = [sys.executable, str(Path(__file__).parent / "http2.py"), aries.url, str(port), *files[1:]]
    with subprocess.Popen(program, stderr=subprocess.DEVNULL) as server:
        wait_for_port(port, "localhost")
        yield Front(f"https://localhost:{port}", files[0])
        server.terminate()
