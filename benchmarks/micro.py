"""The micro measurements: attach, a whole call over a transport that sends nothing, a save."""

from __future__ import annotations

from typing import Sequence

from benchmarks import timing
from benchmarks.results import Bar, Result, Size, short
from benchmarks.worker import in_workers

STATIC, CONTRACT, OURS, NO_AUTH, BY_HAND = "static bearer", "contract", "aries-auth", "no auth", "by hand"


def attach_requests(size: Size) -> Result:
    result = _measure(
        "attach-requests", "Attach, requests: `auth(prepared)` with a living token", [STATIC, CONTRACT], size
    )
    result.bars = [_bar(result, CONTRACT, 1.2), _bar(result, STATIC, 4.0)]
    result.notes.append("google-auth has no auth object: `before_request`, as its own session calls it.")
    return result


def attach_httpx(size: Size) -> Result:
    result = _measure("attach-httpx", "Attach, httpx: the flow of one 200, sync", [STATIC, CONTRACT], size)
    result.bars = [_bar(result, CONTRACT, 1.1), _bar(result, STATIC, 1.3)]
    result.notes.append("Authlib's httpx client is built on httpx2 if that is installed.")
    result.notes.append("finance-dev authorizes in a hook of its own; that hook is what is timed.")
    return result


def attach_httpx_async(size: Size) -> Result:
    result = _measure("attach-httpx-async", "Attach, httpx: the flow of one 200, async", [STATIC, CONTRACT], size)
    result.bars = [_bar(result, CONTRACT, 1.1), _bar(result, STATIC, 1.3)]
    return result


def attach_niquests(size: Size) -> Result:
    result = _measure("attach-niquests", "Attach, niquests: `session.prepare_request`", [STATIC], size, divide=5)
    result.bars = [_bar(result, STATIC, 1.3)]
    result.notes.append("All of `prepare_request` is timed, and not the hook alone: compare within this table.")
    return result


def attach_aiohttp(size: Size) -> Result:
    result = _measure("attach-aiohttp", "Attach, aiohttp: `session.get` but for the network", [STATIC], size, divide=5)
    result.bars = [_bar(result, STATIC, 1.3)]
    return result


def call_httpx(size: Size) -> Result:
    result = _measure("call-httpx", "A whole call over a null transport, httpx", [NO_AUTH], size, divide=5)
    result.bars = [_bar(result, NO_AUTH, 1.06)]
    return result


def call_requests(size: Size) -> Result:
    """For information; no bar asks for it."""
    return _measure("call-requests", "A whole call over a null adapter, requests", [NO_AUTH], size, divide=5)


def saving(size: Size) -> Result:
    result = _measure("saving", "A save, made durable", [BY_HAND], size, divide=25)
    typical = result.raw["aries-auth, `store.save`"][f"x {BY_HAND}"]
    result.bars = [Bar("`store.save` <= 1.3 x the system calls by hand", typical, 1.3)]
    result.notes.append("A save reads the file first, to keep its unknown keys and refuse one that it can't read.")
    return result


def _measure(name: str, title: str, floors: Sequence[str], size: Size, divide: int = 1) -> Result:
    workers = in_workers(name, size, max(2, size.batch // divide))
    result = Result(name, title, ["contender", "time", *(f"x {floor}" for floor in floors)])
    for contender in workers[0]:
        ratios = {floor: timing.ratio(workers, contender, floor) for floor in floors}
        typical = timing.typical(workers, contender)
        result.rows.append([contender, short(typical), *(f"{ratio:.2f}" for ratio in ratios.values())])
        result.raw[contender] = {"seconds": typical, **{f"x {floor}": ratio for floor, ratio in ratios.items()}}
        result.answered[contender] = True  # the worker refuses to time one that puts no token on a request
    result.raw["pyperf"] = [benchmark.get_values() for benchmark in timing.pyperf_benchmarks(name, workers)]
    return result


def _bar(result: Result, floor: str, limit: float) -> Bar:
    return Bar(f"{OURS} <= {limit} x {floor}", result.raw[OURS][f"x {floor}"], limit)
