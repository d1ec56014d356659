"""D16: forty ways in which a broker can mean harm, against the real handheld at 192k of heap.

After each the handheld has to be usable again within its back-off, with its records where they
were and its heap as it was. Link time passes 200 times as fast as the machine's, so that time-outs
of half a minute and a back-off of one are met thousands of times. A tenth of the cycles is deep:
five hostile connections in a row, so that the back-off is at its longest.
"""

from __future__ import annotations

import time
from random import Random
from statistics import median

from history import FinalState, check
from hostile import SCRIPTS, HostileBroker
from lab import Bench, Suite, points
from real_handheld import RealHandheld, Walk
from ronda_gateway import site

_SPEED = 200
_CAP_MS = 60_000  # protocol/WIRE.md, When a handheld connects
# What this machine may take of its own time, as link time: once at worst, and as a rule.
_MACHINE_MS, _USUAL_MS = 500 * _SPEED, 50 * _SPEED
_DRIFT = 2048
_WARM, _WINDOW = 5, 10
_DEEP = 5
_WAIT_S = 60.0


def plan(size: str) -> list[str]:
    """Forty cases, 100 cycles each; or two cycles of each in one VM."""
    if size == "full":
        return [f"D16:{name}:0-99" for name in SCRIPTS]
    return ["D16:each:0-1"]


def run(case: str, bench: Bench) -> dict[str, int]:
    (name,), cycles = points(case)
    names = list(SCRIPTS) if name == "each" else [name]
    with HostileBroker(1 / _SPEED) as broker:
        handheld = RealHandheld(bench.folder / "vm", "vm-01", speed=_SPEED)
        lab = site.init(bench.folder / "site", "lab", broker.host, broker.port)
        handheld.provision(lab, (broker.host, broker.port))
        with handheld:
            victim = _Victim(bench, broker, handheld)
            for script in names:
                for cycle in cycles:
                    victim.suffer(script, cycle, names.index(script))
            return victim.judge()


class _Victim:
    """The handheld between the hostile broker and the honest one, which are one."""

    def __init__(self, bench: Bench, broker: HostileBroker, handheld: RealHandheld) -> None:
        self._bench, self._broker, self._handheld = bench, broker, handheld
        self._heap: list[int] = []
        self._deep: list[int] = []
        self._worst = self._cycles = 0
        handheld.boot()
        walk = Walk()
        for _ in range(5):
            handheld.grant(1000, walk.second())
        handheld.ask("sync")
        self._usable(0.0)
        self._owed = handheld.unsent()
        assert self._owed, "there is something that nobody may delete"

    def suffer(self, script: str, cycle: int, number: int) -> None:
        """One cycle: hostile once, or five times, then honest."""
        broker, handheld = self._broker, self._handheld
        deep = cycle % 10 == 9
        operation = self._bench.history.invoke("recover", f"{script}:{cycle}")
        broker.rng = Random(f"{script}/{cycle}")
        broker.script = script
        before = broker.hostile
        handheld.told.clear()
        if deep:
            broker.drop()  # the back-off goes on from where it is
        else:
            handheld.grant(0, link=False)  # and the link's return makes it short
            handheld.grant(0)
        wanted = _DEEP if deep else 1
        until = time.monotonic() + _WAIT_S
        while self._ends() < wanted + 1:  # the honest link's, and those of the hostile ones
            handheld.hears(0.02, "link")
            assert time.monotonic() < until, f"{script}: {broker.hostile - before} connections"
        broker.script = ""
        took = self._usable(self._down_at())
        self._worst = max(self._worst, took)
        if deep:
            self._deep.append(took)
        operation.ok(took=took, limit=_CAP_MS + _MACHINE_MS)
        self._cycles += 1
        if broker.trouble:
            raise broker.trouble

    def _ends(self) -> int:
        """How many links have ended."""
        return len([f for f in self._handheld.told if f["t"] == "link" and not f["up"]])

    def _ended(self) -> bool:
        """Whether the newest thing told of the link is its end."""
        told = [fields for fields in self._handheld.told if fields["t"] == "link"]
        return bool(told) and not told[-1]["up"]

    def _down_at(self) -> int:
        """Link ms of the last link's end."""
        told = [fields for fields in self._handheld.told if fields["t"] == "link"]
        return int(told[-1]["link_ms"])

    def _usable(self, since: float) -> int:
        """Wait for an honest link on which what the handheld says is acknowledged; the link ms
        from `since` to that link."""
        broker, handheld = self._broker, self._handheld
        states = broker.states
        until = time.monotonic() + _WAIT_S
        while True:
            up = [f for f in handheld.told if f["t"] == "link" and f["up"]]
            if up and up[-1]["link_ms"] >= since and not self._ended() and broker.honest:
                if broker.wait(lambda: broker.states > states, 0.02):
                    self._heap.append(int(handheld.ask("status")["heap"]))
                    return int(up[-1]["link_ms"] - since)
            handheld.hears(0.02, "link")
            assert time.monotonic() < until, "never usable again"

    def judge(self) -> dict[str, int]:
        """Nothing deleted, heap flat, all recovered in time."""
        warm = self._heap[_WARM:]
        # A packet under way is 1.6 KB now and then: what stays is the floor of some measures.
        floors = [min(warm[at : at + _WINDOW]) for at in range(0, len(warm) - _WINDOW, _WINDOW)]
        drift = max(floors) - min(floors)
        state = FinalState(
            bounds={
                "drift of the handheld's heap, bytes": (drift, _DRIFT),
                "usual time back after the longest back-off, link ms": (
                    median(self._deep or [0]),
                    _CAP_MS + _USUAL_MS,
                ),
                "records deleted without a receipt": (self._owed - self._handheld.unsent(), 0),
            }
        )
        check(self._bench.history, state, must=("I7", "I8"))
        report = self._handheld.off()
        assert report["released"] == 0, "released without a receipt"
        return {
            "cycles": self._cycles,
            "hostile connections": self._broker.hostile,
            "max heap drift, bytes": drift,
            "max live heap, bytes": max(warm),
            "max back after, link ms": self._worst,
        }


SUITE = Suite("D16", "a hostile broker against the real handheld", plan, run, limit_s=900)
