"""D3: the power goes at operation k of a short day, and again at operation j of the recovery.

All pairs (k, j): for each k the firmware boots on the image as the first cut leaves it, and that
recovery (the boot, and a first reading and seal after it) is recorded; each j of it is rebuilt and
booted again. A point is a k; `D3:torn-clean:57.3` is the pair of the 57th operation and the third
of its recovery.
"""

from __future__ import annotations

import random
from typing import Any

import cut_device
from flash_image import Cuts, Image, Trace
from lab import Bench, Suite, Violation, batches
from suite_d01_every_cut import visit_steps

_OPS = 170
_BATCH = 10
_BLOCKS = 64
PAIRS = ("full-noise", "torn-torn", "noise-full")
"""How the first and how the second cut leaves its operation; clean at k is full at k - 1."""


def day() -> list[list[Any]]:
    """Two visits, a refused one, a receipt, an open track; a reset in between."""
    steps: list[list[Any]] = [["boot", 0], ["intent", "shift_start", {"gestor": "g-017"}]]
    steps += [["fix", 1], ["battery"], *visit_steps(0), ["release", 0], ["fix", 2]]
    steps += [["intent", "check_in", {"case_id": "C-1"}, 1, 700]]
    steps += [["boot", 3600], ["fix", 3], *visit_steps(1), ["seal"], ["release", 1]]
    return [*steps, *visit_steps(2)[:3], ["fix", 4], ["fix", 5], ["battery"]]


def made() -> tuple[cut_device.Fresh, Cuts]:
    """The handheld before the day, and the day's cuts."""
    return cut_device.once("d3", _record)


def _record() -> tuple[cut_device.Fresh, Cuts]:
    import tempfile
    from pathlib import Path

    fresh = cut_device.fresh(_BLOCKS)
    with tempfile.TemporaryDirectory() as name:
        trace, _, _ = cut_device.record(fresh.image, day(), Path(name), _BLOCKS)
    return fresh, Cuts(fresh.image, trace)


def plan(size: str) -> list[str]:
    found: list[str] = []
    for pair in PAIRS:
        every = batches(f"D3:{pair}", _OPS, _BATCH)
        every[-1] = f"D3:{pair}:{_OPS - _BATCH}-9999"
        found += every if size == "full" else [f"D3:{pair}:{at}" for at in (40, 120)]
    return found


def run(case: str, bench: Bench) -> dict[str, int]:
    _, pair, last = case.split(":")
    points, _, second = last.partition(".")
    low, _, high = points.partition("-")
    fresh, cuts = made()
    tester = cut_device.Tester(bench, fresh)
    tried = recoveries = 0
    try:
        for k in range(int(low), min(int(high or low) + 1, len(cuts))):
            tried += _recovery(k, pair, int(second or -1), cuts, tester)
            recoveries += 1
    finally:
        tester.close()
    return {"pairs": tried, "recoveries": recoveries, "VM restarts": tester.restarts}


def _recovery(k: int, pair: str, only: int, cuts: Cuts, tester: cut_device.Tester) -> int:
    """Every second cut after the first at operation k (0, 1, …), or one of them."""
    first, second = pair.split("-")
    one = f"D3:{pair}:{k}"
    image = cuts.at(k + 1, first, random.Random(one))
    told = cuts.trace.before(k + 1)
    trace = _recorded(image, one, tester)
    again = Cuts(image, trace)
    tried = 0
    for j in range(len(again)):
        if only in (-1, j):
            name = f"{one}.{j}"
            facts = [*told, ("!", b""), *trace.before(j + 1)]
            left = again.at(j + 1, second, random.Random(name))
            tester.boots(left, facts, name, 7200)
            tried += 1
    return tried


def _recorded(image: Image, one: str, tester: cut_device.Tester) -> Trace:
    """The operations of a recovery and the first writing after it."""
    image.write(tester.folder)
    try:
        tester.device.say("on", str(tester.folder), tester.blocks, 0, 0, True)
        tester.device.say("boot", 3700)
        tester.device.say("pass", 2000)
        tester.device.say("write")
        tester.device.say("off")
    except (cut_device.Raised, cut_device.Gone) as error:
        tester.keep(image, [])
        raise Violation("I8", f"it does not come back: {error}", one) from None
    return Trace.of((tester.folder / "facts").read_bytes())


SUITE = Suite(
    "D3", "Two cuts: one at every operation of a short day, one at each of its recovery", plan, run
)
