"""What a handheld acknowledged, what a later boot can still read, and one held against the other.

`Truth` is fed with the handheld's own records in their order; `Found` with one dump. `judge`
decides by the history checker. Leaves out how the handheld is run (`cut_device.py`).
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from history import FinalState, History, Violation
from history import judge as judge_history
from ronda_gateway import keys
from ronda_protocol import cbor, cose, reading, segment, track, visit

# --- what was acknowledged ---


@dataclass
class Door:
    """One visit as the gestor saw it: answers that were accepted, and whether it was closed."""

    case_id: str
    boot: int
    ms: int
    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    closed: bool = False
    pending: dict[str, Any] = field(default_factory=dict[str, Any])  # asked, not answered for

    @property
    def key(self) -> str:
        return f"visit {self.case_id} of {self.boot}/{self.ms}"


class Truth:
    """What a handheld acknowledged, fed with its records in their order."""

    def __init__(self) -> None:
        self.history = History()
        self.doors: list[Door] = []
        self.open: Door | None = None
        self.shift: bool | None = False  # None: asked for and not told
        self.settled: dict[str, tuple[str, int]] = {}  # record id -> digest, seq it is sealed in
        self.visits: dict[tuple[str, int, int], str] = {}  # settled ones, and where
        self.since = 0  # up to here every segment was read and settled
        self.released: dict[str, int] = {}
        self.asked: dict[str, int] = {}
        self.log = ""

    def take(self, facts: Iterable[tuple[str, bytes]]) -> Truth:
        for letter, data in facts:
            if letter == "A":
                self._acked(data)
            elif letter == "L":
                seq, log = int.from_bytes(data[:4], "big"), data[4:12].hex()
                self.saved(f"{log}/{seq}", data[12:].hex())
            elif letter in "gG":
                upto, log = int.from_bytes(data[:4], "big"), data[4:].hex()
                target = self.asked if letter == "g" else self.released
                target[log] = max(upto, target.get(log, 0))
            elif letter == "!":
                self.rebooted()
            elif letter == "i":
                self._asked(*json.loads(data))
            elif letter == "a":
                self._answered(*json.loads(data))
        return self

    def _acked(self, data: bytes) -> None:
        number, log = int.from_bytes(data[:4], "big"), data[4:12].hex()
        self.log = log
        self.saved(f"{log}/e{number}", data[12:].hex())

    def saved(self, key: str, digest: str) -> None:
        """The handheld's word for a record; I2: never for other content than before."""
        if self.settled.get(key, (digest, 0))[0] != digest:
            raise Violation("I2", f"{key} is acknowledged again with other content")
        self.history.did("save", key, digest=digest)

    def _asked(self, name: str, args: dict[str, Any]) -> None:
        if name in ("shift_start", "shift_end"):
            self.shift = None
        elif self.open and name == "answer":
            self.open.pending[args["id"]] = args["value"]

    def _answered(self, name: str, args: dict[str, Any], boot: int = 0, ms: int = 0) -> None:
        if name in ("shift_start", "shift_end"):
            self.shift = name == "shift_start"
        elif name == "check_in":
            self.open = Door(args["case_id"], boot, ms)
            self.doors.append(self.open)
        elif self.open and name == "answer":
            self.open.answers[args["id"]] = args["value"]
            self.open.pending.clear()
        elif self.open and name == "close":
            self.open.answers.update(args.get("answers") or {})
            self.open.closed = True
            self.open = None

    def rebooted(self) -> None:
        """An open visit is settled by the boot: sealed as interrupted, or offered again."""
        self.open = None

    def settle(self, found: Found) -> None:
        """What is sealed and was judged need not be held against later boots: it is remembered
        by its digest alone, so that nothing may ever be there with another."""
        for (log, seq), one in found.segments.items():
            self.settled[f"{log}/{seq}"] = (one.own, seq)
            for number, digest in one.entries:
                self.settled[f"{log}/e{number}"] = (digest, seq)
            if one.visit and not one.visit[4]:
                self.visits[one.visit[:3]] = f"{log}/{seq}"
            self.since = max(self.since, seq)
        kept = History()
        for step in self.history.done("save"):
            if str(step["key"]) not in self.settled:
                kept.did("save", str(step["key"]), digest=step.get("digest"))
        self.history = kept
        sealed = {one.visit[:3] for one in found.segments.values() if one.visit}
        self.doors = [d for d in self.doors if (d.case_id, d.boot, d.ms) not in sealed]


# --- what is there ---


@dataclass(frozen=True)
class Read:
    """One sealed segment, parsed once whatever number of boots give it back."""

    log: str
    seq: int
    own: str
    prev: str
    entries: tuple[tuple[int, str], ...]
    visit: tuple[str, int, int, int, bool] | None  # case, boot, ms of check-in, ended, refused
    answers: tuple[tuple[str, Any], ...] = ()


class Reader:
    """Parses and verifies segments with the public key; remembers those it has seen."""

    def __init__(self, public: bytes) -> None:
        self.public = public
        self._known: dict[bytes, Read] = {}

    def read(self, raw: bytes) -> Read:
        found = self._known.get(raw)
        if found is None:
            found = self._known[raw] = self._parse(raw)
        return found

    def _parse(self, raw: bytes) -> Read:
        sealed = reading.parse(raw)
        if not cose.verify(sealed.sign1, self.public, keys.verify_digest):
            raise Violation("I4", f"segment {sealed.header.seq} is not signed by the device")
        header = sealed.header
        entries = tuple((e[1], track.entry_digest(e).hex()) for e in sealed.entries())
        at, answers = None, ()
        if header.body == segment.VISIT_BODY:
            evidence = reading.decode_evidence(sealed.parts[segment.EVIDENCE])
            stamp, ended = evidence["check_in"], evidence["ended"]
            at = (evidence["case_id"], stamp[0], stamp[1], ended, ended == visit.REFUSED)
            if segment.ANSWERS in sealed.parts:
                told = reading.decode_answers(sealed.parts[segment.ANSWERS])[1]
                answers = tuple(sorted(told.items()))
        return Read(
            header.log_id.hex(),
            header.seq,
            sealed.chain_hash().hex(),
            header.prev.hex(),
            entries,
            at,
            answers,
        )


@dataclass
class Found:
    """What one dump gave: sealed segments, open entries, heads, the open visit."""

    log: str = ""
    heads: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    segments: dict[tuple[str, int], Read] = field(default_factory=dict)
    unreadable: list[tuple[str, int]] = field(default_factory=list)
    open: list[tuple[int, str]] = field(default_factory=list)
    shift: bool = False
    open_visit: list[Any] | None = None

    @classmethod
    def of(cls, facts: Iterable[tuple[str, bytes]], reader: Reader) -> Found:
        found = cls()
        for letter, data in facts:
            if letter == "D":
                found = cls(log=data.hex())
            elif letter == "H":
                head, released, low = struct.unpack_from(">III", data, 8)
                found.heads[data[:8].hex()] = (head, released, low)
            elif letter == "R":
                one = reader.read(data[12:])
                found.segments[one.log, one.seq] = one
            elif letter == "r":
                seq = int.from_bytes(data[:4], "big")
                found.unreadable.append((data[4:12].hex(), seq))
            elif letter == "O" and data:
                found._entry(data)
            elif letter == "V":
                found.shift, _, found.open_visit = cbor.decode(data)
        return found

    def _entry(self, data: bytes) -> None:
        value: Any = cbor.decode(data)
        if value[0] != 0:
            self.open.append((value[1], hashlib.sha256(data).hexdigest()))

    def flash(self) -> dict[str, str | None]:
        """Every record that can be read, by the names Truth gives them."""
        there: dict[str, str | None] = {}
        for number, digest in self.open:
            there[f"{self.log}/e{number}"] = digest
        for (log, seq), one in self.segments.items():
            there[f"{log}/{seq}"] = one.own
            for number, digest in one.entries:
                there[f"{log}/e{number}"] = digest
        return there


def judge(truth: Truth, found: Found, case: str) -> None:
    """Hold what a boot reads against what was acknowledged; Violation for what is broken."""
    there = found.flash()
    _once(truth, found, case)
    for door in truth.doors:
        _visit(door, found, there)
    chains: dict[str, list[tuple[int, str, str]]] = {}
    gaps: set[tuple[str, int]] = set()
    for (log, seq), one in found.segments.items():
        chains.setdefault(log, []).append((seq, one.own, one.prev))
    for log, (head, released, low) in found.heads.items():
        gaps |= {(log, seq) for seq in range(1, max(truth.since + 1, min(low, released + 1)))}
        if released < truth.released.get(log, 0):
            raise Violation("I6", f"the cursor of {log} went back to {released}", case)
        if log == found.log and head < truth.since:
            raise Violation("I1", f"{log}: head went back to {head} from {truth.since}", case)
        if chains.get(log) and max(seq for seq, _, _ in chains[log]) != head:
            raise Violation("I3", f"{log}: head is {head} and cannot be read", case)
        if released > max(truth.asked.get(log, 0), truth.released.get(log, 0)):
            raise Violation("I6", f"{log} is released to {released} without a receipt", case)
    if found.unreadable:
        raise Violation("I1", f"segment {found.unreadable[0]} cannot be read", case)
    if truth.log and found.log != truth.log:
        raise Violation("I3", f"log {found.log} was begun after {truth.log}", case)
    if truth.shift is not None and found.shift is not truth.shift:
        raise Violation("I1", f"in shift is {found.shift}, told was {truth.shift}", case)
    visits: list[tuple[str, str | None]] = [
        (f"{log}/{seq}", repr(one.visit[:3]))
        for (log, seq), one in found.segments.items()
        if one.visit and not one.visit[4]
    ]
    history = History()
    history.steps = list(truth.history.steps)
    for door in truth.doors:
        history.did("save", door.key)
    state = FinalState(flash=there, sink=visits, chains=chains, gaps=frozenset(gaps))
    verdict = judge_history(history, state)
    verdict.raise_first(case)


def _once(truth: Truth, found: Found, case: str) -> None:
    """I2: a number is in one segment, a visit too, and neither changes its place; I3: what is read
    now follows what was read before."""
    where: dict[str, int] = {}
    for (log, seq), one in sorted(found.segments.items()):
        for number, digest in one.entries:
            key = f"{log}/e{number}"
            known = truth.settled.get(key, (digest, seq))
            if known != (digest, seq) or where.setdefault(key, seq) != seq:
                raise Violation("I2", f"{key} is in segment {seq} and was in {known[1]}", case)
        own = truth.settled.get(f"{log}/{seq}", (one.own, seq))[0]
        if own != one.own:
            raise Violation("I2", f"segment {seq} of {log} has other content than before", case)
        before = truth.settled.get(f"{log}/{seq - 1}")
        if before and before[0] != one.prev:
            raise Violation("I3", f"segment {seq} of {log} does not follow {seq - 1}", case)
        if one.visit and not one.visit[4]:
            seen = truth.visits.get(one.visit[:3], f"{log}/{seq}")
            if seen != f"{log}/{seq}":
                raise Violation("I2", f"visit {seen} is sealed again as {log}/{seq}", case)


def _visit(door: Door, found: Found, there: dict[str, str | None]) -> None:
    """Put a visit among what is there when it is, with every answer that was accepted."""
    for one in found.segments.values():
        if one.visit and one.visit[:3] == (door.case_id, door.boot, door.ms):
            told = dict(one.answers)
            if door.closed and one.visit[3] != visit.CLOSED:
                continue
            if all(_same(told, door, name) for name in door.answers):
                there[door.key] = None
    if found.open_visit and found.open_visit[:3] == [door.case_id, door.boot, door.ms]:
        told = found.open_visit[3]
        if not door.closed and all(_same(told, door, name) for name in door.answers):
            there[door.key] = None


def _same(told: dict[str, Any], door: Door, name: str) -> bool:
    return told.get(name) in (door.answers[name], door.pending.get(name, door.answers[name]))
