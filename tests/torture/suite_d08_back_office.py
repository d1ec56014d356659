"""D8: the back office's broker is away for a day at full load, then comes back.

The feed goes to a broker of its own, through a relay that is shut at first. 50 handhelds seal as
fast as this machine stores it, until the outbox holds what a day of theirs makes: 250,000 rows in
full, fewer in short. Then the relay opens while they go on at twice their real pace: everything
leaves in the order of its commits, once, at least five times as fast as it comes in, and receipts
take no longer than before by more than the machine's noise (both are counted).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

from crew import crew_of
from history import check
from lab import Bench, Suite, Violation
from proxy import Proxy
from rig import Rig
from ronda_tools.broker import Broker, free_port

HANDHELDS = 50
# 50 handhelds, 1,900 fixes in segments of 60, 30 visits and 96 readings a day: 3 rows a second.
_REAL_ROWS_A_S = 3
_LIVE_RATE = 4.0  # segments a second: 7 rows, twice the real pace
_FULL_ROWS, _SHORT_ROWS = 250_000, 4_000
_LONGEST_S = 1200.0
_FASTER = 5
# Receipts while it drains: at most so much slower, and never worth a word below this.
_SLOWER, _NOISE_S = 4.0, 1.0


def plan(size: str) -> list[str]:
    return [f"D8:day:{_SHORT_ROWS if size == 'short' else _FULL_ROWS}"]


def run(case: str, bench: Bench) -> Mapping[str, int]:
    rows = int(case.rsplit(":", maxsplit=1)[-1])
    with Broker() as office:
        # Until the day is over the relay leads to a port where nobody listens.
        there = [(office.host, free_port())]
        with (
            Proxy(lambda: there[0]) as relay,
            Rig(bench.folder, bench.history, feed=office) as rig,
        ):
            rig.gateway.env["RONDA_FEED__PORT"] = str(relay.port)
            back = partial(there.__setitem__, 0, (office.host, office.port))
            return _day(case, bench, rig, back, rows)


def _day(
    case: str, bench: Bench, rig: Rig, back: Callable[[], None], rows: int
) -> Mapping[str, int]:
    crew = rig.man(crew_of(HANDHELDS, bench.history, fixes=2, grace=200), 5000.0)
    crew.most_unsent = 800
    rig.gateway.start()
    rig.gateway.ready(links=2)
    crew.work()
    began = time.monotonic()
    while (waiting := rig.waiting()) < rows:
        if time.monotonic() - began > _LONGEST_S:
            raise AssertionError(f"only {waiting} rows after {_LONGEST_S:g} s")
        rig.gateway.pass_time(0.5)
    filled = time.monotonic() - began
    crew.rate = _LIVE_RATE
    crew.most_unsent = 1_000_000
    _quiet(rig)
    crew.latencies()
    rig.gateway.pass_time(5.0)
    before = _median(crew.latencies())
    waiting = rig.waiting()
    bench.say(f"{waiting} rows after {filled:.0f} s; receipts {before * 1000:.0f} ms")
    back()
    began = time.monotonic()
    while rig.waiting() > 20:
        if time.monotonic() - began > _LONGEST_S:
            raise Violation("I8", f"{rig.waiting()} rows still wait", case)
        rig.gateway.pass_time(0.2)
    drained = time.monotonic() - began
    during = _median(crew.latencies())
    crew.rest()
    rig.settle(300)
    rig.gateway.stop()
    rate = waiting / max(drained, 0.001)
    if rate < _FASTER * 2 * _REAL_ROWS_A_S:
        raise Violation("I7", f"it drains {rate:.0f} rows/s", case)
    if during > max(_NOISE_S, before * _SLOWER):
        text = f"receipts took {during * 1000:.0f} ms, before {before * 1000:.0f} ms"
        raise Violation("I7", text, case)
    state = rig.final_state()
    check(bench.history, state, must=("I1", "I2", "I3", "I4", "I5"), case=case)
    return {
        "rows": waiting,
        "segments": crew.sealed(),
        "repeats": len(rig.sink.events) - len(rig.sink.ids),
        "max drained rows/s": round(rate),
        "max receipts before ms": round(before * 1000),
        "max receipts while draining ms": round(during * 1000),
    }


def _quiet(rig: Rig) -> None:
    until = time.monotonic() + 120
    while rig.crew.unsent() > 10 and time.monotonic() < until:
        rig.gateway.pass_time(0.2)


def _median(found: list[float]) -> float:
    return found[len(found) // 2] if found else 0.0


SUITE = Suite(
    id="D8",
    title="The back office's broker is away for a day, then everything drains in order",
    plan=plan,
    run=run,
    limit_s=1700,
)
