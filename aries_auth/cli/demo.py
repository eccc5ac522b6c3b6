"""``aries-auth demo``: the command; what it shows is in `demo_steps`."""

from __future__ import annotations

import sys
import time

import click

from aries_auth.cli.console import Failure, paint, put, shown
from aries_auth.cli.options import examples, show_trouble, verbose_option


@click.command(
    epilog=examples("aries-auth demo", "aries-auth -v demo      with the log of the package"),
)
@verbose_option
def demo() -> None:
    """Show the whole life of a token on a sandbox, in a few seconds and without an account.

    It starts a local Aries, logs in, calls it with requests and httpx, refreshes ahead of expiry, answers a 401, and
    shares the token with a second process. Each line is checked; the first that does not hold ends it with 1. Your own
    tokens and your environment play no part in it.
    """
    show_trouble()
    began = time.monotonic()
    from aries_auth.cli.demo_steps import Untrue, steps  # noqa: PLC0415

    try:
        for line in steps():
            mark = paint("ok", "green", sys.stdout)
            click.echo(f"{time.monotonic() - began:6.2f} s  {mark}  {shown(line)}")
    except Untrue as exc:
        raise Failure(f"the demo failed after {time.monotonic() - began:.2f} s: {exc}") from exc
    put(f"{time.monotonic() - began:6.2f} s      All of it held.")
