"""What a subcommand waits for, said after two seconds: the lock of the store, or an answer."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Generator

from aries_auth.cli.console import say
from aries_auth.store import store_name
from aries_auth.store.holder import holder_text, tells_holders
from aries_auth.store.waiting import NOTICE_AFTER

if TYPE_CHECKING:
    from aries_auth import TokenStore


@contextmanager
def notice(store: TokenStore) -> Generator[None, None, None]:
    """Say what is waited for if the block takes longer than two seconds."""
    timer = threading.Timer(NOTICE_AFTER, _tell, (store,))
    timer.daemon = True
    with suppress(RuntimeError):  # no thread left
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _tell(store: TokenStore) -> None:
    held = holder_text(store)
    if held:
        say(f"waiting for the lock of {store_name(store)}{held}")
    elif not tells_holders(store):
        say(f"still waiting: for the lock of {store_name(store)}, or for Aries' answer")
