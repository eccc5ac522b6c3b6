"""A process that needs a token once, run by the fault injection of test_syscalls.py; the variables say whose."""

from __future__ import annotations

import sys

from aries_auth import AriesAuth, AriesAuthError


def main() -> None:
    auth = AriesAuth(store=sys.argv[1])
    try:
        auth.get_token()
    except AriesAuthError as exc:
        print(f"{type(exc).__name__}: {exc}")
    else:
        print("ok")


if __name__ == "__main__":
    main()
