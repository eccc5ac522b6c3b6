"""Use a store, and print what became of it: `python -m tests.jobs.programs.store WAY [MODE]`.

Ways: "refresh", "call" (with a token that is due), "login" (a new grant for this store, through a code), "default" (no
store is given). MODE is that of the FileTokenStore, in octal digits.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.jobs.programs.job import jobs


def login(job: dict[str, Any], store: Any) -> None:
    from aries_auth import AuthorizationCodeFlow
    from aries_auth.testing import AriesSandbox

    given = {name: job["auth"][name] for name in ("client_id", "client_secret", "redirect_uri", "token_url")}
    flow = AuthorizationCodeFlow(
        **given, scope="market:information", authorize_url=f"{job['auth']['api_origins'][0]}/oauth2/authorize"
    )
    url, state = flow.authorization_url()
    flow.fetch_token(authorization_response=AriesSandbox.approve(None, url), state=state, store=store)  # type: ignore[arg-type]


def act(way: str, job: dict[str, Any], mode: str | None) -> None:
    from aries_auth import AriesAuth, FileTokenStore

    given = dict(job["auth"])
    if mode is not None:
        given["store"] = FileTokenStore(given["store"], mode=int(mode, 8))
    if way == "login":
        login(job, given["store"])
        return
    if way == "default":
        del given["store"]
    auth = AriesAuth(**given)
    if way == "call":
        auth.get_token()
        time.sleep(0.3)  # for what goes on in the background
    else:
        auth.refresh()


if __name__ == "__main__":
    said = {"error": None, "message": ""}
    try:
        act(sys.argv[1], jobs()[0], (sys.argv[2:] or [None])[0])
    except Exception as exc:
        said = {"error": type(exc).__name__, "message": str(exc)}
    print(json.dumps({**said, "here": sorted(path.name for path in Path().iterdir())}), flush=True)
