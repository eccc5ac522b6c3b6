"""Draws the diagrams of the docs: NAME.txt beside this file becomes NAME.svg.

`python docs/pictures/draw.py` writes them all. A diagram is 400 units wide, so that a phone shows its text at 12 px.
The first line of a text is its kind and title; `about:` is the text for those who can't see it. The other lines:

sequence  `lanes: a = First; b = Second`, `a -> b: text` (a request), `a --> b: text` (an answer), `a: text` (a note),
          `a, c: text` (a note across lanes), `if: text` … `end` (a frame)
timeline  `mark: name | text` (an instant), `span: colour | name | text` (the time until the next mark)
rows      `row: Title | text ; Title | text` (boxes side by side), `arrow: text` (from each of them to the next row)

Colours are CSS variables: the picture itself follows the system's light or dark mode, docs/_static/site.css the page's.
"""

from __future__ import annotations

import sys
import textwrap
from html import escape
from pathlib import Path
from typing import Callable, Iterable

HERE = Path(__file__).parent
WIDTH = 400
SIZE = 12.5
LINE = 16
STYLE = """
.diagram { --ink: #1f2328; --line: #59636e; --fill: #f3f5f7; --accent: #0a58ca; --good: #d7f0dd; --mid: #fdf0c8;
  --late: #fbd9d3; --paper: #ffffff; font: 12.5px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif }
@media (prefers-color-scheme: dark) { .diagram { --ink: #e6e8eb; --line: #9aa4af; --fill: #23282e; --accent: #7fb2ff;
  --good: #1d4429; --mid: #4d3f10; --late: #5a241c; --paper: #131416 } }
.diagram text { fill: var(--ink) }
.diagram .halo { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round }
.diagram .bold { font-weight: 600 }
.diagram .box { fill: var(--fill); stroke: var(--line) }
.diagram .line { fill: none; stroke: var(--line) }
.diagram .life { fill: none; stroke: var(--line); stroke-dasharray: 2 4 }
.diagram .arrow { fill: none; stroke: var(--accent); stroke-width: 1.5 }
.diagram .answer { stroke-dasharray: 5 3 }
.diagram .head { fill: var(--accent) }
.diagram .good { fill: var(--good); stroke: var(--line) }
.diagram .mid { fill: var(--mid); stroke: var(--line) }
.diagram .late { fill: var(--late); stroke: var(--line) }
"""


def wrap(text: str, width: float) -> list[str]:
    """The lines of a text that is to be so wide, at a guess of what a letter takes."""
    return textwrap.wrap(text, max(6, int(width / (SIZE * 0.57))), break_long_words=False) or [""]


def text(lines: Iterable[str], x: float, y: float, anchor: str = "start", style: str = "") -> str:
    """Lines of text, the first one's foot at `y`."""
    spans = "".join(f'<tspan x="{x:g}" y="{y + n * LINE:g}">{escape(line)}</tspan>' for n, line in enumerate(lines))
    named = f' class="{style}"' if style else ""
    return f'<text text-anchor="{anchor}"{named}>{spans}</text>'


def box(x: float, y: float, width: float, height: float, style: str = "box", radius: float = 5) -> str:
    return f'<rect class="{style}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}"/>'


def line(x1: float, y1: float, x2: float, y2: float, style: str = "line") -> str:
    return f'<path class="{style}" d="M{x1:g} {y1:g}L{x2:g} {y2:g}"/>'


def head(x: float, y: float, dx: float, dy: float) -> str:
    """The head of an arrow that comes from the direction -dx, -dy and ends here."""
    a, b = (x - 8 * dx - 4 * dy, y - 8 * dy - 4 * dx), (x - 8 * dx + 4 * dy, y - 8 * dy + 4 * dx)
    return f'<path class="head" d="M{x:g} {y:g}L{a[0]:g} {a[1]:g}L{b[0]:g} {b[1]:g}Z"/>'


class Sequence:
    """A sequence diagram, from the top to the bottom."""

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        self.parts: list[str] = []
        self.frames: list[tuple[float, str]] = []
        self.drawn_frames: list[str] = []
        self.lanes: dict[str, float] = {}
        self.y = 0.0
        for key, value in lines:
            self._add(key, value)
        lives = [line(x, self.top, x, self.y, "life") for x in self.lanes.values()]
        self.parts = lives + self.drawn_frames + self.parts
        self.height = self.y + 4

    def _add(self, key: str, value: str) -> None:
        if key == "lanes":
            self._begin([lane.split("=") for lane in value.split(";")])
        elif key == "if":
            self.frames.append((self.y + 6, value))
            lines = wrap(f"if {value}", WIDTH - 30)
            self.parts.append(text(lines, 12, self.y + 22, style="bold halo"))
            self.y += 12 + LINE * len(lines)
        elif key == "end":
            top, _ = self.frames.pop()
            self.drawn_frames.append(box(3, top, WIDTH - 6, self.y + 8 - top, "line"))
            self.y += 14
        elif "->" in key:
            self._arrow(key, value)
        else:
            self._note([self.lanes[name.strip()] for name in key.split(",")], value)

    def _begin(self, lanes: list[list[str]]) -> None:
        each = WIDTH / len(lanes)
        lines = [wrap(name.strip(), each - 16) for _, name in lanes]
        height = 12 + LINE * max(map(len, lines))
        for n, (lane, _) in enumerate(lanes):
            x = self.lanes[lane.strip()] = each * (n + 0.5)
            self.parts.append(box(x - each / 2 + 4, 1, each - 8, height))
            self.parts.append(text(lines[n], x, 7 + LINE * 0.75, "middle", "bold"))
        self.top = self.y = height + 1

    def _arrow(self, key: str, value: str) -> None:
        is_answer = "-->" in key
        start, end = (self.lanes[name.strip()] for name in key.replace("-->", "->").split("->"))
        width = max(abs(end - start) - 10, 150)
        lines = wrap(value, width)
        middle = (start + end) / 2
        middle = min(max(middle, width / 2 + 4), WIDTH - width / 2 - 4)
        self.parts.append(text(lines, middle, self.y + 20, "middle", "halo"))
        self.y += 12 + LINE * len(lines) + 4
        way = 1.0 if end > start else -1.0
        self.parts.append(line(start, self.y, end - 6 * way, self.y, "arrow answer" if is_answer else "arrow"))
        self.parts.append(head(end, self.y, way, 0))
        self.y += 6

    def _note(self, lanes: list[float], value: str) -> None:
        middle = (min(lanes) + max(lanes)) / 2
        width = max(max(lanes) - min(lanes) + 90, 150)
        middle = min(max(middle, width / 2 + 8), WIDTH - width / 2 - 8)
        lines = wrap(value, width - 14)
        height = 10 + LINE * len(lines)
        self.parts.append(box(middle - width / 2, self.y + 10, width, height))
        self.parts.append(text(lines, middle, self.y + 10 + 16.5, "middle"))
        self.y += height + 16


class Timeline:
    """Instants and what holds between them, from the top to the bottom."""

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        self.parts: list[str] = []
        y = 12.0
        top = y
        bar: tuple[str, float] | None = None  # the colour of the time after the last mark, and where that was
        for key, value in lines:
            fields = [field.strip() for field in value.split("|")]
            if key == "mark":
                name, said = fields
                if bar is not None:
                    self.parts.insert(0, box(16, bar[1], 20, y - bar[1], bar[0], 0))
                bar = None
                self.parts.append(line(6, y, 46, y, "arrow"))
                self.parts.append(text([name], 54, y + 4, style="bold"))
                more = wrap(said, WIDTH - 60) if said else []
                self.parts.append(text(more, 54, y + 4 + LINE))
                top, y = y, y + 10 + LINE * len(more)
            else:
                colour, name, said = fields
                bar = (colour, top)
                more = wrap(said, WIDTH - 86)
                height = 26 + LINE * (len(more) + 1)
                self.parts.append(box(66, y + 4, WIDTH - 70, height - 16, colour))
                self.parts.append(text([name], 76, y + 22, style="bold"))
                self.parts.append(text(more, 76, y + 22 + LINE))
                y += height + 4
        self.height = y + 8


class Rows:
    """Rows of boxes, with arrows from each row to the next."""

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        self.parts: list[str] = []
        y, before = 2.0, [0.0]
        arrow: str | None = None
        for key, value in lines:
            if key == "arrow":
                arrow = value
                continue
            boxes = [cell.split("|") for cell in value.split(";")]
            each = WIDTH / len(boxes)
            middles = [each * (n + 0.5) for n in range(len(boxes))]
            if arrow is not None:
                y = self._arrows(before, middles, y, arrow)
            y = self._row(boxes, each, y)
            before, arrow = middles, None
        self.height = y + 2

    def _row(self, boxes: list[list[str]], each: float, y: float) -> float:
        names = [wrap(cell[0].strip(), each - 22) for cell in boxes]
        said = [wrap(cell[1].strip(), each - 22) if len(cell) > 1 else [] for cell in boxes]
        height = 14 + LINE * max(len(name) + len(more) for name, more in zip(names, said))
        for n, (name, more) in enumerate(zip(names, said)):
            self.parts.append(box(each * n + 3, y, each - 6, height))
            self.parts.append(text(name, each * n + 12, y + 18, style="bold"))
            self.parts.append(text(more, each * n + 12, y + 18 + LINE * len(name)))
        return y + height

    def _arrows(self, above: list[float], below: list[float], y: float, said: str) -> float:
        lines = wrap(said, WIDTH - 40) if said else []
        height = 26 + LINE * len(lines)
        half = max((len(part) for part in lines), default=0) * SIZE * 0.3
        for x in max(above, below, key=len):  # a box that stands alone is as wide as the picture
            begin = y
            if abs(x - WIDTH / 2) < half:  # the text interrupts the line
                self.parts.append(line(x, y, x, y + 8, "arrow"))
                begin = y + 12 + LINE * len(lines)
            self.parts.append(line(x, begin, x, y + height - 7, "arrow"))
            self.parts.append(head(x, y + height - 1, 0, 1))
        self.parts.append(text(lines, WIDTH / 2, y + 22, "middle", "halo"))
        return y + height


KINDS: dict[str, Callable[[list[tuple[str, str]]], Sequence | Timeline | Rows]] = {
    "sequence": Sequence,
    "timeline": Timeline,
    "rows": Rows,
}


def draw(source: str) -> str:
    """The SVG of a text."""
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith("#")]
    pairs = [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines)]
    (kind, title), (_, about), *rest = pairs
    drawn = KINDS[kind](rest)
    parts = "\n".join(drawn.parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="diagram" role="img" viewBox="0 0 {WIDTH} {drawn.height:g}">\n'
        f"<title>{escape(title)}</title>\n<desc>{escape(about)}</desc>\n<style>{STYLE}</style>\n{parts}\n</svg>\n"
    )


def main() -> None:
    for source in sorted(HERE.glob("*.txt")):
        source.with_suffix(".svg").write_text(draw(source.read_text(encoding="utf-8")), encoding="utf-8")
        sys.stdout.write(f"{source.stem}.svg\n")


if __name__ == "__main__":
    main()
