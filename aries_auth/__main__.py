"""``python -m aries_auth``: the command."""

from __future__ import annotations

from aries_auth.cli import main

if __name__ == "__main__":
    main()
