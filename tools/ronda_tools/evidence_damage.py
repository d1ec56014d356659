"""Finds the one changed byte in evidence that does not verify, and names the field it lies in.

A failed check says that something changed, not what. But where one byte was changed, or one
letter of base64, putting it back makes everything fit again and nothing else does: it is searched
for. Larger changes are not found. Sections are "framing", "protected", "header", "signature" or
the name of a part.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from ronda_gateway.keys import verify_digest
from ronda_protocol import cbor, cose, segment, visit

from ronda_tools.evidence import Report
from ronda_tools.texts import say

BUDGET_S = 10.0
"""Seconds of search, all pieces of evidence of one command together."""
# What a changed byte can make fail; the other checks are about what was signed so.
_BYTES = {"structure", "key", "signature", "header", "part"}
# Names of fields by key, or by place in the promise.
_HEADER = (
    *("message", "version", "device", "firmware_version", "firmware_hash", "log_id", "seq"),
    *("previous_hash", "stamp", "numbers", "body", "parts", "previous_log"),
)
_TRACK = ("-", "fixes", "batteries", "events")
_EVIDENCE = ("-", *visit.FIELDS.split())
_PROMISE = ("currency", "kind", "pairs", "who", "limits")


@dataclass(frozen=True)
class Damage:
    """What was found: the offset in the sealed bytes, the bytes there and those that verify."""

    at: int
    found: bytes
    was: bytes
    section: str
    field: str


def point_out(report: Report, sealed: bytes, public: bytes, budget_s: float = BUDGET_S) -> None:
    """Add to a report that is not valid the place of the change, or that it cannot be told."""
    if not sealed or not any(c.result is False and c.name in _BYTES for c in report.checks):
        return
    damage = locate(sealed, public, budget_s)
    if damage is None:
        report.say("change", None, "evidence.not_located")
        return
    report.say(
        "change",
        False,
        "evidence.changed_byte",
        at=damage.at,
        found=damage.found.hex(),
        was=damage.was.hex(),
        place=_place(damage),
        section=damage.section,
        field=damage.field,
    )


def _place(damage: Damage) -> str:
    if damage.section in ("framing", "protected", "signature"):
        return say(f"evidence.place.{damage.section}")
    if damage.section == "header":
        return say("evidence.place.header", field=damage.field)
    code = "evidence.place.part" if damage.field else "evidence.place.part_only"
    return say(code, part=damage.section, field=damage.field)


def locate(sealed: bytes, public: bytes, budget_s: float = BUDGET_S) -> Damage | None:
    """The changed byte of a sealed segment that does not verify under `public` (64 bytes).

    None when it is whole, when more was changed, when it is another key's, or when `budget_s`
    seconds were not enough.
    """
    until = time.monotonic() + budget_s
    if _is_anothers(sealed, cose.kid(public)):
        return None
    end = _signed_end(sealed, public)
    if end:
        return _in_parts(sealed, end, until)
    head = sealed[: _reach(sealed)]
    for changed, at, size in _candidates(head, 0, len(head), until):
        if _signed_end(changed, public):
            return _named(sealed, changed + sealed[len(head) :], at, size)
    return None


def _signed_end(data: bytes, public: bytes) -> int:
    """Where the COSE_Sign1 ends if it verifies; 0 if it does not."""
    try:
        sign1, end = cose.parse_first(data)
    except cose.CoseError:
        return 0
    return end if cose.verify(sign1, public, verify_digest) else 0


def _is_anothers(sealed: bytes, kid: bytes) -> bool:
    """Whether the kid differs by more than one change of a byte or a letter of base64 does."""
    try:
        named = cose.parse_first(sealed)[0].kid
    except cose.CoseError:
        return False
    return sum(a != b for a, b in zip(named, kid, strict=True)) > 2


def _reach(sealed: bytes) -> int:
    """Where the COSE_Sign1 ends; a damaged one shows no end, and most end before this."""
    try:
        return cose.parse_first(sealed)[1]
    except cose.CoseError:
        return 512


def _in_parts(sealed: bytes, end: int, until: float) -> Damage | None:
    """The changed byte behind a good signature; what the header says is true then."""
    try:
        hashes = segment.Header.parse(cose.parse_first(sealed)[0].payload).parts
    except ValueError:
        return None
    if _parts_fit(sealed, end, hashes):
        return None
    first, last = _suspect(sealed, end, hashes)
    for changed, at, size in _candidates(sealed, first, last, until):
        if _parts_fit(changed, end, hashes):
            return _named(sealed, changed, at, size)
    return None


def _items(data: bytes, at: int) -> Iterator[tuple[int, bytes, int]]:
    """(part number, content, end) of each part from `at`; ValueError when it is no part."""
    while at < len(data):
        value, at = cbor.decode_first(data, at)
        match value:
            case [int(number), bytes(content)]:
                yield number, content, at
            case _:
                raise segment.SegmentError("part")


def _parts_fit(data: bytes, at: int, hashes: dict[int, bytes]) -> bool:
    try:
        return all(
            sha256(content).digest() == hashes.get(number)
            for number, content, _ in _items(data, at)
        )
    except ValueError:
        return False


def _suspect(data: bytes, at: int, hashes: dict[int, bytes]) -> tuple[int, int]:
    """The stretch from the first part that does not fit to its end, or to the end of all."""
    try:
        for number, content, end in _items(data, at):
            if sha256(content).digest() != hashes.get(number):
                return at, end
            at = end
    except ValueError:
        pass
    return at, len(data)


def _candidates(
    data: bytes, first: int, last: int, until: float
) -> Iterator[tuple[bytes, int, int]]:
    """(changed bytes, offset, length): single bits, letters of base64, then any byte."""
    for changes in (_bits, _letters, _bytes):
        for at, mask in changes(first, last):
            size = len(mask)
            if at + size > len(data):
                continue
            if time.monotonic() > until:
                return
            mixed = bytes(a ^ b for a, b in zip(data[at : at + size], mask, strict=True))
            yield data[:at] + mixed + data[at + size :], at, size


def _bits(first: int, last: int) -> Iterator[tuple[int, bytes]]:
    for at in range(first, last):
        for bit in range(8):
            yield at, bytes([1 << bit])


def _letters(first: int, last: int) -> Iterator[tuple[int, bytes]]:
    """What a changed letter of base64 does: six bits, in one byte or across two."""
    for letter in range(first * 8 // 6, last * 8 // 6 + 1):
        at, shift = letter * 6 // 8, letter * 6 % 8
        size = 1 if shift <= 2 else 2
        if at < first:
            continue
        for value in range(1, 64):
            yield at, (value << (8 * size - 6 - shift)).to_bytes(size, "big")


def _bytes(first: int, last: int) -> Iterator[tuple[int, bytes]]:
    for at in range(first, last):
        for value in range(1, 256):
            if value & (value - 1):  # single bits were tried
                yield at, bytes([value])


# ---- where a byte lies --------------------------------------------------------------------------


def _named(sealed: bytes, whole: bytes, at: int, size: int) -> Damage:
    while size > 1 and sealed[at] == whole[at]:
        at, size = at + 1, size - 1
    while size > 1 and sealed[at + size - 1] == whole[at + size - 1]:
        size -= 1
    section, field = place_of(whole, at)
    return Damage(at, sealed[at : at + size], whole[at : at + size], section, field)


def place_of(whole: bytes, at: int) -> tuple[str, str]:
    """(section, field) of an offset in the bytes of a whole segment; the field may be ""."""
    spans: list[tuple[str, int, int]] = []
    position = 2  # behind tag and array
    for name in ("protected", "", "header", "signature"):
        value, end = cbor.decode_first(whole, position)
        if name:
            spans.append((name, end - len(value), end))
        position = end
    if at < position:
        for name, start, end in spans:
            if start <= at < end:
                field = _key_at(whole[start:end], at - start, _HEADER) if name == "header" else ""
                return name, field
        return "framing", ""
    for number, content, end in _items(whole, position):
        start = end - len(content)
        if at < end:
            if at < start:
                return "framing", ""
            return segment.PART_NAMES.get(number, str(number)), _in_part(
                number, content, at - start
            )
    return "framing", ""


def _in_part(number: int, content: bytes, at: int) -> str:
    if number == segment.TRACK:
        return _key_at(content, at, _TRACK)
    if number == segment.EVIDENCE:
        return _key_at(content, at, _EVIDENCE)
    if at < 16:
        return "salt"
    if number == segment.PROMISE:
        return _item_at(content[16:], at - 16)
    return _key_at(content[16:], at - 16, ())


def _head(data: bytes) -> int:
    """Length of the head of the array or map that the data is."""
    return {24: 2, 25: 3}.get(data[0] & 31, 1)


def _key_at(data: bytes, at: int, names: Sequence[str]) -> str:
    """The name of the map's pair that holds an offset; the key itself where it has no name."""
    return _walk(data, at, 2, lambda _, key: _name(key, names))


def _item_at(data: bytes, at: int) -> str:
    """The name of the promise's item that holds an offset."""
    return _walk(data, at, 1, lambda index, _: _name(index, _PROMISE))


def _walk(data: bytes, at: int, each: int, name: Callable[[int, object], str]) -> str:
    try:
        position, index = _head(data), 0
        while position < len(data):
            start, first = position, None
            for turn in range(each):
                value, position = cbor.decode_first(data, position)
                first = value if turn == 0 else first
            if start <= at < position:
                return name(index, first)
            index += 1
    except ValueError:
        pass
    return ""


def _name(key: object, names: Sequence[str]) -> str:
    if isinstance(key, int) and 0 <= key < len(names):
        return names[key]
    return str(key)
