"""``python -m benchmarks``: runs the measurements, prints a table each, and exits 1 where a bar is missed."""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Callable

from benchmarks import (
    adoption,
    ahead,
    contention,
    first_call,
    imports,
    many,
    micro,
    objects,
    one_refresh,
    plot,
    refused,
    results,
    stalls,
    storm,
)
from benchmarks.results import Result, Size

MEASUREMENTS: dict[str, Callable[[Size], Result]] = {
    "attach-requests": micro.attach_requests,
    "attach-httpx": micro.attach_httpx,
    "attach-httpx-async": micro.attach_httpx_async,
    **{
        name: measure
        for library, name, measure in (
            ("niquests", "attach-niquests", micro.attach_niquests),
            ("aiohttp", "attach-aiohttp", micro.attach_aiohttp),
        )
        if importlib.util.find_spec(library)  # no part of the extra bench: niquests puts a urllib3 of its own in place
    },
    "call-httpx": micro.call_httpx,
    "call-requests": micro.call_requests,
    "ahead": ahead.measure,
    "storm": storm.measure,
    "adoption": adoption.measure,
    "saving": micro.saving,
    "imports": imports.measure,
    "first-call": first_call.measure,
    "one-refresh": one_refresh.measure,
    "objects": objects.measure,
    "grants": many.linear,
    "due": many.due,
    "stalls": stalls.measure,
    "contention": contention.measure,
    "refused": refused.measure,
}
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
PACKAGES = [
    "requests",
    "httpx",
    "httpx2",
    "requests-oauthlib",
    "Authlib",
    "httpx-auth",
    "requests_oauth2client",
    "google-auth",
    "finance-dev",
]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "-"


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return {
        "when": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "processors": str(os.cpu_count()),
        "load at start": f"{load:.1f}",
        **{package: _version(package) for package in PACKAGES},
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--smoke", action="store_const", dest="size", const=results.SMOKE, help="only that all runs")
    size.add_argument("--quick", action="store_const", dest="size", const=results.QUICK, help="less of everything")
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument(
        "--json", type=Path, default=Path("benchmarks/results/latest.json"), help="where the numbers go"
    )
    parser.add_argument("--docs", type=Path, help="the page whose tables are replaced, docs/performance.md")
    parser.add_argument("--plot", type=Path, help="where the plot across a refresh goes (SVG)")
    parser.set_defaults(size=results.FULL)
    return parser.parse_args()


def _write_page(path: Path, about: dict[str, str], found: list[Result]) -> None:
    head, begin, rest = path.read_text().partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} has no lines {BEGIN} and {END}.")
    measured = ", ".join(f"{name} {value}" for name, value in about.items())
    body = "\n".join([begin, "", f"Measured: {measured}.", "", *(result.markdown() for result in found), end])
    path.write_text(head + body + tail)


def main() -> int:
    """Measure, print, write; the exit code."""
    arguments = _arguments()
    size: Size = arguments.size
    about, found = machine(), []
    print("; ".join(f"{name} {value}" for name, value in about.items()), end="\n\n", flush=True)
    for name in arguments.only or MEASUREMENTS:
        print(f"{name} …", file=sys.stderr, flush=True)
        result = MEASUREMENTS[name](size)
        found.append(result)
        print(result.markdown(), flush=True)
    document = {"machine": about, "size": size.name, "results": [result.as_json() for result in found]}
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(document, indent=1))
    if arguments.docs is not None:
        _write_page(arguments.docs, about, found)
    if arguments.plot is not None:
        plot.draw(next(result.raw for result in found if result.name == "ahead"), arguments.plot)
    silent = [f"{result.name}: {who}" for result in found for who, well in result.answered.items() if not well]
    missed = [f"{result.name}: {bar}" for result in found for bar in result.bars if not bar.met]
    for heading, lines in (("No answer", silent), ("Missed", missed)):
        if lines:
            print(f"### {heading}\n", *(f"- {line}" for line in lines), "", sep="\n")
    if silent:
        return 1
    return 0 if size.smoke else int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
