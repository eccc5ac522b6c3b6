"""The URL of a database: read, shown without its password, and refused if its token would travel in the clear."""

from __future__ import annotations

from typing import Iterator

from sqlalchemy import URL, make_url

from aries_auth.errors import printable
from aries_auth.sql.fault import attempt
from aries_auth.token import Secret
from aries_auth.token_endpoint.addresses import is_loopback

DIALECTS = ("postgresql", "mysql", "mariadb", "sqlite")
USABLE = "it is for postgresql, mysql, mariadb and sqlite"
_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}


def parse(given: Secret) -> tuple[URL | None, str]:
    """The URL, or None and what is wrong with it: it is a tuple, whose password a printed frame would show."""
    url, _ = attempt(lambda: make_url(given.reveal()))
    if url is None:
        return None, (
            "The store's URL can't be read. It looks like postgresql://user:password@host:5432/database, and special "
            "characters of the password have to be percent-encoded."
        )
    if url.get_backend_name() not in (*DIALECTS, *_DRIVERS):
        return None, f"A token store can't be kept in {printable(url.drivername)}: {USABLE}."
    if url.get_backend_name() == "sqlite" and (url.database or ":memory:") == ":memory:":
        return None, "A token store in SQLite needs a file: a database in memory is one connection's alone."
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername)), ""


def clear_text_fault(url: URL) -> str:
    """What to say of a PostgreSQL on another host if nobody has said how the way there is protected.

    By itself libpq encrypts if the server offers it, and sends everything in the clear if somebody on the way says
    that the server does not.
    """
    if url.get_backend_name() != "postgresql" or "sslmode" in url.query:
        return ""
    host = next((host for host in _hosts(url) if not _is_local(host)), None)
    if host is None:
        return ""
    return (
        f"The store's URL names the host {printable(host)} and does not say how the way there is protected: tokens and "
        "password could travel in the clear. Add ?sslmode=verify-full (with sslrootcert= for a private CA), or "
        "?sslmode=require on a network that you trust."
    )


def _hosts(url: URL) -> Iterator[str]:
    for value in (url.host or "", url.query.get("host", ""), url.query.get("hostaddr", "")):
        for hosts in (value,) if isinstance(value, str) else value:
            yield from (host.rsplit(":", 1)[0] if host.count(":") == 1 else host for host in hosts.split(","))


def _is_local(host: str) -> bool:
    """Whether it is this computer: nothing named, a unix socket, a loopback address."""
    return not host or host.startswith(("/", "@")) or is_loopback(host.strip("[]"))


def shown(url: URL) -> str:
    """The URL with its password hidden, and without its query, which can hold another."""
    hidden = url.set(drivername=url.get_backend_name(), query={}, password="***" if url.password else None)
    return printable(hidden.render_as_string(hide_password=True))
