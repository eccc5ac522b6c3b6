"""The auth of a dlt REST API source: ``{"client": {"base_url": "https://api.aries.com", "auth": AriesAuthConfig()}}``.

Importing it needs dlt, which takes nothing for an auth but its own class. Its calls go through requests.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from aries_auth.auth import AriesAuth
from aries_auth.errors import ConfigurationError, LoginRequired
from aries_auth.settings import stores
from aries_auth.store import TokenStore, store_name
from aries_auth.store.checks import checked_store
from aries_auth.token import is_alive, is_refresh_token_alive

if TYPE_CHECKING:
    # dlt need not be installed where types are checked: its base class as far as it is used here.
    class AuthConfigBase:
        """See ``dlt.sources.helpers.rest_client.auth.AuthConfigBase``."""

        def resolve(self) -> None:
            """Nothing of it is looked up in dlt's own configuration any more."""

else:
    from dlt.sources.helpers.rest_client.auth import AuthConfigBase


class AriesAuthConfig(AuthConfigBase):
    """Authorizes the calls of dlt's ``rest_api_source`` and ``RESTClient``.

    It finds its login as `AriesAuth` does, and dlt's own configuration has no part in it. All resources of a source
    share one object, so that parallel ones share its refresh.

    Args:
        profile: names the file in the default folder; else ``$ARIES_PROFILE``, else ``default``.
        store: where the grant is kept, a path or a `TokenStore`; else the database of ``$ARIES_STORE_URL``, else an
            explicit profile's file, else ``$ARIES_TOKEN_FILE``, else the profile's file.

    Raises:
        LoginRequired: there is no login that serves a call; the message has the command to run.
        ConfigurationError, StoreError: as a call does.
    """

    def __init__(self, profile: str | None = None, store: TokenStore | str | os.PathLike[str] | None = None) -> None:
        store, fault = checked_store(store)  # a URL given for a path may hold a password, which no frame keeps
        if fault:
            raise ConfigurationError(fault)
        super().__init__()
        self._auth = AriesAuth(profile=profile, store=store)
        _check_login(profile, store)
        self.resolve()

    def copy(self) -> AriesAuthConfig:
        """Itself: nothing of it changes, and all who have it are to share one refresh."""
        return self

    def __call__(self, request: Any) -> Any:
        """Put the token on a request of dlt's session, and look at its answer."""
        return self._auth(request)


def _check_login(profile: str | None, store: TokenStore | str | os.PathLike[str] | None) -> None:
    # A pipeline without a login would fail in a worker thread, after dlt has set up its destination.
    found, now = stores.resolve_store(profile, store), time.time()
    token = found.load()
    if token is None:
        what = f"There is no token in {store_name(found)}"
    elif not is_alive(token, now) and not is_refresh_token_alive(token, now):
        what = f"The login in {store_name(found)} has expired"
    else:
        return
    raise LoginRequired(f"{what}: a person has to log in. Run: {stores.login_command(profile, found)}")
