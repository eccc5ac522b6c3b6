"""Coverage-guided fuzzing: ``python -m tests.fuzz.with_atheris -max_total_time=3600 CORPUS`` (pip install atheris)."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["aries_auth"]):
    from tests.fuzz import targets

SEEDS = (
    b'\x00{"access_token":"a","refresh_token":"b","expires_in":3600,"scope":"s","token_type":"Bearer"}',
    b'\x01\x02{"error":{"type":"AUTHENTICATION","code":"x","message":"m","request_id":"r"}}',
    b'\x01\x02{"error":"text","codes":[{"code":"c","description":"d","field":"f"}],"metadata":{}}',
    b"\x02https://app.example/callback?code=abc&state=the-state",
    b'\x03{"version":1,"access_token":"a","expires_at":1.0,"other":[1]}',
    b"\x04https://user@api.aries.com:443/v1/users",
    b"\x05https://api.aries.com:443",
    b"\x06Wed, 21 Oct 2015 07:28:00 GMT",
)


def main() -> None:
    corpus = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    if corpus is not None:
        from pathlib import Path

        Path(corpus).mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(SEEDS):
            (Path(corpus) / f"seed-{number}").write_bytes(seed)
    atheris.Setup(sys.argv, targets.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
