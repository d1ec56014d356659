"""D1: the power goes at every flash and nv operation of a visit day, in five ways.

The day is recorded once; each point rebuilds the flash as that cut leaves it and boots the real
firmware on it. `kill` points do it the other way: the VM works on the image and its process is
really killed at the operation; image and nv must be, byte for byte, what is rebuilt.
"""

from __future__ import annotations

import random
from typing import Any

import cut_device
from flash_image import MODES, Cuts, Image, Trace
from lab import Bench, Suite, Violation, batches, points

_OPS = 2600
_BATCH = 100
_LATER_S = 43200  # the boot after a cut: the same evening
_ANSWERS = (("quien", "titular"), ("tipologia", "quiere_puede"), ("volver_el", 20261001))
_PROMISE = {
    "currency": "PEN",
    "kind": 2,
    "pairs": [[15000, 20260930], [15000, 20261030]],
    "who": "titular",
    "limits": 1,
}


def visit_steps(door: int, answers: int = 3) -> list[list[Any]]:
    """One visit from check-in to close at a door."""
    case = {"case_id": f"C-{door % cut_device.CASES}"}
    steps: list[list[Any]] = [["intent", "check_in", case, door % cut_device.CASES]]
    for name, value in _ANSWERS[:answers]:
        steps += [["pass", 20000], ["intent", "answer", {"id": name, "value": value}]]
    closing: dict[str, Any] = {"outcome": "sin_acuerdo", "ask_fix": True}
    if door % 3 == 0:
        closing = {"outcome": "promesa", "promise": _PROMISE}
    if door % 4 == 3:
        closing = {"outcome": "ausente"}
        steps = steps[:1]
        closing["answers"] = {"quien": "nadie"}
    return [*steps, ["pass", 60000], ["intent", "close", closing, door % cut_device.CASES]]


def day() -> list[list[Any]]:
    """The recorded day: 24 visits, 250 fixes, refusals, receipts, a reset at noon."""
    steps: list[list[Any]] = [["boot", 0], ["intent", "shift_start", {"gestor": "g-017"}]]
    fixes = 0
    for door in range(24):
        for _ in range(10):
            fixes += 1
            steps.append(["fix", fixes])
        steps.append(["battery"])
        if door % 5 == 4:
            steps.append(["intent", "check_in", {"case_id": "C-1"}, 1, 700])
            steps.append(["intent", "check_in", {"case_id": "C-1"}, 1, 650])
        steps += visit_steps(door)
        if door % 6 == 5:
            steps.append(["release", 1])
        if door == 11:
            steps.append(["boot", 14400])
            steps.append(["fix", 0])
    steps += [["intent", "shift_end", {}], ["seal"], ["release", 0], ["dump", 0]]
    return steps


def made() -> tuple[cut_device.Fresh, Cuts]:
    """The handheld before the day, and the day's cuts."""
    return cut_device.once("d1", _record)


def _record() -> tuple[cut_device.Fresh, Cuts]:
    import tempfile
    from pathlib import Path

    fresh = cut_device.fresh()
    with tempfile.TemporaryDirectory() as name:
        trace, answers, after = cut_device.record(
            fresh.image, day(), Path(name), cut_device.BLOCKS
        )
    refused = [
        (step, answer)
        for step, answer in zip(day(), answers, strict=True)
        if step[0] == "intent" and not answer["ok"] and answer["code"] != "refused_outside"
    ]
    if refused:
        raise ValueError(f"the day does not run: {refused[0]}")
    cuts = Cuts(fresh.image, trace)
    rebuilt = cuts.upto(len(trace.ops))
    if rebuilt.blocks != after.blocks or rebuilt.nv != after.nv:
        raise ValueError("the trace does not give the image that the VM left")
    return fresh, Cuts(fresh.image, trace)


def plan(size: str) -> list[str]:
    found: list[str] = []
    for mode in MODES:
        every = batches(f"D1:{mode}", _OPS, _BATCH)
        every[-1] = f"D1:{mode}:{_OPS - _BATCH}-999999"
        if size == "short":
            every = [f"D1:{mode}:{at}-{at + 9}" for at in range(5, _OPS, 600)]
        found += every
    killed = batches("D1:kill", 100 if size == "full" else 6, 10)
    return found + killed


def run(case: str, bench: Bench) -> dict[str, int]:
    [word], asked = points(case)
    fresh, cuts = made()
    tester = cut_device.Tester(bench, fresh)
    tried = 0
    try:
        for point in asked:
            if word == "kill":
                _killed(point, cuts, fresh, tester, bench)
            elif point >= len(cuts):
                break
            else:
                one = f"D1:{word}:{point}"
                image = cuts.at(point + 1, word, random.Random(one))
                tester.boots(image, cuts.trace.before(point + 1), one, _LATER_S)
            tried += 1
    finally:
        tester.close()
    kind = "killed processes" if word == "kill" else f"cuts {word}"
    return {kind: tried, "VM restarts": tester.restarts}


def _killed(
    point: int, cuts: Cuts, fresh: cut_device.Fresh, tester: cut_device.Tester, bench: Bench
) -> None:
    """A VM killed at a random operation leaves what the host rebuilds from its trace.

    Its own trace: files carry the hour of their last change, so two runs differ in those bytes.
    """
    one = f"D1:kill:{point}"
    rng = random.Random(one)
    k, mode = rng.randrange(len(cuts)) + 1, rng.choice(MODES[:3])
    folder = bench.folder / "killed"
    folder.mkdir(exist_ok=True)
    fresh.image.write(folder)
    try:
        number = MODES.index(mode)
        cut_device.play(folder, cut_device.BLOCKS, day(), cut_at=k, mode=number, hold=True)
    except cut_device.PowerCut:
        pass
    else:
        raise Violation("", f"operation {k} was never reached", one)
    left = Image.read(folder)
    trace = Trace.of((folder / "facts").read_bytes())
    image = Cuts(fresh.image, trace).at(k, mode, rng)
    if left.blocks != image.blocks or left.nv != image.nv:
        raise Violation("", f"killed at {k} ({mode}) the image is not what is rebuilt", one)
    if trace.facts != cuts.trace.before(k):
        raise Violation("", f"killed at {k} ({mode}) other records were acknowledged", one)
    tester.boots(left, trace.facts, one, _LATER_S)


SUITE = Suite(
    "D1",
    "Power cut at every operation of a visit day (clean, full, torn, noise, reordered)",
    plan,
    run,
)
