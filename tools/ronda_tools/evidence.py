"""Checks one sealed segment with the device's public key alone: no gateway, no database, no clock.

The checks go in the order of the bytes and each is told, so that an auditor sees what holds even
where something does not. They prove that the holder of the key sealed exactly these bytes; what
they cannot prove is part of the report.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, cast

from ronda_gateway import pipeline
from ronda_gateway.feed import VISIT, describe
from ronda_gateway.keys import verify_digest
from ronda_protocol import cbor, correction, cose, fence, reading, segment, visit
from ronda_protocol.bounds import WireError

from ronda_tools import visit_words as words
from ronda_tools.evidence_file import Held
from ronda_tools.texts import say


@dataclass(frozen=True)
class Check:
    """One thing looked at. result: True holds, False does not, None could not be looked at."""

    name: str
    result: bool | None
    code: str
    fields: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass
class Report:
    """What was checked and what was read; `valid` when nothing that was checked failed."""

    checks: list[Check] = field(default_factory=list[Check])
    size: int = 0
    kid: str = ""
    header: segment.Header | None = None
    visit_id: str = ""
    chain_hash: str = ""
    withheld: list[str] = field(default_factory=list[str])
    evidence: dict[str, Any] | None = None
    answers: dict[str, Any] | None = None
    promise: dict[str, Any] | None = None
    entries: list[list[Any]] | None = None
    correction: dict[str, Any] | None = None
    signature_verified: bool = False

    @property
    def valid(self) -> bool:
        """The signature was verified and no check failed."""
        return self.signature_verified and all(c.result is not False for c in self.checks)

    def say(self, name: str, result: bool | None, code: str, **fields: object) -> bool:
        """Note a check; its result as a plain yes or no."""
        self.checks.append(Check(name, result, code, fields))
        return bool(result)


def examine(held: Held, public: bytes | None) -> Report:
    """Look at everything that can be looked at; without a public key the signature cannot be.

    public is x || y, 64 bytes. Never raises for what the bytes hold.
    """
    report = Report(size=len(held.sealed))
    if held.problem:
        report.say("structure", False, f"evidence.bad_{held.problem}")
        return report
    try:
        sign1, at = cose.parse_first(held.sealed)
        parts = _parts(held.sealed, at)
    except ValueError as error:
        report.say("structure", False, "evidence.bad_structure", why=_code(error))
        return report
    report.say("structure", True, "evidence.structure", size=report.size, parts=len(parts))
    report.kid = sign1.kid.hex()
    report.chain_hash = segment.chain_hash(sign1.protected, sign1.payload).hex()
    _check_signature(report, sign1, public)
    header = _check_header(report, sign1)
    if header is not None:
        _check_body(report, header, _check_parts(report, header, parts))
        report.say("chain", True, "evidence.chain", hash=report.chain_hash, next=header.seq + 1)
        if held.event is not None:
            _check_event(report, header, held.sealed, held.event)
    return report


def _code(error: ValueError) -> str:
    return str(getattr(error, "code", error))


def _parts(sealed: bytes, at: int) -> dict[int, bytes]:
    """The parts after the signed header, ascending; ValueError when they are not a sequence."""
    parts: dict[int, bytes] = {}
    while at < len(sealed):
        value, at = cbor.decode_first(sealed, at)
        match value:
            case [int(number), bytes(content)] if number is not True:
                if number <= max(parts, default=0):
                    raise segment.SegmentError("part-order")
                parts[number] = content
            case _:
                raise segment.SegmentError("part-shape")
    return parts


def _check_signature(report: Report, sign1: cose.Sign1, public: bytes | None) -> None:
    if public is None:
        report.say("signature", None, "evidence.no_key", kid=report.kid)
        return
    mine = cose.kid(public)
    if not report.say(
        "key",
        sign1.kid == mine,
        "evidence.key" if sign1.kid == mine else "evidence.other_key",
        kid=report.kid,
        given=mine.hex(),
    ):
        report.say("signature", None, "evidence.signature_not_tried")
        return
    report.signature_verified = cose.verify(sign1, public, verify_digest)
    good = report.signature_verified
    report.say("signature", good, "evidence.signature" if good else "evidence.bad_signature")


def _check_header(report: Report, sign1: cose.Sign1) -> segment.Header | None:
    try:
        header = segment.Header.parse(sign1.payload)
    except ValueError as error:
        report.say("header", False, "evidence.bad_header", why=_code(error))
        return None
    report.header = header
    log = header.log_id.hex()
    report.visit_id = visit.visit_id(header.device, header.log_id, header.seq)
    report.say("header", True, "evidence.header", device=header.device, log=log, seq=header.seq)
    return header


def _check_parts(
    report: Report, header: segment.Header, parts: dict[int, bytes]
) -> dict[int, bytes]:
    """The parts whose bytes are the signed ones; absent ones are named, others refused."""
    good: dict[int, bytes] = {}
    for number in sorted(header.parts.keys() | parts.keys()):
        name = segment.PART_NAMES.get(number, str(number))
        signed = header.parts.get(number)
        if signed is None:
            report.say("part", False, "evidence.part_unsigned", part=name)
        elif number not in parts:
            report.withheld.append(name)
            report.say("part", None, "evidence.part_withheld", part=name, hash=signed.hex())
        elif sha256(parts[number]).digest() == signed:
            good[number] = parts[number]
            report.say("part", True, "evidence.part", part=name, size=len(parts[number]))
        else:
            report.say("part", False, "evidence.part_changed", part=name)
    return good


def _check_body(report: Report, header: segment.Header, parts: dict[int, bytes]) -> None:
    try:
        numbers = segment.expand(header.numbers)
        if header.body == segment.VISIT_BODY:
            _read_visit(report, parts)
            good = len(numbers) == 1
            report.say(
                "numbers",
                good,
                "evidence.number" if good else "evidence.bad_numbers",
                number=numbers[0],
                count=len(numbers),
            )
        elif header.body == segment.CORRECTION_BODY:
            _read_correction(report, header, parts)
        else:
            _read_track(report, header, parts, numbers)
    except (ValueError, IndexError) as error:
        report.say("decode", False, "evidence.bad_part", why=_code(cast(ValueError, error)))


def _read_track(
    report: Report, header: segment.Header, parts: dict[int, bytes], numbers: list[int]
) -> None:
    if segment.TRACK not in parts:
        return
    entries = reading.decode_track(parts[segment.TRACK], numbers, header.stamp[1])
    report.entries = entries
    good = [entry[1] for entry in entries] == numbers
    report.say(
        "numbers",
        good,
        "evidence.numbers" if good else "evidence.bad_numbers",
        first=numbers[0],
        last=numbers[-1],
        count=len(numbers),
    )


def _read_correction(report: Report, header: segment.Header, parts: dict[int, bytes]) -> None:
    """A correction names the visit that it speaks of; the visit is evidence of its own."""
    if segment.CORRECTION in parts:
        found = correction.decode(parts[segment.CORRECTION])[1]
        named = visit.visit_id(header.device, found["log_id"], found["seq"])
        report.correction = {"visit_id": named, **found}
        report.say("decode", True, "evidence.correction", visit=named)


def _read_visit(report: Report, parts: dict[int, bytes]) -> None:
    if 2 not in parts:
        report.say("decode", False, "evidence.no_visit")
        return
    report.evidence = reading.decode_evidence(parts[2])
    if 3 in parts:
        report.answers = reading.decode_answers(parts[3])[1]
    if 4 in parts:
        report.promise = reading.decode_promise(parts[4])[1]
    report.say("decode", True, "evidence.visit", visit=report.visit_id)
    fields = report.evidence
    for moment in ("check_in", "close"):
        if fields.get(f"{moment}_verdict") is not None:
            seen = [fields[moment], fields[f"{moment}_fixes"], fields[f"{moment}_verdict"]]
            _reproduce(report, fields["place"][2:], moment, seen)
    if fields.get("portal") is not None:
        _reproduce(report, fields["place"][2:], "portal", fields["portal"])
    if fields.get("resumed") is not None:
        _reproduce(report, fields["place"][2:], "resumed", fields["resumed"][2:])


def _reproduce(report: Report, place: list[Any], moment: str, seen: list[Any]) -> None:
    """Whether a signed verdict follows from the signed fixes and place, as anyone may compute.

    `seen` begins with stamp, fixes, verdict. Another board's receiver error (UERE) would explain
    a difference, so that it is told as unchecked, not as wrong.
    """
    stamp, window, signed = seen[:3]
    fixes = reading.unpack_window(window, stamp[1])
    moment = say(f"evidence.moment.{moment}")
    try:
        ours = fence.verdict(place, fence.of_entries(fixes))
    except fence.FenceError as error:
        report.say("fence", None, "evidence.fence_impossible", moment=moment, why=error.code)
        return
    same = list(ours) == list(signed)
    report.say(
        "fence",
        True if same else None,
        "evidence.fence" if same else "evidence.fence_differs",
        moment=moment,
        verdict=words.verdict(signed),
        ours=words.verdict(ours),
    )


def _check_event(
    report: Report, header: segment.Header, sealed: bytes, event: Mapping[str, Any]
) -> None:
    """What the event around the evidence says of it must be what was signed.

    What it tells of a part that is withheld cannot be checked, and that is said.
    """
    data = cast(Mapping[str, Any], event.get("data") or {})
    good = True
    for name, claimed, signed in _differences(data, _signed(report, header, sealed)):
        good = report.say(
            "event", False, "evidence.event_differs", field=name, claimed=claimed, signed=signed
        )
    if event.get("type", VISIT) == VISIT and event.get("id", report.visit_id) != report.visit_id:
        good = report.say(
            "event",
            False,
            "evidence.event_differs",
            field="id",
            claimed=event["id"],
            signed=report.visit_id,
        )
    for name in ("answers", "promise"):
        if name in report.withheld and data.get(name) is not None:
            report.say("event", None, "evidence.event_unproved", part=name)
    if good:
        report.say("event", True, "evidence.event")


def _signed(report: Report, header: segment.Header, sealed: bytes) -> dict[str, Any]:
    """What a visit event must say: the very description that the gateway makes of the bytes.

    Less what is not the handheld's word: which parts came along, and when the gateway had them.
    """
    said: dict[str, Any] = {
        "visit_id": report.visit_id,
        "device": header.device,
        "log": header.log_id.hex(),
        "seq": header.seq,
        "kid": report.kid,
        "chain": report.chain_hash,
        "firmware": header.fw_version,
    }
    if report.correction is not None:
        names = ("visit_id", "field", "value", "reason", "gestor")
        return said | {name: report.correction[name] for name in names}
    if report.evidence is None:
        return said
    device = pipeline.Device(header.device, "", {})
    try:
        accepted = pipeline.reopen(device, sealed)
    except WireError:  # a part was changed, which is told already
        return said
    if accepted.visit is not None:
        said |= describe(accepted, accepted.visit, 0)
        del said["parts"], said["clocks"]["gateway"]
        for name in ("answers", "promise"):
            if name in report.withheld:
                del said[name]
    return said


def _differences(claimed: Any, signed: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, claimed, signed) of what both tell and tell differently."""
    if isinstance(claimed, dict) and isinstance(signed, dict):
        for name, value in cast(dict[str, Any], signed).items():
            if name in claimed:
                yield from _differences(claimed[name], value, f"{path}.{name}" if path else name)
    elif isinstance(claimed, list) and isinstance(signed, list) and len(claimed) == len(signed):  # pyright: ignore[reportUnknownArgumentType]
        for at, (one, other) in enumerate(zip(claimed, signed, strict=True)):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            yield from _differences(one, other, f"{path}[{at}]")
    elif claimed != signed:
        yield path, claimed, signed
