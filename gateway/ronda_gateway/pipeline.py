"""Bytes and a topic in, one verdict out: decode, verify, read. Pure: no database, no clock.

What was already stored is none of its business: place in the chain is judged by `chain.py`, a
visit by `judge.py`. It never raises on hostile bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ronda_protocol import correction, cose, reading, segment
from ronda_protocol.bounds import WireError

from ronda_gateway import schema
from ronda_gateway.keys import verify_digest

# Reasons for quarantine; `wording.py` and docs name them, alerts and rows carry them.
UNKNOWN_DEVICE = "unknown_device"
WRONG_TOPIC = "wrong_topic"
BAD_SIGNATURE = "bad_signature"
UNDECODABLE = "undecodable"
FORK = "fork"
STRIPPED = "stripped"
REVOKED = "revoked"
INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Device:
    """An enrolled device as the pipeline needs it: its state, and public keys by kid."""

    id: str
    state: str
    keys: dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Message:
    """One message on up/<device>; `at` unix seconds of arrival; `held_id`: it waited in held."""

    topic: str
    device: str
    raw: bytes
    at: int
    held_id: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Not this device's signed word: kept with its reason, never receipted."""

    reason: str
    detail: str


@dataclass(slots=True)
class Visit:
    """The contents of a visit segment; answers and promise are None where withheld or absent."""

    evidence: dict[str, Any]
    answers: dict[str, Any] | None
    promise: dict[str, Any] | None


@dataclass(slots=True)
class Accepted:
    """Signed by the device whose topic it came on; `status` as in schema (0, 1 or 3).

    `header` and `sealed` are None where this version cannot read the header, `trouble` then says
    why, as it does for contents that do not decode.
    """

    device: Device
    kid: bytes
    log_id: bytes
    seq: int
    prev: bytes
    chain: bytes
    raw: bytes
    status: int = schema.STORED
    trouble: str = ""
    header: segment.Header | None = None
    sealed: reading.Segment | None = None
    entries: list[list[Any]] = field(default_factory=list[list[Any]])
    visit: Visit | None = None
    correction: dict[str, Any] | None = None


def judge_bytes(
    topic_device: str, raw: bytes, lookup: Callable[[str], Device | None]
) -> Accepted | Rejected:
    """What one message on up/<topic_device> is; `lookup` knows the enrolled devices."""
    device = lookup(topic_device)
    if device is None:
        return Rejected(UNKNOWN_DEVICE, "not enrolled")
    try:
        sealed = reading.parse(raw)
    except WireError as error:
        return _judge_unreadable(device, raw, error.code)
    header = sealed.header
    refusal = _check_origin(device, header.device, sealed.sign1)
    if refusal:
        return refusal
    return _opened(device, sealed)


def reopen(device: Device, raw: bytes) -> Accepted:
    """A segment as it is stored, verified when it came: parts read again. WireError if cut."""
    return _opened(device, reading.parse(raw))


def _opened(device: Device, sealed: reading.Segment) -> Accepted:
    header = sealed.header
    accepted = Accepted(
        device,
        sealed.sign1.kid,
        header.log_id,
        header.seq,
        header.prev,
        sealed.chain_hash(),
        sealed.raw,
        header=header,
        sealed=sealed,
    )
    read(accepted)
    return accepted


def read(accepted: Accepted) -> None:
    """Decode the parts that are present; what does not decode makes it held, never lost."""
    sealed = accepted.sealed
    if sealed is None:
        return
    try:
        if sealed.header.body == segment.VISIT_BODY:
            accepted.visit = read_visit(sealed)
        elif segment.CORRECTION in sealed.parts:
            accepted.correction = correction.decode(sealed.parts[segment.CORRECTION])[1]
        accepted.entries = sealed.entries()
    except WireError as error:
        accepted.status = schema.HELD
        accepted.trouble = f"contents: {error.code}"
        accepted.entries = []
        accepted.visit = None
        accepted.correction = None


def read_visit(sealed: reading.Segment) -> Visit | None:
    """The visit in a segment; None while its evidence is withheld. VisitError, WireError."""
    parts = sealed.parts
    if segment.EVIDENCE not in parts:
        return None
    answers = parts.get(segment.ANSWERS)
    promise = parts.get(segment.PROMISE)
    return Visit(
        reading.decode_evidence(parts[segment.EVIDENCE]),
        reading.decode_answers(answers)[1] if answers is not None else None,
        reading.decode_promise(promise)[1] if promise is not None else None,
    )


def _check_origin(device: Device, claimed: str, sign1: cose.Sign1) -> Rejected | None:
    """The device of the header, the key and the topic must be one (trust.md, threat 19)."""
    if claimed != device.id:
        return Rejected(WRONG_TOPIC, f"the header names {claimed}")
    public = device.keys.get(sign1.kid)
    if public is None:
        return Rejected(WRONG_TOPIC, f"key {sign1.kid.hex()} is not this device's")
    # What is left of cose.verify: the kid chose this key, and parsing refused a high s.
    digest = cose.tbs_digest(sign1.protected, sign1.payload)
    if not verify_digest(public, digest, sign1.signature):
        return Rejected(BAD_SIGNATURE, f"key {sign1.kid.hex()}")
    return None


def _judge_unreadable(device: Device, raw: bytes, code: str) -> Accepted | Rejected:
    """A segment that does not parse: held when its signed header alone is the trouble.

    Damaged or missing parts are refused instead: the device still has the whole ones.
    """
    try:
        if len(raw) > segment.MAX_LEN:
            raise segment.SegmentError(code)
        sign1, _ = cose.parse_first(raw, 0, segment.MAX_LEN)
        version, claimed, log_id, seq, prev = reading.outline(sign1.payload)
        header_code = _header_code(sign1.payload)
        if not header_code:
            raise segment.SegmentError(code)
    except (WireError, cose.CoseError):
        return Rejected(UNDECODABLE, code)
    refusal = _check_origin(device, claimed, sign1)
    if refusal:
        return refusal
    chain = segment.chain_hash(sign1.protected, sign1.payload)
    accepted = Accepted(device, sign1.kid, log_id, seq, prev, chain, raw)
    if header_code in ("version", "body"):
        accepted.status = schema.UNREADABLE_VERSION
        accepted.trouble = f"major version {version}" if header_code == "version" else "body type"
    else:
        accepted.status = schema.HELD
        accepted.trouble = f"header: {header_code}"
    return accepted


def _header_code(payload: bytes) -> str:
    """Why a header does not parse; "" when it does."""
    try:
        segment.Header.parse(payload)
    except WireError as error:
        return error.code
    return ""
