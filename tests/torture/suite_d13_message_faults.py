"""D13: messages lost, repeated, overtaken, cut, changed and late; and every bit of one message.

A crew of devices (or the gateway, or its feed) has its connection through the proxy, to a real
mosquitto and a real gateway process. While the faults last nothing is demanded but that nothing
wrong is accepted; when they end everything sealed has to arrive, once. `vm` has a real handheld in
the crew's place, and spoils every kind of packet. `bits` feeds a segment of about 1 KiB to the
gateway 8,192 times and more, each time with another bit turned over.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace

from brokers import Mosquitto
from crew import Handheld, crew_of
from desk_device import DeskDevice
from history import Violation, check
from lab import Bench, Suite, batches, points
from mqtt_peer import Peer
from proxy import ANY, DOWN, UP, Faults, Proxy, flipped
from real_handheld import RealHandheld, Walk
from rig import Rig
from ronda_gateway import pipeline
from vm_books import balance, recorded, state_of

_DEVICES, _RATE = 30, 150.0
_SEGMENTS = 5000
_HEAL_S = 180.0
_BATCH = 64  # flipped messages under way
_KIB = 1024
_VM_SPEED = 100

_MIXED = Faults(
    drop=0.02, repeat=0.05, reorder=0.05, flip=0.02, smash=0.005, lose=0.005, truncate=0.005,
    halve=0.003, reset=0.003, dribble=0.05, delay=0.02, delay_s=1.0,
)  # fmt: skip
_KINDS = {
    "drop": Faults(drop=0.3),
    "repeat": Faults(repeat=0.3),
    "reorder": Faults(reorder=0.3),
    "flip-up": Faults(flip=0.1, kinds=frozenset({3}), ways=frozenset({UP})),
    "flip-down": Faults(flip=0.3, kinds=frozenset({3}), ways=frozenset({DOWN})),
    "smash": Faults(smash=0.02),
    "lose": Faults(lose=0.02),
    "truncate": Faults(truncate=0.01),
    "halve": Faults(halve=0.01),
    "reset": Faults(reset=0.01),
    "dribble": Faults(dribble=0.2),
    "delay": Faults(delay=0.003, delay_s=30.0),
    "mixed": _MIXED,
    "gateway-drop": Faults(drop=0.1),
    "gateway-mixed": _MIXED,
    # The back office's events are unsigned JSON: TLS and the broker have to keep them whole.
    "feed-mixed": Faults(repeat=0.1, reorder=0.1, truncate=0.003, reset=0.003, dribble=0.05),
    "feed-drop": Faults(drop=0.02),
}


def plan(size: str) -> list[str]:
    if size == "full":
        bits = batches("D13:bits", 8192, 2048)
        return bits + [f"D13:{kind}:{_SEGMENTS}" for kind in _KINDS] + ["D13:vm:300"]
    return ["D13:bits:0-511", "D13:mixed:300", "D13:gateway-mixed:200", "D13:vm:20"]


def run(case: str, bench: Bench) -> dict[str, int]:
    kind = case.split(":")[1]
    if kind == "bits":
        return _Bits(case, bench).run()
    if kind == "vm":
        return _real(int(case.split(":")[2]), bench)
    return _spoilt(kind, int(case.split(":")[2]), bench)


def _spoilt(kind: str, segments: int, bench: Bench) -> dict[str, int]:
    """Seal and send under faults, heal, and see what came of it."""
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(bench.folder / "broker"))
        proxy = stack.enter_context(
            Proxy(
                lambda: (broker.host, broker.port),
                seed=bench.case,
                note=lambda told: bench.history.did("fault", told["fault"], **told),
            )
        )
        env = _through(kind, proxy, broker)
        rig = stack.enter_context(Rig(bench.folder / "rig", bench.history, broker=broker, env=env))
        fleet = crew_of(_DEVICES, bench.history, fixes=3, ack_s=4.0, patience_s=4.0)
        rig.man(fleet, _RATE, through=None if env else proxy)
        rig.gateway.start()
        rig.gateway.ready()
        proxy.become(_KINDS[kind])
        rig.crew.work()
        _until_sealed(rig, segments)
        rig.crew.rest()
        proxy.heal()
        healed = time.monotonic()
        operation = bench.history.invoke("recover", kind)
        rig.settle(_HEAL_S)
        operation.ok(took=time.monotonic() - healed, limit=_HEAL_S)
        return _judge(bench, rig, proxy, kind) | {
            "max seconds to heal": round(time.monotonic() - healed)
        }


def _real(segments: int, bench: Bench) -> dict[str, int]:
    """A real handheld's day with everything spoilt, its CONNECT and SUBACK too."""
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(bench.folder / "broker"))
        proxy = stack.enter_context(Proxy(lambda: (broker.host, broker.port), seed=bench.case))
        rig = stack.enter_context(Rig(bench.folder / "rig", bench.history, broker=broker))
        handheld = stack.enter_context(RealHandheld(bench.folder / "vm", "vm-01", speed=_VM_SPEED))
        handheld.provision(rig.site, (proxy.host, proxy.port))
        rig.man([])
        rig.gateway.start()
        rig.gateway.ready()
        walk = Walk()
        handheld.boot()
        proxy.become(replace(_MIXED, kinds=ANY))
        for number in range(segments):
            for _ in range(16):
                handheld.grant(1000, walk.second())
            handheld.ask("sync")
            handheld.hears(0.05)
            if number % 50 == 49:
                handheld.kill()
                handheld.boot()
        proxy.heal()
        healed = time.monotonic()
        operation = bench.history.invoke("recover", "vm")
        assert handheld.drain(_HEAL_S), f"{handheld.unsent()} segments have no receipt"
        operation.ok(took=time.monotonic() - healed, limit=_HEAL_S)
        report = handheld.off()
        rig.settle()
        balance(rig, handheld, recorded(bench.history, handheld))
        check(bench.history, state_of(rig, [handheld]), must=("I1", "I2", "I3", "I4", "I5"))
        assert proxy.counts, "the proxy did nothing"
        return {
            "segments": report["head"],
            "messages": proxy.messages,
            "faults": sum(proxy.counts.values()),
            "reconnects": proxy.connections - 1,
            "rejected with a reason": sum(_rejected(rig).values()),
            "max live heap, bytes": report["heap"]["peak"],
        }


def _through(kind: str, proxy: Proxy, broker: Mosquitto) -> dict[str, str]:
    """Settings that lead the gateway's segments and receipts, or its feed, through the proxy."""
    if kind.startswith("gateway-"):
        direct = {"RONDA_FEED__HOST": broker.host, "RONDA_FEED__PORT": str(broker.port)}
        return {"RONDA_BROKER__PORT": str(proxy.port), **direct}
    if kind.startswith("feed-"):
        return {"RONDA_FEED__HOST": proxy.host, "RONDA_FEED__PORT": str(proxy.port)}
    return {}


def _until_sealed(rig: Rig, segments: int) -> None:
    until = time.monotonic() + 20 * segments / _RATE + 60
    while rig.crew.sealed() < segments:
        if rig.crew.faults:
            raise rig.crew.faults[0]
        assert time.monotonic() < until, f"{rig.crew.sealed()} of {segments} sealed"
        time.sleep(0.05)


def _judge(bench: Bench, rig: Rig, proxy: Proxy, kind: str) -> dict[str, int]:
    state = rig.final_state(arrivals=None)
    check(bench.history, state, must=("I1", "I2", "I3", "I4", "I5", "I8"))
    spoilt = sum(proxy.counts.values())
    assert spoilt, "the proxy did nothing"
    rejected = sum(_rejected(rig).values())
    if kind == "flip-up":
        # A few of the flipped messages are on state/, which nobody keeps.
        states = 4 * sum(handheld.links for handheld in rig.crew.handhelds)
        if rejected < proxy.counts["flip"] - states:
            raise Violation("I4", f"{proxy.counts['flip']} flipped, {rejected} reasons recorded")
    refused = Counter[str]()
    for handheld in rig.crew.handhelds:
        refused.update(handheld.refused)
    if kind == "flip-down":
        assert refused["signature"], "no changed receipt was refused"
    return {
        "segments": rig.crew.sealed(),
        "messages": proxy.messages,
        "faults": spoilt,
        "reconnects": sum(handheld.links for handheld in rig.crew.handhelds) - _DEVICES,
        "rejected with a reason": rejected,
        "receipts refused by devices": sum(refused.values()),
    }


def _rejected(rig: Rig) -> Counter[str]:
    """Messages not accepted, by the reason that the gateway recorded: kept or counted."""
    found = Counter[str]()
    for query in (
        "SELECT reason, sum(copies) FROM quarantine GROUP BY reason",
        'SELECT reason, sum("count") FROM folded GROUP BY reason',
    ):
        found.update({str(reason): int(count) for reason, count in rig.rows(query)})
    return found


class _Bits:
    """One message, each of its bits in turn."""

    def __init__(self, case: str, bench: Bench) -> None:
        self._bench = bench
        _, self._points = points(case)
        self._handheld = Handheld("lab-001", bench.history, fixes=_fixes())
        self._handheld.seal()
        self._raw = self._handheld.kept[1]
        assert len(self._raw) >= _KIB, len(self._raw)

    def run(self) -> dict[str, int]:
        with Rig(self._bench.folder / "rig", self._bench.history) as rig:
            rig.enrol([self._handheld])
            rig.gateway.start()
            rig.gateway.ready()
            # The last batch takes what the message has beyond 8,192 bits.
            last = self._points.stop if self._points.stop < 8 * _KIB else 8 * len(self._raw)
            bits = range(self._points.start, last)
            wanted = self._wanted(bits)
            probe = rig.man([])
            for at in range(0, len(bits), _BATCH):
                self._feed(rig, [flipped(self._raw, bit) for bit in bits[at : at + _BATCH]])
            self._await(rig, sum(wanted.values()))
            if rig.rows("SELECT count(*) FROM segments")[0][0]:
                raise Violation("I4", "a changed message is among the segments")
            found = _rejected(rig)
            if found != wanted:
                raise Violation("I4", f"reasons recorded {dict(found)}, expected {dict(wanted)}")
            self._feed(rig, [self._raw])
            self._whole(rig)
            assert not probe.faults
            check(self._bench.history, rig.final_state(), must=("I1", "I2", "I3", "I4", "I5"))
            return {"flips": len(bits), **{f"rejected {k}": v for k, v in sorted(found.items())}}

    def _wanted(self, bits: range) -> Counter[str]:
        """The reasons that the pure pipeline gives; Violation for a bit that it accepts."""
        device = self._handheld.desk
        known = pipeline.Device(device.id, "enabled", {device.signer.kid: device.public})
        found = Counter[str]()
        for bit in bits:
            said = pipeline.judge_bytes(device.id, flipped(self._raw, bit), lambda _: known)
            if not isinstance(said, pipeline.Rejected):
                raise Violation("I4", f"accepted with bit {bit} turned", f"D13:bits:{bit}")
            found[said.reason] += 1
        return found

    def _feed(self, rig: Rig, payloads: list[bytes]) -> None:
        """Publish on the device's own topic, and wait for the PUBACKs."""
        done = threading.Event()

        async def send() -> None:
            acked: list[int] = []
            peer = Peer("lab-001", on_puback=acked.append)
            await peer.connect(rig.broker.host, rig.broker.port)
            for payload in payloads:
                peer.publish(f"{rig.root}/up/lab-001", payload)
            listening = asyncio.ensure_future(peer.listen())
            while len(acked) < len(payloads) and not listening.done():
                await asyncio.sleep(0.005)
            listening.cancel()
            peer.close(politely=True)
            assert len(acked) == len(payloads), f"{len(acked)} of {len(payloads)} acknowledged"
            done.set()

        rig.crew.spawn(send())
        while not done.wait(0.05):
            if rig.crew.faults:
                raise rig.crew.faults[0]

    def _await(self, rig: Rig, count: int) -> None:
        until = time.monotonic() + 120
        while sum(_rejected(rig).values()) < count:
            assert time.monotonic() < until, f"{_rejected(rig)} of {count} rejected"
            time.sleep(0.1)

    def _whole(self, rig: Rig) -> None:
        until = time.monotonic() + 60
        while not rig.rows("SELECT count(*) FROM segments")[0][0]:
            assert time.monotonic() < until, "the message itself was not stored"
            time.sleep(0.05)
        rig.settle()


def _fixes() -> int:
    """How many fixes make a segment of 1 KiB or a little more."""
    for count in range(60, 400):
        desk = DeskDevice("lab-001")
        if len(desk.seal_track(desk.entries(count, 1, 0))) >= _KIB:
            return count + 2  # keys differ, and with them the length by a byte or two
    raise AssertionError("no segment is that long")


SUITE = Suite(
    "D13",
    "message faults in a proxy; every bit of a message",
    plan,
    run,
    needs=("mosquitto",),
    limit_s=900,
)
