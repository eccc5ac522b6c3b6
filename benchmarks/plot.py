"""The latency of each call across a refresh, drawn from the raw numbers of the measurement `ahead`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Mapping

DRAWN = {
    "aries-auth, httpx": "#1b6ca8",
    "google-auth, non-blocking": "#7f7f7f",
    "Authlib, httpx": "#d1495b",
    "httpx_auth": "#edae49",
}


def draw(raw: Mapping[str, Any], path: Path) -> None:
    """Write the plot as SVG, the same bytes for the same numbers."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "aries-auth", "font.size": 9})
    figure, axes = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
    for contender, colour in DRAWN.items():
        calls = raw.get(contender, [])
        axes.plot(
            [begun for begun, _ in calls],
            [latency * 1e3 for _, latency in calls],
            marker=".",
            markersize=3,
            linewidth=0.6,
            color=colour,
            label=contender,
        )
    axes.axhline(300, color="black", linewidth=0.5, linestyle=":")
    axes.text(0.0, 320, "the endpoint's 300 ms", fontsize=8)
    axes.set(yscale="log", xlabel="seconds; the refresh falls due halfway", ylabel="milliseconds a call")
    axes.set_ylim(0.1, 900)
    axes.legend(loc="upper right", frameon=False, fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    path.write_text(slim(path.read_text(encoding="utf-8")), encoding="utf-8")


def slim(svg: str) -> str:
    """The same picture in a quarter of the bytes: a tenth of a point is enough, and dots are one path of round ends."""
    lines = re.sub(r"\s*\n\s*", "\n", svg).split("\n")
    svg = "\n".join(line if "scale(" in line else re.sub(r"(\d+\.\d)\d+", r"\1", line) for line in lines)
    return re.sub(r"<g (clip-path=[^>]*)>\n((?:<use [^>]*>\n)+)</g>", _dots, svg)


def _dots(group: re.Match[str]) -> str:
    colour = re.findall(r"fill: (#\w+)", group[2])[0]
    path = "".join(f"M{x} {y}h0" for x, y in re.findall(r'x="([^"]+)" y="([^"]+)"', group[2]))
    style = f"fill: none; stroke: {colour}; stroke-width: 1.8; stroke-linecap: round"
    return f'<path d="{path}" {group[1]} style="{style}"/>'
