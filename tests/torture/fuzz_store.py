"""D14's deepest layer: segments of hostile content, signed by the device's key, through the store.

A stolen key can sign anything. Whatever it signs is stored, held or set apart, and receipted: no
fault of ours (`internal`) comes of it, the database holds together, and every event on the feed is
what its schema says. Leaves out the broker.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import decode_table
import fuzz_bytes
from gateway_here import GatewayHere
from lab import Bench, Violation
from ronda_gateway import pipeline, schema
from ronda_protocol import cbor, correction, cose, reading, segment

_GROUP = 25
_PARTS = {1: "track", 2: "evidence", 3: "answers", 4: "promise", 5: "correction"}


class Thief:
    """Someone with the key of rh-0001: a chain of its own, contents of nobody's."""

    def __init__(self, numbers: range) -> None:
        self.maker = fuzz_bytes.Maker("store", decode_table.LOG)
        self.rng = self.maker.rng
        self.log_id = numbers.start.to_bytes(8, "big")
        self.seq, self.prev, self.entry = 0, segment.FIRST_PREV, 0
        self.visits: list[int] = []

    def segment(self, number: int) -> bytes:
        """The next segment of the chain, or one that would be."""
        rng = self.rng
        rng.seed(number)
        body = rng.choice((1, 2, 2, 2, 3))
        parts = {n: self._part(n) for n in self._numbers(body)}
        count = 10 if body == 1 else 1
        header: dict[int, Any] = {0: 1, 1: 1, 2: fuzz_bytes.DEVICE, 3: "0.1.0", 4: bytes(16)}
        header |= {5: self.log_id, 6: self.seq + 1, 7: self.prev}
        header[8] = [1, 60_000 + number * 1000, 1789477200 + number, 1, 1]
        header[9] = [self.entry + 1, count]
        header[10] = body
        header[11] = {n: hashlib.sha256(part).digest() for n, part in parts.items()}
        if rng.randrange(8) == 0:
            header = self.maker.changed(header)
        payload = self.maker.sloppy().encode(header)
        shown = {n: part for n, part in parts.items() if rng.randrange(20)}
        raw = segment.assemble(cose.sign(payload, self.maker.signer), shown)
        self._took(raw, body, count)
        return raw

    def _numbers(self, body: int) -> list[int]:
        if body == segment.VISIT_BODY:
            return [2] + [n for n in (3, 4) if self.rng.randrange(2)]
        return [1] if body == segment.TRACK_BODY else [5]

    def _part(self, number: int) -> bytes:
        rng, kind = self.rng, _PARTS[number]
        if number == segment.CORRECTION and self.visits and rng.randrange(2):
            field, value = rng.choice((("outcome", "x"), ("promise", None), ("answers.q", 1)))
            of = {"log_id": self.log_id, "seq": rng.choice(self.visits), "gestor": "g-07"}
            told = {**of, "field": field, "value": value, "reason": "=1+1"}
            return correction.encode(bytes(16), told)
        part = rng.choice(self.maker.good(kind))
        if number == segment.TRACK:
            part = self._renumbered(part)
        return self.maker.regrown(kind, part) if rng.randrange(4) else part

    def _renumbered(self, part: bytes) -> bytes:
        """A track's rows with the numbers that this chain has reached."""
        value = cbor.decode(part)
        for kind in (2, 3):
            for row in value.get(kind, []):
                row[0] += self.entry
        return cbor.encode(value)

    def _took(self, raw: bytes, body: int, count: int) -> None:
        """Go on from it when a gateway will: its header says what was meant."""
        try:
            found = reading.parse(raw)
        except ValueError:
            return
        header = found.header
        if (header.device, header.log_id, header.seq) == (
            fuzz_bytes.DEVICE,
            self.log_id,
            self.seq + 1,
        ):
            self.seq, self.prev = header.seq, found.chain_hash()
            self.entry += count
            if body == segment.VISIT_BODY:
                self.visits.append(header.seq)


def store(numbers: range, bench: Bench) -> dict[str, int]:
    """Segments of these numbers through a recorder; counts, or Violation."""
    # The chain of a batch begins with it: a single number is repeated with those before it.
    begin = numbers.start - numbers.start % 1000
    thief = Thief(range(begin, begin + 1000))
    raws = [thief.segment(number) for number in range(begin, numbers.stop)]
    counts: Counter[str] = Counter()
    with GatewayHere(bench.folder / "site") as gateway:
        gateway.enable(fuzz_bytes.DEVICE, thief.maker.signer.public)
        told: list[bytes] = []
        for at in range(0, len(raws), _GROUP):
            group = raws[at : at + _GROUP]
            told += gateway.send(fuzz_bytes.DEVICE, *group)
        _no_fault_of_ours(gateway, numbers)
        _receipts_hold(gateway, told)
        if (said := gateway.integrity()) != "ok":
            raise Violation("I5", f"integrity_check: {said}")
        kinds = Counter(event["type"] for event in gateway.events())
        statuses = Counter(row.status for row in gateway.rows(schema.segments))
        counts["segments"] = len(raws)
        counts["stored"], counts["held"] = statuses[schema.STORED], statuses[schema.HELD]
        counts["of other versions"] = statuses[schema.UNREADABLE_VERSION]
        counts["set apart"] = len(gateway.rows(schema.quarantine))
        counts["feed events"] = sum(kinds.values())
        counts["visits"] = kinds["ronda.visit"]
        counts["corrections told"] = kinds["ronda.visit.verdict"]
    return dict(counts)


def _no_fault_of_ours(gateway: GatewayHere, numbers: range) -> None:
    for row in gateway.rows(schema.quarantine):
        if row.reason == pipeline.INTERNAL:
            what = f"a fault of ours ({row.detail}) at seq {row.seq}: {row.raw[:40].hex()}"
            raise Violation("I1", what, f"D14:store:{numbers.start}-{numbers.stop - 1}")


def _receipts_hold(gateway: GatewayHere, told: list[bytes]) -> None:
    """Each receipt is the gateway's, and what it covers is there (I1)."""
    names = {row.id: row.log_id for row in gateway.rows(schema.logs)}
    stored = {(names[row.log], row.seq): row.chain for row in gateway.rows(schema.segments)}
    for payload in told:
        found = gateway.receipt(payload)
        if found.upto and stored.get((found.log_id, found.upto)) != found.head:
            raise Violation("I1", f"a receipt up to {found.upto} for what is not stored")
