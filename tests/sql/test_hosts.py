"""Several hosts on one PostgreSQL, as processes with pools of their own. The figures of issue 6, in small by default;
``-m soak`` has them in full, and -s shows them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from sqlalchemy import create_engine, event, insert

from aries_auth import LockTimeout
from aries_auth.sql import SQLTokenStore
from aries_auth.sql.table import grant_table
from aries_auth.store.document import encode
from tests.conftest import EXPIRED, IN_MARGIN
from tests.sql.proxy import Proxy

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="hosts fork")


def psycopg(url: str) -> str:
    return url.replace("postgresql:", "postgresql+psycopg:")


class Host:
    """A process of `tests.sql.host`."""

    def __init__(
        self, url: str, environment: dict[str, str], *, before: tuple[str, ...] = (), relayed: tuple[str, ...] = ()
    ) -> None:
        self._process = subprocess.Popen(
            [*before, sys.executable, "-m", "tests.sql.host", psycopg(url), "3", *relayed],
            cwd=ROOT, env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def tell(self, **what: Any) -> None:
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def hosts(postgresql, aries) -> Iterator[Any]:
    started: list[Host] = []

    def start(count: int, **how: Any) -> list[Host]:
        new = [Host(postgresql, aries.environ, **how) for _ in range(count)]
        started.extend(new)
        for host in new:
            host.hear()
        return new

    yield start
    for host in started:
        host.end()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "count, threads, lives, lifetime", [(4, 8, 2, 2.0), pytest.param(16, 8, 20, 8.0, marks=pytest.mark.soak)]
)
def test_one_expired_token_is_refreshed_once_by_all_hosts(postgresql, aries, hosts, count, threads, lives, lifetime):
    store = SQLTokenStore(postgresql, "default")
    aries.rules.access_token_lifetime = lifetime
    store.save(aries.issue_token(age=lifetime + 1))
    every = hosts(count)
    slowest = 0.0
    for life in range(1, lives + 1):
        at = time.time() + 0.3
        for host in every:
            host.tell(threads=threads, at=at)
        outcomes = [outcome for host in every for outcome in host.hear()["outcomes"]]
        slowest = max(slowest, time.time() - at)
        token = store.load()
        assert outcomes == [token.access_token] * (count * threads)
        assert len(aries.token_requests) == life
        time.sleep(max(0.0, token.expires_at - time.time() + 0.05))
    assert aries.reused_refresh_tokens == 0
    print(f"{count} processes x {threads} threads, {lives} lives: {len(aries.token_requests)} token requests, 0 failed "
          f"calls, the slowest life took {slowest:.2f} s")  # fmt: skip


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kills, at_once", [(4, 5.0), pytest.param(200, 1.0, marks=pytest.mark.soak)])
def test_a_killed_holder_is_succeeded_at_once(postgresql, aries, hosts, kills, at_once):
    store = SQLTokenStore(postgresql, "default")
    one, two = hosts(2)
    delays = []
    for _ in range(kills):
        aries.reset()
        token = aries.issue_token(age=EXPIRED)
        store.save(token)
        aries.fail(hang=True, before=True, status=503)
        one.tell(fork=1)
        victim = one.hear()["pid"]
        aries.wait_for_requests(1)
        two.tell(fork=1)
        two.hear()
        time.sleep(random.uniform(0.0, 0.3))
        assert store.load() == token
        killed_at = time.time()
        os.kill(victim, signal.SIGKILL)
        successor = two.hear()
        delays.append(successor["at"] - killed_at)
        assert store.load().access_token == successor["token"]
        assert aries.refresh_count == 1
        assert aries.reused_refresh_tokens == 0
    print(f"{kills} kills: the next one had a new token after {statistics.median(delays) * 1000:.0f} ms (median), "
          f"{max(delays) * 1000:.0f} ms (max)")  # fmt: skip
    assert max(delays) < at_once  # in seconds; the default one suits a loaded machine


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.soak)])
@pytest.mark.parametrize("fault", ["restart", "drop"])
def test_a_refresh_survives_the_loss_of_its_connection(cluster, postgresql, aries, auth_on, fault, rounds):
    url = psycopg(postgresql)
    calls, failed, took = 0, [], []
    for _ in range(rounds):
        aries.reset()
        engines = [create_engine(url, pool_size=2), create_engine(url, pool_size=2)]
        stores = [SQLTokenStore(engine, "default") for engine in engines]
        old = aries.issue_token(age=IN_MARGIN)
        stores[0].save(old)
        aries.fail(delay=0.3)  # the endpoint has rotated the token, and its answer is on the way
        auths = [auth_on(store) for store in stores]
        stop = threading.Event()
        counts = [0, 0]

        def call(number: int, auths: Any = auths, stop: Any = stop, counts: Any = counts) -> None:
            while not stop.is_set():
                try:
                    auths[number].get_token()
                    counts[number] += 1
                except Exception as exc:
                    failed.append(repr(exc))
                time.sleep(0.001)

        threads = [threading.Thread(target=call, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        aries.wait_for_requests(1)
        begun = time.monotonic()
        if fault == "restart":
            cluster.restart("immediate")
        else:
            cluster.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'tests'")
        while True:
            token = stores[0].load()
            if token != old and all(auth.token == token for auth in auths):
                break
            assert time.monotonic() - begun < 60
            time.sleep(0.02)
        took.append(time.monotonic() - begun)
        stop.set()
        for thread in threads:
            thread.join()
        calls += sum(counts)
        assert aries.refresh_count == 1
        assert aries.reused_refresh_tokens == 0
        assert auths[1].refresh() != token  # the grant lives
        for engine in engines:
            engine.dispose()
    assert failed == []
    print(f"{fault}, {rounds} times: {calls} calls on a living token, 0 failed; the new token was stored and known to "
          f"both hosts after {statistics.median(took):.2f} s (median), {max(took):.2f} s (max)")  # fmt: skip


class Networks:
    """Network namespaces, each joined to ours by a cable that can be pulled."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def add(self) -> tuple[str, str]:
        """A new one; its name, and our address as it is seen there."""
        number = len(self.names)
        name, ours, theirs = f"aries{os.getpid()}-{number}", f"av{number}o", f"av{number}t"
        self.names.append(name)
        for command in (
            f"netns add {name}", f"link add {ours} type veth peer name {theirs} netns {name}",
            f"addr add 10.213.{number}.1/24 dev {ours}", f"link set {ours} up",
            f"-n {name} addr add 10.213.{number}.2/24 dev {theirs}", f"-n {name} link set {theirs} up",
            f"-n {name} link set lo up",
        ):  # fmt: skip
            self.ip(command)
        return name, f"10.213.{number}.1"

    def pull(self, number: int) -> None:
        self.ip(f"link set av{number}o down")

    def ip(self, command: str) -> None:
        subprocess.run(["ip", *command.split()], check=True, capture_output=True, timeout=10)

    def remove(self) -> None:
        for name in self.names:
            self.ip(f"netns del {name}")


@pytest.fixture
def networks() -> Iterator[Networks]:
    networks = Networks()
    try:
        networks.add()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("network namespaces need root and iproute2")
    yield networks
    networks.remove()


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_hosts_in_networks_of_their_own(cluster, postgresql, aries, hosts, networks):
    store = SQLTokenStore(postgresql, "default")
    networks.add()
    every = []
    for number, name in enumerate(networks.names):
        beyond = f"10.213.{number}.1"
        # The sandbox and the server listen on loopback only, so each port is relayed from this side of the cable.
        ports = [cluster.port, int(aries.url.rpartition(":")[2])]
        for port in ports:
            Proxy(port, listen=(beyond, port))
        every += hosts(1, before=("ip", "netns", "exec", name), relayed=tuple(f"{port}@{beyond}" for port in ports))
    for life in range(1, 6):
        store.save(aries.issue_token(age=EXPIRED))
        at = time.time() + 0.3
        for host in every:
            host.tell(fork=1)
        for host in every:
            host.hear()
        outcomes = {host.hear()["token"] for host in every}
        assert outcomes == {store.load().access_token}
        assert aries.refresh_count == life
        assert time.time() - at < 10
    # A cable is pulled under a refresh: nobody hears of it, the server least of all.
    store.save(aries.issue_token(age=EXPIRED))
    aries.reset_counts()
    aries.fail(hang=True, before=True, status=503)
    every[0].tell(fork=1)
    every[0].hear()
    aries.wait_for_requests(1)
    networks.pull(0)
    pulled_at = time.monotonic()
    with pytest.raises(LockTimeout), store.locked(1.0):
        pass
    with store.locked(140.0) as entry:
        assert entry.load() is not None
        held = time.monotonic() - pulled_at
    print(
        f"2 network namespaces, 5 lives: 5 token requests; the row of a host that lost its network "
        f"was free after {held:.0f} s"
    )
    assert 60 < held < 130


def fill(engine: Any, tokens: dict[str, Any]) -> None:
    """Many rows at once, by the table's own statements."""
    SQLTokenStore.create_table(engine)
    with engine.begin() as connection:
        rows = [{"key": key, "document": encode(token, stored_extra={}, cipher=None)} for key, token in tokens.items()]
        connection.execute(insert(grant_table("aries_tokens")._table), rows)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("grants", [200, pytest.param(10_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("state", ["expired", "in its margin"])
def test_many_grants_that_fall_due_together_are_each_refreshed_once(postgresql, aries, auth_on, grants, state):
    engine = create_engine(psycopg(postgresql), pool_size=10, max_overflow=10)
    most = 0

    def note(*_: Any) -> None:
        nonlocal most
        most = max(most, engine.pool.checkedout())

    age = 3600 + 60 if state == "expired" else 3600 - 60
    fill(engine, {f"user-{n}": aries.issue_token(age=age, expires_in=3600) for n in range(grants)})
    event.listen(engine, "checkout", note)
    auths = [auth_on(SQLTokenStore(engine, f"user-{n}"), timeout=120.0) for n in range(grants)]
    todo = iter(auths)
    failed: list[str] = []

    def work() -> None:
        for auth in todo:
            try:
                auth.get_token()
            except Exception as exc:
                failed.append(repr(exc))

    begun = time.monotonic()
    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    called = time.monotonic() - begun
    while aries.refresh_count < grants or engine.pool.checkedout():
        # One that met a full pool leaves it at that, since its token lives; the next call looks again.
        time.sleep(0.5)
        for auth in auths:
            if auth.token is None or auth.token.expires_at < time.time() + 300:
                auth.get_token()
        assert time.monotonic() - begun < 1500
    took = time.monotonic() - begun
    assert failed == []
    assert aries.refresh_count == grants
    assert aries.reused_refresh_tokens == 0
    assert len({record.fingerprint for record in aries.token_requests}) == grants
    print(f"{grants} grants {state}, 32 threads: each refreshed once, in {took:.1f} s ({grants / took:.0f}/s; the "
          f"calls themselves took {called:.1f} s), at most {most} connections of a pool of 20")  # fmt: skip
    engine.dispose()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("sizes", [(100, 5_000), pytest.param((100, 10_000, 1_000_000), marks=pytest.mark.soak)])
def test_the_cost_of_a_refresh_does_not_grow_with_the_rows(postgresql, cluster, aries, sizes):
    engine = create_engine(psycopg(postgresql), pool_size=1, max_overflow=0)
    medians = []
    fill(engine, {"user": aries.issue_token()})
    there = 1
    for size in sizes:
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "INSERT INTO aries_tokens (key, document) SELECT 'padding-' || n, repeat('x', 600)"
                f" FROM generate_series({there}, {size - 1}) n"
            )
        there = size
        cluster.execute("VACUUM ANALYZE aries_tokens", database="tests")
        store = SQLTokenStore(engine, "user")
        token = store.load()
        times = []
        for _ in range(50):
            begun = time.perf_counter()
            store.load()
            with store.locked(0.25) as entry:
                entry.load()
                entry.reserve()
                entry.save(token)
            times.append(time.perf_counter() - begun)
        medians.append(statistics.median(times))
    shown = ", ".join(f"{size:,} rows: {median * 1000:.2f} ms" for size, median in zip(sizes, medians))
    print(f"look, lock, look again, reserve, save: {shown}")
    assert medians[-1] < 3 * medians[0] + 0.005
    engine.dispose()
