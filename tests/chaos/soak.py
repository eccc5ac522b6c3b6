"""The soak: processes full of threads and tasks that call for an hour, while everything else fails at random.

``python -m tests.chaos.soak --seconds 3600 --seed 1`` prints a summary, and ends with 1 where a promise was broken:
a call failed while a token lived or with no fault near, a grant was lost that no fault explains, or a process grew.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator

import httpx
import requests
import trio

from aries_auth import AriesAuth, FileTokenStore, LoginRequired
from aries_auth.testing import AriesSandbox

from .relay import Relay

ROOT = Path(__file__).parents[2]
LIFETIME = 5.0
PROCESSES = 4
THREADS, TASKS, TRIO_TASKS = 4, 6, 2
SAMPLE_EVERY = 2.0
# A fault can hurt a call for as long as the refresh that it hit goes on, and the token that it cost would have lived.
AFTERMATH = 30.0 + 2 * LIFETIME
# Warm-up at the start and calm at the end, with no faults.
CALM = 12.0
# Memory is judged in runs of this length alone: the allocator takes megabytes at a time, and has them all only then.
SETTLED = 300.0


class Worker:
    """One process of callers. Says on standard output, a line of JSON each, what failed and how big it is."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.auth = AriesAuth(
            options.client_id,
            options.client_secret,
            options.redirect_uri,
            store=options.store,
            token_url=options.token_url,
            api_origins=[options.api],
        )
        self.url = f"{options.api}/v1/users/me"
        self.port = int(options.api.rpartition(":")[2])
        self.store = FileTokenStore(options.store)
        self.pace = options.pace
        self.ended = threading.Event()
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def say(self, **what: Any) -> None:
        with self._lock:
            sys.stdout.write(json.dumps(what) + "\n")
            sys.stdout.flush()

    @contextlib.contextmanager
    def attempt(self) -> Iterator[list[int]]:
        """One call: the block puts the status that it got into the list, or nothing where it gave up waiting."""
        known, begun = self.store.load(), time.time()
        status: list[int] = []
        error = ""
        kind = "given up"
        try:
            yield status
            if status:
                kind = "ok" if status[0] == 200 else f"status {status[0]}"
        except Exception as exc:
            kind, error = type(exc).__name__, str(exc)
        with self._lock:
            self.counts[kind] += 1
        if kind in ("ok", "given up"):
            return
        self.say(
            failure=kind,
            error=error[:200],
            begun=begun,
            ended=time.time(),
            known_from=known and known.obtained_at,
            known_until=known and known.expires_at,
        )

    def thread(self, number: int) -> None:
        chance = random.Random()
        with requests.Session() as session, httpx.Client(timeout=60) as client:
            while not self.ended.wait(chance.expovariate(1 / self.pace)):
                with self.attempt() as status:
                    if number % 3 == 0:
                        status.append(session.get(self.url, auth=self.auth, timeout=60).status_code)
                    elif number % 3 == 1:
                        status.append(client.get(self.url, auth=self.auth).status_code)
                    else:
                        headers = {"Authorization": f"Bearer {self.auth.get_token()}"}
                        status.append(session.get(self.url, headers=headers, timeout=60).status_code)
                        status[:] = [] if status == [401] else status  # by hand there is no second try

    async def tasks(self) -> None:
        async with httpx.AsyncClient(timeout=60, auth=self.auth) as client:
            await asyncio.gather(*(self.task(client) for _ in range(TASKS)))

    async def task(self, client: httpx.AsyncClient) -> None:
        chance = random.Random()
        while not self.ended.is_set():
            await asyncio.sleep(chance.expovariate(1 / self.pace))
            with self.attempt() as status:
                call = client.get(self.url)
                if chance.random() < 0.2:
                    with contextlib.suppress(asyncio.TimeoutError):
                        status.append((await asyncio.wait_for(call, chance.random())).status_code)
                else:
                    status.append((await call).status_code)

    async def trio_tasks(self) -> None:
        async with httpx.AsyncClient(timeout=60, auth=self.auth) as client, trio.open_nursery() as nursery:
            for _ in range(TRIO_TASKS):
                nursery.start_soon(self.trio_task, client)

    async def trio_task(self, client: httpx.AsyncClient) -> None:
        chance = random.Random()
        while not self.ended.is_set():
            await trio.sleep(chance.expovariate(1 / self.pace))
            with self.attempt() as status:
                with trio.move_on_after(chance.random() if chance.random() < 0.2 else 60):
                    status.append((await client.get(self.url)).status_code)

    def sample(self) -> None:
        while not self.ended.wait(SAMPLE_EVERY):
            self.say(
                at=time.time(),
                resident=int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
                descriptors=descriptors(self.port, api=False),
                connections=descriptors(self.port, api=True),
                threads=threading.active_count(),
            )

    def run(self) -> None:
        targets: list[Callable[[], object]] = [self.sample]
        targets += [lambda number=number: self.thread(number) for number in range(THREADS)]  # type: ignore[misc]
        targets += [lambda: asyncio.run(self.tasks()), lambda: trio.run(self.trio_tasks)]
        threads = [threading.Thread(target=target) for target in targets]
        for thread in threads:
            thread.start()
        sys.stdin.read()  # until the parent closes it, or is gone
        self.ended.set()
        for thread in threads:
            thread.join()
        self.say(counts=self.counts)


def descriptors(port: int, *, api: bool) -> int:
    """How many descriptors this process has that are connections to the API, or how many that are not.

    The callers' clients hold the former: httpx keeps, for good, connections whose calls were cancelled, with any auth
    and with none. Ours are the latter; token requests go to another port.
    """
    rows = [row.split() for row in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    theirs = {f"socket:[{row[9]}]" for row in rows if int(row[2].rpartition(":")[2], 16) == port}
    links = []
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            links.append(os.readlink(each))
    return sum((link in theirs) is api for link in links)


def outsider(options: argparse.Namespace) -> None:
    """One more process with the same grant, which refreshes again and again, and is killed or stopped from outside."""
    store = FileTokenStore(options.store)
    auth = AriesAuth(
        options.client_id, options.client_secret, options.redirect_uri, store=store, token_url=options.token_url
    )
    while True:
        with contextlib.suppress(Exception):
            auth.refresh()
        time.sleep(0.02)


@dataclass
class Failure:
    """A call that failed, as its worker reports it."""

    failure: str
    error: str
    begun: float
    ended: float
    known_from: float | None
    known_until: float | None


@dataclass
class Record:
    """All that the parent learns."""

    failures: list[Failure] = field(default_factory=list)
    samples: dict[int, list[dict[str, float]]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    # From when to when a fault was at work, and when every token so far was revoked.
    trouble: list[tuple[float, float]] = field(default_factory=list)
    revoked: list[float] = field(default_factory=list)
    # What may cost the grant: a rotation whose answer was lost, a kill between the commit and the write.
    may_cost: int = 0
    logins: int = 0
    violations: list[str] = field(default_factory=list)


class Soak:
    """The parent: the sandbox, the faults, and the books."""

    def __init__(self, seconds: float, seed: int, pace: float, folder: Path) -> None:
        self.seconds = seconds
        self.pace = pace
        self.chance = random.Random(seed)
        self.path = folder / "store" / "t.json"
        self.record = Record()
        self.token_requests = 0
        self.reused = 0
        self._lock = threading.Lock()
        self._last_login = 0.0

    def run(self) -> Record:
        with AriesSandbox(access_token_lifetime=LIFETIME) as self.aries, Relay(
            int(self.aries.url.rpartition(":")[2])
        ) as self.relay:
            # A spent token sent again is counted; were it to end the grant, every lost answer would cost all tokens.
            self.aries.rules.reuse_revokes = False
            self.log_in()
            self.workers = [self.process("worker") for _ in range(PROCESSES)]
            readers = [
                threading.Thread(target=self.read, args=(number, worker)) for number, worker in enumerate(self.workers)
            ]
            for reader in readers:
                reader.start()
            self.fault_for(min(CALM, self.seconds / 4), until=self.seconds - min(CALM, self.seconds / 4))
            time.sleep(min(CALM, self.seconds / 4))
            for worker in self.workers:
                assert worker.stdin is not None
                worker.stdin.close()
            for reader in readers:
                reader.join(90)
            for worker in self.workers:
                try:
                    worker.wait(30)
                except subprocess.TimeoutExpired:
                    self.record.violations.append("a worker did not end")
                    worker.kill()
                    worker.wait()
            self.tally()
        self.judge()
        return self.record

    def process(self, role: str) -> subprocess.Popen[str]:
        aries = self.aries
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.chaos.soak", "--role", role, "--pace", str(self.pace)),
                *("--store", str(self.path), "--api", aries.api_url, "--client-id", aries.client_id),
                *("--token-url", aries.token_url.replace(aries.url, f"http://127.0.0.1:{self.relay.port}")),
                *(f"--client-secret={aries.client_secret}", "--redirect-uri", aries.redirect_uri),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def log_in(self) -> None:
        """A person does; workers that know the old token must find the new one."""
        FileTokenStore(self.path).save(self.aries.issue_token())
        self._last_login = time.time()

    def read(self, number: int, worker: subprocess.Popen[str]) -> None:
        assert worker.stdout is not None
        record = self.record
        for line in worker.stdout:
            said = json.loads(line)
            with self._lock:
                if "failure" in said:
                    failure = Failure(**said)
                    record.failures.append(failure)
                    if failure.failure == LoginRequired.__name__ and failure.begun > self._last_login:
                        self.log_in_again(failure)
                elif "counts" in said:
                    record.counts.update(said["counts"])
                else:
                    record.samples.setdefault(number, []).append(said)
        worker.stdout.close()

    def log_in_again(self, failure: Failure) -> None:
        record = self.record
        stored = FileTokenStore(self.path).load()
        assert stored is not None
        entry = self.aries._grants._refresh.get(stored.refresh_token or "")
        if entry is not None and not entry.ended:
            record.violations.append(f"LoginRequired, but the stored refresh token is good: {failure}")
        if record.may_cost <= 0:
            record.violations.append(f"a grant was lost, and no fault explains it: {failure}")
        record.may_cost = 0
        record.logins += 1
        self.log_in()

    # Faults

    def fault_for(self, calm: float, until: float) -> None:
        start = time.monotonic()
        time.sleep(calm)
        kinds = [name for name in dir(self) if name.startswith("fault_") and name != "fault_for"]
        while time.monotonic() - start < until:
            kind = self.chance.choice(kinds)
            self.record.faults[kind[len("fault_") :]] += 1
            begun = time.time()
            # Open while it lasts: a call that fails now is judged at the end.
            getattr(self, kind)()
            self.record.trouble.append((begun, time.time() + AFTERMATH))
            self.tally()
            left = until - (time.monotonic() - start)
            time.sleep(max(0.0, min(left, self.chance.uniform(1.0, 8.0))))

    def tally(self) -> None:
        """Count, and forget the records, which would grow for an hour."""
        self.token_requests += len(self.aries.token_requests)
        self.reused += self.aries.reused_refresh_tokens
        self.aries.reset_counts()

    def while_failing(self, longest: float, **fault: Any) -> None:
        self.aries.fail("token", times=None, **fault)
        time.sleep(self.chance.uniform(0.5, longest))
        self.aries.heal()

    def fault_slow(self) -> None:
        self.while_failing(6, delay=self.chance.uniform(0.1, 3.0))

    def fault_slow_before(self) -> None:
        self.while_failing(6, delay=self.chance.uniform(0.1, 3.0), before=True)

    def fault_5xx(self) -> None:
        self.while_failing(9, status=self.chance.choice([500, 502, 503, 504]))

    def fault_429(self) -> None:
        self.while_failing(5, status=429, headers={"Retry-After": self.chance.randint(0, 3)})

    def fault_drop_before(self) -> None:
        self.while_failing(6, drop="before")

    def fault_drop_after(self) -> None:
        self.record.may_cost += 1
        self.aries.fail("token", drop="after")
        time.sleep(LIFETIME)
        self.aries.heal()

    def fault_hang(self) -> None:
        self.while_failing(8, hang=True)

    def fault_drip(self) -> None:
        self.while_failing(6, drip=0.02, drip_of=self.chance.choice(["headers", "body"]))

    def fault_wrong_content(self) -> None:
        self.while_failing(4, status=200, body="<html>Be right back</html>")

    def fault_out_of_reach(self) -> None:
        # Connections that break on the way may have carried a rotated token.
        self.record.may_cost += 1
        self.relay.down()
        time.sleep(self.chance.uniform(0.5, 8.0))
        self.relay.up()

    def fault_revoked(self) -> None:
        self.aries.revoke_access_tokens()
        self.record.revoked.append(time.time())

    def fault_logged_in_again(self) -> None:
        with self._lock:
            self.log_in()

    def fault_killed(self) -> None:
        process = self.process("outsider")
        time.sleep(0.5 + self.chance.uniform(0.0, 0.5))
        self.record.may_cost += 1
        self.end(process)

    def fault_stopped(self) -> None:
        process = self.process("outsider")
        time.sleep(0.5 + self.chance.uniform(0.0, 0.5))
        process.send_signal(signal.SIGSTOP)
        time.sleep(self.chance.uniform(0.5, 4.0))
        process.send_signal(signal.SIGCONT)
        time.sleep(0.2)
        self.record.may_cost += 1
        self.end(process)

    def end(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.communicate()

    # Judging

    def judge(self) -> None:
        record = self.record
        for failure in record.failures:
            if failure.known_from is not None and failure.known_until is not None:
                revoked = any(failure.known_from <= at <= failure.ended for at in record.revoked)
                if failure.known_until > failure.ended and not revoked:
                    record.violations.append(f"a call failed while a token lived: {failure}")
                    continue
            if not any(begun <= failure.ended and failure.begun <= ended for begun, ended in record.trouble):
                record.violations.append(f"a call failed with no fault near: {failure}")
        for number, samples in record.samples.items():
            self.judge_growth(number, samples)
        if not record.counts["ok"]:
            record.violations.append("nobody called")

    def judge_growth(self, number: int, samples: list[dict[str, float]]) -> None:
        for name, slack in (("threads", 1.0), ("descriptors", 1.0), ("resident", 4e6)):
            if name == "resident" and self.seconds < SETTLED:
                continue
            before, after = quarters(samples, name)
            if after > before + slack:
                self.record.violations.append(f"worker {number} grew: {name} from {before:.0f} to {after:.0f}")


def quarters(samples: list[dict[str, float]], name: str) -> tuple[float, float]:
    """The medians of the second and of the last quarter: the first one opens connections and loads code."""
    quarter = max(1, len(samples) // 4)
    return (
        statistics.median(sample[name] for sample in samples[quarter : 2 * quarter] or samples),
        statistics.median(sample[name] for sample in samples[-quarter:]),
    )


def summary(soak: Soak, seed: int) -> str:
    record = soak.record

    def span(name: str, scale: float = 1.0) -> str:
        spans = []
        for samples in record.samples.values():
            before, after = quarters(samples, name)
            peak = max(sample[name] for sample in samples)
            spans.append(f"{before / scale:.1f} → {after / scale:.1f} (peak {peak / scale:.0f})")
        return ", ".join(spans)

    kinds = Counter(failure.failure for failure in record.failures)
    lines = [
        f"soak of {soak.seconds:g} s, seed {seed}, tokens of {LIFETIME:g} s",
        f"{PROCESSES} processes of {THREADS} threads, {TASKS} asyncio tasks and {TRIO_TASKS} trio tasks",
        f"calls: {dict(record.counts)}",
        f"failed with no living token: {dict(kinds)}",
        f"token requests: {soak.token_requests}",
        f"spent refresh tokens sent again: {soak.reused}; logins after a lost grant: {record.logins}",
        f"faults: {dict(sorted(record.faults.items()))}",
        "medians of the second and the last quarter, by process:",
        f"threads: {span('threads')}",
        f"descriptors but for connections to the API: {span('descriptors')}",
        f"connections to the API, which are the callers' clients': {span('connections')}",
        f"resident MB: {span('resident', 1e6)}",
        f"violations: {len(record.violations)}",
        *(f"  {violation}" for violation in record.violations[:20]),
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--pace", type=float, default=1.0, help="seconds between two calls of one caller, on average")
    parser.add_argument("--role", choices=["parent", "worker", "outsider"], default="parent")
    for name in ("client-id", "client-secret", "redirect-uri", "store", "token-url", "api"):
        parser.add_argument(f"--{name}")
    options = parser.parse_args()
    if options.role == "worker":
        Worker(options).run()
        return 0
    if options.role == "outsider":
        outsider(options)
    seed = random.randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="aries-soak-") as folder:
        soak = Soak(options.seconds, seed, options.pace, Path(folder))
        soak.run()
    print(summary(soak, seed), flush=True)
    return 1 if soak.record.violations else 0


if __name__ == "__main__":
    sys.exit(main())
