"""A process that needs a token once; run by the fault injection of test_syscalls.py."""

from __future__ import annotations

import sys

from aries_auth import AriesAuth, AriesAuthError


def main() -> None:
    path, token_url, client_id, client_secret, redirect_uri = sys.argv[1:]
    auth = AriesAuth(client_id, client_secret, redirect_uri, store=path, token_url=token_url)
    try:
        auth.get_token()
    except AriesAuthError as exc:
        print(f"{type(exc).__name__}: {exc}")
    else:
        print("ok")


if __name__ == "__main__":
    main()
