"""D2: power cuts one after another on one flash that is never formatted again.

A small file system (96 blocks), so that volumes rotate, are receipted and evicted many times. Each
life boots on what the last one left, is judged against everything acknowledged so far, works at
random and loses its power at a random operation in a random way, in recovery as often as not.
Point n of a chain needs all before it: its id repeats the chain up to there.
"""

from __future__ import annotations

import random
from typing import Any

import cut_device
import cut_truth
import flash_image
from lab import Bench, Suite, Violation, points
from suite_d01_every_cut import visit_steps

_BLOCKS = 96
_CUTS = 10000
_SEEDS = 3
_FULL_DUMP = 100
_LIFE_S = 1200  # between two boots; 500 of them are the seven days of grace


class Chain:
    """One handheld's lives."""

    def __init__(self, bench: Bench, seed: str) -> None:
        self.bench, self.seed = bench, seed
        self.fresh = cut_device.fresh(_BLOCKS)
        self.folder = bench.folder / "flash"
        self.folder.mkdir()
        self.fresh.image.write(self.folder)
        self.reader = cut_truth.Reader(self.fresh.public)
        self.truth = cut_truth.Truth()
        self.device: cut_device.CutDevice | None = None
        self.counts = {"cuts": 0, "cuts in recovery": 0, "boots judged": 0, "out of heap": 0}
        self.fixes = 0
        self.script: list[list[Any]] = []

    def close(self) -> None:
        if self.device is not None:
            self.device.kill()
            self.device = None

    def life(self, n: int) -> None:
        """Boot, be judged, work, lose the power."""
        one = f"D2:{self.seed}:{n}"
        rng = random.Random(one)
        self._keep(n)
        fresh = self.device is None
        if self.device is None:
            self.device = cut_device.CutDevice()
            self.device.say("threshold", 12288)  # a chain is to go on, not to run out of heap
        cut_at, mode = rng.randrange(1, 110), rng.randrange(4)
        self.truth.rebooted()
        self.script = []
        booted = False
        try:
            self.device.say("on", str(self.folder), _BLOCKS, cut_at, mode)
            state = self.device.say("boot", n * _LIFE_S)
            self.device.say("pass", 2000)
            booted = True
            self._judge(n, one)
            self._work(rng, state["shift"])
        except cut_device.PowerCut:
            self.counts["cuts"] += 1
            self.counts["cuts in recovery"] += not booted
        except (cut_device.Raised, cut_device.Gone) as error:
            self._raised(error, fresh, one)
        self._listen()

    def _raised(self, error: Exception, fresh: bool, one: str) -> None:
        """A VM that has seen many lives may run out of heap: that life ends as by a cut."""
        self.close()
        if fresh or getattr(error, "name", "") != "MemoryError":
            raise Violation("I8", f"it does not come back: {error}", one) from None
        self.counts["out of heap"] += 1

    def _keep(self, n: int) -> None:
        """The image before this life, for whoever looks into a failure of it."""
        image = flash_image.Image.read(self.folder)
        image.write(self.bench.folder)
        image.write(self.folder)

    def _listen(self) -> None:
        facts = self.folder / "facts"
        self.truth.take(flash_image.records(facts.read_bytes()))
        facts.write_bytes(b"")

    def _judge(self, n: int, one: str) -> None:
        """What this boot reads holds everything acknowledged, by earlier lives and itself."""
        assert self.device is not None
        whole = n % _FULL_DUMP == 0
        self.device.say("dump", 0 if whole else self.truth.since)
        facts = self.folder / "facts"
        told = flash_image.records(facts.read_bytes())
        facts.write_bytes(b"")
        self.truth.take(told)
        found = cut_truth.Found.of(told, self.reader)
        cut_truth.judge(self.truth, found, one)
        self.truth.settle(found)
        self.counts["boots judged"] += 1

    def _work(self, rng: random.Random, shift: bool) -> None:
        """Until the power goes: fixes, visits, refusals, receipts, seals, hours."""
        assert self.device is not None
        for _ in range(60):
            if not self.script:
                self.script = self._draw(rng, shift)
                shift = True
            answer = self.device.say(*self.script.pop(0))
            if isinstance(answer, dict) and answer.get("code") == "storage_full":
                self.counts["refused, storage full"] = (
                    self.counts.get("refused, storage full", 0) + 1
                )
                self.device.say("release", 0)
                self.script = []

    def _draw(self, rng: random.Random, shift: bool) -> list[list[Any]]:
        if not shift:
            return [["intent", "shift_start", {"gestor": "g-017"}]]
        chance = rng.random()
        if chance < 0.35:
            count = rng.randrange(1, 12)
            self.fixes += count
            return [["fix", self.fixes - i] for i in range(count)]
        if chance < 0.7:
            return visit_steps(rng.randrange(24), rng.randrange(1, 4))
        if chance < 0.76:
            return [["intent", "check_in", {"case_id": "C-1"}, 1, 700]]
        if chance < 0.9:
            return [["release", rng.randrange(4)]]
        return [rng.choice([["battery"], ["seal"], ["pass", 900000], ["room", 40]])]


def plan(size: str) -> list[str]:
    if size == "short":
        return ["D2:1:0-299"]
    return [f"D2:{seed}:0-{_CUTS - 1}" for seed in range(1, _SEEDS + 1)]


def run(case: str, bench: Bench) -> dict[str, int]:
    [seed], asked = points(case)
    chain = Chain(bench, seed)
    try:
        for n in range(asked.stop):
            chain.life(n)
            if n % 500 == 499:
                bench.say(f"{n + 1} lives: {chain.counts}")
    finally:
        chain.close()
    return {**chain.counts, "segments sealed": chain.truth.since}


SUITE = Suite(
    "D2",
    "Random power cuts in a row on one flash, with rotation, receipts, eviction",
    plan,
    run,
    limit_s=1700,
)
