"""D22: the handheld's heap runs out, at any moment and at any size.

`lock` and `fill` points run a short day in the app's own asyncio tasks and take the heap away at
one of the moments where the firmware calls its board: locked, so that every allocation fails, or
filled up but for a few hundred bytes; for some moments or some hundreds. What is acknowledged
must be there afterwards; the task that died must be back, or the app must end, or the watchdog
starve. `heap` points run the day with ever less heap, until the firmware does not boot.
"""

from __future__ import annotations

import random
from typing import Any

import cut_device
import flash_image
from lab import Bench, Suite, Violation, batches, points
from ronda_tools import vm
from suite_d01_every_cut import visit_steps

_BLOCKS = 64
_POINTS = 300
"""Of each kind."""
_HEAPS = range(192, 96, -4)
_SPELLS = (1, 3, 10, 50, 200, 1000)
"""Moments until the heap is there again."""
_LEAVE = (64, 128, 256, 512, 1024, 2048)


def acts() -> list[list[Any]]:
    """The short day: a refusal, two visits, fixes past a seal, a shift's end."""
    found: list[list[Any]] = [["act", "shift_start", {"gestor": "g-017"}], ["fixes", 4]]
    found.append(["act", "check_in", {"case_id": "C-1"}, 1, 700])
    for door in (0, 1):
        for step in visit_steps(door, 2):
            found.append(["act", *step[1:]] if step[0] == "intent" else ["wait", 5000])
        found.append(["fixes", 30])
    return [*found, ["act", "shift_end", {}], ["wait", 3000]]


class Trial:
    """One short day in one VM, with its reboots."""

    def __init__(self, bench: Bench, one: str, heap: str = vm.HEAP) -> None:
        self.heap, self.one = heap, one
        self.device = cut_device.CutDevice(heap, "lab_tasks")
        self.folder = bench.folder / "day"
        self.folder.mkdir(exist_ok=True)
        cut_device.fresh(_BLOCKS).image.write(self.folder)
        self.counts = {"out of heap": 0, "tasks restarted": 0, "app ended": 0, "watchdog": 0}
        self.late = 0

    def on(self, *arm: int) -> None:
        """Power on; MemoryError at boot ends that boot, and the next has its heap again."""
        for tries in range(3):
            if tries or self.late:
                self.device.kill()
                self.device = cut_device.CutDevice(self.heap, "lab_tasks")
            self.device.say("arm", *(arm or (0, 0, 0)))
            arm = ()
            self.device.say("on", str(self.folder), _BLOCKS)
            over, deaths, _, _, happened = self.device.say("main", self.late)
            self.late += 60
            if not over:
                return
            self.counts["app ended"] += 1
            self._deaths(deaths, happened)
        raise Violation("I8", f"three boots in a row ended: {over}", self.one)

    def act(self, step: list[Any]) -> Any:
        """A step, again when it failed, after a reboot when the app is over or starved."""
        for _ in range(4):
            answer = self.device.say(*step)
            over, deaths, fed, _, happened = self.device.say("alive")
            if over:
                self.counts["app ended"] += 1
                self._deaths(deaths, happened)
                self.on()
            elif step[0] != "act":
                return answer
            elif answer is None:
                self._silent(fed)
            elif answer[1] == "failed":
                self.device.say("wait", 3000)
            else:
                return answer
        return None

    def _silent(self, fed: int) -> None:
        """Nobody answers: the watchdog must starve, or somebody answers in two minutes."""
        over, _, later, _, _ = self.device.say("wait", 120000)
        if over:
            return
        if later == fed:
            self.counts["watchdog"] += 1
            self.on()
        elif self.device.say("act", "status", {}) is None:
            raise Violation("I8", "no intent is answered and the watchdog is fed", self.one)

    def _deaths(self, deaths: int, happened: bool) -> None:
        self.counts["tasks restarted"] += deaths
        self.counts["out of heap"] += happened

    def day(self) -> None:
        for step in acts():
            self.act(step)
        _, deaths, _, _, happened = self.device.say("alive")
        self._deaths(deaths, happened)
        self.device.say("off")


def length() -> int:
    """Points of a day on which nothing happens."""
    return cut_device.once("d22", _measure)


def _measure() -> int:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as name:
        trial = Trial(Bench("D22:measure:0", Path(name)), "D22:measure:0")
        try:
            trial.on()
            for step in acts():
                trial.act(step)
            return trial.device.say("points")
        finally:
            trial.device.kill()


def plan(size: str) -> list[str]:
    if size == "short":
        return ["D22:lock:0-5", "D22:fill:0-5", "D22:heap:192", "D22:heap:148"]
    found = batches("D22:lock", _POINTS, 25) + batches("D22:fill", _POINTS, 25)
    return found + [f"D22:heap:{kb}" for kb in _HEAPS]


def run(case: str, bench: Bench) -> dict[str, int]:
    [kind], asked = points(case)
    if kind == "heap":
        return _small(asked.start, bench)
    total = length()
    counts: dict[str, int] = {}
    tester = cut_device.Tester(bench, cut_device.fresh(_BLOCKS))
    try:
        for point in asked:
            one = f"D22:{kind}:{point}"
            rng = random.Random(one)
            # Half of the points at boot and the first door, where most of the code is loaded.
            k = rng.randrange(1, total if point % 2 else total // 4)
            leave = rng.choice(_LEAVE) if kind == "fill" else 0
            spell = rng.choice(_SPELLS) if kind == "lock" else rng.randrange(1, 40)
            trial = Trial(bench, one)
            try:
                trial.on(k, spell, leave)
                trial.day()
            except (cut_device.Gone, cut_device.Raised) as error:
                counts["VM ended"] = counts.get("VM ended", 0) + 1
                bench.say(f"{one}: {error}")
            finally:
                trial.device.kill()
            _judged(tester, trial, one)
            for name, value in {"points": 1, **trial.counts}.items():
                counts[name] = counts.get(name, 0) + value
    finally:
        tester.close()
    return counts


def _judged(tester: cut_device.Tester, trial: Trial, one: str) -> None:
    """After a boot with all its heap everything acknowledged is there."""
    facts = flash_image.records((trial.folder / "facts").read_bytes())
    tester.boots(flash_image.Image.read(trial.folder), facts, one, 7200)


def _small(kb: int, bench: Bench) -> dict[str, int]:
    """The day with so little heap, as far as it comes."""
    one = f"D22:heap:{kb}"
    tester = cut_device.Tester(bench, cut_device.fresh(_BLOCKS))
    trial, booted, done = Trial(bench, one, f"{kb}k"), 0, 0
    try:
        try:
            trial.on()
            booted = 1
            trial.day()
            done = 1
        except (cut_device.Gone, cut_device.Raised, Violation) as error:
            bench.say(f"{kb} KiB: {str(error).splitlines()[0]}")
            if kb == 192:
                raise Violation("I8", f"192 KiB are not enough: {error}", one) from None
        trial.device.kill()
        _judged(tester, trial, one)
    finally:
        tester.close()
        trial.device.kill()
    return {"heaps tried": 1, "heaps with which it boots": booted, "the whole day": done}


SUITE = Suite(
    "D22", "Heap exhausted at any moment; heap made smaller until nothing boots", plan, run
)
