"""Names that AriesAuth does not have: each line marked `# wrong` is an error, whatever libraries are installed."""

from __future__ import annotations

import httpx
import requests

from aries_auth import AriesAuth, login

auth = AriesAuth()
auth.get_tokn()  # wrong
auth.refresh_token()  # wrong
auth.tokens  # wrong
AriesAuth.from_file("token.json")  # wrong
login(scope="user:information").get_acces_token()  # wrong
auth("not a request")  # wrong

# What it has of its base classes stays known, and both libraries take it.
auth.auth_flow
requests.get("https://api.aries.com/v1/users/me", auth=auth, timeout=10)
httpx.get("https://api.aries.com/v1/users/me", auth=auth)
