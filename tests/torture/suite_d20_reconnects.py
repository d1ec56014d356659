"""D20: one real handheld connects 10,000 times, 200 devices flap: heap and descriptors stay flat.

`link`: the VM's own link goes down and up. `drop`: the connection is reset under it, and its
back-off (link time, 200 times as fast) ends by itself. `flap`: 200 devices are reset together
again and again while they send; the gateway process is what is measured.
"""

from __future__ import annotations

import time

from brokers import Mosquitto
from crew import crew_of
from history import Violation, check
from lab import Bench, Suite
from proxy import Proxy
from real_handheld import RealHandheld, Walk
from rig import Rig
from vm_books import balance, recorded, state_of

_DRIFT = 4096  # bytes of the handheld's heap, max - min
_WARM = 20  # connects before the first measure: what is loaded once has been loaded
_SEAL_EVERY = 100
_SPEED = 200
_UP_S = 30.0
_FLEET = 200
_GATEWAY_DRIFT = 6 << 20  # bytes resident: an allocator's breath, where a leak grows for ever
_DRAIN_S = 60.0


def plan(size: str) -> list[str]:
    if size == "full":
        return ["D20:link:10000", "D20:drop:1000", "D20:flap:60"]
    return ["D20:link:200", "D20:drop:20", "D20:flap:4"]


def run(case: str, bench: Bench) -> dict[str, int]:
    _, kind, count = case.split(":")
    if kind == "flap":
        return _flap(int(count), bench)
    with Rig(bench.folder / "rig", bench.history) as rig, _proxy(rig) as proxy:
        return _reconnects(int(count), bench, rig, proxy, by_link=kind == "link")


def _proxy(rig: Rig) -> Proxy:
    return Proxy(lambda: (rig.broker.host, rig.broker.port))


def _reconnects(
    count: int, bench: Bench, rig: Rig, proxy: Proxy, *, by_link: bool
) -> dict[str, int]:
    handheld = RealHandheld(bench.folder / "vm", "vm-01", speed=1 if by_link else _SPEED)
    handheld.provision(rig.site, (proxy.host, proxy.port))
    rig.man([])
    rig.gateway.start()
    rig.gateway.ready()
    heap: list[int] = []
    files: list[int] = []
    walk = Walk()
    with handheld:
        handheld.boot()
        handheld.grant(1000, walk.second())
        _await_up(handheld, heap)
        for number in range(1, count + 1):
            if by_link:
                handheld.grant(0, link=False)
                handheld.grant(0)
            else:
                proxy.cut()
            _await_up(handheld, heap)
            if number % _SEAL_EVERY == 0 or number == count:
                handheld.grant(20_000, walk.second())
                assert handheld.drain(_DRAIN_S), "no receipt after reconnecting"
            files.append(handheld.descriptors())
        report = handheld.off()
    rig.settle()
    warm = min(_WARM, count // 2)
    found, files = heap[warm:], files[warm:]
    state = state_of(rig, [handheld])
    state.bounds = {
        "drift of the handheld's heap, bytes": (max(found) - min(found), _DRIFT),
        "drift of its descriptors": (max(files) - min(files), 0),
    }
    balance(rig, handheld, recorded(bench.history, handheld))
    check(bench.history, state, must=("I1", "I2", "I3", "I4", "I5", "I7"))
    if report["links"] <= count:
        raise Violation("I8", f"{report['links']} links, and {count} were cut")
    return {
        "reconnects": count,
        "max heap drift, bytes": max(found) - min(found),
        "max live heap, bytes": max(found),
        "segments": report["head"],
    }


def _await_up(handheld: RealHandheld, heap: list[int]) -> None:
    """Wait until the link is up and ready; what the heap holds then."""
    until = time.monotonic() + _UP_S
    while True:
        for at, told in enumerate(handheld.told):
            if told["t"] == "link" and told["up"]:
                heap.append(int(told["heap"]))
                del handheld.told[: at + 1]
                return
        if time.monotonic() > until:
            raise Violation("I8", f"no link {_UP_S:g} s after the last one")
        handheld.hears(0.2, "link")


def _flap(rounds: int, bench: Bench) -> dict[str, int]:
    """Reset all connections once a second; every device seals between two resets."""
    with (
        Mosquitto(bench.folder / "broker") as broker,
        Rig(bench.folder / "rig", bench.history, broker=broker) as rig,
        _proxy(rig) as proxy,
    ):
        fleet = crew_of(_FLEET, bench.history, fixes=3, ack_s=5.0)
        crew = rig.man(fleet, rate=_FLEET / 2, through=proxy)
        rig.gateway.start()
        rig.gateway.ready()
        crew.work()
        memory, files = [], []
        for number in range(rounds):
            until = time.monotonic() + _UP_S
            while proxy.open < _FLEET and time.monotonic() < until:
                time.sleep(0.05)
            if proxy.open < _FLEET:
                raise Violation("I8", f"{proxy.open} of {_FLEET} connected in {_UP_S:g} s")
            time.sleep(0.3)
            proxy.cut()
            if number >= rounds // 3:  # caches are full by then
                memory.append(rig.gateway.memory())
                files.append(rig.gateway.descriptors())
        crew.rest()
        rig.settle()
        state = rig.final_state(arrivals=None)
        state.bounds = {
            "drift of the gateway's memory": (max(memory) - memory[0], _GATEWAY_DRIFT),
            "drift of its descriptors": (max(files) - min(files), 2),
        }
        check(bench.history, state, must=("I1", "I2", "I3", "I4", "I5", "I7"))
        return {
            "reconnects": rounds * _FLEET,
            "segments": crew.sealed(),
            "max gateway drift, KiB": (max(memory) - memory[0]) // 1024,
        }


SUITE = Suite(
    "D20",
    "10,000 reconnects of one handheld, 200 flapping",
    plan,
    run,
    needs=("mosquitto",),
    limit_s=1500,
)
