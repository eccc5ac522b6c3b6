"""What a measurement found: a table, the bars it is held to, and the raw numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Size:
    """How much work a run does; `SMOKE` only shows that everything runs."""

    name: str
    workers: int
    rounds: int
    batch: int
    repeats: int
    grants: int
    objects: int

    @property
    def smoke(self) -> bool:
        return self.name == "smoke"


SMOKE = Size("smoke", workers=1, rounds=1, batch=5, repeats=1, grants=32, objects=200)
QUICK = Size("quick", workers=3, rounds=30, batch=200, repeats=3, grants=1000, objects=20_000)
FULL = Size("full", workers=7, rounds=60, batch=250, repeats=7, grants=10_000, objects=100_000)


@dataclass(frozen=True)
class Bar:
    """One limit that the measurement must keep.

    Attributes:
        text: what is limited, with the limit.
        value: what was measured.
        limit: the most that it may be.
        unit: as shown after both.
    """

    text: str
    value: float
    limit: float
    unit: str = "x"

    @property
    def met(self) -> bool:
        return self.value <= self.limit

    def __str__(self) -> str:
        verdict = "met" if self.met else f"**missed** by {self.value - self.limit:.3g} {self.unit}"
        return f"{self.text}: {self.value:.3g} {self.unit} ({verdict})"


@dataclass
class Result:
    """One measurement's outcome.

    Attributes:
        name: as given to ``--only``.
        title: the heading of its table.
        columns: the heads of the columns.
        rows: the cells, first the contender.
        bars: the limits it is held to.
        notes: what a reader needs to know to read the table.
        raw: numbers for the JSON file.
        answered: the contenders that did what they should; the smoke run looks at it.
    """

    name: str
    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    answered: dict[str, bool] = field(default_factory=dict)

    def markdown(self) -> str:
        """The table, and what became of the bars."""
        lines = [f"### {self.title}", "", f"| {' | '.join(self.columns)} |", f"|{' --- |' * len(self.columns)}"]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        lines += ["", *(f"- {bar}" for bar in self.bars), *(f"- {note}" for note in self.notes), ""]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """For the JSON file."""
        bars = [{"text": b.text, "value": b.value, "limit": b.limit, "unit": b.unit, "met": b.met} for b in self.bars]
        return {
            "name": self.name,
            "title": self.title,
            "columns": self.columns,
            "rows": self.rows,
            "bars": bars,
            "notes": self.notes,
            "raw": self.raw,
            "answered": self.answered,
        }


def short(seconds: float) -> str:
    """Seconds as a person reads them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.0f} ns"
