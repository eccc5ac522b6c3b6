"""``aries-auth status``: what is stored, as a table or as JSON. It sends no request."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from aries_auth.cli.console import FAILED, LOGIN_REQUIRED, put, say
from aries_auth.cli.options import examples, find_store, grant_options

if TYPE_CHECKING:
    from aries_auth.settings.report import Report


def show_table(report: Report) -> str:
    """One grant, for people."""
    rows = [("profile", report.profile or "-")]
    token = report.token
    if token is not None:
        rows += [
            ("client", token.client_id or "not known"),
            ("client secret", report.secret.where or "not found"),
            ("redirect URI", token.redirect_uri or "not known"),
            ("scopes", token.scope or "not known"),
            ("access token", report.access_left()),
            ("refresh token", report.refresh_left()),
        ]
    rows.append(("store", report.store))
    return "\n".join(f"{name:<13}  {one_row(value)}" for name, value in rows)


def one_row(value: str) -> str:
    """A value that stays in its row, whatever it holds."""
    from aries_auth.errors import escaped  # noqa: PLC0415

    return escaped(value)


def alert(report: Report) -> str | None:
    """That something has to be done, now or soon; None if nothing has."""
    from aries_auth.terminal import in_words  # noqa: PLC0415
    from aries_auth.token import LOGIN_DUE  # noqa: PLC0415

    token = report.token
    if token is None:
        return f"there is no token in {report.store}. Run: {report.login_command}"
    if not report.logged_in:
        return f"a person has to log in again. Run: {report.login_command}"
    if report.refresh_token_valid and report.refresh_fault:
        until = "calls don't work"
        if report.access_token_valid:
            end = token.expires_at
            until = "calls work" if end is None else f"calls work for {in_words(end - report.now)} more, not longer"
        return f"{until}: {report.refresh_fault}"
    what = "refresh" if token.refresh_token else "access"
    ends_at = token.refresh_token_expires_at if token.refresh_token else token.expires_at
    if ends_at is None or ends_at - report.now >= LOGIN_DUE:
        return None
    left = ends_at - report.now
    ends = f"ends in {in_words(left)}" if left > 0 else "has ended"
    return f"the {what} token {ends}: a person has to log in again. Run: {report.login_command}"


def exit_code(report: Report) -> int:
    """0 while calls work, 3 if a person must log in, else 1."""
    if report.serves:
        return 0
    return FAILED if report.logged_in else LOGIN_REQUIRED


def _color(report: Report) -> str:
    return "yellow" if report.serves else "red"


@click.command(
    epilog=examples(
        "aries-auth status",
        "aries-auth status --profile paper",
        "aries-auth status --all",
        "aries-auth status --json || aries-auth login",
    ),
)
@grant_options
@click.option("--all", "every", is_flag=True, help="Every profile of the database, or of the default folder.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts; times in Unix seconds.")
def status(profile: str | None, store: str | None, *, every: bool, as_json: bool) -> None:
    """Show who is logged in and for how long. Sends no request.

    Exits with 0 while calls work: the access token lives, or it can be refreshed with the settings found here. Exits
    with 3 if a person has to log in, and otherwise with 1. It warns on standard error from 3 days before that.
    With --all the JSON is a list, and an unreadable token is an error that does not keep the others from being shown.
    """
    import json  # noqa: PLC0415

    from aries_auth.settings.report import report as look  # noqa: PLC0415

    if every:
        show_all(profile, store, as_json=as_json)
        return
    report = look(find_store(profile, store))
    put(json.dumps(report.document(), indent=2) if as_json else show_table(report))
    text = alert(report)
    if text is not None:
        say(text, color=_color(report))
    sys.exit(exit_code(report))


def show_all(profile: str | None, store: str | None, *, as_json: bool) -> None:
    """Every profile; exits with 1 if one can't be read or can't be refreshed, else with 3 if a person has to log in."""
    import json  # noqa: PLC0415

    from aries_auth.errors import StoreError  # noqa: PLC0415
    from aries_auth.settings.report import report as look  # noqa: PLC0415
    from aries_auth.settings.stores import every_store  # noqa: PLC0415

    reports: list[Report] = []
    unreadable = 0
    for found in every_store(store):
        try:
            reports.append(look(found))
        except StoreError as exc:
            unreadable += 1
            say(str(exc), color="red")
    if as_json:
        put(json.dumps([report.document() for report in reports], indent=2))
    elif reports:
        put(_table_of_all(reports, _active(profile, store)))
    elif not unreadable:
        say("there are no profiles")
    for report in reports:
        text = alert(report)
        if text is not None:
            say(f"{report.profile}: {text}", color=_color(report))
    codes = {exit_code(report) for report in reports}
    if unreadable or codes - {0}:
        sys.exit(FAILED if unreadable or FAILED in codes else LOGIN_REQUIRED)


def _active(profile: str | None, store: str | None) -> str:
    """The store that a program finds that is told nothing."""
    from aries_auth.errors import AriesAuthError  # noqa: PLC0415
    from aries_auth.store import store_name  # noqa: PLC0415

    try:
        return store_name(find_store(profile, store).store)
    except AriesAuthError:
        return ""


def _table_of_all(reports: list[Report], active: str) -> str:
    """One row each; the active profile is marked."""
    rows = [("", "PROFILE", "CLIENT", "SECRET", "ACCESS TOKEN", "REFRESH TOKEN", "SCOPES")]
    for report in reports:
        token = report.token
        values = (
            "*" if report.store == active else "",
            report.profile or "-",
            (token.client_id if token is not None else None) or "-",
            report.secret.where or "not found",
            report.access_left(),
            report.refresh_left(),
            (token.scope if token is not None else None) or "-",
        )
        rows.append(tuple(one_row(value) for value in values))  # type: ignore[arg-type]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(f"{value:<{width}}" for value, width in zip(row, widths)).rstrip() for row in rows)
