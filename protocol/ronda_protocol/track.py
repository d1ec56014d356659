"""Entries of the log, and the track part of a segment: packed fixes, batteries, events.

Canonical entries are lists of integers and CBOR values; decoding gives back what was encoded.
Does not decide when a fix is taken, nor what a flag means for a verdict.
"""

import hashlib

from ronda_protocol import cbor
from ronda_protocol.bounds import U16, U32, WireError, is_latlon, is_list, is_map, is_ms, is_uint

# Cells of decoded CBOR are Any by nature.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Entry = list[Any]

# Kinds: the first item of an entry.
FIX = 1
BATTERY = 2
EVENT = 3
VISIT = 4
NAMES = {FIX: "fix", BATTERY: "battery", EVENT: "event", VISIT: "visit"}

MAX_ENTRIES = 1024
"""Entries in one segment, and fixes in one string."""

# Detector flags of a fix: what a check on the raw sentences found.
FROZEN = 1
DISQUALIFYING = FROZEN

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


class TrackError(WireError):
    """Codes: cbor-…, shape, kind, range, time, order, count, varint, non-minimal."""


def event_name(code: int) -> str:
    """The name of an event code; `event-<code>` for one that this version does not know."""
    names = (
        "boot time_set time_step gps_silent fix_lost fix_found shift_start shift_end pause resume"
        " recovered lost pack storage_full visit_started - part_missing future_pack"
    ).split()
    name = names[code - 1] if 0 < code <= len(names) else "-"
    return f"event-{code}" if name == "-" else name


def entry_digest(entry: "Entry") -> bytes:
    """SHA-256 of an entry's deterministic CBOR: the same wherever the entry is held."""
    return hashlib.sha256(cbor.encode(entry)).digest()


def fix_flags(fix: "Entry") -> int:
    """The detector flags of a fix entry; one without a quality block has none."""
    return fix[8][6] if fix[8] else 0


def _need(ok: bool, code: str = "range") -> None:
    if not ok:
        raise TrackError(code)


def _check_fix(fix: "Entry") -> None:
    _need(type(fix) in (list, tuple) and len(fix) == 9, "shape")
    _, number, ms, lat, lon, hdop, satellites, kind, quality = fix
    _need(is_uint(number) and is_ms(ms) and is_latlon(lat, lon))
    _need(is_uint(hdop, 255, 1) and is_uint(satellites, 15) and is_uint(kind, 3))
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


def _check_row(kind: int, row: "Entry") -> None:
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


def _put_signed(out: bytearray, value: int) -> None:
    _put(out, value << 1 if value >= 0 else -1 - (value << 1))


class _Cursor:
    """Reads a packed string; every read past its end is TrackError("varint")."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def byte(self) -> int:
        _need(self.at < len(self.data), "varint")
        self.at += 1
        return self.data[self.at - 1]

    def uint(self) -> int:
        """An unsigned varint of at most five bytes, in its shortest form."""
        value = 0
        for shift in range(0, 35, 7):
            c = self.byte()
            value |= (c & 127) << shift
            if c < 128:
                _need(c > 0 or shift == 0, "non-minimal")
                return value
        raise TrackError("varint")

    def signed(self) -> int:
        z = self.uint()
        return -1 - (z >> 1) if z & 1 else z >> 1


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
    out = bytearray()
    step = lat = lon = altitude = 0
    for fix in fixes:
        _check_fix(fix)
        quality = fix[8]
        ds = _tenths(fix[2], base_ms)
        base_ms = fix[2]
        out.append(fix[6] | fix[7] << 4 | (ds != step and 0x40) | (quality is not None and 0x80))
        out.append(fix[5])
        if ds != step:
            _put_signed(out, ds - step)
            step = ds
        _put_signed(out, fix[3] - lat)
        _put_signed(out, fix[4] - lon)
        lat, lon = fix[3], fix[4]
        if quality is not None:
            altitude = _pack_quality(out, quality, altitude)
    return bytes(out)


def _pack_quality(out: bytearray, quality: "Entry", altitude: int) -> int:
    """Append a quality block; returns the altitude that the next one is told from."""
    motion = quality[0] is not None
    signal = quality[3] is not None
    _put(out, (signal and 1) | (motion and 2) | quality[6] << 2)
    if motion:
        _put(out, quality[0])
        _put(out, quality[1])
        _put_signed(out, quality[2] - altitude)
        altitude = quality[2]
    if signal:
        out.extend(bytes(quality[3:6]))
    return altitude


def unpack_fixes(data: bytes, base_ms: int, numbers: "list[int] | None" = None) -> "list[Entry]":
    """Fix entries of a packed string, numbered from `numbers` (exactly as many) or all 0."""
    _need(type(data) is bytes, "shape")
    _need(is_ms(base_ms))
    cursor = _Cursor(data)
    fixes: list[Entry] = []
    step = lat = lon = altitude = 0
    while cursor.at < len(data):
        flags = cursor.byte()
        hdop = cursor.byte()
        if flags & 0x40:
            change = cursor.signed()
            _need(change != 0, "non-minimal")
            step += change
            _need(step >= 0, "time")
        base_ms += step * 100
        lat += cursor.signed()
        lon += cursor.signed()
        quality = None
        if flags & 0x80:
            quality = _unpack_quality(cursor, altitude)
            if quality[2] is not None:
                altitude = quality[2]
        at = len(fixes)
        _need(at < (MAX_ENTRIES if numbers is None else len(numbers)), "count")
        number = 0 if numbers is None else numbers[at]
        fix = [FIX, number, base_ms, lat, lon, hdop, flags & 15, flags >> 4 & 3, quality]
        _check_fix(fix)
        fixes.append(fix)
    _need(numbers is None or len(numbers) == len(fixes), "count")
    return fixes


def _unpack_quality(cursor: _Cursor, altitude: int) -> "Entry":
    mark = cursor.uint()
    quality: Entry = [None, None, None, None, None, None, mark >> 2]
    if mark & 2:
        quality[0] = cursor.uint()
        quality[1] = cursor.uint()
        quality[2] = altitude + cursor.signed()
    if mark & 1:
        for i in (3, 4, 5):
            quality[i] = cursor.byte()
    return quality


def encode_track(entries: "list[Entry]", base_ms: int) -> bytes:
    """Part 1 of a segment from its fixes, batteries and events, ascending by number.

    `base_ms` is the ms of the segment's base stamp: no entry is older.
    """
    _need(0 < len(entries) <= MAX_ENTRIES, "count")
    fixes: list[Entry] = []
    rows: dict[int, list[Entry]] = {BATTERY: [], EVENT: []}
    last = 0
    for entry in entries:
        _need(type(entry) in (list, tuple) and len(entry) > 3, "shape")
        _need(is_uint(entry[1], U32, last + 1), "order")
        last = entry[1]
        kind = entry[0]
        if kind == FIX:
            fixes.append(entry)
            continue
        _need(kind in rows, "kind")
        row = list(entry[3:])
        _check_row(kind, row)
        rows[kind].append([last, _tenths(entry[2], base_ms)] + row)
    part: dict[int, Any] = {}
    if fixes:
        part[FIX] = pack_fixes(fixes, base_ms)
    for kind in (BATTERY, EVENT):
        if rows[kind]:
            part[kind] = rows[kind]
    try:
        return cbor.encode(part)
    except cbor.CborError as error:
        raise TrackError("cbor-" + error.code)


def decode_track(part: bytes, numbers: list[int], base_ms: int) -> "list[Entry]":
    """The entries of part 1 in order of number; `numbers` are those of the header, expanded.

    Keys that this version does not know are passed over. What the two disagree on is TrackError.
    """
    try:
        value = cbor.decode(part)
    except cbor.CborError as error:
        raise TrackError("cbor-" + error.code)
    _need(is_map(value), "shape")
    _need(is_ms(base_ms))
    found: dict[int, Entry] = {}
    for kind in (BATTERY, EVENT):
        if kind not in value:
            continue
        rows = value[kind]
        _need(is_list(rows, MAX_ENTRIES, 1), "shape")
        last = 0
        for row in rows:
            _need(is_list(row, 5, 4), "shape")
            _need(is_uint(row[0], U32, last + 1), "order")
            _need(is_uint(row[1]))
            last = row[0]
            _need(last not in found, "order")
            _check_row(kind, row[2:])
            found[last] = [kind, last, base_ms + row[1] * 100] + row[2:]
    free = [number for number in numbers if number not in found]
    # Whatever the rows claimed beyond the header's numbers leaves the counts unequal.
    _need(len(free) + len(found) == len(numbers), "count")
    if FIX in value:
        _need(value[FIX] != b"", "shape")
        for fix in unpack_fixes(value[FIX], base_ms, free):
            found[fix[1]] = fix
    _need(len(found) == len(numbers), "count")
    return [found[number] for number in numbers]
