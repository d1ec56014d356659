"""D10: thirty days without a network in 1.5 MiB of flash, then a sync over a link that is cut.

Each day the real firmware boots at 192k and saves 1,900 fixes, 96 battery readings and 30 visits
of twelve answers. A file takes what the file system has beyond 1.5 MiB; the trust pack and a full
round of 200 cases are there, and the reserve must be untouched at the end. Then a real gateway
takes it all through a proxy that resets the connection. No segment may be signed or written anew:
what the gateway has is, byte for byte, what lay on flash before there was a network. Leaves out
the receiver's sentences and the real pace of a day (tests/bench/bench_day.py has both).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from history import Violation, check
from lab import Bench, Suite
from proxy import Proxy
from real_handheld import DAY, DOOR, VM_FOLDER, RealHandheld, case_at_the_door
from rig import Rig
from ronda_tools.vm import Vm
from vm_books import balance, raw_of, recorded, state_of

VISITS, FIXES, BATTERIES = 30, 1900, 96
_CASES = 200  # the most that a pack holds
_BLOCKS = 512
_MONTH_BLOCKS = 384  # 1.5 MiB
_RESERVE = 16
_HEAP = 194_304  # what -X heapsize=192k gives
_MIDNIGHT = DAY - 13 * 3600
_PATIENCE_S = 900.0
_SPEED = 16  # link time: the back-off after a cut is seconds
_BOOT_READ = 3_000_000  # bytes that a boot reads at most, as docs/flash.md says
_AGAIN = 8  # segments that one cut may cost


class Idle:
    """The firmware on the handheld's storage without a network: vm/month_device.py."""

    def __init__(self, handheld: RealHandheld) -> None:
        self._vm = Vm(
            handheld.folder, built=handheld.built, program="month_device", paths=(VM_FOLDER,)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *trouble: object) -> None:
        if trouble[0] is None:
            self.do("off")
        self._vm.close()

    def do(self, name: str, *args: object) -> Any:
        """One step's answer; VmDied."""
        return self._vm.ask(json.dumps([name, *args]).encode() + b"\n", "P", _PATIENCE_S)


@dataclass
class Month:
    """What the days came to."""

    days: int
    state: dict[str, Any] = field(default_factory=dict)
    digests: list[str] = field(default_factory=list)
    peak: int = 0
    boot_ms: int = 0
    boot_read: int = 0
    boot_reads: int = 0
    erases: int = 0
    programmed: int = 0
    dropped: int = 0

    def booted(self, told: dict[str, int]) -> None:
        self.boot_ms = max(self.boot_ms, told["ms"])
        self.boot_read = max(self.boot_read, told["read"])
        self.boot_reads = max(self.boot_reads, told["reads"])

    def day(self, told: dict[str, Any]) -> None:
        self.state = told
        self.peak = max(self.peak, told["peak"])
        self.erases += told["erases"]
        self.programmed += told["programmed"]
        self.dropped += told["dropped"]


def plan(size: str) -> list[str]:
    return ["D10:month:30:20"] if size == "full" else ["D10:month:2:3"]


def run(case: str, bench: Bench) -> dict[str, int]:
    days, cuts = (int(word) for word in case.split(":")[2:])
    with Rig(bench.folder / "rig", bench.history) as rig:
        rig.man([])
        with Proxy(lambda: (rig.broker.host, rig.broker.port)) as proxy:
            handheld = RealHandheld(bench.folder / "vm", "month-01", speed=_SPEED)
            cases = [case_at_the_door(n) for n in range(1, _CASES + 1)]
            handheld.provision(rig.site, (proxy.host, proxy.port), cases)
            month = _offline(handheld, days, bench)
            rig.gateway.start()
            rig.gateway.ready()
            report, seconds = _sync(handheld, proxy, month, cuts, bench)
            rig.settle(_PATIENCE_S)
        return _judge(bench, rig, handheld, month, report) | {
            "days": days,
            "cuts": cuts,
            "max seconds to sync": round(seconds),
        }


def _offline(handheld: RealHandheld, days: int, bench: Bench) -> Month:
    """The days, one boot each, and one more boot with all of it there."""
    month = Month(days)
    # Two days have to do with as little room as thirty have: eleven blocks a day.
    spare = _MONTH_BLOCKS - (30 - days) * 11
    with Idle(handheld) as idle:
        idle.do("ballast", _BLOCKS - spare)
    for day in range(days):
        doors = [[f"C-{(day * VISITS + n) % _CASES + 1:04d}", *DOOR] for n in range(VISITS)]
        with Idle(handheld) as idle:
            month.booted(idle.do("boot", _MIDNIGHT + day * 86400))
            month.day(idle.do("day", VISITS, FIXES, BATTERIES, doors, True))
        bench.say(f"day {day + 1}: {month.state['free']} blocks free, {month.state['head']} seqs")
    with Idle(handheld) as idle:
        month.booted(idle.do("boot", _MIDNIGHT + days * 86400))
        month.state |= {"free": idle.do("state")["free"]}
    month.digests = _digests(handheld)
    return month


def _digests(handheld: RealHandheld) -> list[str]:
    """SHA-256 of every sealed segment on its flash."""
    found: list[str] = []
    with Idle(handheld) as idle:
        while True:
            head, *some = idle.do("sealed", len(found) + 1, len(found) + 100)
            found += some
            if not some or len(found) >= head:
                return found


def _sync(
    handheld: RealHandheld, proxy: Proxy, month: Month, cuts: int, bench: Bench
) -> tuple[dict[str, Any], float]:
    """Power on, link up; the connection is reset each time another part has its receipts."""
    head = len(month.digests)
    marks = [bench.rng.randint(head * n // cuts + 1, head * (n + 1) // cuts) for n in range(cuts)]
    marks = [mark for mark in marks if mark < head] or [1]
    began = time.monotonic()
    handheld.boot()
    handheld.grant(1000)
    made = 0
    while made < cuts:
        told = handheld.hears(_PATIENCE_S, "receipt")
        if told is None:
            raise Violation("I8", f"no receipt in {_PATIENCE_S:g} s after {made} cuts")
        due = made < len(marks) and told["upto"] >= marks[made]
        if due or (made >= len(marks) and told["upto"] >= head):
            proxy.cut()
            made += 1
            bench.say(f"cut {made} at {told['upto']} of {head}")
            if made >= len(marks):
                break
    if not handheld.drain(_PATIENCE_S):
        raise Violation("I8", f"{handheld.unsent()} segments have no receipt")
    seconds = time.monotonic() - began
    return handheld.off(), seconds


def _judge(
    bench: Bench,
    rig: Rig,
    handheld: RealHandheld,
    month: Month,
    report: dict[str, Any],
) -> dict[str, int]:
    journal = recorded(bench.history, handheld)
    found = balance(rig, handheld, journal)
    raws = raw_of(rig, handheld.name)
    _same(month.digests, [hashlib.sha256(raw).hexdigest() for raw in raws])
    state = state_of(rig, [handheld])
    cuts = int(bench.case.split(":")[-1])
    peaks = [month.peak, report["heap"]["peak"]]
    heap = max(peaks + [told["heap"] for told in handheld.told if "heap" in told])
    state.bounds = {
        "blocks of 1.5 MiB that the month leaves short of the reserve": (
            max(0, _RESERVE - month.state["free"]),
            0,
        ),
        "entries that were not saved": (month.dropped + report["dropped"], 0),
        "heap": (heap, _HEAP),
        "bytes read by a boot": (month.boot_read, _BOOT_READ),
        "segments published again": (report["repeated"], cuts * _AGAIN),
    }
    state.recovered = {"the link after each cut": (report["links"], cuts + 1)}
    check(bench.history, state, must=("I1", "I2", "I3", "I4", "I5", "I7", "I8"))
    return {
        "entries recorded": len(journal),
        "visits": found.stored["visit"],
        "segments": len(raws),
        "segments published again": report["repeated"],
        "max blocks left of 1.5 MiB": month.state["free"],
        "max heap, B": heap,
        "max boot, ms in the VM": month.boot_ms,
        "max boot, flash reads": month.boot_reads,
        "max boot, bytes read": month.boot_read,
        "max erases a day": month.erases // month.days,
        "max bytes programmed a day": month.programmed // month.days,
    }


def _same(before: Sequence[str], after: Sequence[str]) -> None:
    """What was sealed without a network came as it lay there."""
    for seq, (ours, theirs) in enumerate(zip(before, after, strict=False), 1):
        if ours != theirs:
            raise Violation("I1", f"segment {seq} is not the one that was on flash")
    if len(after) < len(before):
        raise Violation("I1", f"{len(before)} segments were on flash, {len(after)} came")


SUITE = Suite(
    "D10",
    "A month without a network in 1.5 MiB, then a sync over a link that is cut",
    plan,
    run,
    limit_s=2400,
)
