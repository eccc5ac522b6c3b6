"""AriesAuth: puts the token on requests of requests and httpx, and resends once what was refused."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any, AsyncGenerator, Generator, Mapping, Protocol, Sequence, TypeVar

import httpx
import requests
import requests.auth

from aries_auth.api_call import niquests, resend
from aries_auth.api_call.body import position_of_body
from aries_auth.api_call.calls import Calls
from aries_auth.api_call.httpx_base import HttpxAuth
from aries_auth.api_call.origins import Origins
from aries_auth.errors import ConfigurationError
from aries_auth.refresh.grant import Grant
from aries_auth.refresh.policy import REFRESH_MARGIN, TIMEOUT
from aries_auth.refresh.source import TokenSource
from aries_auth.settings import urls, values
from aries_auth.settings.credentials import NOTHING_GIVEN, ClientSecret, SecretSource
from aries_auth.singleflight.clock import check_seconds
from aries_auth.singleflight.flight import Steps, drive, drive_async
from aries_auth.store import TokenStore, check_profile, store_name
from aries_auth.store.checks import checked_store
from aries_auth.token import Secret, Token
from aries_auth.token_endpoint.library import SyncClient, check_client, is_session
from aries_auth.token_endpoint.sender import HTTPX, Sender

_FIRST_READY = "first ready"


class _HasHeaders(Protocol):
    @property
    def headers(self) -> Any: ...


# What `__call__` takes, for type checkers: httpx2's clients take an object that isn't their own `Auth` if it can be
# called with their request. At run time they know it by its class and never call it.
_Request = TypeVar("_Request", bound=_HasHeaders)


class AriesAuth(requests.auth.AuthBase, HttpxAuth):
    """Authorizes calls to the Aries API: pass it as ``auth=`` to requests, niquests, httpx or httpx2.

    The constructor does no I/O. Parameters left out are looked up when they are first needed.

    Args:
        client_id: the registered client; else the stored token's, else ``$ARIES_CLIENT_ID``.
        client_secret: its secret, or a callable that returns it; else ``$ARIES_CLIENT_SECRET``, else the content of
            the file named by ``$ARIES_CLIENT_SECRET_FILE``, else the secret that `login` saved.
        redirect_uri: the redirect URI of the grant; else the stored token's, else ``$ARIES_REDIRECT_URI``.
        profile: names the file in the default folder; else ``$ARIES_PROFILE``, else ``default``.
        store: where the grant is kept, a path or a `TokenStore`; else the database of ``$ARIES_STORE_URL``, else an
            explicit profile's file, else ``$ARIES_TOKEN_FILE``, else the profile's file.
        refresh_margin: seconds before expiry at which a refresh starts in the background.
        token_url: the token endpoint; else ``$ARIES_TOKEN_URL``, else Aries'.
        api_origins: where the token may go; else ``$ARIES_API_ORIGINS``, else Aries' API.
        token_client: a requests.Session or httpx.Client that sends the token requests; or a niquests.Session or
            httpx2.Client.
        timeout: the longest that a call waits for a refresh, in seconds, lock included.
        background: whether a refresh ahead outlives the call that started it. None: unless this process may end
            without notice, as the children of job runners do (docs/jobs.md).

    Raises:
        ConfigurationError: a parameter is malformed.
        InsecureTransportError: `token_url` or one of `api_origins` is plain http and no loopback address.

    A call raises `LoginRequired` if a person has to log in, and `TokenRequestError` if there is no living token and the
    token endpoint gives none now; `StoreError` and `ConfigurationError` as they say (docs/architecture.md, "Failure").
    """

    __module__ = "aries_auth"

    # Slots: quicker to read on every request, and smaller, since each user of a web backend has an object.
    __slots__ = (
        "_api_origins",
        "_background",
        "_credentials",
        "_profile",
        "_ready",
        "_refresh_margin",
        "_store",
        "_timeout",
        "_token_client",
        "_token_url",
    )

    def __init__(
        self,
        client_id: str | None = None,
        client_secret: ClientSecret = None,
        redirect_uri: str | None = None,
        *,
        profile: str | None = None,
        store: TokenStore | str | os.PathLike[str] | None = None,
        refresh_margin: float = REFRESH_MARGIN,
        token_url: str | None = None,
        api_origins: Sequence[str] | None = None,
        token_client: requests.Session | httpx.Client | SyncClient | None = None,
        timeout: float = TIMEOUT,
        background: bool | None = None,
    ) -> None:
        self._ready: Calls | None = None
        self._profile = self._store = None  # for the repr of one that is refused
        # Defaults need no check and no object: a web backend makes one AriesAuth per user, 100,000 of them.
        self._credentials = NOTHING_GIVEN
        if client_secret is not None:
            # The secret goes first: what is refused below is raised from a frame that no longer holds it.
            secret, client_secret = SecretSource(client_secret), None
            secret.check()
            self._credentials = self._credentials._replace(client_secret=secret)
        if client_id is not None:
            self._credentials = self._credentials._replace(client_id=values.check_text("client_id", client_id))
        if redirect_uri is not None:
            self._credentials = self._credentials._replace(redirect_uri=urls.check_redirect_uri(redirect_uri))
        self._profile = None if profile is None else check_profile(profile)
        store, fault = checked_store(store)  # a URL given for a path may hold a password, which no frame keeps
        if fault:
            raise ConfigurationError(fault)
        self._store = store
        self._refresh_margin = refresh_margin
        if refresh_margin is not REFRESH_MARGIN:
            self._refresh_margin = check_seconds("refresh_margin", refresh_margin, zero=True)
        self._token_url = None if token_url is None else urls.check_endpoint("token_url", token_url)
        self._api_origins = None if api_origins is None else urls.parse_origins(api_origins)
        self._timeout = timeout
        if timeout is not TIMEOUT:
            self._timeout = check_seconds("timeout", timeout)
        if token_client is not None:
            check_client(token_client)
        self._token_client = token_client
        self._background = background
        if background is not None:
            self._background = values.check_flag("background", background)

    # requests

    def __call__(self, r: _Request) -> _Request:
        """Put the token on a request of requests, and look at its answer."""
        if not isinstance(r, requests.PreparedRequest):
            if niquests.is_prepared_request(r):
                ready = self._ready or self._prepare()
                authorized: _Request = niquests.Authorizer(ready.source, ready.origins).authorize(r)
                return authorized
            raise TypeError(
                f"AriesAuth authorizes requests of requests, niquests, httpx and httpx2, not a {type(r).__module__}."
                f"{type(r).__name__}. For other libraries send 'Authorization: Bearer ' + auth.get_token(), or "
                "await auth.get_token_async()."
            )
        ready = self._ready or self._prepare()
        url = r.url or ""
        if not url.startswith(ready.prefixes) and not ready.origins.admit(url):
            return r
        cached, beside = ready.slot.cached, None
        now = time.time()
        if now >= cached.fresh_until:
            cached, beside = drive(ready.source.get(now, Sender("requests")))
        r.headers["Authorization"] = cached.authorization
        if r.body is None and beside is None:
            r.hooks["response"].append(self._on_response)
        else:
            position = None if r.body is None else position_of_body(r.body)
            r.hooks["response"].append(partial(self._on_response, position=position, beside=beside))
        return r

    def _on_response(self, response: requests.Response, **options: Any) -> requests.Response:
        # A method of this object: a prepared request pickles with its hooks.
        return (self._ready or self._prepare()).on_response(response, **options)

    # httpx and httpx2

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Put the token on a request of an ``httpx.Client``, and send it once more if it was refused."""
        return (self._ready or self._prepare()).sync_flow(request)

    def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """The same for an ``httpx.AsyncClient``, on asyncio and on trio."""
        return (self._ready or self._prepare()).async_flow(request)

    # For other libraries

    def get_token(self, *, refused: str | None = None) -> str:
        """A valid access token, for a websocket, another SDK or another HTTP library.

        Args:
            refused: an access token that was just answered 401. It is compared with the newest, as a call's own is:
                one refresh serves all who bring the same one. If there is nothing newer, the same token comes back;
                then report the 401.

        Raises:
            AriesAuthError: as a call does; `LoginRequired` for a dead grant.
        """
        ready = self._ready or self._prepare()
        sent, refused = None if refused is None else Secret(refused), None
        return drive(_access_token(ready.source, sent)).reveal()

    async def get_token_async(self, *, refused: str | None = None) -> str:
        """`get_token` for asyncio and trio; nothing blocks the loop."""
        ready = self._ready or self._prepare()
        sent, refused = None if refused is None else Secret(refused), None
        return (await drive_async(_access_token(ready.source, sent))).reveal()

    def refresh(self) -> Token:
        """Refresh now, whatever the life of the token; single flight still holds.

        Returns:
            The new token, or the one that somebody else has saved since this object last looked.

        Raises:
            AriesAuthError: as a call does, also while the old token lives.
        """
        ready = self._ready or self._prepare()
        return drive(ready.source.refresh(time.time(), HTTPX)).token

    async def refresh_async(self) -> Token:
        """`refresh` for asyncio and trio; nothing blocks the loop."""
        ready = self._ready or self._prepare()
        return (await drive_async(ready.source.refresh(time.time(), HTTPX))).token

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a refresh under way and for a save that is still to be done; none is started.

        For shutdown hooks, a SIGTERM handler, serverless handlers and tests.

        Args:
            timeout: seconds; 0 only looks, None waits as long as it takes.

        Returns:
            True if nothing is under way any more.
        """
        ready = self._ready
        return ready is None or drive(ready.source.wait(_checked_wait(timeout)))

    async def wait_async(self, timeout: float | None = None) -> bool:
        """`wait` for asyncio and trio; nothing blocks the loop."""
        ready = self._ready
        return ready is None or await drive_async(ready.source.wait(_checked_wait(timeout)))

    @property
    def token(self) -> Token | None:
        """The token in memory, or None before the first call; no I/O."""
        return None if self._ready is None else self._ready.source.token

    def _prepare(self) -> Calls:
        grant = Grant(
            given_store=self._store,
            profile=self._profile,
            credentials=self._credentials,
            token_url=urls.token_url(self._token_url),
            refresh_margin=self._refresh_margin,
            timeout=self._timeout,
            token_client=self._token_client,
            background=self._background,
        )
        ready: Calls = Calls(TokenSource(grant), Origins(urls.api_origins(self._api_origins)))
        # Atomic: of two threads that come here at once, the second uses what the first put there.
        first: Calls = self.__dict__.setdefault(_FIRST_READY, ready)
        self._ready = first
        return first

    def __getstate__(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        if self._token_client is not None and not is_session(self._token_client):
            raise TypeError(
                "An AriesAuth with an httpx.Client as token_client can't be pickled or copied, since the client can't. "
                "Use a requests.Session, or make the AriesAuth where it is used."
            )
        # What a subclass added, then the slots: pickle and copy know these two.
        added = {name: value for name, value in self.__dict__.items() if name != _FIRST_READY}
        return added, {**{name: getattr(self, name) for name in AriesAuth.__slots__}, "_ready": None}

    def __repr__(self) -> str:
        token = self.token
        client_id = self._credentials.client_id or (token and token.client_id)
        store: Any = self._store
        where = f"profile={self._profile!r}" if store is None else f"store={store_name(store)!r}"
        expires_at = None if token is None else token.expires_at
        return f"AriesAuth(client_id={client_id!r}, {where}, expires_at={expires_at!r})"

    def _repr_html_(self) -> str:
        from aries_auth.settings.notebook import table  # noqa: PLC0415 - a notebook's alone

        return table(self.token, self._profile, self._store, credentials=self._credentials, token_url=self._token_url)


def _access_token(source: TokenSource, refused: Secret | None) -> Steps[Secret]:
    """Steps to the token to hand out: the newest, or the one after a refused one."""
    if refused is None:
        return Secret((yield from source.get_settled(time.time(), HTTPX)).token.access_token)
    newer = yield from resend.token_after_401(source, refused, HTTPX)
    return refused if newer is None else Secret(newer.token.access_token)


def _checked_wait(timeout: float | None) -> float | None:
    return None if timeout is None else check_seconds("timeout", timeout, zero=True)
