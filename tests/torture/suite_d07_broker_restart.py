"""D7: the handhelds' broker is killed (-9) and started again, with its memory or without.

Sixteen real handhelds and a crew of CPython devices send through it; the back office has a broker
of its own, which lives (what a feed's broker forgets is `feed.confirm`'s matter). After each
restart every real handheld has to be back within 30 s, and they may not come all at once: that is
the firmware's own back-off, in link time that runs four times as fast as the machine's.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from random import Random
from statistics import median

from brokers import Amqtt, Embedded, Killable, Mosquitto
from crew import crew_of
from history import Violation, check
from lab import Bench, Suite, batches, points
from real_handheld import RealHandheld, Walk
from rig import Rig
from vm_books import balance, recorded, state_of

_FLEET, _OTHERS, _RATE = 16, 8, 16.0
_SPEED = 4
_BACK_S = 30.0
# amqtt takes a connection at once and its time to answer: one that dies in it is tried once more.
_BAD_BROKER_S = 15.0
_MACHINE_S = 1.5 * _SPEED  # what this machine may take of its own time, as link time
_SPREAD_S, _LEAST_SPREAD_S = 10.0, 5.0
_PATIENCE_S = 120.0
_OUTAGES_S = (0.0, 0.5, 1.5, 4.0)
_RESTARTS = 20
# What breaks, and whether its memory is deleted with it.
_BROKERS: dict[str, tuple[type[Killable], bool]] = {
    "mosquitto": (Mosquitto, False),
    "mosquitto-wiped": (Mosquitto, True),
    "amqtt": (Amqtt, True),
    "iotcore": (Embedded, True),
}


def plan(size: str) -> list[str]:
    if size == "full":
        return [case for name in _BROKERS for case in batches(f"D7:{name}", _RESTARTS, 10)]
    return ["D7:mosquitto-wiped:0-1"]


def run(case: str, bench: Bench) -> dict[str, int]:
    (name,), restarts = points(case)
    kind, wiped = _BROKERS[name]
    with ExitStack() as stack:
        broker = stack.enter_context(kind(bench.folder / "broker"))
        feed = stack.enter_context(Embedded(bench.folder / "feed"))
        rig = stack.enter_context(
            Rig(bench.folder / "rig", bench.history, broker=broker, feed=feed)
        )
        fleet = [
            stack.enter_context(
                RealHandheld(bench.folder / f"vm-{n:02}", f"vm-{n:02}", speed=_SPEED)
            )
            for n in range(1, _FLEET + 1)
        ]
        for handheld in fleet:
            handheld.provision(rig.site, (broker.host, broker.port))
        rig.man(crew_of(_OTHERS, bench.history, fixes=3, ack_s=4.0, patience_s=4.0), _RATE)
        rig.gateway.start()
        rig.gateway.ready()
        rig.crew.work()
        trial = _Trial(bench, rig, broker, fleet, wiped)
        trial.limit_s += _BAD_BROKER_S if kind is Amqtt else 0.0
        for number in restarts:
            trial.restart(number)
        return trial.judge()


class _Trial:
    """A fleet, and the broker that it depends on."""

    def __init__(
        self, bench: Bench, rig: Rig, broker: Killable, fleet: list[RealHandheld], wiped: bool
    ) -> None:
        self._bench, self._rig, self._broker, self._fleet = bench, rig, broker, fleet
        self._wiped = wiped
        self.limit_s = _BACK_S + _MACHINE_S
        self._walk = Walk()
        self._spreads: list[float] = []
        self._worst = 0.0
        self._restarts = 0
        for handheld in fleet:
            handheld.boot()
            for _ in range(4):
                handheld.grant(1000, self._walk.second())
        self._settle()

    def restart(self, number: int) -> None:
        """Kill, wait, wipe, start; all have to come back, and to get their receipts."""
        rng = Random(f"{self._bench.case.split(':')[1]}/{number}")
        self._seal()
        time.sleep(rng.uniform(0.0, 0.5))  # in the middle of what the sealing began
        operation = self._bench.history.invoke("recover", f"restart {number}")
        self._broker.kill()
        self._listen(0.05)
        for handheld in self._fleet:
            handheld.told.clear()
        self._seal(rng)
        self._listen(rng.choice(_OUTAGES_S))
        if self._wiped:
            self._broker.wipe()
        began = time.monotonic()
        self._broker.start()
        back = self._all_back(began)
        self._restarts += 1
        self._worst = max(self._worst, *back)
        self._spreads.append(max(back) - min(back))
        self._bench.say(f"{number}: {min(back):.1f} to {max(back):.1f} s")
        operation.ok(took=max(back), limit=self.limit_s)
        self._settle()

    def _seal(self, rng: Random | None = None) -> None:
        """Everybody has something new to send; with `rng` half of them."""
        for handheld in self._fleet:
            if rng is None or rng.random() < 0.5:
                handheld.grant(900_000, self._walk.second())
                handheld.ask("sync")

    def _listen(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            for handheld in self._fleet:
                handheld.hears(0.0)
            if time.monotonic() >= until:
                return
            time.sleep(0.01)

    def _all_back(self, began: float) -> list[float]:
        """Link seconds from the broker's start until each has a connection again."""
        until = began + _PATIENCE_S / _SPEED
        while True:
            self._listen(0.0)
            found = [_up_since(handheld) for handheld in self._fleet]
            back = [ms / 1000 - began * _SPEED for ms in found if ms is not None]
            if len(back) == len(self._fleet):
                return [max(0.0, seconds) for seconds in back]
            if time.monotonic() > until:
                missing = len(self._fleet) - len(back)
                raise Violation("I8", f"{missing} not back after {_PATIENCE_S:g} s of link time")

    def _settle(self) -> None:
        """Everybody has receipts for all: that is what makes a back-off short again."""
        until = time.monotonic() + _PATIENCE_S
        left = list(self._fleet)
        while left:
            self._listen(0.02)
            left = [handheld for handheld in left if handheld.unsent()]
            if time.monotonic() > until:
                names = ", ".join(handheld.name for handheld in left)
                raise Violation("I8", f"{names}: no receipt {_PATIENCE_S:g} s after the return")

    def judge(self) -> dict[str, int]:
        bench, rig = self._bench, self._rig
        rig.crew.rest()
        for handheld in self._fleet:
            assert handheld.drain(_PATIENCE_S), f"{handheld.name} is not drained"
            handheld.off()
        rig.settle()
        for handheld in self._fleet:
            balance(rig, handheld, recorded(bench.history, handheld))
        check(bench.history, state_of(rig, self._fleet), must=("I1", "I2", "I3", "I4", "I5", "I8"))
        if median(self._spreads) < _SPREAD_S or min(self._spreads) < _LEAST_SPREAD_S:
            told = ", ".join(f"{spread:.1f}" for spread in self._spreads)
            raise Violation("I7", f"{_FLEET} handhelds connect within {told} s")
        return {
            "restarts": self._restarts,
            "reconnects": self._restarts * _FLEET,
            "segments of the crew": rig.crew.sealed(),
            "max s until all were back": round(self._worst),
            "max spread of the connects, s": round(max(self._spreads)),
        }


def _up_since(handheld: RealHandheld) -> int | None:
    """Link ms of its newest link, if that is up now."""
    told = [fields for fields in handheld.told if fields["t"] == "link"]
    return int(told[-1]["link_ms"]) if told and told[-1]["up"] else None


SUITE = Suite(
    "D7",
    "the broker killed, wiped and started again",
    plan,
    run,
    needs=("mosquitto",),
    limit_s=900,
)
