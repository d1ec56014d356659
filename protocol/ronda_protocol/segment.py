"""Sealed segments: the signed header, its parts, the chain hash, ranges of entry numbers.

The writing side; `reading` opens what this makes. Whose signature it is, and where in the chain a
segment belongs, is the caller's to check.
"""

import hashlib

from ronda_protocol import cbor, cose, signed
from ronda_protocol.bounds import (
    U32,
    WireError,
    is_bytes,
    is_device,
    is_list,
    is_map,
    is_stamp,
    is_text,
    is_uint,
)
from ronda_protocol.track import MAX_ENTRIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


MAX_LEN = 65536
"""Bytes of a sealed segment."""

FIRST_PREV = bytes(32)
"""The previous chain hash of seq 1."""

# Body types. Reserved: 15 parts encrypted to the gateway.
TRACK_BODY = 1
VISIT_BODY = 2
CORRECTION_BODY = 3

# Part numbers.
TRACK = 1
EVIDENCE = 2
ANSWERS = 3
PROMISE = 4
CORRECTION = 5
PART_NAMES = {TRACK: "track", EVIDENCE: "evidence", ANSWERS: "answers", PROMISE: "promise"}
PART_NAMES[CORRECTION] = "correction"


class SegmentError(WireError):
    """Codes: too-big, cose-…, cbor-…, kind, version, key, header, body, numbers, part,
    part-order, part-unknown, part-hash."""


class Header:
    """The signed payload of a segment; attributes as the keys 2 to 12 in WIRE.md.

    `numbers` is flat: [first, count, first, count…]. `parts` maps part number to SHA-256.
    `previous_log` is None or [log id, last seq, last chain hash, reason].
    """

    def __init__(  # noqa: PLR0917
        self,
        device: str,
        fw_version: str,
        fw_hash: bytes,
        log_id: bytes,
        seq: int,
        prev: bytes,
        stamp: "list[Any]",
        numbers: "list[int]",
        body: int,
        parts: "dict[int, bytes] | None" = None,
        previous_log: "list[Any] | None" = None,
    ) -> None:
        self.device = device
        self.fw_version = fw_version
        self.fw_hash = fw_hash
        self.log_id = log_id
        self.seq = seq
        self.prev = prev
        self.stamp = stamp
        self.numbers = numbers
        self.body = body
        self.parts = parts or {}
        self.previous_log = previous_log

    def payload(self) -> bytes:
        """The bytes that are signed; SegmentError when a field is out of bounds."""
        self._check()
        value: dict[int, Any] = {0: signed.SEGMENT, 1: signed.MAJOR, 2: self.device}
        value[3] = self.fw_version
        value[4] = self.fw_hash
        value[5] = self.log_id
        value[6] = self.seq
        value[7] = self.prev
        value[8] = self.stamp
        value[9] = self.numbers
        value[10] = self.body
        value[11] = self.parts
        if self.previous_log is not None:
            value[12] = self.previous_log
        return cbor.encode(value)

    @staticmethod
    def parse(payload: bytes) -> "Header":
        """The header in a payload. For another major version (code version) see `outline`."""
        value = signed.read(payload, signed.SEGMENT, 12, (12,), SegmentError)
        if 12 in value and value[12] is None:
            raise SegmentError("header")
        header = Header(*[value[key] for key in range(2, 12)], previous_log=value.get(12))
        header.parts = value[11]
        header._check()
        return header

    def _check(self) -> None:
        if not (
            is_device(self.device)
            and is_text(self.fw_version, 32)
            and is_bytes(self.fw_hash, 16)
            and is_bytes(self.log_id, 8)
            and is_uint(self.seq, U32, 1)
            and is_bytes(self.prev, 32)
            and (self.seq > 1 or self.prev == FIRST_PREV)
            and is_stamp(self.stamp)
            and (self.previous_log is None or self.seq == 1 and _is_previous(self.previous_log))
        ):
            raise SegmentError("header")
        count = len(expand(self.numbers))
        if not is_uint(self.body, CORRECTION_BODY, TRACK_BODY):
            raise SegmentError("body")
        if not is_map(self.parts):
            raise SegmentError("header")
        numbers = sorted(self.parts)
        if self.body == TRACK_BODY:
            fits = numbers == [TRACK]
        elif self.body == CORRECTION_BODY:
            fits = count == 1 and numbers == [CORRECTION]
        else:
            fits = count == 1 and numbers[:1] == [EVIDENCE] and numbers[-1] <= PROMISE
        for number in numbers:
            fits = fits and is_bytes(self.parts[number], 32)
        if not fits:
            raise SegmentError("header")


def _is_previous(value: "Any") -> bool:
    return (
        is_list(value, 4, 4)
        and is_bytes(value[0], 8)
        and is_uint(value[1])
        and is_bytes(value[2], 32)
        and is_text(value[3], 32)
    )


def chain_hash(protected: bytes, payload: bytes) -> bytes:
    """SHA-256 of deterministic CBOR [protected, payload]; the signature is not in it."""
    return hashlib.sha256(cbor.encode([protected, payload])).digest()


def expand(numbers: "list[int]") -> list[int]:
    """The entry numbers of flat ranges; SegmentError("numbers") unless they are in normal form.

    Normal: ascending, from 1 to 2^32-1, neighbours merged, 1 to 1024 numbers in all.
    """
    found: list[int] = []
    if not is_list(numbers, 2 * MAX_ENTRIES, 2) or len(numbers) & 1:
        raise SegmentError("numbers")
    low = 1
    for i in range(0, len(numbers), 2):
        first, count = numbers[i], numbers[i + 1]
        if not is_uint(first, U32, low) or not is_uint(count, MAX_ENTRIES - len(found), 1):
            raise SegmentError("numbers")
        low = first + count + 1
        if low > U32 + 2:
            raise SegmentError("numbers")
        found.extend(range(first, first + count))
    return found


def ranges(numbers: "list[int]") -> list[int]:
    """The flat ranges of ascending entry numbers."""
    flat: list[int] = []
    for number in numbers:
        if flat and flat[-2] + flat[-1] == number:
            flat[-1] += 1
        else:
            flat.append(number)
            flat.append(1)
    return flat


def seal(header: Header, parts: "dict[int, bytes]", signer: "cose.DigestSigner") -> bytes:
    """A sealed segment; writes the hashes of `parts` into the header first."""
    header.parts = {number: hashlib.sha256(parts[number]).digest() for number in parts}
    return assemble(cose.sign(header.payload(), signer), parts)


def assemble(sign1: bytes, parts: "dict[int, bytes]") -> bytes:
    """The CBOR sequence of a COSE_Sign1 and the parts to show; leave out those to withhold."""
    pieces = [sign1]
    for number in sorted(parts):
        pieces.append(cbor.encode([number, parts[number]]))
    return b"".join(pieces)
