"""The reading side of sealed segments: what a gateway or an auditor opens, back to values.

A handheld writes these forms and reads almost none of them, and has no heap to spare for it.
Signatures are not verified here.
"""

import hashlib

from ronda_protocol import cbor, cose, signed, visit
from ronda_protocol.bounds import (
    MAX_UTC,
    U16,
    U32,
    is_bytes,
    is_device,
    is_list,
    is_map,
    is_ms,
    is_place,
    is_portfolio,
    is_stamp,
    is_text,
    is_uint,
)
from ronda_protocol.segment import (
    MAX_LEN,
    TRACK,
    TRACK_BODY,
    Header,
    SegmentError,
    chain_hash,
    expand,
)
from ronda_protocol.track import (
    BATTERY,
    EVENT,
    FIX,
    MAX_ENTRIES,
    SHORT,
    TrackError,
    check_fix,
    check_row,
)
from ronda_protocol.visit import VisitError

# Cells of decoded CBOR are Any by nature.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ronda_protocol.track import Entry


_MAX_MS = 0x1FFFFFFFFFFFFF  # as bounds.is_ms


def _need(ok: bool, code: str = "range") -> None:
    if not ok:
        raise TrackError(code)


class Segment:
    """A parsed segment: `sign1`, `header`, `parts` present, `withheld` part numbers, `raw`.

    `signed` is the COSE_Sign1 alone, as it came.
    """

    def __init__(self, raw: bytes, end: int, sign1: cose.Sign1, header: Header) -> None:
        self.raw = raw
        self.signed = raw[:end]
        self.sign1 = sign1
        self.header = header
        self.parts: dict[int, bytes] = {}
        self.withheld: list[int] = []

    def chain_hash(self) -> bytes:
        """What the next segment of this log names as its previous hash."""
        return chain_hash(self.sign1.protected, self.sign1.payload)

    def entries(self) -> "list[Entry]":
        """Its canonical entries; TrackError. None can be told when the track is withheld: []."""
        header = self.header
        if header.body != TRACK_BODY:
            return [[header.body + 2, header.numbers[0], header.parts]]
        if TRACK in self.withheld:
            return []
        return decode_track(self.parts[TRACK], expand(header.numbers), header.stamp[1])


def parse(data: bytes, max_len: int = MAX_LEN) -> Segment:
    """The segment in `data`: form and part hashes checked, signature not."""
    if len(data) > max_len:
        raise SegmentError("too-big")
    try:
        sign1, at = cose.parse_first(data, 0, max_len)
    except cose.CoseError as error:
        raise SegmentError("cose-" + error.code)
    segment = Segment(data, at, sign1, Header.parse(sign1.payload))
    hashes = segment.header.parts
    last = 0
    while at < len(data):
        try:
            item, at = cbor.decode_first(data, at, max_len, 1, 3)
        except cbor.CborError as error:
            raise SegmentError("cbor-" + error.code)
        if not is_list(item, 2, 2) or not is_uint(item[0], U16) or type(item[1]) is not bytes:
            raise SegmentError("part")
        number, content = item
        if number <= last:
            raise SegmentError("part-order")
        if number not in hashes:
            raise SegmentError("part-unknown")
        if hashlib.sha256(content).digest() != hashes[number]:
            raise SegmentError("part-hash")
        segment.parts[number] = content
        last = number
    segment.withheld = [number for number in sorted(hashes) if number not in segment.parts]
    return segment


def outline(payload: bytes) -> "tuple[int, str, bytes, int, bytes]":
    """(major version, device, log id, seq, previous hash) of a header of any major version.

    Keys 0, 1, 2, 5, 6 and 7 mean the same in all of them, so that a gateway can keep, place in
    the chain and receipt what it cannot read.
    """
    try:
        value = cbor.decode(payload)
    except cbor.CborError as error:
        raise SegmentError("cbor-" + error.code)
    if not is_map(value) or not is_uint(value.get(0), signed.SEGMENT, signed.SEGMENT):
        raise SegmentError("kind")
    if not (
        is_uint(value.get(1), U16)
        and is_device(value.get(2))
        and is_bytes(value.get(5), 8)
        and is_uint(value.get(6), U32, 1)
        and is_bytes(value.get(7), 32)
    ):
        raise SegmentError("header")
    return value[1], value[2], value[5], value[6], value[7]


def event_name(code: int) -> str:
    """The name of an event code; `event-<code>` for one that this version does not know."""
    names = (
        "boot time_set time_step gps_silent fix_lost fix_found shift_start shift_end pause resume"
        " recovered lost pack storage_full visit_started - part_missing future_pack"
        " visit_resume wiped"
    ).split()
    name = names[code - 1] if 0 < code <= len(names) else "-"
    return f"event-{code}" if name == "-" else name


def flag_names(flags: int) -> "list[str]":
    """The names of a fix's detector flags; `flag-<value>` for one that this version does not know.

    WIRE.md, Detector flags.
    """
    names = (
        "frozen time clock jump motion altitude signal sky early rate garbage estimated"
    ).split()
    found: list[str] = []
    for bit in range(16):
        if flags >> bit & 1:
            found.append(names[bit] if bit < len(names) else f"flag-{1 << bit}")
    return found


def _uint(data: bytes, at: int) -> "tuple[int, int]":
    """The varint of at most ten bytes at `at`, in its shortest form, and the index after it."""
    value = shift = 0
    while True:
        c = data[at]
        at += 1
        value |= (c & 127) << shift
        if c < 128:
            _need(c > 0 or shift == 0, "non-minimal")
            return value, at
        shift += 7
        _need(shift < 70, "varint")


def _unzigzag(z: int) -> int:
    return -1 - (z >> 1) if z & 1 else z >> 1


# The even bits of each byte, as a number below 16.
_EVEN = bytes([x & 1 | x >> 1 & 2 | x >> 2 & 4 | x >> 3 & 8 for x in range(256)])


def _parted(z: int) -> "tuple[int, int]":
    """The two signed numbers whose zigzags' bits alternate in z."""
    a = b = shift = 0
    while z:
        a |= _EVEN[z & 255] << shift
        b |= _EVEN[z >> 1 & 127] << shift
        z >>= 8
        shift += 4
    return (a >> 1) ^ -(a & 1), (b >> 1) ^ -(b & 1)


def unpack_fixes(data: bytes, base_ms: int, numbers: "list[int] | None" = None) -> "list[Entry]":
    """Fix entries of a packed string, numbered from `numbers` (exactly as many) or all 0.

    Accepts only what `pack_fixes` would have written.
    """
    _need(type(data) is bytes, "shape")
    _need(is_ms(base_ms))
    try:
        fixes = _unpack(data, base_ms, MAX_ENTRIES if numbers is None else len(numbers))
    except IndexError:  # the only index that can leave its list is the one into data
        raise TrackError("varint")
    if numbers is not None:
        _need(len(numbers) == len(fixes), "count")
        for i in range(len(fixes)):
            fixes[i][1] = numbers[i]
    return fixes


def _unpack(data: bytes, ms: int, most: int) -> "list[Entry]":
    """At most `most` fixes, numbered 0. Long, because a gateway spends its time here: without
    calls a fix costs a third."""
    fixes: list[Entry] = []
    at = step = lat = lon = dlat = dlon = altitude = 0
    hdop = satellites = kind = 0
    end = len(data)
    while at < end:
        if len(fixes) >= most:
            raise TrackError("count")
        mark = data[at]
        at += 1
        if mark & 0x30 == SHORT:
            if not kind or mark & 3 == 3 or mark & 12 == 12:
                raise TrackError("shape")
            satellites += (mark & 3) - 1
            hdop += (mark >> 2 & 3) - 1
        else:
            before = kind, satellites, hdop
            kind, satellites, hdop = mark >> 4 & 3 or 1, mark & 15, data[at]
            at += 1
            # One form only: what can be told shortly is.
            near = before[0] == kind and abs(before[1] - satellites) < 2
            _need(not near or abs(before[2] - hdop) > 1, "non-minimal")
        if mark & 0x40:
            z, at = _uint(data, at)
            _need(z > 0, "non-minimal")
            step += _unzigzag(z)
            _need(step >= 0, "time")
        ms += step * 100
        z = data[at]
        at += 1
        if z > 127:
            c = data[at]
            if 0 < c < 128:  # two bytes, or three: what a walk nearly always needs
                z = z & 127 | c << 7
                at += 1
            elif c > 127 and 0 < data[at + 1] < 128:
                z = z & 127 | (c & 127) << 7 | data[at + 1] << 14
                at += 2
            else:
                z, at = _uint(data, at - 1)
        if z:
            if z < 0x1000000:
                a = _EVEN[z & 255] | _EVEN[z >> 8 & 255] << 4 | _EVEN[z >> 16] << 8
                z >>= 1
                b = _EVEN[z & 255] | _EVEN[z >> 8 & 255] << 4 | _EVEN[z >> 16] << 8
                dlat += a >> 1 ^ -(a & 1)
                dlon += b >> 1 ^ -(b & 1)
            else:
                a, b = _parted(z)
                dlat += a
                dlon += b
        lat += dlat
        lon += dlon
        if not fixes:  # the second fix is told from the first
            dlat = dlon = 0
        quality = None
        if mark & 0x80:
            quality, at = _unpack_quality(data, at, altitude)
            if quality[2] is not None:
                altitude = quality[2]
        fix = [FIX, 0, ms, lat, lon, hdop, satellites, kind, quality]
        if (
            ms > _MAX_MS
            or not -900000000 <= lat <= 900000000
            or not -1800000000 <= lon <= 1800000000
            or not 0 < hdop < 256
            or not 0 <= satellites < 16
        ):
            check_fix(fix)
        fixes.append(fix)
    return fixes


def _unpack_quality(data: bytes, at: int, altitude: int) -> "tuple[Entry, int]":
    """The quality block at `at`, within the bounds of track.check_fix, and the index after it."""
    mark = data[at]
    at += 1
    if mark > 127:
        mark, at = _uint(data, at - 1)
    quality: Entry = [None, None, None, None, None, None, mark >> 2]
    ok = mark >> 2 <= U16
    if mark & 2:
        speed = data[at]
        at += 1
        if speed > 127:
            speed, at = _uint(data, at - 1)
        course, at = _uint(data, at)
        z, at = _uint(data, at)
        altitude += _unzigzag(z)
        ok = ok and speed <= U16 and course < 360 and -99999 <= altitude <= 99999
        quality[0], quality[1], quality[2] = speed, course, altitude
    if mark & 1:
        quality[3], quality[4], quality[5] = data[at], data[at + 1], data[at + 2]
        at += 3
    _need(ok)
    return quality, at


def decode_track(part: bytes, numbers: list[int], base_ms: int) -> "list[Entry]":
    """The entries of part 1 in order of number; `numbers` are those of the header, expanded.

    Keys that this version does not know are passed over. What the two disagree on is TrackError.
    """
    try:
        value = cbor.decode(part, MAX_LEN, cbor.MAX_DEPTH, 16384)
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
            check_row(kind, row[2:])
            ms = base_ms + row[1] * 100
            _need(is_ms(ms))
            found[last] = [kind, last, ms] + row[2:]
    free = [number for number in numbers if number not in found]
    # Whatever the rows claimed beyond the header's numbers leaves the counts unequal.
    _need(len(free) + len(found) == len(numbers), "count")
    if FIX in value:
        _need(value[FIX] != b"", "shape")
        for fix in unpack_fixes(value[FIX], base_ms, free):
            found[fix[1]] = fix
    _need(len(found) == len(numbers), "count")
    return [found[number] for number in numbers]


def _need_visit(ok: bool, code: str) -> None:
    if not ok:
        raise VisitError(code)


def _decode(data: bytes) -> "Any":
    try:
        return cbor.decode(data, visit.MAX_BODY)
    except cbor.CborError as error:
        raise VisitError("cbor-" + error.code)


def unpack_window(value: "Any", stamp_ms: int) -> "list[Entry]":
    """The fix entries, all numbered 0, of what `pack_window` made; VisitError("fixes")."""
    visit.check_window(value, stamp_ms)
    try:
        fixes = unpack_fixes(value[1], stamp_ms - value[0] * 100)
    except TrackError:
        raise VisitError("fixes")
    _need_visit(len(fixes) <= visit.MAX_WINDOW, "fixes")
    _need_visit(not fixes or fixes[-1][2] <= stamp_ms, "fixes")
    return fixes


def _is_verdict(value: "Any") -> bool:
    """[1..3, signed d in dm or None, r in dm or None, fixes used, reason 0..3]."""
    return (
        is_list(value, 5, 5)
        and is_uint(value[0], 3, 1)
        and (value[1] is None or is_uint(value[1], U32, -20000))
        and (value[2] is None or is_uint(value[2]))
        and is_uint(value[3], visit.MAX_WINDOW)
        and is_uint(value[4], 3)
    )


def check_evidence(fields: "Any") -> None:
    """VisitError(name) for the first field that is missing or out of bounds."""
    get = fields.get
    ended = get("ended")
    _need_visit(is_uint(ended, visit.REFUSED, visit.CLOSED), "ended")
    _need_visit(is_text(get("case_id"), 32), "case_id")
    _need_visit(is_portfolio(get("portfolio")), "portfolio")
    _need_visit(is_text(get("creditor"), 32), "creditor")
    _need_visit(is_place(get("place")), "place")
    _check_moment(fields, "check_in")
    refused = ended == visit.REFUSED
    _need_visit(
        is_uint(get("opened"), 0 if refused else visit.OPENED_PORTAL, 0 if refused else 1),
        "opened",
    )
    if get("close") is not None or ended == visit.CLOSED:
        _check_moment(fields, "close")
    else:
        _need_visit(get("close_fixes") is None and get("close_verdict") is None, "close")
    law = get("law")
    _need_visit(is_list(law, 8, 1) and is_uint(law[0]), "law")
    outcome = get("outcome")
    _need_visit(ended != visit.CLOSED if outcome is None else is_text(outcome, 32), "outcome")
    battery = get("battery")
    if battery is not None:
        ok = is_list(battery, 3, 3) and is_uint(battery[0], U16) and is_uint(battery[2], 255)
        _need_visit(ok and (battery[1] is None or is_uint(battery[1], 100)), "battery")
    attempts = get("attempts")
    _need_visit(attempts is None or refused and is_uint(attempts, U16, 1), "attempts")
    gestor = get("gestor")
    _need_visit(gestor is None or is_text(gestor, 32), "gestor")
    form = get("form")
    if form is not None:
        _need_visit(is_list(form, 2, 2) and is_text(form[0], 32) and is_bytes(form[1], 8), "form")
    version = get("cases_version")
    _need_visit(version is None or is_uint(version, MAX_UTC), "cases_version")
    _check_portal(fields)


def _check_moment(fields: "Any", name: str) -> None:
    """Stamp, fixes and verdict of check-in (all needed) or close (a fix may not be asked for)."""
    stamp = fields.get(name)
    _need_visit(is_stamp(stamp), name)
    fixes = fields.get(name + "_fixes")
    verdict = fields.get(name + "_verdict")
    if name == "close" and fixes is None and verdict is None:
        return
    visit.check_window(fixes, stamp[1])
    _need_visit(_is_verdict(verdict), name + "_verdict")


def _check_portal(fields: "Any") -> None:
    """How long the fixes stayed inside; where the visit was opened from a building's entrance."""
    get = fields.get
    dwell = get("dwell")
    if dwell is not None:
        _need_visit(is_list(dwell, 2, 2) and is_uint(dwell[0]), "dwell")
        _need_visit(dwell[1] is None or is_uint(dwell[1]), "dwell")
    portal, opened = get("portal"), get("opened") == visit.OPENED_PORTAL
    _need_visit(opened == (portal is not None), "portal")
    if opened:
        _need_visit(is_list(portal, 4, 4) and is_stamp(portal[0]), "portal")
        visit.check_window(portal[1], portal[0][1])
        _need_visit(_is_verdict(portal[2]) and is_uint(portal[3]), "portal")
    no_signal = get("no_signal")
    closed = opened and get("ended") == visit.CLOSED
    _need_visit(no_signal is None or no_signal is True and closed, "no_signal")
    resumed = get("resumed")
    if resumed is not None:
        ok = get("ended") != visit.REFUSED and is_list(resumed, 5, 5) and is_stamp(resumed[2])
        _need_visit(ok and is_uint(resumed[0], U16, 1) and is_uint(resumed[1]), "resumed")
        _need_visit(_is_verdict(resumed[4]), "resumed")
        visit.check_window(resumed[3], resumed[2][1])


def _is_lines(value: "Any") -> bool:
    """Free text, which may have more than one line."""
    return type(value) is str and is_text(value.replace("\n", " "), 4096, 0)


def check_answers(answers: "Any") -> None:
    """VisitError("answers") unless these are answers by question id."""
    _need_visit(isinstance(answers, dict) and len(answers) <= 256, "answers")
    for key, answer in answers.items():
        many = answer if is_list(answer, 64) else [answer]
        _need_visit(is_text(key, 32), "answers")
        for one in many:
            ok = type(one) is int or _is_lines(one)
            _need_visit(ok or many is not answer and (one is None or type(one) is bool), "answers")


def decode_evidence(part: bytes) -> "dict[str, Any]":
    """The fields of part 2 by name; keys unknown to this version are kept under `unknown`."""
    value = _decode(part)
    _need_visit(is_map(value), "shape")
    names = visit.FIELDS.split()
    fields: dict[str, Any] = {}
    unknown: dict[int, Any] = {}
    for key in sorted(value):  # MicroPython's order is another, and the first fault names itself
        if 0 < key <= len(names):
            _need_visit(value[key] is not None, names[key - 1])
            fields[names[key - 1]] = value[key]
        else:
            unknown[key] = value[key]
    if unknown:
        fields["unknown"] = unknown
    check_evidence(fields)
    for name in ("check_in", "close"):
        if name + "_fixes" in fields:
            unpack_window(fields[name + "_fixes"], fields[name][1])
    if "portal" in fields:
        unpack_window(fields["portal"][1], fields["portal"][0][1])
    if "resumed" in fields:
        unpack_window(fields["resumed"][3], fields["resumed"][2][1])
    return fields


def _unsalted(part: bytes) -> "tuple[bytes, Any]":
    _need_visit(len(part) > 16, "salt")
    return part[:16], _decode(part[16:])


def decode_answers(part: bytes) -> "tuple[bytes, dict[str, Any]]":
    """(salt, {question id: answer}) of part 3."""
    salt, answers = _unsalted(part)
    check_answers(answers)
    return salt, answers


def decode_promise(part: bytes) -> "tuple[bytes, dict[str, Any]]":
    """(salt, promise) of part 4, as `encode_promise` takes it."""
    salt, value = _unsalted(part)
    visit.check_promise(value)
    currency, kind, pairs, who, limits = value
    promise = {"currency": currency, "kind": kind, "pairs": pairs, "who": who, "limits": limits}
    return salt, promise
