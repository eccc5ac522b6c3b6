"""A local Aries to test against: `AriesSandbox` and what belongs to it.

The names are loaded when they are first used, so that pytest can load the plugin beside this file at no cost.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aries_auth.testing.faults import Fault
    from aries_auth.testing.grants import Rules
    from aries_auth.testing.messages import flat_error, nested_error, oauth_error
    from aries_auth.testing.person import Page
    from aries_auth.testing.records import ApiRequestRecord, TokenRequestRecord, fingerprint
    from aries_auth.testing.sandbox import AriesSandbox
    from aries_auth.token_endpoint.protocol import SCOPES

__all__ = [
    "SCOPES",
    "ApiRequestRecord",
    "AriesSandbox",
    "Fault",
    "Page",
    "Rules",
    "TokenRequestRecord",
    "fingerprint",
    "flat_error",
    "nested_error",
    "oauth_error",
]

_HOMES = {
    "SCOPES": "sandbox",
    "ApiRequestRecord": "records",
    "AriesSandbox": "sandbox",
    "Fault": "faults",
    "Page": "person",
    "Rules": "grants",
    "TokenRequestRecord": "records",
    "fingerprint": "records",
    "flat_error": "messages",
    "nested_error": "messages",
    "oauth_error": "messages",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
