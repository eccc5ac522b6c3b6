"""The sockets of the listener: exactly the address of a loopback redirect URI, and nobody else's."""

from __future__ import annotations

import errno
import os
import socket
import sys
from contextlib import suppress
from urllib.parse import urlsplit

from aries_auth.authorization.callback_request import Authority, parse_authority
from aries_auth.errors import ConfigurationError
from aries_auth.settings.values import advised
from aries_auth.token_endpoint.addresses import is_loopback

_BACKLOG = 64
_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, getattr(errno, "EPROTONOSUPPORT", -1)})
_ELSE = "register another redirect URI in Aries' Client Center, or log in with"


def loopback_authority(redirect_uri: str) -> Authority | None:
    """Where to listen for a redirect URI; None if a program on this machine can't receive it."""
    if sys.platform == "emscripten":
        return None  # Python in a browser's page has no socket that listens
    parts = urlsplit(redirect_uri)
    if parts.scheme != "http" or not is_loopback(parts.hostname) or "@" in parts.netloc:
        return None
    return parse_authority(parts.netloc)


def open_sockets(authority: Authority) -> list[socket.socket]:
    """Listen on every address that the host means: ``localhost`` is two, of which one may be missing.

    Raises:
        ConfigurationError: an address is busy, or can't be listened on.
    """
    hosts = ["127.0.0.1", "::1"] if authority.host == "localhost" else [authority.host]
    opened: list[socket.socket] = []
    try:
        for number, host in enumerate(hosts):
            is_last_hope = number == len(hosts) - 1 and not opened
            try:
                opened.append(_listen(host, authority.port))
            except OSError as exc:
                if exc.errno in _NOT_HERE and not is_last_hope:
                    continue
                raise _not_had(exc, host, authority.port) from exc
    except BaseException:
        for each in opened:
            each.close()
        raise
    return opened


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":
            # There SO_REUSEADDR would let two programs listen on one port, and either get the code.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        elif os.name == "posix":
            # Past connections in TIME_WAIT don't count; a program that listens does.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            with suppress(OSError):
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.setblocking(False)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _not_had(exc: OSError, host: str, port: int) -> ConfigurationError:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if exc.errno == errno.EADDRINUSE:
        what = f"The redirect URI's address {address} is busy: another program listens there. Stop that program,"
    elif exc.errno in (errno.EACCES, errno.EPERM):
        what = f"This user may not listen on the redirect URI's address {address}: {exc.strerror}. To log in,"
    else:
        what = (
            f"The redirect URI's address {address} can't be listened on: {exc.strerror or exc}. Set it up on this "
            "machine,"
        )
    return advised(
        ConfigurationError, f"{what} {_ELSE}", in_code="paste=True (the command: --paste).", in_command="--paste."
    )
