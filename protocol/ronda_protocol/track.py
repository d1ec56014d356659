"""Entries of the log, and the track part of a segment: packed fixes, batteries, events.

Canonical entries are lists of integers and CBOR values; `reading` gives back what was encoded.
Does not decide when a fix is taken, nor what a flag means for a verdict.
"""

import hashlib

from ronda_protocol import cbor
from ronda_protocol.bounds import U16, U32, WireError, is_latlon, is_ms, is_uint

# Cells of decoded CBOR are Any by nature.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Entry = list[Any]

# Kinds: the first item of an entry. What is sealed alone has its body type and 2.
FIX = 1
BATTERY = 2
EVENT = 3
VISIT = 4
CORRECTION = 5
NAMES = {FIX: "fix", BATTERY: "battery", EVENT: "event", VISIT: "visit", CORRECTION: "correction"}

MAX_ENTRIES = 1024
"""Entries in one segment, and fixes in one string."""

# Detector flags of a fix: what a check on the raw sentences found (WIRE.md, Detector flags).
FROZEN = 1
TIME = 2
CLOCK = 4
JUMP = 8
MOTION = 16
ALTITUDE = 32
SIGNAL = 64
SKY = 128
EARLY = 256
RATE = 512
GARBAGE = 1024
ESTIMATED = 2048
DISQUALIFYING = FROZEN

SHORT = 0x10
"""Bits 4-5 of a fix's first byte when satellites and HDOP are told from the fix before."""

# Event codes.
BOOT = 1
TIME_SET = 2
TIME_STEP = 3
GPS_SILENT = 4
FIX_LOST = 5
FIX_FOUND = 6
SHIFT_START = 7
SHIFT_END = 8
PAUSE = 9
RESUME = 10
RECOVERED = 11
LOST = 12
PACK = 13
STORAGE_FULL = 14
VISIT_STARTED = 15
PART_MISSING = 17
FUTURE_PACK = 18
VISIT_RESUME = 19
WIPED = 20


class TrackError(WireError):
    """Codes: cbor-…, shape, kind, range, time, order, count, varint, non-minimal."""


def entry_digest(entry: "Entry") -> bytes:
    """SHA-256 of an entry's deterministic CBOR: the same wherever the entry is held."""
    return hashlib.sha256(cbor.encode(entry)).digest()


def fix_flags(fix: "Entry") -> int:
    """The detector flags of a fix entry; one without a quality block has none."""
    return fix[8][6] if fix[8] else 0


def _need(ok: bool, code: str = "range") -> None:
    if not ok:
        raise TrackError(code)


def check_fix(fix: "Entry") -> None:
    """TrackError unless this is a fix entry that can be packed; its number is not looked at."""
    _need(type(fix) in (list, tuple) and len(fix) == 9, "shape")
    _, number, ms, lat, lon, hdop, satellites, kind, quality = fix
    _need(is_uint(number) and is_ms(ms) and is_latlon(lat, lon))
    _need(is_uint(hdop, 255, 1) and is_uint(satellites, 15) and is_uint(kind, 3, 1))
    if quality is None:
        return
    _need(type(quality) in (list, tuple) and len(quality) == 7, "shape")
    speed, course, altitude, mean, low, spread, flags = quality
    _need(is_uint(flags, U16))
    if speed is None:
        _need(course is None and altitude is None)
    else:
        _need(is_uint(speed, U16) and is_uint(course, 359) and is_uint(altitude, 99999, -99999))
    if mean is None:
        _need(low is None and spread is None)
    else:
        _need(is_uint(mean, 255) and is_uint(low, 255) and is_uint(spread, 255))


def check_row(kind: int, row: "Entry") -> None:
    """The cells of a battery or event after its number and time."""
    if kind == BATTERY:
        _need(len(row) == 3, "shape")
        _need(is_uint(row[0], U16) and is_uint(row[2], 255))
        _need(row[1] is None or is_uint(row[1], 100))
    else:
        _need(len(row) == 2, "shape")
        _need(is_uint(row[0], U16, 1))


def _put(out: bytearray, value: int) -> None:
    """Append an unsigned LEB128 varint."""
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def _zigzag(value: int) -> int:
    """0, -1, 1, -2, 2… as 0, 1, 2, 3, 4…"""
    return value << 1 if value >= 0 else -1 - (value << 1)


def _put_place(out: bytearray, a: int, b: int) -> None:
    """Append two signed numbers as one varint: the bits of their zigzags taken in turn, a first.

    Both are about as long, and seven bits hold more of them so than each alone.
    """
    a = _zigzag(a)
    b = _zigzag(b)
    joined = shift = 0
    while a or b:
        joined |= (a & 1 | (b & 1) << 1) << shift
        a >>= 1
        b >>= 1
        shift += 2
    _put(out, joined)


def _tenths(ms: int, base_ms: int) -> int:
    """Whole tenths of a second from base to ms; both are multiples of 100."""
    _need(is_ms(ms) and is_ms(base_ms))
    _need(ms >= base_ms, "time")
    return (ms - base_ms) // 100


def pack_fixes(fixes: "list[Entry]", base_ms: int) -> bytes:
    """The packed string of fix entries in time order, without their numbers.

    `base_ms` (ms since boot, a multiple of 100) is known to the reader from elsewhere.
    """
    _need(len(fixes) <= MAX_ENTRIES, "count")
    packer = _Packer(base_ms)
    for fix in fixes:
        packer.add(fix)
    return bytes(packer.out)


class _Packer:
    """Packs fixes one by one into `out`; one that is refused leaves it as it was."""

    def __init__(self, base_ms: int) -> None:
        self.out = bytearray()
        self._ms = base_ms
        self._step = self._dlat = self._dlon = self._altitude = 0
        self._last: Entry = []

    def add(self, fix: "Entry") -> None:
        check_fix(fix)
        out = self.out
        last = self._last
        ds = _tenths(fix[2], self._ms)
        mark = (ds != self._step and 0x40) | (fix[8] is not None and 0x80)
        if last and is_near(last, fix):
            out.append(mark | SHORT | fix[6] - last[6] + 1 | (fix[5] - last[5] + 1) << 2)
        else:
            out.append(mark | (fix[7] & 2 and fix[7] << 4) | fix[6])
            out.append(fix[5])
        if ds != self._step:
            _put(out, _zigzag(ds - self._step))
            self._step = ds
        lat, lon = (last[3], last[4]) if last else (0, 0)
        # From where the last two fixes point: zero for one who stands or walks straight on.
        _put_place(out, fix[3] - lat - self._dlat, fix[4] - lon - self._dlon)
        if last:
            self._dlat, self._dlon = fix[3] - lat, fix[4] - lon
        if fix[8] is not None:
            self._altitude = _pack_quality(out, fix[8], self._altitude)
        self._ms = fix[2]
        self._last = fix


def is_near(last: "Entry", fix: "Entry") -> bool:
    """Whether a fix is told shortly: same type, satellites and HDOP at most one step away."""
    return last[7] == fix[7] and abs(fix[6] - last[6]) < 2 and abs(fix[5] - last[5]) < 2


def _pack_quality(out: bytearray, quality: "Entry", altitude: int) -> int:
    """Append a quality block; returns the altitude that the next one is told from."""
    motion = quality[0] is not None
    signal = quality[3] is not None
    _put(out, (signal and 1) | (motion and 2) | quality[6] << 2)
    if motion:
        _put(out, quality[0])
        _put(out, quality[1])
        _put(out, _zigzag(quality[2] - altitude))
        altitude = quality[2]
    if signal:
        out.extend(bytes(quality[3:6]))
    return altitude


class Track:
    """Part 1 of a segment, put together entry by entry: a handheld has no heap for them all.

    `base_ms` is the ms of the segment's base stamp: no entry is older. `numbers` are those of the
    entries so far.
    """

    def __init__(self, base_ms: int) -> None:
        self.numbers: list[int] = []
        self._base = base_ms
        self._fixes = _Packer(base_ms)
        self._rows: dict[int, list[Entry]] = {BATTERY: [], EVENT: []}

    def add(self, entry: "Entry") -> None:
        """Add a fix, battery or event of a higher number; one that is refused leaves no trace."""
        numbers = self.numbers
        _need(type(entry) in (list, tuple) and len(entry) > 3, "shape")
        _need(is_uint(entry[1], U32, numbers[-1] + 1 if numbers else 1), "order")
        _need(len(numbers) < MAX_ENTRIES, "count")
        kind = entry[0]
        if kind == FIX:
            self._fixes.add(entry)
        else:
            _need(kind in self._rows, "kind")
            row = list(entry[3:])
            check_row(kind, row)
            self._rows[kind].append([entry[1], _tenths(entry[2], self._base)] + row)
        numbers.append(entry[1])

    def part(self) -> bytes:
        """The bytes of part 1."""
        _need(len(self.numbers) > 0, "count")
        value: dict[int, Any] = {}
        if self._fixes.out:
            value[FIX] = self._fixes.out
        for kind in (BATTERY, EVENT):
            if self._rows[kind]:
                value[kind] = self._rows[kind]
        try:
            return cbor.encode(value)
        except cbor.CborError as error:
            raise TrackError("cbor-" + error.code)


def encode_track(entries: "list[Entry]", base_ms: int) -> bytes:
    """Part 1 of a segment from its fixes, batteries and events, ascending by number.

    `base_ms` is the ms of the segment's base stamp: no entry is older.
    """
    part = Track(base_ms)
    for entry in entries:
        part.add(entry)
    return part.part()
