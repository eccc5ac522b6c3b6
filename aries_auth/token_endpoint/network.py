"""Whom a token request trusts and which proxies it uses, if no `token_client` says so, and what to do if that fails."""

from __future__ import annotations

import functools
import os
import ssl
from typing import Any, Mapping

UNTRUSTED_ADVICE = (
    "If a company proxy reads TLS here, set $REQUESTS_CA_BUNDLE or $SSL_CERT_FILE to a file with its CA, or pass a "
    "token_client= that trusts it; else check the token URL."
)
UNREACHED_ADVICE = "Try again later. Behind a company proxy, set $HTTPS_PROXY or pass a token_client= that uses it."


def settings_of(session: Any, client: Any, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Whom to trust and which proxies to use: a `token_client`'s own settings, else the call's, else the variables."""
    if client is not None:
        return {"verify": session.verify}  # else $REQUESTS_CA_BUNDLE would win over what the caller set
    if "verify" in options or _any_set("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        return options
    return {**options, "verify": os.environ.get("SSL_CERT_FILE") or session.verify}


def _any_set(*variables: str) -> bool:
    return any(os.environ.get(name) for name in variables)


def trust(module: Any) -> ssl.SSLContext:
    """The CA certificates that httpx or httpx2 goes by."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    # A network whose programs use requests has its CA bundle in requests' own variable, often alone.
    bundle = None if file or folder else os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    return _cached_trust(module, file, folder, bundle, ssl.SSLContext)


@functools.lru_cache(maxsize=4)
def _cached_trust(
    module: Any, _file: str | None, _folder: str | None, bundle: str | None, _context_class: type[ssl.SSLContext]
) -> ssl.SSLContext:
    # Reading the CA bundle costs more than the rest of a refresh together. It depends on the variables, and on
    # truststore, which replaces ssl's class by its own.
    context: ssl.SSLContext = module.create_ssl_context()
    if bundle is not None:
        where = {"capath": bundle} if os.path.isdir(bundle) else {"cafile": bundle}  # noqa: PTH112
        context.load_verify_locations(**where)
    return context
