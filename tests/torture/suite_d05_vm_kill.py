"""D5: the handheld's process is killed (-9) at any moment of a day under load; nothing is lost.

A real VM on a file as flash, a real gateway process, a real broker on which a crew of other
devices is at work. Each life boots, walks, visits, seals and sends, until a kill at a random
moment: a fifth of them during the boot, the others up to six times as long after it. Leaves out
what a torn program does to a block: a killed process ends between two system calls (D1 to D3 tear
blocks).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from random import Random

from crew import crew_of
from history import check
from lab import Bench, Suite, batches, points
from real_handheld import RealHandheld, Walk, case_at_the_door
from rig import Rig
from ronda_tools.vm import VmDied
from vm_books import balance, recorded, state_of

_LONGER = 6  # the longest life after a boot, in times of the boot
_OTHERS, _RATE = 10, 40.0
_DRAIN_S = 90.0
_CASES = 40
_ANSWERS = ("titular", "codeudor", "garante", "tercero")
_OUTCOMES = ("ausente", "se_niega", "sin_acuerdo")


def plan(size: str) -> list[str]:
    """1,000 kills, or fifteen."""
    return batches("D5:kill", 1000, 100) if size == "full" else ["D5:kill:0-14"]


def run(case: str, bench: Bench) -> dict[str, int]:
    _, kills = points(case)
    with Rig(bench.folder / "rig", bench.history) as rig:
        handheld = RealHandheld(bench.folder / "vm", "vm-01")
        where = rig.broker.host, rig.broker.port
        cases = [case_at_the_door(n) for n in range(1, _CASES + 1)]
        handheld.provision(rig.site, where, cases)
        rig.man(crew_of(_OTHERS, bench.history), _RATE)
        rig.gateway.start()
        rig.gateway.ready()
        rig.crew.work()
        day = _Day(handheld, bench)
        with handheld:
            for number in kills:
                day.live_and_die(number, Random(f"{bench.case}/{number}"))
            rig.crew.rest()
            _last_life(handheld)
        rig.settle()
        return _judge(bench, rig, handheld) | day.counts


def _last_life(handheld: RealHandheld) -> None:
    """The power stays: everything is to arrive."""
    handheld.boot()
    handheld.grant(1000)
    assert handheld.drain(_DRAIN_S), f"{handheld.unsent()} segments have no receipt"
    assert handheld.off()["unsent"] == 0


def _judge(bench: Bench, rig: Rig, handheld: RealHandheld) -> dict[str, int]:
    journal = recorded(bench.history, handheld)
    found = balance(rig, handheld, journal)
    state = state_of(rig, [handheld])
    check(bench.history, state, must=("I1", "I2", "I3", "I4", "I5"))
    return {
        "recorded": len(journal),
        "visits": found.stored["visit"],
        "durable, killed before told": found.unrecorded,
        "repeated events": found.repeated,
    }


class _Day:
    """One gestor's day in pieces of less than a second."""

    def __init__(self, handheld: RealHandheld, bench: Bench) -> None:
        self._handheld, self._bench = handheld, bench
        self._walk = Walk()
        self._boot_s = 0.25  # as this machine has lately done it
        self.counts = Counter[str]()

    def live_and_die(self, number: int, rng: Random) -> None:
        """Boot, work, be killed at a moment that `rng` draws."""
        handheld = self._handheld
        life = self._bench.history.invoke("life", str(number))
        handheld.boot()
        booted = False
        early, part, began = rng.random() < 0.2, rng.random(), time.monotonic()
        after = part * self._boot_s if early else self._boot_s * (1 + part * _LONGER)
        clock = threading.Timer(after, handheld.kill_only)
        clock.start()
        try:
            handheld.grant(1000, self._walk.second())
            self._boot_s += (time.monotonic() - began - self._boot_s) / 5
            booted = True
            for _ in range(3):  # three fixes make a time
                handheld.grant(1000, self._walk.second())
            while True:
                self._something(rng)
        except VmDied:
            pass
        finally:
            clock.cancel()
            clock.join()
            handheld.kill()
        if not booted and not early:
            self._boot_s *= 1.3  # it takes longer here, or every kill would come in the boot
        life.unknown("killed")
        handheld.told.clear()
        self.counts["kills"] += 1

    def _something(self, rng: Random) -> None:
        """Time passes, or the gestor does something; the link comes and goes."""
        handheld, what = self._handheld, rng.random()
        if what < 0.4:
            link = rng.random() < 0.9
            for _ in range(rng.randint(1, 40)):
                handheld.grant(1000, self._walk.second(), link=link)
        elif what < 0.5:
            handheld.grant(900_000, self._walk.second())  # a battery reading is due
            self._walk.unix += 900
        elif what < 0.65:
            handheld.ask("sync")
        else:
            self._visit(rng)

    def _visit(self, rng: Random) -> None:
        """A visit, as far as it goes; what it answers is the history's."""
        handheld = self._handheld
        handheld.ask("shift_start", {"gestor": "G-07"})
        case = f"C-{rng.randint(1, _CASES):04d}"
        opened = handheld.ask("check_in", {"case_id": case})
        if not opened["ok"] and handheld.ask("status").get("visit") is None:
            return
        handheld.ask("answer", {"id": "quien", "value": rng.choice(_ANSWERS)})
        handheld.grant(1000, self._walk.second())
        saving = self._bench.history.invoke("close", case)
        try:
            saved = handheld.ask("close", {"outcome": rng.choice(_OUTCOMES), "answers": {}})
        except VmDied:
            saving.unknown("killed")
            raise
        if not saved["ok"]:
            saving.fail(str(saved["code"]))
            return
        saving.ok()
        # The screen said "saved": from here on it may not be lost.
        self._bench.history.did("save", saved["visit_id"], digest=None)
        self.counts["visits closed"] += 1


SUITE = Suite("D5", "the real handheld killed (-9) under MQTT load", plan, run, limit_s=900)
