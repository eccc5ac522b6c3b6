"""``aries-auth doctor``: each setting with its source, and what can be checked without a token request."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from aries_auth.cli.console import FAILED, paint, put, say, shown
from aries_auth.cli.options import examples, find_store, grant_options, show_trouble

if TYPE_CHECKING:
    from aries_auth.cli.checks import Check
    from aries_auth.settings.sources import Setting

_COLORS = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command(epilog=examples("aries-auth doctor", "aries-auth doctor --profile paper --online"))
@grant_options
@click.option("--online", is_flag=True, help="Send one request without a token to the API: proxy, certificate, clock.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def doctor(profile: str | None, store: str | None, *, online: bool, as_json: bool) -> None:
    """Check the setup: settings and where they came from, store, lock, client secret and token.

    Sends nothing, unless you say --online. Exits with 0 if nothing failed, else as status does, else with 1.
    """
    show_trouble()
    from aries_auth.cli.checks import Examination  # noqa: PLC0415

    examination = Examination()
    examination.run(lambda: find_store(profile, store))
    if online:
        examination.go_online()
    if as_json:
        import json  # noqa: PLC0415

        put(json.dumps(_document(examination), indent=2))
    else:
        _show(examination.settings, examination.checks)
    failed = sum(check.status == "failed" for check in examination.checks)
    if failed and not as_json:
        say(f"{failed} of {len(examination.checks)} checks failed", color="red")
    sys.exit((examination.status_code or FAILED) if failed else 0)


def _document(examination: Any) -> dict[str, Any]:
    return {
        "ok": all(check.status != "failed" for check in examination.checks),
        "settings": [setting._asdict() for setting in examination.settings],
        "checks": [check._asdict() for check in examination.checks],
    }


def _show(settings: list[Setting], checks: list[Check]) -> None:
    width = max((len(setting.name) for setting in settings), default=0)
    for setting in settings:
        put(f"{setting.name:<{width}}  {shown(setting.value or '-')}  ({setting.source})")
    if settings:
        put("")
    for check in checks:
        mark = paint(f"{check.status:<7}", _COLORS[check.status], sys.stdout)
        cure = f"  To mend it: {check.cure}" if check.cure else ""
        click.echo(f"{mark}  {shown(f'{check.name}: {check.detail}{cure}')}")
