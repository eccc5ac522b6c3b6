"""What `aries-auth doctor` looks at, one check after the other."""

from __future__ import annotations

import time
from typing import Any, Callable, NamedTuple

from aries_auth.cli.console import FAILED, is_out_of_reach
from aries_auth.cli.status import exit_code
from aries_auth.errors import AriesAuthError, LockTimeout, printable
from aries_auth.settings import saved_secret
from aries_auth.settings.refreshable import Obstacle, advice_for_endpoint
from aries_auth.settings.report import Report, report_of
from aries_auth.settings.sources import Setting, faults_of_variables, settings_in_use
from aries_auth.settings.stores import StoreChoice, login_command
from aries_auth.settings.urls import api_origins
from aries_auth.settings.values import command_text, variable
from aries_auth.store import FileTokenStore, store_name
from aries_auth.store.holder import holder_text
from aries_auth.terminal import in_words
from aries_auth.token import LOGIN_DUE, Token, is_for_upgrade

_LOCK_PATIENCE = 2.0
_SKEW = 60.0
_UPGRADE = "pip install --upgrade aries-auth"


class Check(NamedTuple):
    """One thing that was looked at: `status` is ``ok``, ``warning`` or ``failed``."""

    name: str
    status: str
    detail: str
    cure: str | None = None


class Examination:
    """The settings and the checks of one run; `status_code` is what `aries-auth status` would exit with."""

    def __init__(self) -> None:
        self.settings: list[Setting] = []
        self.checks: list[Check] = []
        self.status_code: int = FAILED

    def run(self, choose: Callable[[], StoreChoice]) -> None:
        """Look at everything that is on this computer."""
        for name, text in faults_of_variables():
            self._add(name, "failed", text, "correct the variable, or unset it")
        try:
            choice = choose()
        except AriesAuthError as exc:
            self._add("store", "failed", command_text(exc), "correct the variable or the option that it names")
            return
        token, fault = self._read(choice)
        report = report_of(token, choice)
        self.settings = settings_in_use(choice, token, report.secret.where)
        if fault is None or not is_out_of_reach(fault):
            self._write(choice)
        self._secret(report, choice)
        if fault is None:
            self.status_code = exit_code(report)
            self._token(report)

    def go_online(self) -> None:
        """Send one request without a token to the API's origin."""
        import httpx  # noqa: PLC0415 - only here

        origin = api_origins(None)[0].prefixes[0]
        begun = time.time()
        try:
            with httpx.Client(timeout=10.0) as client:
                answer = client.head(origin)
        except httpx.HTTPError as exc:
            detail = f"{origin} can't be reached: {type(exc).__name__}: {printable(exc)}"
            self._add("online", "failed", detail, _cure_of_network(origin, str(exc)))
            return
        self._add("online", "ok", f"{origin} answered {answer.status_code}")
        self._clock(answer.headers.get("date"), begun, time.time())

    def _add(self, name: str, status: str, detail: str, cure: str | None = None) -> None:
        self.checks.append(Check(name, status, detail, cure))

    def _read(self, choice: StoreChoice) -> tuple[Token | None, AriesAuthError | None]:
        try:
            token = choice.store.load()
        except AriesAuthError as exc:
            self._add("store", "failed", str(exc), _cure_of_store(choice, exc))
            return None, exc
        what = "it can be read" if token is not None else "there is no token in it yet"
        self._add("store", "ok", f"{store_name(choice.store)}: {what}")
        return token, None

    def _write(self, choice: StoreChoice) -> None:
        store = choice.store
        try:
            with store.locked(_LOCK_PATIENCE) as entry:
                self._add("lock", "ok", "it can be locked")
                entry.reserve()
        except LockTimeout:
            detail = f"{store_name(store)} is locked{holder_text(store) or ' by another process'}"
            self._add("lock", "failed", detail, "wait for that process, or end it if it hangs")
            return
        except AriesAuthError as exc:
            self._add("write", "failed", str(exc), _cure_of_store(choice, exc))
            return
        self._add("write", "ok", "it can be written")

    def _secret(self, report: Report, choice: StoreChoice) -> None:
        where = report.secret.where
        if where is not None:
            self._add("client secret", "ok", f"it is found ({where})")
            return
        # Nobody needs it before the token is refreshed.
        status = "failed" if report.token is not None and not report.access_token_valid else "warning"
        keep = "run: aries-auth login --save-secret, or set $ARIES_CLIENT_SECRET"
        if saved_secret.secret_path(choice.store) is None:
            keep = "set $ARIES_CLIENT_SECRET, or $ARIES_CLIENT_SECRET_FILE"
        if is_for_upgrade(report.secret.fault):
            keep = _UPGRADE
        self._add("client secret", status, report.secret.fault, keep)

    def _token(self, report: Report) -> None:
        token = report.token
        log_in = f"run: {report.login_command}"
        if token is None:
            self._add("token", "failed", "nobody is logged in", log_in)
            return
        if not report.logged_in:
            self._add("token", "failed", "access token and refresh token have ended", log_in)
        elif report.obstacle is not None:
            self._obstacle(report, report.obstacle)
        elif not report.refresh_token_valid:
            self._add("token", "warning", f"the access token: {report.access_left()}; it can't be refreshed", log_in)
        else:
            ends_at = token.refresh_token_expires_at
            is_soon = ends_at is not None and ends_at - report.now < LOGIN_DUE
            detail = f"the access token: {report.access_left()}; the refresh token: {report.refresh_left()}"
            self._add("token", "warning" if is_soon else "ok", detail, log_in if is_soon else None)

    def _obstacle(self, report: Report, obstacle: Obstacle) -> None:
        """What is missing can wait while the access token lives; another endpoint is a mistake in any case."""
        status = "warning" if report.access_token_valid and not obstacle.elsewhere else "failed"
        cure = advice_for_endpoint() if obstacle.elsewhere else "do what the text says"
        detail = f"the access token: {report.access_left()}; it can't be refreshed: {obstacle.text}"
        self._add("token", status, detail, cure[0].lower() + cure[1:])

    def _clock(self, date: Any, begun: float, ended: float) -> None:
        from email.utils import parsedate_to_datetime  # noqa: PLC0415

        try:
            theirs = parsedate_to_datetime(str(date)).timestamp()
        except (TypeError, ValueError):
            self._add("clock", "warning", "the answer had no Date to compare this computer's clock with")
            return
        skew = max(begun - theirs - 1.0, theirs - ended, 0.0)
        if skew <= _SKEW:
            self._add("clock", "ok", "this computer's clock agrees with the API's")
            return
        detail = f"this computer's clock differs from the API's by {in_words(skew)}"
        self._add("clock", "failed", detail, "set the clock, by NTP say")


def _cure_of_network(origin: str, fault: str) -> str:
    """What to look at; a variable is named only if it can have to do with it."""
    if "CERTIFICATE" in fault:
        return "check which certificates are trusted ($SSL_CERT_FILE, $SSL_CERT_DIR)"
    scheme = origin.partition(":")[0]
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    proxies = " and ".join(f"${name}" for name in names if variable(name))
    return "check the network" + (f" and the proxy: {proxies}" if proxies else "")


def _cure_of_store(choice: StoreChoice, error: AriesAuthError) -> str:
    """What mends a store that can't be used. A logout is named for damage alone: elsewhere the token may be good."""
    if is_out_of_reach(error):
        return "start the database, or correct its URL"
    text = str(error)
    # A file's text names the logout if it is right; a row's says no more than what is wrong with it.
    of_row = "" if isinstance(choice.store, FileTokenStore) else text.partition("can't be used: ")[2]
    if is_for_upgrade(text):
        return _UPGRADE
    if "To start over" in text or (of_row and "rekey" not in of_row):
        log_in = login_command(choice.profile, choice.store)
        return f"{log_in.replace('aries-auth login', 'aries-auth logout', 1)}, then {log_in}"
    return "mend what the text names"
