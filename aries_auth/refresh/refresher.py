"""Refresher: does one refresh at a time: look in the store, lock it, look again, send, save."""

from __future__ import annotations

import copy
import os
import random
from contextlib import nullcontext, suppress
from typing import ContextManager, NamedTuple

from aries_auth.errors import AriesAuthError, LockTimeout, LoginRequired, TokenRequestError
from aries_auth.refresh.decision import Step, decide, digest
from aries_auth.refresh.events import Events
from aries_auth.refresh.grant import Grant
from aries_auth.refresh.memory import Memory
from aries_auth.refresh.pending_save import PendingSave
from aries_auth.refresh.policy import CachedToken
from aries_auth.refresh.process import FIRST_PROCESS
from aries_auth.refresh.request import Reason, RefreshRequest
from aries_auth.refresh.sending import Reply, send_refresh_token
from aries_auth.settings.refreshable import error_of_endpoint
from aries_auth.singleflight.clock import monotonic
from aries_auth.singleflight.flight import Flight
from aries_auth.store import StoreEntry, TokenStore, locked_in_slices
from aries_auth.store.lease import Lease
from aries_auth.token import Token, is_alive
from aries_auth.token_endpoint.attempt import drop_inherited_connections
from aries_auth.token_endpoint.protocol import Credentials


class Result(NamedTuple):
    """What a refresh did.

    Attributes:
        cached: the token that fulfils the request, or None.
        error: why there is none.
        sent_at: when a token request was sent, on the clock of waits; None if none was, or the token came otherwise.
    """

    cached: CachedToken | None
    error: Exception | None = None
    sent_at: float | None = None


class Refresher:
    """The one way from a token of a grant to the next. `work` runs in one flight at a time."""

    def __init__(self, grant: Grant, memory: Memory, pending: PendingSave) -> None:
        self._grant = grant
        self._memory = memory
        self._pending = pending
        self._events = Events(grant)
        self._client_owner = FIRST_PROCESS

    def work(self, request: RefreshRequest, flight: Flight[CachedToken]) -> CachedToken:
        """Fulfil a request, and tell what became of it once the store's lock is free again.

        Raises:
            AriesAuthError: it can't be fulfilled; see docs/architecture.md, "Failure".
        """
        try:
            with self._memory.lock:
                stored = self._load(self._grant.store)
                found = self._judge(request, stored)
                is_first = request.reason is Reason.FIRST
                if is_first and isinstance(found, CachedToken) and not found.is_alive(request.now):
                    request = request._replace(reason=Reason.NEEDED, known=found.token)  # in this thread: jobs begin so
                    found = self._judge(request, stored)
                result = Result(found) if isinstance(found, CachedToken) else self._refresh(request, flight, found)
        except Exception as exc:  # noqa: BLE001 - told below, with the others
            result = Result(None, exc)
        if result.cached is None:
            raise self._failed(request, result)
        if self._memory.restraints.failures:
            self._memory.restraints = self._memory.restraints.after_success()
        if result.sent_at is not None:
            self._events.refreshed(request, result.sent_at)
        return result.cached

    def _failed(self, request: RefreshRequest, result: Result) -> Exception:
        """The error of a refresh, told and counted once, however many callers wait for it."""
        error = result.error or AssertionError("a refresh without a token has an error")
        self._events.failed(request, result.sent_at, error)
        is_busy = request.reason is Reason.AHEAD and isinstance(error, LockTimeout)
        if request.spares_callers and not is_busy:
            self._memory.restraints = self._memory.restraints.after_failure(monotonic(), random.random())  # noqa: S311
        return error

    def _refresh(self, request: RefreshRequest, flight: Flight[CachedToken], old: Token) -> Result:
        # Before the lock is taken: a secret can come from a slow place, or from one that never answers.
        credentials = self._grant.credentials.credentials(old, self._grant.store)
        with self._lease(request, flight) as lease:
            found = self._look(request, lease.entry)
            if isinstance(found, CachedToken):
                return Result(found)
            if not credentials.serve(found.client_id, found.redirect_uri):  # somebody has logged in meanwhile
                credentials = self._grant.credentials.credentials(found, self._grant.store)
            lease.entry.reserve()
            return self._send(request, flight, lease, found, credentials)

    def _lease(self, request: RefreshRequest, flight: Flight[CachedToken]) -> ContextManager[Lease]:
        kept = self._pending.lease
        if kept is not None:
            return nullcontext(kept)  # the save that failed keeps it beyond this refresh
        if request.reason is Reason.AHEAD:
            return Lease(self._grant.store.locked(0))
        return Lease(locked_in_slices(self._grant.store, should_stop=flight.should_stop))

    # Looking

    def _look(self, request: RefreshRequest, stored_in: TokenStore | StoreEntry) -> CachedToken | Token:
        """Bring memory up to date with the store, and say what fulfils the request; see `_judge`."""
        return self._judge(request, self._load(stored_in))

    def _load(self, stored_in: TokenStore | StoreEntry) -> Token | None:
        stored = stored_in.load()
        if stored is not None:
            self._grant.credentials.check(stored, self._grant.name)
        return stored

    def _judge(self, request: RefreshRequest, stored: Token | None) -> CachedToken | Token:
        """What to go on with, now that the store shows this.

        Returns:
            The cached token that fulfils the request, or the token whose refresh token is to be sent for it.

        Raises:
            AriesAuthError: there is neither.
        """
        memory = self._memory
        unsaved = self._pending.outlasts(stored)
        decision = decide(request, memory.token, stored, unsaved=unsaved, restraints=memory.restraints, at=monotonic())
        if decision.from_store and decision.token is not None:
            self._adopt(decision.token, request.now)
        if decision.step is Step.SERVE and memory.cached is not None:
            return memory.cached
        if decision.step is Step.SEND and decision.token is not None:
            error = error_of_endpoint(decision.token, self._grant.token_url, self._grant.name)
            if error is not None:
                raise error
            return decision.token
        raise self._error_of(decision.step)

    def _adopt(self, token: Token, now: float) -> None:
        first = self._memory.cached is None
        self._install(token, now)
        if not first:
            self._events.adopted()

    def _install(self, token: Token, now: float) -> CachedToken:
        cached = self._memory.install(token, now)
        if self._pending.idle:
            self._memory.fill_slot()
        if is_alive(token, now):  # else a refresh follows, which may renew the refresh token
            self._events.look_at(token, now)
        return cached

    def _error_of(self, step: Step) -> AriesAuthError:
        remembered = self._memory.restraints.failure
        if step is Step.REMEMBERED and remembered is not None:
            return copy.copy(remembered)
        return self._login_required(step.value.format(store=self._grant.name))

    def _login_required(self, what: str) -> LoginRequired:
        return LoginRequired(f"{what}: a person has to log in. Run: {self._grant.login_command}")

    # Sending

    def _send(
        self,
        request: RefreshRequest,
        flight: Flight[CachedToken],
        lease: Lease,
        spent: Token,
        credentials: Credentials,
    ) -> Result:
        """Send the refresh token of `spent`, and save what comes. What goes wrong from here on is returned."""
        self._own_client()
        reply = send_refresh_token(request, flight, self._grant, spent, credentials)
        if reply.token is None:
            return self._without_token(request, lease.entry, spent, reply)
        self._pending.save(reply.token, spent, lease)
        self._memory.restraints = self._memory.restraints.after_refresh(spent, reply.token)
        cached = self._install(reply.token, request.wall_time(monotonic()))
        return Result(cached if reply.error is None else None, reply.error, reply.sent_at)

    def _without_token(self, request: RefreshRequest, entry: StoreEntry, spent: Token, reply: Reply) -> Result:
        error, restraints = reply.error, self._memory.restraints
        if not reply.is_dead:
            if reply.remember and isinstance(error, TokenRequestError):
                self._memory.restraints = restraints._replace(failure=error, failure_until=monotonic() + reply.remember)
            return Result(None, error, reply.sent_at)
        self._memory.restraints = restraints._replace(dead=digest(spent))
        # One more look: somebody may have logged in without our lock.
        with suppress(LoginRequired, TokenRequestError):
            found = self._look(request, entry)
            if isinstance(found, CachedToken) and found.token != spent:
                return Result(found)
        named = f" ({error.error})" if isinstance(error, TokenRequestError) and error.error else ""
        what = f"Aries refused the refresh token in {self._grant.name}{named}"
        return Result(None, self._login_required(what), reply.sent_at)

    def _own_client(self) -> None:
        if self._client_owner != os.getpid():
            self._client_owner = os.getpid()
            drop_inherited_connections(self._grant.token_client)
