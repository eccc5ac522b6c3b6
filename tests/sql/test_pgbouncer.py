"""Behind PgBouncer in transaction mode: every transaction may have another server connection."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import Any, Iterator

import pytest

from aries_auth import LockTimeout, Token
from aries_auth.sql import SQLTokenStore
from tests.conftest import EXPIRED, in_threads
from tests.inside import engine_of
from tests.sql.cluster import PASSWORD, free_port, unprivileged


@pytest.fixture
def bounced(cluster: Any, postgresql: str) -> Iterator[str]:
    """The URL of the same database through a PgBouncer with two server connections."""
    program = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        pytest.skip("there is no PgBouncer here (Debian: apt-get install pgbouncer)")
    port = free_port()
    folder = cluster.folder / "bouncer"
    folder.mkdir(exist_ok=True)
    (folder / "users").write_text(f'"postgres" "{PASSWORD}"\n')
    (folder / "ini").write_text(
        f"[databases]\ntests = host=127.0.0.1 port={cluster.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nauth_type = plain\nauth_file = {folder}/users\npool_mode = transaction\n"
        f"default_pool_size = 2\nserver_reset_query =\nignore_startup_parameters = extra_float_digits\n"
        f"unix_socket_dir =\n"
    )
    process = subprocess.Popen(
        [*unprivileged(folder), program, str(folder / "ini")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    url = cluster.url("tests").replace(f":{cluster.port}/", f":{port}/")
    yield url
    process.terminate()
    process.communicate()


def test_it_works_behind_pgbouncer_in_transaction_mode(bounced, aries, auth_on):
    stores = [SQLTokenStore(bounced, f"user-{n}") for n in range(4)]
    for store in stores:
        store.save(aries.issue_token(age=EXPIRED))
    # Eight clients on two server connections, none of which may wait for one that waits for it.
    auths = [auth_on(SQLTokenStore(bounced, store.key)) for store in stores for _ in range(2)]
    todo = list(auths)
    outcomes = in_threads(8, lambda: todo.pop().get_token())
    assert sorted(outcomes) == sorted([store.load().access_token for store in stores] * 2)
    assert aries.refresh_count == 4
    assert aries.reused_refresh_tokens == 0


def test_the_lock_holds_behind_pgbouncer_and_leaves_nothing_in_a_session(bounced, cluster):
    store = SQLTokenStore(bounced, "default")
    store.save(Token("access-1"))
    with store.locked() as entry:
        entry.reserve()
        begun = time.monotonic()
        with pytest.raises(LockTimeout), store.locked(0.25):
            pass
        with pytest.raises(LockTimeout), store.locked(0):
            pass
        assert time.monotonic() - begun < 2
        entry.save(Token("access-2"))
    engine = engine_of(store)
    for _ in range(4):
        with engine.connect() as connection:
            names = (
                "'lock_timeout', 'idle_in_transaction_session_timeout', 'synchronous_commit', 'transaction_isolation'"
            )
            settings = connection.exec_driver_sql(
                f"SELECT setting FROM pg_settings WHERE name IN ({names}) ORDER BY name"
            )
            assert [row[0] for row in settings] == ["0", "0", "on", "read committed"]
            assert connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar_one() == 0
    assert store.load() == Token("access-2")
