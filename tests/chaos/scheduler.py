"""A deterministic scheduler: real code in threads that stop at named steps, one of which runs at a time.

Exploration is stateless: an execution is replayed from its start for every sequence of choices, and cut where it
comes to a state that was explored before.
"""

from __future__ import annotations

import threading
from typing import Any, Callable, Hashable, Iterator, NamedTuple


class Crash(BaseException):
    """Stands for SIGKILL: no `except Exception` sees it, and what a process holds in the kernel is freed."""


class Choice(NamedTuple):
    """One thing that the scheduler can let happen next."""

    process: str
    crash: bool


class Process:
    """Code in a thread that stops at each `step` until the scheduler lets it go on."""

    def __init__(self, name: str, main: Callable[[Process], Any]) -> None:
        self.name = name
        self.label = "start"
        self.trail: tuple[str, ...] = ()
        self.crashed = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False
        self._enabled: Callable[[], bool] = lambda: True
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._main = main
        threading.Thread(target=self._run, daemon=True).start()
        self._stopped.acquire()

    def _run(self) -> None:
        try:
            self.step("start")
            self.result = self._main(self)
        except BaseException as exc:
            self.error = exc
        self.done = True
        self.label = "done"
        self._stopped.release()

    def step(self, label: str, enabled: Callable[[], bool] = lambda: True) -> None:
        """Stop here until the scheduler lets the step happen; called from any thread of the process."""
        if self.crashed:
            raise Crash
        self.label, self._enabled = label, enabled
        self._stopped.release()
        self._go.acquire()
        if self.crashed:
            raise Crash
        self.trail += (label,)

    @property
    def enabled(self) -> bool:
        return not self.done and self._enabled()

    def advance(self, *, crash: bool) -> None:
        """Let the step happen and run to the next one; or crash instead of it."""
        self.crashed = self.crashed or crash
        self._go.release()
        self._stopped.acquire()


class World:
    """What one execution consists of; `state` is what two executions must share to go on alike."""

    processes: list[Process]

    def state(self) -> Hashable:
        raise NotImplementedError

    def finish(self) -> None:
        """Check what must hold at the end; raises AssertionError."""
        raise NotImplementedError


class Explored(NamedTuple):
    executions: int
    states: int
    steps: int


def explore(make: Callable[[], World], *, crashes: int) -> Explored:
    """Run every interleaving, with up to so many crashes at every step, and check each to its end."""
    pending: list[tuple[Choice, ...]] = [()]
    seen: set[Hashable] = set()
    executions = steps = 0
    while pending:
        prefix = pending.pop()
        world = make()
        taken: list[Choice] = []
        executions += 1
        for choices in _choices(world, crashes):
            steps += 1
            if len(taken) < len(prefix):
                choice = prefix[len(taken)]
            else:
                key = (world.state(), len([c for c in taken if c.crash]))
                if key not in seen:
                    seen.add(key)
                    pending += [(*taken, other) for other in choices[1:]]
                choice = choices[0]
            taken.append(choice)
            process = next(p for p in world.processes if p.name == choice.process)
            process.advance(crash=choice.crash)
        try:
            world.finish()
        except AssertionError as exc:
            trail = [f"{c.process}{'!' if c.crash else ''}" for c in taken]
            raise AssertionError(f"{exc}\nafter {trail}\n{[(p.name, p.trail) for p in world.processes]}") from exc
    return Explored(executions, len(seen), steps)


def _choices(world: World, crashes: int) -> Iterator[list[Choice]]:
    while True:
        left = crashes - sum(process.crashed for process in world.processes)
        enabled = [p for p in world.processes if p.enabled]
        if not enabled:
            blocked = [f"{p.name} at {p.label}" for p in world.processes if not p.done]
            assert not blocked, f"deadlock: {blocked}"
            return
        choices = [Choice(p.name, crash=False) for p in enabled]
        if left > 0:
            # A blocked process can be killed, too.
            choices += [Choice(p.name, crash=True) for p in world.processes if not p.done and not p.crashed]
        yield choices
