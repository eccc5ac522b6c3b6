"""pytest fixtures, by an entry point: `aries_sandbox`, `aries_client_auth` and others. Loading it loads little else."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generator, Iterator

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from aries_auth import AriesAuth, FileTokenStore
    from aries_auth.testing import AriesSandbox


@pytest.fixture(scope="session")
def aries_sandbox_server() -> Iterator[AriesSandbox]:
    """The sandbox that the tests of a session share; ask for `aries_sandbox` instead."""
    from aries_auth.testing import AriesSandbox  # noqa: PLC0415 - every pytest run loads this module

    with AriesSandbox() as aries, _no_proxy():
        yield aries


@contextmanager
def _no_proxy() -> Generator[None, None, None]:
    """Adds this machine to ``NO_PROXY``: calls to the sandbox must not go to a company's proxy."""
    with pytest.MonkeyPatch.context() as patch:
        # Both spellings, with the same value: programs differ in which they look at first.
        listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
        if listed.strip() != "*":
            local = [host for host in ("127.0.0.1", "localhost") if host not in listed.split(",")]
            value = ",".join([*([listed] if listed else []), *local])
            patch.setenv("no_proxy", value)
            patch.setenv("NO_PROXY", value)
        yield


@pytest.fixture
def aries_sandbox(aries_sandbox_server: AriesSandbox) -> Iterator[AriesSandbox]:
    """A local Aries with no grants, faults or counts from other tests."""
    aries_sandbox_server.start()  # a test may have stopped it
    aries_sandbox_server.reset()
    yield aries_sandbox_server
    aries_sandbox_server.heal()


@pytest.fixture
def aries_store(aries_sandbox: AriesSandbox, tmp_path: Path) -> FileTokenStore:
    """The store of `aries_client_auth`, with a grant that was made a minute ago.

    A token that is younger than half a minute would not be refreshed after a 401, and tests want to see that.
    """
    from aries_auth import FileTokenStore  # noqa: PLC0415

    store = FileTokenStore(tmp_path / "aries-auth" / "token.json")
    store.save(aries_sandbox.issue_token(age=60))
    return store


@pytest.fixture
def aries_client_auth(aries_sandbox: AriesSandbox, aries_store: FileTokenStore) -> AriesAuth:
    """An `AriesAuth` that is logged in at `aries_sandbox`, with `aries_store` as its store."""
    return aries_sandbox.auth(aries_store)


@pytest.fixture
def aries_environ(
    aries_sandbox: AriesSandbox, aries_store: FileTokenStore, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Sets the variables by which a program's own ``AriesAuth()``, and ``aries-auth``, find sandbox and store."""
    variables = {**aries_sandbox.environ, "ARIES_TOKEN_FILE": str(aries_store.path)}
    for name in [name for name in os.environ if name.startswith("ARIES_")]:  # those of the user's real login
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables
