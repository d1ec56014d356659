"""The cases of protocol/vectors/track.json, computed by wire_reference."""

import math
import random
from typing import Any

import wire_reference as ref

LAT, LON = -121191000, -770282000
TOP_MS = 9007199254740900  # the last multiple of 100 below 2^53
Case = dict[str, Any]


def plain(value: Any) -> Any:
    """A value in the notation of vectors/cbor.json."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {"map": [[plain(k), plain(v)] for k, v in value.items()]}
    return value


def fix(number: int, ms: int, lat: int, lon: int, *rest: Any) -> ref.Fix:
    """A fix entry; rest is hdop, satellites, type, quality."""
    return [1, number, ms, lat, lon, *(rest or (9, 11, 3, None))]


def day(walking: bool, count: int = 60, first: int = 1, base_ms: int = 60000) -> list[ref.Fix]:
    """Fixes every 15 s of one who walks Miraflores' blocks at 1.25 m/s, or stands at a door.

    Receiver error: first-order, 2 m, correlated over 100 s, 0.15 m of noise on top; satellites and
    HDOP wander; quality every fourth fix. Steps of 100 ms slip in now and then, as on a UART.
    """
    chance = random.Random(7 if walking else 8)

    def bell() -> float:
        return sum(chance.random() for _ in range(12)) - 6

    north = east = error_n = error_e = 0.0
    satellites, hdop, heading, leg = 11, 9, 25, 100.0
    keep = math.exp(-1 / 100)
    out: list[ref.Fix] = []
    for second in range(count * 15):
        error_n = keep * error_n + 2 * math.sqrt(1 - keep**2) * bell()
        error_e = keep * error_e + 2 * math.sqrt(1 - keep**2) * bell()
        if walking:
            speed = 1.25 + 0.08 * bell()
            north += speed * math.cos(math.radians(heading))
            east += speed * math.sin(math.radians(heading))
            leg -= speed
            if leg < 0:
                leg, heading = (
                    60 + 80 * chance.random(),
                    (heading + chance.choice([90, 270])) % 360,
                )
        if second % 15:
            continue
        satellites = min(14, max(7, satellites + chance.choice([-1, 0, 0, 1])))
        hdop = min(20, max(7, hdop + chance.choice([-1, 0, 0, 1])))
        quality = None
        if len(out) % 4 == 0:
            quality = [12 if walking else 0, heading, 116 + round(bell()), None, None, None, 0]
        lat = LAT + round((north + error_n + 0.15 * bell()) * 90.4)
        lon = LON + round((east + error_e + 0.15 * bell()) * 91.8)
        late = 100 if out and chance.random() < 0.05 else 0
        ms = base_ms + second * 1000 + late
        out.append(fix(first + len(out), ms, lat, lon, hdop, satellites, 3, quality))
    return out


def fixes_cases() -> list[Case]:
    """Packed strings with the record of each fix."""
    full = [12, 359, 3812, 38, 21, 9, 0]
    frozen = [None, None, None, None, None, None, 1]
    lists: list[tuple[str, int, list[ref.Fix]]] = [
        ("nothing", 0, []),
        ("one fix at its base", 60000, [fix(0, 60000, LAT, LON)]),
        ("one fix later than its base", 0, [fix(0, 123400, LAT, LON)]),
        ("the origin", 0, [fix(0, 0, 0, 0)]),
        (
            "a straight walk is told in three bytes a fix",
            60000,
            [fix(0, 60000 + 15000 * i, LAT + 1550 * i, LON + 720 * i) for i in range(5)],
        ),
        (
            "the corners of the globe",
            0,
            [
                fix(0, 0, 900000000, 1800000000),
                fix(0, 100, -900000000, -1800000000),
                fix(0, 200, 900000000, 1800000000),
                fix(0, 300, -900000000, 1800000000),
            ],
        ),
        (
            "type, satellites and HDOP: short and long records",
            1000,
            [
                fix(0, 1000, LAT, LON, 255, 0, 1, None),
                fix(0, 2000, LAT, LON, 254, 1, 1, None),
                fix(0, 3000, LAT, LON, 253, 0, 1, None),
                fix(0, 4000, LAT, LON, 253, 0, 2, None),
                fix(0, 5000, LAT, LON, 251, 0, 2, None),
                fix(0, 6000, LAT, LON, 251, 2, 2, None),
                fix(0, 7000, LAT, LON, 1, 15, 3, None),
            ],
        ),
        (
            "steps that change",
            0,
            [fix(0, ms, LAT, LON) for ms in (0, 0, 15000, 30000, 45100, 60000, 60000, TOP_MS)],
        ),
        (
            "quality: motion, C/N0, both, neither, flags",
            0,
            [
                fix(0, 0, LAT, LON, 9, 11, 3, full),
                fix(0, 1000, LAT, LON, 9, 11, 3, None),
                fix(0, 2000, LAT, LON, 9, 11, 3, [0, 0, -12, None, None, None, 0]),
                fix(0, 3000, LAT, LON, 9, 11, 3, [None, None, None, 255, 0, 255, 0]),
                fix(0, 4000, LAT, LON, 9, 11, 3, [65535, 200, 99999, None, None, None, 65535]),
                fix(0, 5000, LAT, LON, 9, 11, 3, [None] * 6 + [0]),
                fix(0, 6000, LAT, LON, 9, 11, 3, frozen),
            ],
        ),
        ("sixty fixes, walking", 60000, day(True)),
        ("sixty fixes, standing", 60000, day(False)),
    ]
    return [
        {
            "name": name,
            "base_ms": base,
            "fixes": fixes,
            "records": [record.hex() for record in ref.fix_records(fixes, base)],
            "hex": ref.fixes_string(fixes, base).hex(),
        }
        for name, base, fixes in lists
    ]


def refused_fixes() -> list[Case]:
    """Strings that unpack_fixes refuses: name, base, numbers (or None), hex, code."""
    good = ref.fixes_string([fix(0, 0, 10, 10), fix(0, 15000, 20, 20)], 0)
    one = ref.fixes_string([fix(0, 0, 10, 10)], 0)
    flagged = ref.fixes_string([fix(0, 0, 0, 0, 9, 11, 3, [None] * 6 + [0])], 0)
    north = ref.varint(ref.alternate(ref.zigzag(900000001), 0))
    east = ref.varint(ref.alternate(0, ref.zigzag(1800000001)))
    table: list[tuple[str, int, int | None, bytes, str]] = [
        ("half a head", 0, None, one[:1], "varint"),
        ("no position", 0, None, one[:2], "varint"),
        ("a second fix cut short", 0, None, good[:-1], "varint"),
        ("no step after its mark", 0, None, b"\x7b\x09", "varint"),
        ("no quality after its mark", 0, None, flagged[:-1], "varint"),
        ("C/N0 cut short", 0, None, flagged[:-1] + b"\x01\x20\x20", "varint"),
        (
            "a varint that ends in zero",
            0,
            None,
            one[:-1] + bytes([one[-1] | 128, 0]),
            "non-minimal",
        ),
        ("a varint of eleven bytes", 0, None, one[:2] + b"\x80" * 10 + b"\x01", "varint"),
        ("a step told although it did not change", 0, None, b"\x7b\x09\x00\x00", "non-minimal"),
        ("a step back before the base", 0, None, b"\x7b\x09\x01\x00", "time"),
        ("time beyond 53 bits", TOP_MS, None, b"\x7b\x09\x02\x00", "range"),
        ("a base of odd milliseconds", 50, None, one, "range"),
        ("HDOP 0", 0, None, b"\x3b\x00\x00", "range"),
        ("a short record first", 0, None, b"\x15\x00", "shape"),
        ("satellites three steps up", 0, None, one + b"\x17\x00", "shape"),
        ("HDOP three steps up", 0, None, one + b"\x1d\x00", "shape"),
        ("satellites below 0", 0, None, b"\x30\x09\x00\x14\x00", "range"),
        ("satellites above 15", 0, None, b"\x3f\x09\x00\x16\x00", "range"),
        ("HDOP above 255", 0, None, b"\x3b\xff\x00\x19\x00", "range"),
        ("HDOP below 1", 0, None, b"\x3b\x01\x00\x11\x00", "range"),
        ("a long record where a short one fits", 0, None, one + b"\x3b\x09\x00", "non-minimal"),
        ("latitude above 90", 0, None, b"\x3b\x09" + north, "range"),
        ("longitude above 180", 0, None, b"\x3b\x09" + east, "range"),
        ("course 360", 0, None, b"\xbb\x09\x00\x02\x00\xe8\x02\x00", "range"),
        ("speed of more than 16 bits", 0, None, b"\xbb\x09\x00\x02\x80\x80\x04\x00\x00", "range"),
        ("flags of more than 16 bits", 0, None, b"\xbb\x09\x00\x80\x80\x10", "range"),
        ("a number too few", 0, 1, good, "count"),
        ("a number too many", 0, 3, good, "count"),
        ("more than 1024 fixes", 0, None, one + b"\x15\x00" * 1024, "count"),
    ]
    return [
        {"name": name, "base_ms": base, "count": count, "hex": data.hex(), "code": code}
        for name, base, count, data, code in table
    ]


def mixed() -> list[ref.Fix]:
    """A track of every kind."""
    return [
        [3, 1, 60000, 1, ["power"]],
        [2, 2, 60100, 3912, 81, 1],
        [3, 3, 61000, 2, [1789477201, 1, 1]],
        fix(4, 61000, LAT, LON, 9, 11, 3, [0, 0, 116, None, None, None, 0]),
        fix(5, 76000, LAT + 1550, LON + 720),
        [3, 6, 80000, 7, "g-07"],
        fix(7, 91000, LAT + 3100, LON + 1440),
        [3, 8, 91000, 999, {"later": [None, True, b"\x00"]}],
        [2, 9, 360000, 3890, None, 0],
        [3, 10, 360000, 14, None],
    ]


def tracks() -> list[Case]:
    """Whole track parts."""
    gap = [
        *mixed()[:2],
        fix(40, 70000, LAT, LON),
        [3, 4294967295, 80000, 12, [4, 9, "unreadable"]],
    ]
    lists = [
        ("every kind", 60000, mixed()),
        ("one event", 0, [[3, 1, 0, 1, ["power"]]]),
        ("numbers with gaps, up to the last one", 60000, gap),
        ("only fixes", 60000, day(True, 8)),
    ]
    out: list[Case] = []
    for name, base, entries in lists:
        out.append(
            {
                "name": name,
                "base_ms": base,
                "numbers": ref.flat([entry[1] for entry in entries]),
                "entries": plain(entries),
                "digests": [ref.sha256(ref.dumps(entry)).hex() for entry in entries],
                "hex": ref.track_part(entries, base).hex(),
            }
        )
    return out


def refused_tracks() -> list[Case]:
    """Parts that decode_track refuses: name, numbers, hex, code."""
    one = ref.fixes_string([fix(0, 0, LAT, LON)], 0)
    row, said = [2, 0, 3900, 80, 1], [3, 0, 1, None]
    table: list[tuple[str, list[int], Any, str]] = [
        ("nothing", [1, 1], b"", "cbor-truncated"),
        ("an array", [1, 1], [], "shape"),
        ("a text key", [1, 1], {1: one, "x": 1}, "shape"),
        ("a negative key", [1, 1], {-1: 1, 1: one}, "shape"),
        ("an empty map for one number", [1, 1], {}, "count"),
        ("no bytes of fixes", [1, 1], {1: b""}, "shape"),
        ("fixes are text", [1, 1], {1: "x"}, "shape"),
        ("fixes are null", [1, 1], {1: None}, "shape"),
        ("a fix too many", [1, 1], {1: one + b"\x15\x00"}, "count"),
        ("a fix too few", [1, 2], {1: one}, "count"),
        ("a fix and no number left", [2, 1], {1: one, 2: [row]}, "count"),
        ("batteries are a map", [2, 1], {2: {}}, "shape"),
        ("no battery in the list", [1, 1], {1: one, 2: []}, "shape"),
        ("a battery is a number", [2, 1], {2: [2]}, "shape"),
        ("a battery of four cells", [2, 1], {2: [row[:4]]}, "shape"),
        ("a battery of six cells", [2, 1], {2: [[*row, 1]]}, "shape"),
        ("an event of five cells", [3, 1], {3: [[*said, 1]]}, "shape"),
        ("a number that the header has not", [2, 1], {2: [[3, *row[1:]]]}, "count"),
        ("number 0", [1, 1], {2: [[0, *row[1:]]]}, "order"),
        ("a number that is true", [1, 1], {2: [[True, *row[1:]]]}, "order"),
        ("batteries out of order", [1, 2], {2: [row, [1, *row[1:]]]}, "order"),
        (
            "one number for a battery and an event",
            [2, 1],
            {2: [row], 3: [[2, *said[1:]]]},
            "order",
        ),
        ("a time before the base", [2, 1], {2: [[2, -1, *row[2:]]]}, "range"),
        ("a time of more than 32 bits", [2, 1], {2: [[2, 2**32, *row[2:]]]}, "range"),
        ("a voltage of more than 16 bits", [2, 1], {2: [[2, 0, 65536, 80, 1]]}, "range"),
        ("a voltage that is false", [2, 1], {2: [[2, 0, False, 80, 1]]}, "range"),
        ("101 per cent", [2, 1], {2: [[2, 0, 3900, 101, 1]]}, "range"),
        ("a source of more than 8 bits", [2, 1], {2: [[2, 0, 3900, 80, 256]]}, "range"),
        ("event code 0", [3, 1], {3: [[3, 0, 0, None]]}, "range"),
        ("an event code of more than 16 bits", [3, 1], {3: [[3, 0, 65536, None]]}, "range"),
        ("an event code that is text", [3, 1], {3: [[3, 0, "1", None]]}, "range"),
    ]
    return [
        {
            "name": name,
            "numbers": numbers,
            "hex": (value if isinstance(value, bytes) else ref.dumps(value)).hex(),
            "code": code,
        }
        for name, numbers, value, code in table
    ]


def unencodable() -> list[Case]:
    """Entries that encode_track refuses."""
    good = fix(1, 60000, LAT, LON)

    def but(index: int, value: Any) -> list[ref.Fix]:
        return [[*good[:index], value, *good[index + 1 :]]]

    quality = [12, 0, 100, None, None, None, 0]
    table: list[tuple[str, list[Any], str]] = [
        ("nothing", [], "count"),
        ("an entry that is no list", [5], "shape"),
        ("a fix of eight cells", [good[:8]], "shape"),
        ("a visit", [[4, 1, 60000, 1, 1]], "kind"),
        ("number 0", but(1, 0), "order"),
        ("a number of more than 32 bits", but(1, 2**32), "order"),
        ("the same number twice", [good, good], "order"),
        ("numbers out of order", [fix(2, 60000, LAT, LON), good], "order"),
        ("older than the base", but(2, 59900), "time"),
        ("time back", [fix(1, 61000, LAT, LON), fix(2, 60900, LAT, LON)], "time"),
        ("odd milliseconds", but(2, 60050), "range"),
        ("latitude above 90", but(3, 900000001), "range"),
        ("longitude below -180", but(4, -1800000001), "range"),
        ("HDOP 0", but(5, 0), "range"),
        ("HDOP 256", but(5, 256), "range"),
        ("16 satellites", but(6, 16), "range"),
        ("type 0", but(7, 0), "range"),
        ("type 4", but(7, 4), "range"),
        ("satellites that are true", but(6, True), "range"),
        ("quality of six cells", but(8, quality[:6]), "shape"),
        ("speed without course", but(8, [12, None, 100, None, None, None, 0]), "range"),
        ("course without speed", but(8, [None, 12, 100, None, None, None, 0]), "range"),
        ("a mean without the rest", but(8, [None, None, None, 30, None, None, 0]), "range"),
        ("a spread without the rest", but(8, [None, None, None, None, None, 3, 0]), "range"),
        ("course 360", but(8, [12, 360, 100, None, None, None, 0]), "range"),
        ("no flags", but(8, [12, 0, 100, None, None, None, None]), "range"),
        ("a battery of four cells", [[2, 1, 60000, 3900]], "shape"),
        ("a battery of negative volts", [[2, 1, 60000, -1, 80, 1]], "range"),
        ("an event without data", [[3, 1, 60000, 1]], "shape"),
        ("data nested too deep", [[3, 1, 60000, 1, [[[[[[1]]]]]]]], "cbor-depth"),
    ]
    return [
        {"name": name, "base_ms": 60000, "entries": plain(entries), "code": code}
        for name, entries, code in table
    ]


EVENTS = [
    [1, "boot"],
    [2, "time_set"],
    [3, "time_step"],
    [4, "gps_silent"],
    [5, "fix_lost"],
    [6, "fix_found"],
    [7, "shift_start"],
    [8, "shift_end"],
    [9, "pause"],
    [10, "resume"],
    [11, "recovered"],
    [12, "lost"],
    [13, "pack"],
    [14, "storage_full"],
    [15, "visit_started"],
    [16, "event-16"],
    [17, "part_missing"],
    [18, "future_pack"],
    [19, "visit_resume"],
    [20, "wiped"],
    [21, "event-21"],
    [0, "event-0"],
]


def track_vectors() -> Case:
    """protocol/vectors/track.json."""
    return {
        "about": "Packed fixes and track parts (WIRE.md, Track). Entries are canonical; records "
        "are the bytes of each fix. Values as in cbor.json.",
        "made_by": "python tests/make_wire_vectors.py",
        "events": EVENTS,
        "fixes": fixes_cases(),
        "refused_fixes": refused_fixes(),
        "tracks": tracks(),
        "refused_tracks": refused_tracks(),
        "unencodable": unencodable(),
        "unknown_keys": {
            "numbers": [1, 1],
            "base_ms": 0,
            "hex": ref.dumps({3: [[1, 0, 1, None]], 9: "later"}).hex(),
            "entries": [[3, 1, 0, 1, None]],
        },
    }
