"""The requests that the listener gets, parsed without I/O: as much of HTTP/1.1 as a browser's GET needs."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

LONGEST_REQUEST_LINE = 16 * 1024
LONGEST_HEAD = 64 * 1024

_REQUEST_LINE = re.compile(rb"([A-Za-z]+) (/[\x21\x22\x24-\x7e]*) HTTP/1\.[01]\Z")
_AUTHORITY = re.compile(r"[A-Za-z0-9.\[\]:_-]+\Z")


class Authority(NamedTuple):
    """Host and port of a URL or of a Host header, in the one spelling that can be compared."""

    host: str
    port: int


@dataclass(frozen=True)
class Request:
    """The head of a request; its query, which may hold a code, is not shown."""

    method: str
    path: str
    query: str = field(repr=False)
    authority: Authority | None


def parse_head(received: bytes | bytearray) -> Request | int | None:
    """The request once its head is whole; a status if it must be refused; None while more has to come."""
    line, ended, rest = received.partition(b"\r\n")
    if len(line) > LONGEST_REQUEST_LINE:
        return 414
    head, complete, _ = (b"\r\n" + rest).partition(b"\r\n\r\n")
    if len(head) > LONGEST_HEAD:
        return 431
    if not ended or not complete:
        return None
    match = _REQUEST_LINE.match(line)
    if match is None:
        return 400
    path, _, query = match.group(2).decode("ascii").partition("?")
    hosts = [value for name, value in _fields(head) if name == "host"]
    return Request(match.group(1).decode("ascii"), path, query, parse_authority(hosts[0]) if len(hosts) == 1 else None)


def _fields(head: bytes) -> list[tuple[str, str]]:
    lines = [line.decode("latin-1").partition(":") for line in head.split(b"\r\n")]
    return [(name.lower(), value.strip()) for name, _, value in lines]


def parse_authority(text: str) -> Authority | None:
    """Host and port of ``host[:port]``, for http; None if the text is something else."""
    if not _AUTHORITY.match(text):
        return None
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host:
        return None
    with suppress(ValueError):
        host = str(ipaddress.ip_address(host))  # an IPv6 address can be written in several ways
    return Authority(host, 80 if port is None else port)
