"""A local Aries in a process of its own, spoken to in lines of JSON, so that it takes none of our interpreter's time.

``python -m benchmarks.server`` is that process; `Server` starts and asks it. Aries takes JSON alone, the peers send
forms: `form_url` is a door that turns the one into the other.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote

from aries_auth import Token
from aries_auth.testing import AriesSandbox
from benchmarks import peers


@dataclass(frozen=True)
class Addresses:
    """Where the server listens."""

    api_url: str
    token_url: str
    form_url: str


class Server:
    """The process, for a ``with`` block.

    Args:
        delay: seconds that each token request takes.
    """

    def __init__(self, delay: float = 0.0) -> None:
        self._delay = delay

    def __enter__(self) -> Server:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.server", str(self._delay)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.at = Addresses(**self._answer())
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def issue(self, count: int = 1, **options: float) -> list[Token]:
        """So many new grants; the options are those of `AriesSandbox.issue_token`."""
        return [Token.from_dict(token) for token in self._ask("issue", count=count, **options)]

    def counts(self) -> dict[str, int]:
        """Token requests, refreshes made and refresh tokens sent twice, since the last call."""
        return dict(self._ask("counts"))

    def revoke_access_tokens(self) -> None:
        """Every access token so far is answered 401."""
        self._ask("revoke")

    def _ask(self, command: str, **options: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **options}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


class _FormDoor(BaseHTTPRequestHandler):
    """Turns a form to the token endpoint into the JSON that Aries asks for."""

    protocol_version = "HTTP/1.1"
    token_url = ""

    def do_POST(self) -> None:
        form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        scheme, _, basic = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            form["client_id"], _, form["client_secret"] = map(unquote, base64.b64decode(basic).decode().partition(":"))
        form.setdefault("redirect_uri", peers.REDIRECT_URI)
        form.pop("scope", None)
        request = urllib.request.Request(
            self.token_url, json.dumps(form).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request) as response:
                status, body = response.status, response.read()
        except urllib.error.HTTPError as exc:
            status, body = exc.code, exc.read()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Door(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


def _serve(aries: AriesSandbox, command: str, **options: Any) -> Any:
    if command == "issue":
        count = options.pop("count")
        return [aries.issue_token(**options).to_dict() for _ in range(count)]
    if command == "revoke":
        aries.revoke_access_tokens()
        return None
    counts = {
        "token_requests": len(aries.token_requests),
        "refreshes": aries.refresh_count,
        "reused": aries.reused_refresh_tokens,
    }
    aries.reset_counts()
    return counts


def main() -> None:
    """Serve until standard input ends."""
    sandbox = AriesSandbox(
        client_id=peers.CLIENT_ID, client_secret=peers.CLIENT_SECRET, redirect_uris=(peers.REDIRECT_URI,)
    )
    with sandbox as aries:
        delay = float(sys.argv[1])
        if delay:
            aries.fail("token", delay=delay, times=None)
        _FormDoor.token_url = aries.token_url
        door = _Door(("127.0.0.1", 0), _FormDoor)
        threading.Thread(target=door.serve_forever, daemon=True).start()
        form_url = f"http://127.0.0.1:{door.server_address[1]}/token"
        print(json.dumps({"api_url": aries.api_url, "token_url": aries.token_url, "form_url": form_url}), flush=True)
        for line in sys.stdin:
            print(json.dumps(_serve(aries, **json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
