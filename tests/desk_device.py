"""A handheld at a desk: makes and signs segments on CPython, for tests of gateway and tools.

The firmware has its own tests; this one exists to make what the firmware never would.
"""

import hashlib
import random
from typing import Any

from ronda_gateway import keys
from ronda_protocol import correction, cose, fence, reading, segment, track, visit

MIRAFLORES = (-121191427, -770349046)
"""A door in Lima, in units of 1e-7 degrees."""
BASE_UTC = 1789477200
"""2026-09-15 13:00:00 UTC, 08:00 in Lima."""


class DeskDevice:
    """A device with its key, one log and its chain. `seal_*` return sealed segments."""

    def __init__(self, device: str = "desk-01", log_id: bytes | None = None, seed: int = 1):
        self.id = device
        self.signer = keys.make()
        self.rng = random.Random(f"{device}{seed}")
        self.log_id = log_id or self.rng.randbytes(8)
        self.seq = 0
        self.prev = segment.FIRST_PREV
        self.number = 0
        self.ms = 5_000
        self.boot = 1
        self.sealed: list[bytes] = []

    @property
    def public(self) -> bytes:
        return self.signer.public

    def clone(self) -> "DeskDevice":
        """A second device with the same key and the same past: the start of a fork."""
        twin = DeskDevice(self.id, self.log_id)
        twin.signer, twin.rng = self.signer, random.Random(99)
        for name in ("seq", "prev", "number", "ms", "boot"):
            setattr(twin, name, getattr(self, name))
        return twin

    def stamp(self) -> list[Any]:
        return [self.boot, self.ms, BASE_UTC + self.ms // 1000, 1, 1]

    def seal(self, body: int, parts: dict[int, bytes], numbers: list[int], **header: Any) -> bytes:
        """Seal any parts as the next segment; header fields may be overridden."""
        fields: dict[str, Any] = {
            "device": self.id,
            "fw_version": "0.1.0",
            "fw_hash": bytes(16),
            "log_id": self.log_id,
            "seq": self.seq + 1,
            "prev": self.prev,
            "stamp": self.stamp(),
            "numbers": segment.ranges(numbers),
            "body": body,
        } | header
        raw = segment.seal(segment.Header(**fields), parts, self.signer)
        self.took(raw)
        return raw

    def took(self, raw: bytes) -> None:
        """Go on from a sealed segment."""
        sign1, _ = cose.parse_first(raw, 0)
        self.seq += 1
        self.prev = segment.chain_hash(sign1.protected, sign1.payload)
        self.sealed.append(raw)

    def next_numbers(self, count: int) -> list[int]:
        numbers = list(range(self.number + 1, self.number + 1 + count))
        self.number += count
        return numbers

    def entries(self, fixes: int = 30, batteries: int = 1, events: int = 1) -> list[list[Any]]:
        """A walk: fixes every 15 s, then readings and events."""
        lat, lon = MIRAFLORES
        found: list[list[Any]] = []
        at = self.ms
        for i, number in enumerate(self.next_numbers(fixes)):
            lat += self.rng.randint(-300, 400)
            lon += self.rng.randint(-300, 400)
            quality = [12, 90, 110, 38, 30, 9, 0] if i % 4 == 0 else None
            found.append([track.FIX, number, at, lat, lon, 11, 9, 3, quality])
            at += 15_000
        for number in self.next_numbers(batteries):
            found.append([track.BATTERY, number, at, 3900, 81, 1])
        for number in self.next_numbers(events):
            found.append([track.EVENT, number, at, track.FIX_FOUND, None])
        return found

    def seal_track(self, entries: list[list[Any]] | None = None, **header: Any) -> bytes:
        entries = self.entries() if entries is None else entries
        part = track.encode_track(entries, self.ms)
        raw = self.seal(
            segment.TRACK_BODY, {segment.TRACK: part}, [e[1] for e in entries], **header
        )
        self.ms = max(e[2] for e in entries) + 15_000
        return raw

    def evidence(self, **fields: Any) -> dict[str, Any]:
        """An honest closed visit inside a confirmed fence of 50 m."""
        lat, lon = MIRAFLORES
        fixes = [
            [track.FIX, 0, self.ms - 4_000 + 1_000 * i, lat + 5 * i, lon, 9, 10, 3, None]
            for i in range(4)
        ]
        place = fields.get("place", [1, visit.CONFIRMED, 0, lat, lon, 500])
        window = fields.pop("fixes", fixes)
        value: dict[str, Any] = {
            "ended": visit.CLOSED,
            "case_id": f"C-{self.number + 1}",
            "portfolio": "banco-a",
            "creditor": "banco-a",
            "place": place,
            "check_in": self.stamp(),
            "check_in_fixes": visit.pack_window(window, self.ms),
            "check_in_verdict": fence.verdict(place[2:], fence.of_entries(window)),
            "opened": visit.OPENED_INSIDE,
            "close": self.stamp(),
            "law": [visit.NOT_EVALUATED],
            "outcome": "promesa",
            "battery": [3900, 81, 1],
            "gestor": "G-07",
        }
        return value | fields

    def seal_visit(
        self,
        answers: dict[str, Any] | None = None,
        promise: dict[str, Any] | None = None,
        **fields: Any,
    ) -> bytes:
        number = self.next_numbers(1)
        parts = {segment.EVIDENCE: visit.encode_evidence(self.evidence(**fields))}
        told = {"who": "titular"} if answers is None else answers
        parts[segment.ANSWERS] = visit.encode_answers(self.rng.randbytes(16), told)
        if promise:
            parts[segment.PROMISE] = visit.encode_promise(self.rng.randbytes(16), promise)
        raw = self.seal(segment.VISIT_BODY, parts, number)
        self.ms += 60_000
        return raw

    def seal_correction(self, seq: int, field: str, value: Any, **fields: Any) -> bytes:
        """A correction of the visit `seq` of this log, by its gestor."""
        told: dict[str, Any] = {"log_id": self.log_id, "seq": seq, "field": field, "value": value}
        told |= {"reason": "me equivoqué", "gestor": "G-07"} | fields
        part = correction.encode(self.rng.randbytes(16), told)
        return self.seal(3, {segment.CORRECTION: part}, self.next_numbers(1))

    def day(self, tracks: int = 4) -> list[bytes]:
        """Tracks with a visit after each."""
        return [raw for _ in range(tracks) for raw in (self.seal_track(), self.seal_visit())]


def withhold(raw: bytes, *numbers: int) -> bytes:
    """A sealed segment without some of its parts."""
    sealed = reading.parse(raw)
    left = {n: part for n, part in sealed.parts.items() if n not in numbers}
    return segment.assemble(sealed.signed, left)


def forged(raw: bytes) -> bytes:
    """The same segment with one bit of its signature changed."""
    sealed = reading.parse(raw)
    at = raw.index(sealed.sign1.signature) + 5
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def sha256(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()
