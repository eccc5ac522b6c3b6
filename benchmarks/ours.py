"""aries-auth, set up as its documentation says, with a token in a file of its own."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from aries_auth import AriesAuth, FileTokenStore, Token
from benchmarks import peers


def scratch(prefix: str = "aries-bench-") -> Path:
    """A folder that goes when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def token(expires_in: float = peers.LIFETIME, lifetime: float = peers.LIFETIME, **changes: Any) -> Token:
    """A token that expires in so many seconds."""
    now = time.time()
    values: dict[str, Any] = {
        "access_token": peers.ACCESS_TOKEN,
        "refresh_token": "refresh-token",
        "expires_at": now + expires_in,
        "obtained_at": now + expires_in - lifetime,
        "client_id": peers.CLIENT_ID,
        "redirect_uri": peers.REDIRECT_URI,
        **changes,
    }
    return Token(**values)


def living_auth() -> AriesAuth:
    """An AriesAuth that has its token in memory."""
    path = scratch() / "token.json"
    FileTokenStore(path).save(token())
    auth = AriesAuth(client_secret=peers.CLIENT_SECRET, store=path)
    auth.get_token()
    return auth
