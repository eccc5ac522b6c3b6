"""The soak: processes full of threads and tasks that call for an hour, while everything else fails at random.

Beside them job runners start processes that end right after a call (see `runners`), with the same grant, and with a
second one that they alone refresh. ``python -m tests.chaos.soak --seconds 3600 --seed 1`` prints a summary, and ends
with 1 where a promise was broken: a call failed while a token lived or with no fault near, a grant was lost whose
answer was neither lost on its way nor killed with its process, or a process grew.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
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
from typing import Any, Callable

import httpx
import requests
import trio

from aries_auth import AriesAuth, FileTokenStore, LoginRequired, Token
from aries_auth.testing import AriesSandbox, TokenRequestRecord
from aries_auth.testing.records import fingerprint
from tests.inside import issued_refresh_token

from .attempts import Attempts, say
from .relay import Relay
from .runners import PACES

ROOT = Path(__file__).parents[2]
LIFETIME = 5.0
PROCESSES = 4
THREADS, TASKS, TRIO_TASKS = 4, 6, 2
SAMPLE_EVERY = 2.0
# A fault can hurt a call for as long as the refresh that it hit goes on, and the token that it cost would have lived.
AFTERMATH = 30.0 + 2 * LIFETIME
LONGEST_REFRESH = 60.0
# A kill, or a break, meets a refresh whose request has arrived, or whose answer has left, by so many seconds.
AT_ONCE = 1.0
SHARED = "shared"
# Warm-up at the start and calm at the end, with no faults.
CALM = 12.0
# Memory is judged in runs of this length alone: the allocator takes megabytes at a time, and has them all only then.
SETTLED = 300.0


class Worker:
    """One process of callers. Says on standard output, a line of JSON each, what failed and how big it is."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.auth = AriesAuth(store=options.store)
        self.url = f"{options.api}/v1/users/me"
        self.port = int(options.api.rpartition(":")[2])
        self.attempts = Attempts("worker", options.store)
        self.attempt = self.attempts.attempt
        self.pace = options.pace
        self.ended = threading.Event()

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
            say(
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
        self.attempts.tell()


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
    auth = AriesAuth(store=options.store)
    while True:
        with contextlib.suppress(Exception):
            auth.refresh()
        time.sleep(0.02)


@dataclass
class Failure:
    """A call that failed, as its worker reports it."""

    failure: str
    error: str
    kind: str
    store: str
    begun: float
    ended: float
    known_from: float | None
    known_until: float | None


@dataclass
class Record:
    """All that the parent learns."""

    failures: list[Failure] = field(default_factory=list)
    samples: dict[int, list[dict[str, float]]] = field(default_factory=dict)
    # By whose processes made the calls.
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    # From when to when a fault was at work, and when every token so far was revoked.
    trouble: list[tuple[float, float]] = field(default_factory=list)
    revoked: list[float] = field(default_factory=list)
    # The token requests by the refresh token that they spent, and the spent refresh tokens that a store was left with.
    rotations: dict[str, TokenRequestRecord] = field(default_factory=dict)
    lost: list[tuple[str, str]] = field(default_factory=list)
    # What may cost a grant: while answers were dropped, when the way to the endpoint broke, when a process was killed.
    dropping: list[tuple[float, float]] = field(default_factory=list)
    broke_at: list[float] = field(default_factory=list)
    killed_at: list[float] = field(default_factory=list)
    losses: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def cause(self, name: str, spent: str) -> str | None:
        """What cost the grant of this name whose store was left with this refresh token; None: no fault explains it."""
        request = self.rotations.get(spent)
        if request is None:
            return None
        arrived, answered = request.at, request.at + request.duration
        if not request.answered and any(begun <= arrived <= ended for begun, ended in self.dropping):
            return "answer dropped"
        if any(arrived - AT_ONCE <= at <= answered + AT_ONCE for at in self.broke_at):
            return "connection broken"
        # Outsiders alone are killed, and they have the shared one.
        if name == SHARED and any(arrived - AT_ONCE <= at <= answered + AT_ONCE for at in self.killed_at):
            return "SIGKILL in the window"
        return None


class Login:
    """One grant of the soak, in a store of its own."""

    def __init__(self, name: str, aries: AriesSandbox, path: Path, record: Record) -> None:
        self.name = name
        self.path = path
        self._aries = aries
        self._store = FileTokenStore(path)
        self._record = record
        self._lock = threading.Lock()
        self._last = 0.0

    def log_in(self) -> None:
        """A person does; those who know the old token must find the new one."""
        with self._lock:
            self._log_in()

    def log_in_again(self, failure: Failure) -> None:
        """After a call that raised `LoginRequired`."""
        with self._lock:
            if failure.begun <= self._last:
                return
            if not self._log_in():
                self._record.violations.append(f"LoginRequired, but the stored refresh token is good: {failure}")

    def look(self) -> None:
        """Note a grant that was lost with nobody there to see it."""
        with self._store.locked(LONGEST_REFRESH) as entry:
            self._note_lost(entry.load())

    def _log_in(self) -> bool:
        """Whether the grant that was there was lost."""
        with self._store.locked(LONGEST_REFRESH) as entry:
            lost = self._note_lost(entry.load())
            entry.save(self._aries.issue_token())
            self._last = time.time()
        return lost

    def _note_lost(self, stored: Token | None) -> bool:
        """Under the lock, where no refresh is under way."""
        if stored is None or stored.refresh_token is None:
            return False
        issued = issued_refresh_token(self._aries, stored.refresh_token)
        if issued is not None and not issued.ended:
            return False
        self._record.lost.append((self.name, fingerprint(stored.refresh_token)))
        return True


class Soak:
    """The parent: the sandbox, the faults, and the books."""

    def __init__(self, seconds: float, seed: int, pace: float, folder: Path) -> None:
        self.seconds = seconds
        self.pace = pace
        self.chance = random.Random(seed)
        self.folder = folder
        self.record = Record()
        self.token_requests = 0
        self.reused = 0
        # uvicorn is no dependency of the tests in their default tier.
        self.kinds = [kind for kind in PACES if kind != "uvicorn" or importlib.util.find_spec("uvicorn")]
        self._lock = threading.Lock()

    def run(self) -> Record:
        with AriesSandbox(access_token_lifetime=LIFETIME) as self.aries, Relay(
            int(self.aries.url.rpartition(":")[2])
        ) as self.relay:
            # A spent token sent again is counted; were it to end the grant, every lost answer would cost all tokens.
            self.aries.rules.reuse_revokes = False
            self.logins = [
                Login(name, self.aries, self.folder / name / "t.json", self.record) for name in (SHARED, "jobs alone")
            ]
            for login in self.logins:
                login.log_in()
            self.workers = [self.worker() for _ in range(PROCESSES)]
            started = [*self.workers, *(self.runner(kind) for kind in self.kinds)]
            readers = [
                threading.Thread(target=self.read, args=(number, process)) for number, process in enumerate(started)
            ]
            for reader in readers:
                reader.start()
            self.fault_for(min(CALM, self.seconds / 4), until=self.seconds - min(CALM, self.seconds / 4))
            time.sleep(min(CALM, self.seconds / 4))
            for process in started:
                assert process.stdin is not None
                process.stdin.close()
            for reader in readers:
                reader.join(90)
            for process in started:
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    self.record.violations.append("a worker did not end")
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            for login in self.logins:
                login.look()
            self.tally()
        self.judge()
        return self.record

    def worker(self, role: str = "worker") -> subprocess.Popen[str]:
        place = ["--store", str(self.logins[0].path), "--api", self.aries.api_url]
        return self.start("tests.chaos.soak", "--role", role, "--pace", str(self.pace), *place)

    def runner(self, kind: str) -> subprocess.Popen[str]:
        told = {"url": f"{self.aries.api_url}/v1/users/me"}
        return self.start("tests.chaos.runners", kind, json.dumps(told), *(str(login.path) for login in self.logins))

    def start(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        """A process that the variables point at the sandbox; its token requests go through the relay."""
        token_url = self.aries.token_url.replace(self.aries.url, f"http://127.0.0.1:{self.relay.port}")
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, **self.aries.environ, "ARIES_TOKEN_URL": token_url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )

    def read(self, number: int, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        record = self.record
        for line in process.stdout:
            said = json.loads(line)
            if "failure" in said:
                failure = Failure(**said)
                record.failures.append(failure)
                if failure.failure == LoginRequired.__name__:
                    (login,) = (login for login in self.logins if str(login.path) == failure.store)
                    login.log_in_again(failure)
            elif "counts" in said:
                with self._lock:
                    record.counts.setdefault(said["kind"], Counter()).update(said["counts"])
            elif "broken" in said:
                record.violations.append(said["broken"])
            else:
                record.samples.setdefault(number, []).append(said)
        process.stdout.close()

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
        journal = self.aries._service.journal
        with journal._changed:  # none may come between the look and the forgetting
            requests, journal._token = journal._token, []
            journal._api.clear()
        self.token_requests += len(requests)
        self.reused += self.aries.reused_refresh_tokens
        self.aries._grants.reset_counts()
        for request in requests:
            if request.status == 200 and request.fingerprint is not None:
                self.record.rotations.setdefault(request.fingerprint, request)

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
        begun = time.time()
        self.aries.fail("token", drop="after")
        time.sleep(LIFETIME)
        self.aries.heal()
        self.record.dropping.append((begun, time.time()))

    def fault_hang(self) -> None:
        self.while_failing(8, hang=True)

    def fault_drip(self) -> None:
        self.while_failing(6, drip=0.02, drip_of=self.chance.choice(["headers", "body"]))

    def fault_wrong_content(self) -> None:
        self.while_failing(4, status=200, body="<html>Be right back</html>")

    def fault_out_of_reach(self) -> None:
        # Connections that break on the way may have carried a rotated token.
        self.record.broke_at.append(time.time())
        self.relay.down()
        time.sleep(self.chance.uniform(0.5, 8.0))
        self.relay.up()

    def fault_revoked(self) -> None:
        self.aries.revoke_access_tokens()
        self.record.revoked.append(time.time())

    def fault_logged_in_again(self) -> None:
        for login in self.logins:
            login.log_in()

    def fault_killed(self) -> None:
        process = self.worker("outsider")
        time.sleep(0.5 + self.chance.uniform(0.0, 0.5))
        self.end(process)

    def fault_stopped(self) -> None:
        process = self.worker("outsider")
        time.sleep(0.5 + self.chance.uniform(0.0, 0.5))
        process.send_signal(signal.SIGSTOP)
        time.sleep(self.chance.uniform(0.5, 4.0))
        process.send_signal(signal.SIGCONT)
        time.sleep(0.2)
        self.end(process)

    def end(self, process: subprocess.Popen[str]) -> None:
        self.record.killed_at.append(time.time())
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
        for name, spent in record.lost:
            cause = record.cause(name, spent)
            record.losses[cause or "unexplained"] += 1
            if cause is None:
                request = record.rotations.get(spent)
                record.violations.append(f"a grant was lost ({name}), and no fault explains it: {request}")
        for number, samples in record.samples.items():
            self.judge_growth(number, samples)
        for kind in ("worker", *self.kinds):
            if not record.counts.get(kind, Counter())["ok"]:
                record.violations.append(f"no call succeeded: {kind}")

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

    kinds = Counter(f"{failure.kind}: {failure.failure}" for failure in record.failures)
    lines = [
        f"soak of {soak.seconds:g} s, seed {seed}, tokens of {LIFETIME:g} s",
        f"{PROCESSES} processes of {THREADS} threads, {TASKS} asyncio tasks and {TRIO_TASKS} trio tasks",
        *(f"calls, {kind}: {dict(counts)}" for kind, counts in sorted(record.counts.items())),
        *(f"not installed, so not among them: {kind}" for kind in PACES if kind not in soak.kinds),
        f"failed with no living token: {dict(kinds)}",
        f"token requests: {soak.token_requests}",
        f"spent refresh tokens sent again: {soak.reused}",
        f"grants lost: {len(record.lost)} {dict(record.losses)}",
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
    for name in ("store", "api"):
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
