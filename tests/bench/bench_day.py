"""A full day of one handheld: thirty visits, a fix every 15 s, dead zones; on real parts."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from figures import Figure

TITLE = "A day of thirty visits (real firmware, 192 KB of heap; real gateway)"
_START = 1789477200
_DEVICE = "bench-day"
# Live heap does not depend on the heap's size; with room to spare the watching, about 3 KB, and a
# day that needs too much are measured too.
_HEAP = "320k"
_REAL_HEAP = 194304  # of -X heapsize=192k
_ANSWERS = {"quien": "titular", "tipologia": "quiere_puede"}


def _doors(count: int) -> list[tuple[int, int]]:
    from ronda_tools.synth import MIRAFLORES, offset

    row = MIRAFLORES["parque"]
    return [offset(row, 120.0 * (n % 6), 90.0 * (n // 6)) for n in range(count)]


def _cases(doors: list[tuple[int, int]]) -> list[dict[str, Any]]:
    return [
        {
            "case_id": f"C-{2000 + n}",
            "portfolio": "banco-a",
            "creditor": "banco-a",
            "place": [1, 1, 0, lat, lon, 250],
            "order": n + 1,
            "currency": "PEN",
        }
        for n, (lat, lon) in enumerate(doors)
    ]


def _gestor(visits: int, every_ms: int) -> Iterator[Any]:
    promise = {"currency": "PEN", "kind": 2, "pairs": [[15000, 20260930], [15000, 20261030]]}
    yield 20_000
    yield ("shift_start", {"gestor": "g-017"})
    for n in range(visits):
        begin = (n + 1) * every_ms - 300_000
        yield begin
        yield ("check_in", {"case_id": f"C-{2000 + n}"})
        for k, (question, value) in enumerate(sorted(_ANSWERS.items())):
            yield begin + (k + 1) * 20_000
            yield ("answer", {"id": question, "value": value})
        yield begin + 120_000
        closing: dict[str, Any] = {"outcome": "promesa", "ask_fix": True}
        yield ("close", {**closing, "promise": {**promise, "who": "titular", "limits": 1}})
    yield (visits + 1) * every_ms - 200_000
    yield ("shift_end", {})


def _day(visits: int, every_ms: int) -> tuple[dict[str, Any], list[bytes]]:
    """(the handheld's report, all sealed segments as the gateway stored them)."""
    from ronda_gateway import log_lines, site
    from ronda_gateway.gateway import Gateway
    from ronda_gateway.settings import LogSettings
    from ronda_tools import provision
    from ronda_tools.broker import Broker
    from ronda_tools.conductor import Conductor, Handheld, Link
    from ronda_tools.synth import Walk
    from ronda_tools.vm import Vm

    log_lines.configure(LogSettings(level="warning"))
    doors = _doors(visits)
    walk = Walk(doors[0], _START)
    for n, door in enumerate(doors):
        walk.go(door)
        walk.stand_until((n + 1) * every_ms)
    end = (visits + 1) * every_ms
    walk.stand_until(end)
    dark = [(end * 2 // 5, False), (end * 3 // 5, True)]
    os.environ["RONDA_SIM_MEASURE"] = "1"
    try:
        with tempfile.TemporaryDirectory() as name, Broker() as broker:
            folder = Path(name)
            made = site.init(folder / "site", "bench", broker.host, broker.port, _START)
            storage = folder / "handheld"
            provision.provision(
                storage, made, _DEVICE, now=_START, cases=_cases(doors), expires_at=_START + 86400
            )
            with (
                Conductor(_START) as conductor,
                Gateway(made.settings, clock=conductor) as gateway,
            ):
                gateway.wait_connected()
                handheld = Handheld(
                    _DEVICE,
                    Vm(storage, heap=_HEAP),
                    nmea=walk.nmea(),
                    link=Link([(0, True), *dark]),
                    script=_gestor(visits, every_ms),
                )
                conductor.add(handheld)
                conductor.run(end)
                conductor.drain()
                [report] = conductor.finish()
                raws = [stored.raw for stored in gateway.store.segments()]
    finally:
        del os.environ["RONDA_SIM_MEASURE"]
    return report, raws


def owntracks(entry: list[Any], utc: int) -> bytes:
    """The fix as OwnTracks publishes one (location, the fields that a phone sends anyway)."""
    speed, course, altitude = (entry[8] or [0, 0, 0])[:3]
    return json.dumps(
        {
            "_type": "location",
            "tid": "07",
            "tst": utc,
            "lat": round(entry[3] / 1e7, 7),
            "lon": round(entry[4] / 1e7, 7),
            "acc": max(5, entry[5] // 2),
            "alt": altitude or 0,
            "vel": (speed or 0) * 36 // 100,
            "cog": course or 0,
            "batt": 81,
            "conn": "m",
            "t": "t",
        },
        separators=(",", ":"),
    ).encode()


def measure(quick: bool) -> list[Figure]:
    """Bytes on the wire, peak heap by phase, erases."""
    from ronda_protocol import reading, segment, track

    visits, every = (2, 360_000) if quick else (30, 1_080_000)
    report, raws = _day(visits, every)
    tracks = [reading.parse(raw) for raw in raws]
    sealed = [one for one in tracks if one.header.body == segment.VISIT_BODY]
    tracks = [one for one in tracks if one.header.body == segment.TRACK_BODY]
    fixes = theirs = 0
    for one in tracks:
        base = one.header.stamp
        for entry in one.entries():
            if entry[0] == track.FIX:
                fixes += 1
                utc = (base[2] or _START) + (entry[2] - base[1]) // 1000
                theirs += len(owntracks(entry, utc))
    full = [one for one in tracks if segment.expand(one.header.numbers)[59:]]
    full_bytes = sum(len(one.raw) for one in full)
    full_entries = sum(len(segment.expand(one.header.numbers)) for one in full)
    heap, flash = report["heap"], report["flash"]
    shown = {
        name: heap["phases"].get(name, 0) for name in ("boot", "round", "visit", "seal", "sync")
    }
    door = flash["phases"].get("visit", 0)
    return [
        Figure("fixes / visits / segments of the day", f"{fixes:,} / {len(sealed)} / {len(raws)}"),
        Figure(
            "a fix on the wire, all of its segments included",
            _mean([len(o.raw) for o in tracks], fixes),
            "B",
        ),
        Figure(
            "an entry in segments of sixty", full_bytes / max(1, full_entries), "B", "≤ 10 a fix"
        ),
        Figure("the same fixes as OwnTracks' JSON, payload alone", theirs / max(1, fixes), "B"),
        Figure(
            "a visit: two answers, two payments, the fixes of check-in and closing",
            _mean([len(one.raw) for one in sealed], len(sealed)),
            "B",
            "≤ 600 (twelve answers)",
        ),
        *(
            Figure(f"peak heap, {name}", used, "B", f"of {_REAL_HEAP:,}")
            for name, used in shown.items()
        ),
        Figure(
            "littlefs erases a visit (check-in to saved)", door / max(1, len(sealed)), "blocks"
        ),
        Figure("littlefs erases in the day", flash["erases"], "blocks"),
        Figure("bytes programmed in the day", flash["programmed"], "B"),
    ]


def _mean(sizes: list[int], over: int) -> float:
    return sum(sizes) / max(1, over)
