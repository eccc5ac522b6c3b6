"""Draws demo.svg, what `aries-auth demo` prints in a terminal, from a real run: `python docs/pictures/terminal.py`.

The picture is a still for those who prefer less motion; for everybody else its lines come in as they did in the run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import escape
from pathlib import Path

from draw import HERE, LINE, WIDTH, wrap

ANSI = re.compile(r"\x1b\[[0-9;]*m")
STEP = re.compile(r"^ *(?P<at>[0-9.]+) s +(?P<ok>ok)? *(?P<said>.+)$")
STYLE = """
.terminal { --paper: #f6f8fa; --ink: #1f2328; --quiet: #59636e; --good: #116329; --line: #d1d9e0;
  font: 11px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace }
@media (prefers-color-scheme: dark) { .terminal { --paper: #0d1117; --ink: #e6edf3; --quiet: #9198a1; --good: #3fb950;
  --line: #3d444d } }
.terminal .window { fill: var(--paper); stroke: var(--line) }
.terminal text { fill: var(--ink); white-space: pre }
.terminal .quiet { fill: var(--quiet) }
.terminal .good { fill: var(--good); font-weight: 700 }
@media (prefers-reduced-motion: no-preference) { .terminal g { animation: come .3s both } }
@keyframes come { from { opacity: 0 } }
"""


def run() -> list[str]:
    """The lines of a real run."""
    done = subprocess.run(
        [sys.executable, "-m", "aries_auth", "demo"],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return [ANSI.sub("", line) for line in done.stdout.splitlines() if line.strip()]


def draw(lines: list[str]) -> str:
    """The picture of what the command printed."""
    y = 46
    parts = [f'<text x="14" y="{y}"><tspan class="quiet">$ </tspan>aries-auth demo</text>']
    alt: list[str] = []
    first = float(STEP.match(lines[0])["at"])  # type: ignore[index]
    for line in lines:
        step = STEP.match(line)
        if step is None:
            raise SystemExit(f"aries-auth demo says something new, which this script can't read: {line}")
        y += 6
        said = wrap(step["said"], (WIDTH - 92) * 1.04)
        rows = []
        for n, row in enumerate(said):
            y += LINE
            start = f'<tspan class="quiet" x="14">{step["at"]:>5} s</tspan>' if n == 0 else ""
            start += f'<tspan class="good" x="66">{step["ok"]}</tspan>' if n == 0 and step["ok"] else ""
            rows.append(f'<text y="{y}">{start}<tspan x="88">{escape(row)}</tspan></text>')
        parts.append(f'<g style="animation-delay: {float(step["at"]) - first:.2f}s">{"".join(rows)}</g>')
        alt.append(step["said"])
    height = y + 16
    dots = "".join(f'<circle cx="{18 + 14 * n}" cy="18" r="4.5" fill="var(--line)"/>' for n in range(3))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="terminal" role="img" viewBox="0 0 {WIDTH} {height}">\n'
        f"<title>What aries-auth demo prints</title>\n<desc>{escape('. '.join(alt))}</desc>\n<style>{STYLE}</style>\n"
        f'<rect class="window" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>{dots}\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


if __name__ == "__main__":
    (Path(HERE) / "demo.svg").write_text(draw(run()), encoding="utf-8")
