"""Refresher: what a flight does for a source: look in the store, lock it, look again, refresh, save."""

from __future__ import annotations

import copy
import hashlib
import math
import os
import random
import threading
from contextlib import ExitStack
from typing import Any, NamedTuple

from aries_auth.errors import LockTimeout, LoginRequired, TokenRequestError
from aries_auth.refresh import policy
from aries_auth.refresh.events import Watch
from aries_auth.refresh.pending_save import Saver
from aries_auth.refresh.policy import CachedToken, CacheSlot
from aries_auth.refresh.request import Reason, RefreshRequest
from aries_auth.settings import ClientCredentials
from aries_auth.singleflight.clock import monotonic
from aries_auth.singleflight.flight import Flight
from aries_auth.store import StoreEntry, TokenStore, store_name
from aries_auth.token import Secret, Token
from aries_auth.token_endpoint import protocol, retries
from aries_auth.token_endpoint.attempt import FIRST_PROCESS, drop_inherited_connections

_LOCK_SLICE = 0.25
_EXPIRED = CachedToken(Token("none"), "", -math.inf, -math.inf, -math.inf)


class _Remembered(NamedTuple):
    """A failure that is sure to come again until an instant of the monotonic clock."""

    error: TokenRequestError
    until: float


class Refresher:
    """Memory and store of one grant, and the one way from a token to the next.

    `work` runs in one flight at a time.
    """

    def __init__(
        self,
        *,
        store: TokenStore,
        client: ClientCredentials,
        token_url: str,
        refresh_margin: float,
        token_client: Any,
        login_command: str,
    ) -> None:
        self._store = store
        self._client = client
        self._token_url = token_url
        self._refresh_margin = refresh_margin
        self._token_client = token_client
        self._client_owner = FIRST_PROCESS
        self._login_command = login_command
        self._watch = Watch(store, login_command)
        self._begun: float | None = None
        self._spent: set[bytes] = set()
        self._dead: bytes | None = None
        self.memory: CachedToken | None = None
        self.saver = Saver(store, self._fill_slot)
        self.slot = CacheSlot(_EXPIRED)

    def start_over(self) -> None:
        """Forget what a forked child must not inherit. A token that is nowhere but in memory stays."""
        self._working = threading.Lock()
        self._spread = random.random()  # noqa: S311 - spreads load, guards nothing; forked workers must not line up
        self._remembered: _Remembered | None = None
        self._logged_out = False
        self.saver.start_over(self._working)
        if self.saver.idle:
            self.memory = None
        self._fill_slot()

    def _fill_slot(self) -> None:
        self.slot.cached = self.memory if self.memory is not None and self.saver.idle else _EXPIRED

    def work(self, wish: RefreshRequest, flight: Flight[CachedToken]) -> CachedToken:
        """Fulfil a wish, and tell what became of it when the store's lock is free again.

        Raises:
            AriesAuthError: it can't be fulfilled; see DESIGN section 3, "Failure".
        """
        self._begun = None
        try:
            cached = self._fulfil(wish, flight)
        except Exception as exc:
            self._watch.failed(wish, self._begun, exc)
            raise
        if self._begun is not None:
            self._watch.refreshed(wish, self._begun)
        return cached

    def _fulfil(self, wish: RefreshRequest, flight: Flight[CachedToken]) -> CachedToken:
        with self._working, ExitStack() as lock:
            cached = self._look(wish, self._store)
            if cached is not None:
                return cached
            self._check(wish)
            entry = self._locked(lock, wish, flight)
            cached = self._look(wish, entry)
            if cached is not None:
                return cached
            return self._refresh(wish, flight, entry, lock)

    # Looking

    def _look(self, wish: RefreshRequest, stored_in: TokenStore | StoreEntry) -> CachedToken | None:
        """Bring memory up to date with the store; returns what fulfils the wish, or None where a refresh must."""
        stored = stored_in.load()
        if stored is not None:
            self._client.check(stored, store_name(self._store))
        self._reconcile(stored, wish)
        cached = self.memory
        return cached if cached is not None and self._fulfils(cached, wish) else None

    def _reconcile(self, stored: Token | None, wish: RefreshRequest) -> None:
        memory = self.memory
        if self.saver.outranks(stored):
            return
        self._logged_out = stored is None
        if stored is None:
            return
        if memory is None:
            self._install(stored, wish.now)
        elif policy.is_newer(stored, memory.token, now=wish.now) and _digest(stored) not in self._spent:
            self._install(stored, wish.now)
            self._watch.adopted()

    def _fulfils(self, cached: CachedToken, wish: RefreshRequest) -> bool:
        token, now = cached.token, wish.now
        if wish.why is Reason.FIRST:
            return True
        if wish.known is None or token == wish.known:
            return wish.why is Reason.REFUSED and policy.is_young(token, now)
        if wish.why is Reason.REFUSED and token.access_token == wish.known.access_token:
            return policy.is_young(token, now)
        return wish.why is Reason.AHEAD or cached.is_alive(now)

    def _install(self, token: Token, now: float) -> None:
        self.memory = policy.cache(
            token,
            now=now,
            refresh_margin=self._refresh_margin,
            spread=self._spread,
            predecessor=None if self.memory is None else self.memory.token,
        )
        self._remembered = None
        self._fill_slot()
        if policy.is_alive(token, now):  # else a refresh follows, which may renew the refresh token
            self._watch.look_at(token, now)

    # Refusing early

    def _check(self, wish: RefreshRequest) -> None:
        """Raise what is sure to come, before anybody waits for a lock."""
        self._refreshable(wish)
        remembered = self._remembered
        if remembered is not None and wish.why is not Reason.FORCED and monotonic() < remembered.until:
            raise copy.copy(remembered.error)

    def _refreshable(self, wish: RefreshRequest) -> Token:
        cached = self.memory
        if cached is None or self._logged_out:
            raise self._login_required(f"There is no token in {store_name(self._store)}")
        token = cached.token
        if not policy.is_refresh_token_alive(token, wish.now):
            what = "has expired" if token.refresh_token else "is missing"
            raise self._login_required(f"The refresh token in {store_name(self._store)} {what}")
        if _digest(token) == self._dead:
            raise self._login_required(f"The refresh token in {store_name(self._store)} is no longer valid")
        if _digest(token) in self._spent:
            raise self._login_required(f"The refresh token in {store_name(self._store)} was used before")
        return token

    def _login_required(self, what: str) -> LoginRequired:
        return LoginRequired(f"{what}: a person has to log in. Run: {self._login_command}")

    # Locking

    def _locked(self, lock: ExitStack, wish: RefreshRequest, flight: Flight[CachedToken]) -> StoreEntry:
        if self.saver.entry is not None:
            return self.saver.entry
        if wish.why is Reason.AHEAD:
            return lock.enter_context(self._store.locked(0))
        longest = getattr(self._store, "lock_timeout", 45.0)
        deadline = monotonic() + longest
        while True:
            try:
                # In slices, so that the interpreter's end does not wait for somebody else's lock.
                return lock.enter_context(self._store.locked(min(_LOCK_SLICE, longest)))
            except LockTimeout:
                if monotonic() >= deadline or flight.should_stop():
                    break
        raise LockTimeout(
            f"{store_name(self._store)} stayed locked for {longest:g} s by another process or thread. Try again; if it "
            "stays so, look for a hung process that uses this store."
        )

    # Refreshing

    def _refresh(
        self, wish: RefreshRequest, flight: Flight[CachedToken], entry: StoreEntry, lock: ExitStack
    ) -> CachedToken:
        spent = self._refreshable(wish)
        credentials = self._client.credentials(spent, self._store)
        entry.reserve()
        request = protocol.refresh_request(self._token_url, credentials, Secret(spent.refresh_token or ""))
        self._own_client()
        self._begun = begun = monotonic()
        outcome = retries.send(request, client=self._token_client, library=wish.library, pause=flight.pause)
        if outcome.error is not None or outcome.answer is None:
            return self._refused(wish, entry, spent, outcome)
        token = Token.from_response(
            protocol.parse_answer(outcome.answer, request),
            now=wish.now + (begun - wish.at) + outcome.sent_after,
            previous=spent,
            client_id=credentials.client_id,
            redirect_uri=credentials.redirect_uri,
            token_url=self._token_url,
        )
        self.saver.save(token, spent, entry, lock)
        if spent.refresh_token != token.refresh_token:
            self._spent.add(_digest(spent))
        self._install(token, wish.now + (monotonic() - wish.at))
        return self.memory  # type: ignore[return-value]

    def _own_client(self) -> None:
        if self._client_owner != os.getpid():
            self._client_owner = os.getpid()
            drop_inherited_connections(self._token_client)

    def _refused(self, wish: RefreshRequest, entry: StoreEntry, spent: Token, outcome: retries.Outcome) -> CachedToken:
        error, answer = outcome.error, outcome.answer
        assert error is not None  # noqa: S101
        if answer is None or not protocol.is_grant_refused(answer):
            if outcome.remember:
                self._remembered = _Remembered(error, monotonic() + outcome.remember)
            raise error
        self._dead = _digest(spent)
        cached = self._look(wish, entry)  # one more look: somebody may have logged in without our lock
        if cached is not None and cached.token != spent:
            self._begun = None  # adopted
            return cached
        named = f" ({error.error})" if error.error else ""
        raise self._login_required(f"Aries refused the refresh token in {store_name(self._store)}{named}")


def _digest(token: Token) -> bytes:
    """What a refresh token is remembered by, once it must not be sent again."""
    return hashlib.sha256((token.refresh_token or "").encode()).digest()
