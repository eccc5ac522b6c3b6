"""pytest fixtures, by an entry point: `aries_sandbox` and `aries_auth`. Loading it loads little else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from aries_auth import AriesAuth
    from aries_auth.testing import AriesSandbox


@pytest.fixture(scope="session")
def aries_sandbox_server() -> Iterator[AriesSandbox]:
    """The sandbox that the tests of a session share; ask for `aries_sandbox` instead."""
    from aries_auth.testing import AriesSandbox  # noqa: PLC0415 - every pytest run loads this module

    with AriesSandbox() as aries:
        yield aries


@pytest.fixture
def aries_sandbox(aries_sandbox_server: AriesSandbox) -> Iterator[AriesSandbox]:
    """A local Aries with no grants, faults or counts from other tests."""
    aries_sandbox_server.start()  # a test may have stopped it
    aries_sandbox_server.reset()
    yield aries_sandbox_server
    aries_sandbox_server.heal()


@pytest.fixture
def aries_auth(aries_sandbox: AriesSandbox, tmp_path: Path) -> AriesAuth:
    """An `AriesAuth` that is logged in at `aries_sandbox`, with a store of its own under `tmp_path`."""
    from aries_auth import AriesAuth, FileTokenStore  # noqa: PLC0415

    store = FileTokenStore(tmp_path / "aries-auth" / "token.json")
    store.save(aries_sandbox.issue_token())
    return AriesAuth(
        aries_sandbox.client_id,
        aries_sandbox.client_secret,
        aries_sandbox.redirect_uri,
        store=store,
        token_url=aries_sandbox.token_url,
        api_origins=[aries_sandbox.api_url],
    )
