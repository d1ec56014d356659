"""The gateway's processor time a segment, stage by stage, in one process without MQTT; and beside
it, in the same run, the bare verification by `cryptography` that none can do without."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from figures import Figure

TITLE = "The gateway's processor time a segment of thirty entries (one process)"
_UTC = 1789477200
_DEVICES = 50


def measure(quick: bool) -> list[Figure]:
    """Microseconds of processor time; best of some runs where nothing is stored."""
    from ronda_gateway import fleet, keys, pipeline, site
    from ronda_gateway.clock import SystemClock
    from ronda_gateway.feed import Feed
    from ronda_gateway.pipeline import Message
    from ronda_gateway.recorder import Recorder
    from ronda_gateway.store import open_store
    from ronda_protocol import cose, reading
    from ronda_tools import bench_load

    each, runs = (2, 1) if quick else (40, 3)
    devices = bench_load.fleet(_DEVICES, each * 3, 30, _UTC)
    known = {
        d.name: pipeline.Device(d.name, "enabled", {d.signer.kid: d.signer.public})
        for d in devices
    }
    messages = [
        Message(f"x/up/{d.name}", d.name, d.sealed[i], _UTC)
        for i in range(each * 3)
        for d in devices
    ]
    third = len(messages) // 3
    sample = messages[:third]
    parsed = [reading.parse(message.raw) for message in sample]
    digests = [
        (known[m.device].keys[p.sign1.kid], _digest(cose, p), p.sign1.signature)
        for m, p in zip(sample, parsed, strict=True)
    ]

    def us(work: Callable[[], object], over: int = third, times: int = runs) -> float:
        spent: list[float] = []
        for _ in range(times):
            began = time.process_time()
            work()
            spent.append(time.process_time() - began)
        return min(spent) / over * 1e6

    figures = [
        Figure(
            "bare ES256 verification (cryptography)",
            us(lambda: [keys.verify_digest(*case) for case in digests]),
            "µs",
        ),
        Figure(
            "parse: COSE, header, part hashes",
            us(lambda: [reading.parse(message.raw) for message in sample]),
            "µs",
        ),
        Figure("decode the thirty entries", us(lambda: [one.entries() for one in parsed]), "µs"),
        Figure(
            "judge: all of the above",
            us(lambda: [pipeline.judge_bytes(m.device, m.raw, known.get) for m in sample]),
            "µs",
        ),
    ]
    with tempfile.TemporaryDirectory() as name:
        made = site.init(Path(name) / "site", "bench")
        store = open_store(made.settings.database_path)
        try:
            for device in devices:
                fleet.enrol(store, device.name, device.signer.public, _UTC)
                fleet.enable(store, device.name, _UTC)
            recorder = Recorder(
                store, made.settings, made.signer(), SystemClock(), Feed(made.settings.topic_root)
            )
            recorder.notice_fleet()
            for index, group in enumerate((100, 10, 1)):
                mine = messages[index * third : (index + 1) * third]

                def record(mine: list[Message] = mine, group: int = group) -> None:
                    for at in range(0, len(mine), group):
                        recorder.record(mine[at : at + group])

                figures.append(
                    Figure(
                        f"judge, rows, commit (FULL), signed receipts, feed: groups of {group}",
                        us(record, third, 1),
                        "µs",
                        "≤ 400" if group == 100 else "",
                    )
                )
        finally:
            store.close()
    return figures


def _digest(cose: object, parsed: object) -> bytes:
    sign1 = parsed.sign1  # type: ignore[attr-defined]
    return cose.tbs_digest(sign1.protected, sign1.payload)  # type: ignore[attr-defined]
