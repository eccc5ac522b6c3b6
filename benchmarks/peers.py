"""The peers, each set up as its own documentation says, with a living token."""

from __future__ import annotations

import datetime
import os
import time
from typing import Any

CLIENT_ID = "bench-client"
CLIENT_SECRET = "bench-secret"
REDIRECT_URI = "http://127.0.0.1:8765/callback"
TOKEN_URL = "https://api.aries.com/v1/oauth2/token"
ACCESS_TOKEN = "access-" + "a" * 57
LIFETIME = 3600


def token_dict(expires_in: float = LIFETIME, refresh_token: str = "refresh-token") -> dict[str, Any]:
    return {
        "access_token": ACCESS_TOKEN,
        "refresh_token": refresh_token,
        "token_type": "Bearer",
        "expires_in": int(expires_in),
        "expires_at": time.time() + expires_in,
    }


def google_file() -> dict[str, Any]:
    """An authorized-user file of google-auth's, with a living token."""
    expiry = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=LIFETIME)
    return {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "refresh_token": "refresh-token",
        "token": ACCESS_TOKEN,
        "expiry": expiry.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def requests_oauthlib_auth() -> Any:
    """Its AuthBase. What a session adds to this is in the whole call."""
    from requests_oauthlib import OAuth2

    return OAuth2(client_id=CLIENT_ID, token=token_dict())


def requests_oauthlib_session(token: dict[str, Any], token_url: str, updater: Any) -> Any:
    """ "Third recipe" of its Refreshing tokens page: auto_refresh_url and token_updater."""
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # our server is on loopback
    from requests_oauthlib import OAuth2Session

    # oauthlib keeps time by expires_in where both are given.
    return OAuth2Session(
        CLIENT_ID,
        token={name: value for name, value in token.items() if name != "expires_in"},
        auto_refresh_url=token_url,
        auto_refresh_kwargs={"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "redirect_uri": REDIRECT_URI},
        token_updater=updater,
    )


def authlib_requests(token: dict[str, Any], token_url: str = TOKEN_URL) -> Any:
    from authlib.integrations.requests_client import OAuth2Session

    return OAuth2Session(
        CLIENT_ID,
        CLIENT_SECRET,
        token=token,
        token_endpoint=token_url,
        token_endpoint_auth_method="client_secret_post",
        update_token=lambda *_args, **_options: None,
    )


def authlib_httpx(token: dict[str, Any], token_url: str = TOKEN_URL, **options: Any) -> Any:
    from authlib.integrations.httpx_client import OAuth2Client

    return OAuth2Client(
        CLIENT_ID,
        CLIENT_SECRET,
        token=token,
        token_endpoint=token_url,
        token_endpoint_auth_method="client_secret_post",
        update_token=lambda *_args, **_options: None,
        **options,
    )


def authlib_httpx_async(token: dict[str, Any], token_url: str = TOKEN_URL, **options: Any) -> Any:
    from authlib.integrations.httpx_client import AsyncOAuth2Client

    async def update_token(*_args: Any, **_options: Any) -> None:
        pass

    return AsyncOAuth2Client(
        CLIENT_ID,
        CLIENT_SECRET,
        token=token,
        token_endpoint=token_url,
        token_endpoint_auth_method="client_secret_post",
        update_token=update_token,
        **options,
    )


def httpx_auth_code(token: dict[str, Any], token_url: str = TOKEN_URL) -> Any:
    """Its authorization code grant. The token goes where its browser dance would have put it.

    Where a refresh fails it starts that dance again, which here fails at once: there is no person.
    """
    from httpx_auth import OAuth2, OAuth2AuthorizationCode

    class NobodyThere(OAuth2AuthorizationCode):
        def request_new_token(self) -> Any:
            raise PermissionError("a person has to log in")

    auth = NobodyThere(
        "https://app.aries.com/oauth2/authorize",
        token_url,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        scope="market:information",
    )
    expires_in = token["expires_at"] - time.time()
    OAuth2.token_cache._add_access_token(auth.state, token["access_token"], int(expires_in), token["refresh_token"])
    return auth


def requests_oauth2client_auth(token: dict[str, Any], token_url: str = TOKEN_URL) -> Any:
    from requests_oauth2client import BearerToken, OAuth2AccessTokenAuth, OAuth2Client

    client = OAuth2Client(token_endpoint=token_url, auth=(CLIENT_ID, CLIENT_SECRET), testing=True)
    bearer = BearerToken(
        access_token=token["access_token"],
        refresh_token=token["refresh_token"],
        expires_at=datetime.datetime.fromtimestamp(token["expires_at"], datetime.timezone.utc),
    )
    return OAuth2AccessTokenAuth(client, bearer)


def google_credentials(token: dict[str, Any], token_url: str = TOKEN_URL, *, non_blocking: bool = False) -> Any:
    from google.oauth2.credentials import Credentials

    credentials = Credentials(  # type: ignore[no-untyped-call]
        token["access_token"],
        refresh_token=token["refresh_token"],
        token_uri=token_url,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        # naive, in UTC, as its docs ask
        expiry=datetime.datetime.fromtimestamp(token["expires_at"], datetime.timezone.utc).replace(tzinfo=None),
    )
    if non_blocking:
        credentials.with_non_blocking_refresh()  # type: ignore[no-untyped-call]
    return credentials


def google_session(token: dict[str, Any], token_url: str = TOKEN_URL, *, non_blocking: bool = False) -> Any:
    from google.auth.transport.requests import AuthorizedSession

    credentials = google_credentials(token, token_url, non_blocking=non_blocking)
    return AuthorizedSession(credentials)  # type: ignore[no-untyped-call]


class FinanceDev:
    """The official SDK's own authorization: the hook that runs before each of its requests."""

    def __init__(self, token: dict[str, Any], base_url: str = "https://api.aries.com") -> None:
        from finance_dev import models
        from finance_dev._hooks.clientcredentials import ClientCredentialsHook, Credentials, Session
        from finance_dev._hooks.types import BeforeRequestContext, HookContext

        security = models.Security(client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
        scopes = ["market:information"]
        self.context = BeforeRequestContext(
            HookContext(
                config=None,  # type: ignore[arg-type] # not looked at
                base_url=base_url,
                operation_id="bench",
                oauth2_scopes=scopes,
                security_source=security,
                tags=None,
                extensions=None,
            )
        )
        self.hook = ClientCredentialsHook()
        credentials = Credentials(CLIENT_ID, CLIENT_SECRET, TOKEN_URL, None)
        key = self.hook.get_session_key(CLIENT_ID, CLIENT_SECRET)
        session = Session(credentials, token["access_token"], scopes, int(token["expires_at"]))
        self.hook._store_session(key, scopes, session)

    def authorize(self, request: Any) -> Any:
        return self.hook.before_request(self.context, request)
