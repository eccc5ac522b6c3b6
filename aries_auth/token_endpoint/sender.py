"""Sender: which library sends a token request, and what the call that needs it said of the network. A value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping
from urllib.parse import urlsplit


def _nothing_told() -> dict[str, Any]:
    return {}


@dataclass(frozen=True, eq=False)
class Sender:
    """Who sends a token request if there is no `token_client`.

    Attributes:
        library: the name of the HTTP library.
        url: the call's.
        options: the call's `verify`, `cert` and `proxies`, as requests and niquests hand them to a response hook; a
            proxy's address can have a password.
    """

    library: str
    url: str = field(default="", repr=False)
    options: Mapping[str, Any] = field(default_factory=_nothing_told, repr=False)

    @classmethod
    def of_call(cls, library: str, url: str, options: Mapping[str, Any]) -> Sender:
        """The sender for a call that was made with these options."""
        told = {
            name: options[name]
            for name in ("verify", "cert", "proxies")
            if options.get(name) not in (None, True, "") and options[name] != {}
        }
        return cls(library, url, told)

    def options_at(self, token_url: str) -> Mapping[str, Any]:
        """What the call said of the network, as far as it holds for the token endpoint."""
        if self.options.get("verify") is False and urlsplit(self.url)[:2] != urlsplit(token_url)[:2]:
            # Whoever checks no certificate of the API has not said so of another host, which gets the client's secret.
            return {name: value for name, value in self.options.items() if name != "verify"}
        return self.options


# Where there is no call whose library could send: `get_token`, the login, the command.
HTTPX = Sender("httpx")
