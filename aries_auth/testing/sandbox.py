"""AriesSandbox: the face of the local Aries. What it promises is done by the modules beside it."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

from aries_auth.testing import client_side, endpoints, person
from aries_auth.testing.endpoints import Client
from aries_auth.testing.faults import Body, Fault
from aries_auth.testing.grants import Grants, Rules
from aries_auth.testing.listening import Listening
from aries_auth.testing.service import Service
from aries_auth.token_endpoint.protocol import SCOPES

if TYPE_CHECKING:
    import os

    from aries_auth import AriesAuth, Token, TokenStore
    from aries_auth.testing.records import ApiRequestRecord, TokenRequestRecord


class AriesSandbox:
    """A local Aries on real HTTP, as strict as Aries documents itself, that fails when told to.

    ``with AriesSandbox() as aries:`` starts and stops it; after a `stop`, `start` has the same port again.

    Args:
        client_id: the registered client.
        client_secret: its secret; None makes one up.
        redirect_uris: what is registered for it; the first is `redirect_uri`.
        access_token_lifetime: seconds; this and the next five can be changed at any time, in `rules`.
        refresh_token_lifetime: seconds.
        code_lifetime: seconds.
        rotate: whether a refresh brings a new refresh token and ends the old one.
        expires_in: what answers claim: ``...`` the truth, None nothing, anything else as it is.
        require_pkce: whether a login without PKCE is refused.
        host: the address to listen on. What is no loopback address gets a warning: whoever reaches it can use it.
        port: 0 takes a free one.
        clock: Unix time in seconds; None is ``time.time``, looked up at each call.
    """

    __module__ = "aries_auth.testing"

    # So that `aries.rotate = False`, which would do nothing, is an error: that is `aries.rules.rotate`.
    __slots__ = (
        "_grants",
        "_listening",
        "_original",
        "_service",
        "client_id",
        "client_secret",
        "redirect_uri",
    )

    def __init__(
        self,
        *,
        client_id: str = "sandbox-client",
        client_secret: str | None = None,
        redirect_uris: Sequence[str] = ("http://127.0.0.1:8765/callback",),
        access_token_lifetime: float = 3600.0,
        refresh_token_lifetime: float = 2592000.0,
        code_lifetime: float = 600.0,
        rotate: bool = True,
        expires_in: Any = ...,
        require_pkce: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._original = Rules(
            access_token_lifetime,
            refresh_token_lifetime,
            code_lifetime,
            rotate=rotate,
            expires_in=expires_in,
            require_pkce=require_pkce,
        )
        client = Client(client_id, client_secret or secrets.token_urlsafe(24), redirect_uris)
        self.client_id: str = client.client_id
        self.client_secret: str = client.client_secret
        self.redirect_uri: str = redirect_uris[0]
        self._grants = Grants(replace(self._original), clock)
        self._service = Service(client, self._grants)
        self._listening = Listening(self._service, host, port)

    def __repr__(self) -> str:
        state = f"at {self.url}" if self.running else "not running"
        return f"<AriesSandbox {state}, client_id={self.client_id!r}>"

    def start(self) -> AriesSandbox:
        """Listens when it returns."""
        self._listening.start()
        return self

    def stop(self) -> None:
        """Closes every connection, also those that hang, ends every thread, and forgets the faults."""
        self._listening.stop()

    def wait(self) -> None:
        """Blocks until `stop`, or Ctrl-C."""
        self._listening.wait()

    @property
    def running(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._listening.running

    def __enter__(self) -> AriesSandbox:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Its origin, such as ``http://127.0.0.1:40123``; there is one from the first `start` on."""
        return self._listening.origin

    api_url = url

    @property
    def token_url(self) -> str:
        """Where codes and refresh tokens become tokens."""
        return f"{self.url}{endpoints.TOKEN_PATH}"

    @property
    def authorize_url(self) -> str:
        """Where the consent page is."""
        return f"{self.url}{endpoints.AUTHORIZE_PATH}"

    @property
    def environ(self) -> dict[str, str]:
        """The variables that point aries-auth at this sandbox."""
        return client_side.environ(self)

    @property
    def rules(self) -> Rules:
        """Lifetimes, rotation and the answer's form, to be changed at any time."""
        return self._grants.rules

    def auth(self, store: TokenStore | str | os.PathLike[str] | None = None, **changes: Any) -> AriesAuth:
        """An `AriesAuth` of this sandbox's client, that sends its token here and nowhere else.

        Args:
            store: its store, as for `AriesAuth`; `issue_token` makes what to put there.
            changes: parameters of `AriesAuth` that differ from the sandbox's.
        """
        return client_side.auth(self, {"store": store, **changes})

    def issue_token(
        self,
        *,
        scope: str | Sequence[str] = SCOPES,
        expires_in: float | None = None,
        age: float = 0.0,
        refresh_expires_in: float | None = None,
    ) -> Token:
        """A grant with no browser, as if it had been made `age` seconds ago. Lifetimes count from then."""
        now = self._grants.now() - age
        scopes = scope if isinstance(scope, str) else " ".join(scope)
        answer = self._grants.issue(scopes, self.redirect_uri, now, expires_in, refresh_expires_in)
        return client_side.token(self, answer, now)

    def approve(self, authorization_url: str) -> str:
        """Opens the consent page and presses Approve; the callback address, which is not followed."""
        return person.decide(authorization_url, "approve")

    def deny(self, authorization_url: str) -> str:
        """Opens the consent page and presses Deny; the callback address, which is not followed."""
        return person.decide(authorization_url, "deny")

    def browser(self, authorization_url: str) -> person.Page:
        """Approves and goes to the callback address, as a browser would; the page that it ends on."""
        return person.fetch(self.approve(authorization_url))

    def revoke_access_tokens(self) -> None:
        """Every access token so far is refused; grants and refresh tokens live on."""
        self._grants.revoke_access_tokens()

    def expire_access_tokens(self) -> None:
        """Every access token so far has reached its end."""
        self._grants.expire_access_tokens()

    def revoke_grants(self) -> None:
        """Every grant so far is revoked: a person must log in again."""
        self._grants.revoke_grants()

    def forget_rotation(self) -> None:
        """Loses each grant's last rotation: its newest refresh token is unknown, the one before it lives."""
        self._grants.forget_rotation()

    def fail(
        self,
        route: str = "token",
        *,
        status: int | None = None,
        body: Body = None,
        headers: Mapping[str, object] | None = None,
        delay: float = 0.0,
        before: bool = False,
        processed: bool = False,
        drop: str | None = None,
        hang: bool = False,
        drip: float | None = None,
        drip_of: str = "body",
        path: str | None = None,
        times: int | None = 1,
    ) -> None:
        """Makes the next requests of a route fail. Faults of a route take turns in the order of the calls.

        Args:
            route: "token", "api" or "authorize".
            status: answered instead of the real one; the request is not processed, unless `processed`.
            body: likewise; text, bytes, or what becomes JSON. With no `status`, the status is 200.
            headers: added to the answer; a Content-Length of yours is sent as it is.
            delay: seconds before the answer, counted after the request was processed.
            before: `delay` and `hang` come before the request is processed.
            processed: the request is processed although its answer is replaced: a rotation has then happened.
            drop: closes the connection "before" the request is processed, or "after" it, before the answer.
            hang: no answer until `heal` or `stop`.
            drip: seconds between bytes.
            drip_of: which bytes: those of the "headers" or of the "body".
            path: only requests to this path.
            times: how many requests it meets; None is every one until `heal`.
        """
        every = {name: str(value) for name, value in (headers or {}).items()}
        fault = Fault(route, status, body, every, delay, before, processed, drop, hang, drip, drip_of, path, times)
        self._service.faults.add(fault)

    def heal(self) -> None:
        """Forgets every fault; a request that waits in one goes on at once."""
        self._service.faults.heal()

    @property
    def token_requests(self) -> tuple[TokenRequestRecord, ...]:
        """The requests to the token endpoint, in the order in which they were done."""
        return self._service.journal.token_requests

    @property
    def api_requests(self) -> tuple[ApiRequestRecord, ...]:
        """The requests to the API, in the order in which they were done."""
        return self._service.journal.api_requests

    @property
    def max_concurrent_token_requests(self) -> int:
        """How many token requests there were at one time, at most."""
        return self._service.journal.max_concurrent_token_requests

    @property
    def refresh_count(self) -> int:
        """How many refreshes were really made, answered or not."""
        return self._grants.refresh_count

    @property
    def reused_refresh_tokens(self) -> int:
        """How many times a spent refresh token was sent."""
        return self._grants.reused_refresh_tokens

    @property
    def live_grants(self) -> int:
        """How many grants could still be refreshed."""
        return self._grants.live_grants()

    @property
    def orders(self) -> tuple[dict[str, Any], ...]:
        """The orders that were really placed."""
        return self._service.api.orders

    def wait_for_requests(self, count: int = 1, *, route: str = "token", timeout: float = 10.0) -> None:
        """Blocks until so many requests have been processed, or stand in a fault that comes before that.

        Raises:
            TimeoutError: not within `timeout` seconds.
        """
        if not self._service.journal.wait_seen(route, count, timeout):
            raise TimeoutError(f"Fewer than {count} requests to the route {route} within {timeout} s.")

    def reset_counts(self) -> None:
        """Counts and records start again."""
        self._service.journal.clear()
        self._grants.reset_counts()

    def reset(self) -> None:
        """As if just started: no faults, grants, orders or counts, and the rules that it was made with."""
        self.heal()
        self._service.journal.wait_idle(1.0)  # a request let go just now must not count for what comes next
        self._grants.rules = replace(self._original)
        self._grants.clear()
        self._service.api.clear()
        self.reset_counts()
