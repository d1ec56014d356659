"""D19: one key, two pasts: old images restored, clones, numbers used twice, nv and flash apart.

Every fork is made by the firmware itself (its App in the VM, on a flash that is copied), but for
`reuse`, where a stolen key signs on a desk. Holds: the first conflicting segment raises the alarm
(I3) and none before it; both contents stay as evidence, in the segments and in the quarantine
(I1); its receipt says "quarantined", and the handheld deletes nothing that is not in the chain it
was receipted for (I6); visits from that number on are exceptions, those before it are what they
were; sending everything again changes nothing (I2). A flash without its nv, or the other way
round, is no fork: it is a new log that says what was lost, or goes on where the flash ends. Leaves
out two devices on one broker session, which is the broker's to end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import steered
from desk_device import DeskDevice
from gateway_here import GatewayHere
from lab import Bench, Suite, Violation, batches, points
from ronda_gateway import pipeline, schema
from ronda_gateway.keys import verify_digest
from ronda_protocol import cose, reading, receipt, segment

NOW = 1789477200
_KINDS = ("image", "clone", "reuse", "rollback")


def plan(size: str) -> list[str]:
    """25 forks of each of four kinds."""
    if size == "short":
        return ["D19:image:0", "D19:clone:1", "D19:reuse:0-3", "D19:rollback:1"]
    return [case for kind in _KINDS for case in batches(f"D19:{kind}", 25, 5)]


def run(case: str, bench: Bench) -> dict[str, int]:
    words, numbers = points(case)
    counts: Counter[str] = Counter()
    with GatewayHere(bench.folder / "site", now=NOW) as gateway:
        with steered.Steered(gateway, "bench", bytes([9]) * 32) as handheld:
            for number in numbers:
                bench.rng.seed(f"D19:{words[0]}:{number}")
                fork = Fork(f"D19:{words[0]}:{number}", bench, gateway, handheld)
                getattr(fork, words[0])()
                counts.update(fork.counts)
        if (said := gateway.integrity()) != "ok":
            raise Violation("I5", f"integrity_check: {said}")
    return dict(counts)


class Fork:
    """One device with one key, and what becomes of it."""

    def __init__(
        self, case: str, bench: Bench, gateway: GatewayHere, handheld: steered.Steered
    ) -> None:
        self.case, self.bench, self.rng = case, bench, bench.rng
        self.gateway, self.handheld = gateway, handheld
        self.device = case.lower().replace(":", "-")
        self.private = bench.rng.randbytes(32)
        self.counts: Counter[str] = Counter()
        self.seconds = 0

    # ---- the kinds -----------------------------------------------------------------------------

    def image(self) -> None:
        """The whole device as it was an hour ago, put back and used on."""
        self._begin()
        self._keep_and_go_on()
        before = self._alerts("fork")
        at = self.head + 1
        self._off()
        self.handheld.do("restore", "old", "both")
        self._boot()
        self._until(lambda: self._alerts("fork") > before, "an old image went on unnoticed")
        self._forked(at)
        self._goes_on(at)

    def clone(self) -> None:
        """Two devices, one key: both go on, in turns."""
        self._begin()
        self._keep_and_go_on(visits=0)
        path = self.bench.folder / "clone"
        at = self.head + 1
        with steered.Steered(self.gateway, "bench", bytes([9]) * 32) as twin:
            twin.make(self.device, self.private)
            self.handheld.do("keep", "new")
            self._off()
            self.handheld.do("restore", "old", "both")
            nv = self.handheld.do("save", str(path))
            twin.do("load", str(path), nv)
            self.handheld.do("restore", "new", "both")
            self._boot()
            self._round(self.handheld, visits=self.rng.randrange(2))
            if self._alerts("fork"):
                raise Violation("I3", "a fork was told before there was one", self.case)
            twin.do("gnss", "fix", NOW + self.seconds)
            twin.do("boot")
            twin.do("run", 12)
            for _ in range(6):
                self._round(twin, visits=self.rng.randrange(2))
                if self._alerts("fork"):
                    break
                self._round(self.handheld)
            if not self._alerts("fork"):
                raise Violation("I3", "a clone went on unnoticed", self.case)
            self._forked(at, self.handheld.downs + twin.downs)
            for one in (self.handheld, twin, self.handheld):
                self._round(one, visits=1)
            self._judged(at)
            self._again(at, self.handheld.raws + twin.raws)
        self.handheld.do("off")

    def reuse(self) -> None:
        """A stolen key signs other content for a number that was used."""
        thief = DeskDevice(self.device, self.rng.randbytes(8), self.rng.randrange(1000))
        self.gateway.enable(self.device, thief.public)
        raws = thief.day(4)
        at = self.rng.randrange(1, len(raws) + 1)
        twin = DeskDevice(self.device, thief.log_id, 77)
        twin.signer = thief.signer
        for raw in raws[: at - 1]:
            twin.took(raw)
        twin.ms += 5_000_000
        twin.number = reading.parse(raws[at - 1]).header.numbers[0] - 1
        theirs = [twin.seal_visit() if i % 2 else twin.seal_track() for i in range(3)]
        sent = raws[:]
        later = self.rng.randrange(at, len(raws) + 1)
        self.gateway.send(self.device, *sent[:later])
        if self._alerts("fork"):
            raise Violation("I3", "a fork was told before there was one", self.case)
        downs = [d for raw in theirs for d in self.gateway.send(self.device, raw)]
        self.gateway.send(self.device, *sent[later:])
        self._forked(at, downs)
        self._judged(at)
        self._again(at, raws + theirs)

    def rollback(self) -> None:
        """Only the flash is an old one, or only the nv."""
        self._begin()
        self._keep_and_go_on()
        for _ in range(self.rng.randrange(3)):
            self._off()
            self._boot()
            self._round(self.handheld)
        self._off()
        what = self.rng.choice(("flash", "nv"))
        self.handheld.do("restore", "old", what)
        state = self._boot()
        self._round(self.handheld, visits=1)
        self.counts[f"{what} alone"] += 1
        if self._alerts("fork"):
            raise Violation("I3", f"an old {what} alone made a fork", self.case)
        logs = {row.log_id.hex() for row in self._logs()}
        if what == "flash":
            if len(logs) != 2 or not self._alerts("log_replaced"):
                raise Violation("I3", "an old flash was not told as a new log", self.case)
            self._names_the_old_log(state["log"])
        elif state["log"] not in logs or len(logs) != 1:
            raise Violation("I3", "an old nv lost the log that is on flash", self.case)
        self._boots_rise()
        self._off()

    # ---- parts ---------------------------------------------------------------------------------

    def _begin(self) -> None:
        """A device enrolled, booted, with a round or two behind it."""
        public = self.handheld.make(self.device, self.private)
        self.gateway.enable(self.device, public)
        self._boot()
        for _ in range(self.rng.randrange(1, 3)):
            self._round(self.handheld, visits=self.rng.randrange(2))

    def _boot(self) -> dict[str, Any]:
        self.handheld.do("gnss", "fix", NOW + self.seconds)
        state: dict[str, Any] = self.handheld.do("boot")
        self.handheld.do("run", 12)
        return state

    def _off(self) -> None:
        self.handheld.do("off")

    def _round(self, handheld: steered.Steered, visits: int = 0) -> dict[str, Any]:
        """Some minutes of a day, everything sent that can be."""
        self.gateway.clock.unix = NOW + self.seconds
        for _ in range(visits):
            handheld.do("intent", "shift_start", {"gestor": "g-1"})
            opened = handheld.do("intent", "check_in", {"case_id": "c-1"})
            answers = {"outcome": "ausente", "answers": {"quien": "nadie"}}
            closed = handheld.do("intent", "close", answers)
            if not opened["ok"] or not closed["ok"]:
                raise Violation("I8", f"no visit: {opened}, {closed}", self.case)
            self.counts["visits"] += 1
        seconds = self.rng.randrange(15, 40)
        handheld.do("run", seconds)
        handheld.do("intent", "sync", {})
        state: dict[str, Any] = handheld.do("run", 15)
        self.seconds += seconds + 15
        if state["died"]:
            raise Violation("I8", f"tasks died: {state['died']}", self.case)
        return state

    def _keep_and_go_on(self, visits: int = 1) -> None:
        """Remember the device, then let it seal and send more. `head`: the last seq of then."""
        self.head = self.handheld.do("state")["head"]
        self.handheld.do("keep", "old")
        for _ in range(self.rng.randrange(1, 3)):
            state = self._round(self.handheld, visits=visits)
        if visits and state["released"] <= self.head:
            raise Violation("I8", "nothing was sent", self.case)

    def _until(self, done: Callable[[], bool], otherwise: str) -> None:
        for _ in range(8):
            if done():
                return
            self._round(self.handheld, visits=self.rng.randrange(2))
        raise Violation("I3", otherwise, self.case)

    def _logs(self) -> list[Any]:
        return [row for row in self.gateway.rows(schema.logs) if row.device == self.device]

    def _alerts(self, kind: str) -> int:
        return len([a for a in self.gateway.alerts(kind) if a["device"] == self.device])

    # ---- what must be --------------------------------------------------------------------------

    def _forked(self, at: int, downs: list[bytes] | None = None) -> None:
        """Both contents of `at` are kept, and the alarm and the receipt name it."""
        told = [a for a in self.gateway.alerts("fork") if a["device"] == self.device]
        if not told:
            raise Violation("I3", f"nobody told of the fork at {at}", self.case)
        if told[0]["seq"] != at:
            raise Violation("I3", f"the fork at {at} was told at {told[0]['seq']}", self.case)
        keys = {row.id for row in self._logs()}
        stored = [
            row.raw
            for row in self.gateway.rows(schema.segments)
            if row.log in keys and row.seq == at
        ]
        apart = [
            row.raw
            for row in self.gateway.rows(schema.quarantine)
            if row.device == self.device and row.seq == at and row.reason == pipeline.FORK
        ]
        if len(stored) != 1 or len(apart) != 1 or stored == apart:
            text = f"of {at} {len(stored)} are stored and {len(apart)} set apart"
            raise Violation("I1", text, self.case)
        for raw in stored + apart:
            self._signed(raw)
        self._disposition(at, self.handheld.downs if downs is None else downs)
        self.counts["forks found at the first conflict"] += 1

    def _signed(self, raw: bytes) -> None:
        """An auditor can hold both against the device's key."""
        rows = [r for r in self.gateway.rows(schema.device_keys) if r.device == self.device]
        sign1, _ = cose.parse_first(raw)
        if not cose.verify(sign1, rows[0].public, verify_digest):
            raise Violation("I4", "evidence of a fork without a signature", self.case)

    def _disposition(self, at: int, downs: list[bytes]) -> None:
        for payload in downs:
            sign1 = cose.parse(payload)
            try:
                found = receipt.decode_receipt(sign1.payload)
            except receipt.ReceiptError:
                continue  # a resend request
            if [at, receipt.QUARANTINED] in found.dispositions:
                return
        raise Violation("I3", f"no receipt says that {at} is quarantined", self.case)

    def _goes_on(self, at: int) -> None:
        """The forked branch goes on: nothing of it is deleted, and nothing of it is told."""
        state = self._round(self.handheld, visits=1)
        if state["released"] >= at:
            raise Violation("I6", f"released up to {state['released']} of a fork", self.case)
        self._judged(at)
        self._again(at, self.handheld.raws)
        self._off()

    def _judged(self, at: int) -> None:
        """The last word on each visit: an exception from `at` on, as it was before it."""
        last: dict[str, dict[str, Any]] = {}
        for event in self.gateway.events():
            if event["type"] in {"ronda.visit", "ronda.visit.verdict"}:
                data = event["data"]
                if data["visit_id"].startswith(self.device + "/"):
                    last[data["visit_id"]] = data["verdicts"]
        for name, verdicts in last.items():
            forked = int(name.rsplit("/", 1)[1]) >= at
            if forked != ("chain_forked" in verdicts["reasons"]):
                raise Violation(
                    "I3", f"{name} of a fork at {at}: {verdicts['reasons']}", self.case
                )
            if forked and verdicts["overall"] != "exception":
                raise Violation("I3", f"{name} is no exception", self.case)
            self.counts["visits from the fork on" if forked else "visits before it"] += 1

    def _one_branch(self) -> None:
        """What is stored is one chain: of the other branch nothing is taken for its rest."""
        for log in self._logs():
            rows = [r for r in self.gateway.rows(schema.segments) if r.log == log.id]
            rows.sort(key=lambda row: row.seq)
            for earlier, later in pairwise(rows):
                if later.seq == earlier.seq + 1 and later.prev != earlier.chain:
                    text = f"seq {later.seq} of a fork is stored behind another's {earlier.seq}"
                    raise Violation("I3", text, self.case)

    def _again(self, at: int, raws: list[bytes]) -> None:
        """Everything once more, shuffled, after a restart: nothing new."""
        self._one_branch()
        before = self._counted()
        raws = list(dict.fromkeys(raws))
        self.rng.shuffle(raws)
        self.gateway.restart()
        for raw in raws:
            self.gateway.send(self.device, raw)
        if (after := self._counted()) != before:
            raise Violation("I2", f"{before} before, {after} after everything again", self.case)
        self.counts["sent again"] += len(raws)

    def _counted(self) -> dict[str, int]:
        tables = (schema.segments, schema.quarantine, schema.visits, schema.outbox)
        return {table.name: len(self.gateway.rows(table)) for table in tables}

    def _names_the_old_log(self, log: str) -> None:
        """The new log's first segment says which log was before, up to where, and why."""
        keys = {row.id: row.log_id for row in self._logs()}
        rows = [row for row in self.gateway.rows(schema.segments) if row.log in keys]
        last = max(row.seq for row in rows if keys[row.log].hex() != log)
        first = next(row for row in rows if keys[row.log].hex() == log and row.seq == 1)
        header = reading.parse(first.raw).header
        told = header.previous_log
        if not told or told[0].hex() == log or told[1] != last or told[3] != "tail":
            raise Violation("I3", f"the new log names {told}, the old one had {last}", self.case)

    def _boots_rise(self) -> None:
        """By entry numbers no boot comes back after another."""
        keys = {row.id for row in self._logs()}
        rows: list[tuple[int, int]] = []
        for row in self.gateway.rows(schema.segments):
            if row.log in keys:
                sealed = reading.parse(row.raw)
                rows += [(n, row.boot) for n in segment.expand(sealed.header.numbers)]
        rows.sort()
        boots = [boot for _, boot in rows]
        if boots != sorted(boots):
            raise Violation("I3", f"boots in the order of entries: {boots}", self.case)


SUITE = Suite("D19", "one key and two pasts", plan, run)
