"""``aries-auth status``: what is stored, as a table or as JSON. It sends no request."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from aries_auth.cli.console import in_words, one_line, say
from aries_auth.cli.options import examples, find_grant, grant_options

if TYPE_CHECKING:
    from aries_auth import Token
    from aries_auth.cli.options import Grant

_ALERT_BELOW = 3 * 86400.0


class Report(NamedTuple):
    """What `status` knows of a grant at an instant."""

    grant: Grant
    token: Token | None
    now: float

    @property
    def access_token_valid(self) -> bool:
        """Whether the access token can be used, as far as is known."""
        from aries_auth.refresh import policy  # noqa: PLC0415

        return self.token is not None and policy.is_alive(self.token, self.now)

    @property
    def logged_in(self) -> bool:
        """Whether the grant serves a call without a person."""
        from aries_auth.refresh import policy  # noqa: PLC0415

        return self.token is not None and (
            self.access_token_valid or policy.is_refresh_token_alive(self.token, self.now)
        )

    @property
    def store_name(self) -> str:
        """How the store is named."""
        from aries_auth.store import store_name  # noqa: PLC0415

        return store_name(self.grant.store)

    @property
    def login_command(self) -> str:
        """What a person has to run to log in again."""
        from aries_auth.settings import login_command  # noqa: PLC0415

        return login_command(self.grant.profile, self.grant.store)

    def document(self) -> dict[str, Any]:
        """For scripts; times in Unix seconds."""
        token = self.token
        return {
            "profile": self.grant.profile,
            "store": self.store_name,
            "client_id": token and token.client_id,
            "redirect_uri": token and token.redirect_uri,
            "scope": token and token.scope,
            "logged_in": self.logged_in,
            "access_token_valid": self.access_token_valid,
            "access_token_expires_at": token and token.expires_at,
            "refresh_token_expires_at": token and token.refresh_token_expires_at,
        }

    def table(self) -> str:
        """For people."""
        rows = [("profile", self.grant.profile or "-")]
        token = self.token
        if token is not None:
            rows += [
                ("client", token.client_id or "not known"),
                ("redirect URI", token.redirect_uri or "not known"),
                ("scopes", token.scope or "not known"),
                ("access token", self._left(token.expires_at)),
                ("refresh token", self._left(token.refresh_token_expires_at) if token.refresh_token else "none"),
            ]
        rows.append(("store", self.store_name))
        return "\n".join(f"{name:<13}  {one_line(value)}" for name, value in rows)

    def _left(self, instant: float | None) -> str:
        if instant is None:
            return "end not known"
        left = instant - self.now
        return f"{in_words(left)} left" if left > 0 else f"ended {in_words(-left)} ago"

    def alert(self) -> str | None:
        """That a person has to log in, now or soon; None where neither is near."""
        token = self.token
        if token is None:
            return f"there is no token in {self.store_name}. Run: {self.login_command}"
        if not self.logged_in:
            return f"a person has to log in again. Run: {self.login_command}"
        what = "refresh" if token.refresh_token else "access"
        ends_at = token.refresh_token_expires_at if token.refresh_token else token.expires_at
        if ends_at is None or ends_at - self.now >= _ALERT_BELOW:
            return None
        left = ends_at - self.now
        ends = f"ends in {in_words(left)}" if left > 0 else "has ended"
        return f"the {what} token {ends}: a person has to log in again. Run: {self.login_command}"


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

    Exits with 3 when a person has to log in. Less than 3 days before that, it says so on standard error. With --all the
    JSON is a list, and an unreadable token is an error that does not keep the others from being shown.
    """
    import json  # noqa: PLC0415

    if every:
        show_all(store, as_json=as_json)
        return
    grant = find_grant(profile, store)
    report = Report(grant, grant.store.load(), time.time())
    click.echo(json.dumps(report.document(), indent=2) if as_json else report.table())
    alert = report.alert()
    if alert is not None:
        say(alert, color="yellow" if report.logged_in else "red")
    if not report.logged_in:
        sys.exit(3)


def show_all(store: str | None, *, as_json: bool) -> None:
    """Every profile; exits with 1 where one can't be read, else with 3 where a person has to log in."""
    import json  # noqa: PLC0415

    from aries_auth.cli.options import Grant  # noqa: PLC0415
    from aries_auth.errors import StoreError  # noqa: PLC0415
    from aries_auth.settings.stores import every_store  # noqa: PLC0415

    reports: list[Report] = []
    unreadable, now = 0, time.time()
    for found in every_store(store):
        try:
            reports.append(Report(Grant(found.store, found.profile), found.store.load(), now))
        except StoreError as exc:
            unreadable += 1
            say(str(exc), color="red")
    if as_json:
        click.echo(json.dumps([report.document() for report in reports], indent=2))
    elif reports:
        click.echo("\n\n".join(report.table() for report in reports))
    elif not unreadable:
        say("there are no profiles")
    for report in reports:
        alert = report.alert()
        if alert is not None:
            say(alert, color="yellow" if report.logged_in else "red")
    if unreadable or not all(report.logged_in for report in reports):
        sys.exit(1 if unreadable else 3)
