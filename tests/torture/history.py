"""What happened in a case, line by line, and whether the invariants I1 … I8 hold at its end.

Leaves out where the facts come from: a suite logs its operations and fills a FinalState. What a
suite did not look at stays None and decides nothing; `check(..., must=...)` fails when one of the
invariants that the suite is there for could not be decided.

A history is JSON lines, one for each step of an operation: `invoke`, then `ok`, `fail` or
`unknown` (it may or may not have happened: a cut, a time-out). An operation without an end is
unknown. Kinds that the checker reads; a suite may log any others:

| kind    | key            | facts of ok                                                         |
|---------|----------------|---------------------------------------------------------------------|
| save    | record id      | digest: the handheld acknowledged the record                        |
| receipt | record id      | digest: the gateway's word for it is signed and out                 |
| delete  | record id      | the handheld deleted it                                             |
| confirm | record id      | digest: the back office's word for it reached the gateway           |
| recover | what came back | took, limit: in one unit, seconds of the machine or virtual         |

A record id is any string that names a record in all places alike: `<device>/<log id>/<seq>` of a
segment or visit, `<device>/<log id>/e<number>` of a log entry. A digest is any string, None when
the place does not know it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

INVARIANTS = ("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8")
Digests = Mapping[str, str | None]
Pairs = Sequence[tuple[str, str | None]]


class Violation(AssertionError):
    """An invariant (`"I1"` … `"I8"`) does not hold. `case` is the id that shows it with the least
    work; the case that was running when it is empty."""

    def __init__(self, invariant: str, text: str, case: str = "") -> None:
        super().__init__(f"{invariant}: {text}")
        self.invariant = invariant
        self.text = text
        self.case = case


class Operation:
    """One operation under way; ends once, by ok(), fail() or unknown()."""

    def __init__(self, history: History, number: int, kind: str, key: str) -> None:
        self.history, self.number, self.kind, self.key = history, number, kind, key
        self.ended = False

    def ok(self, **facts: object) -> None:
        """It happened, and whoever asked was told so."""
        self._end("ok", facts)

    def fail(self, why: str) -> None:
        """It certainly did not happen."""
        self._end("fail", {"why": why})

    def unknown(self, why: str) -> None:
        """It may or may not have happened."""
        self._end("unknown", {"why": why})

    def _end(self, step: str, facts: Mapping[str, object]) -> None:
        if self.ended:
            raise ValueError(f"operation {self.number} ({self.kind} {self.key}) has ended already")
        self.ended = True
        self.history.write(step, self.number, self.kind, self.key, facts)


class History:
    """The steps in the order in which they were told, in memory and (with a path) in a file."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.steps: list[dict[str, object]] = []
        self._file: TextIO | None = None
        self._count = 0

    def invoke(self, kind: str, key: str, **facts: object) -> Operation:
        """An operation begins."""
        self._count += 1
        self.write("invoke", self._count, kind, key, facts)
        return Operation(self, self._count, kind, key)

    def did(self, kind: str, key: str, **facts: object) -> None:
        """An operation of one moment: invoked and ok."""
        self.invoke(kind, key).ok(**facts)

    def write(
        self, step: str, number: int, kind: str, key: str, facts: Mapping[str, object]
    ) -> None:
        line = {**facts, "step": step, "op": number, "kind": kind, "key": key}
        self.steps.append(line)
        if self.path is not None:
            if self._file is None:
                self._file = self.path.open("a")
            self._file.write(json.dumps(line, default=str, sort_keys=True) + "\n")

    def close(self) -> None:
        """Write out what is in memory."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def done(self, kind: str) -> list[dict[str, object]]:
        """The ok steps of a kind."""
        return [s for s in self.steps if s["step"] == "ok" and s["kind"] == kind]


def read(path: Path) -> History:
    """A history from its file."""
    history = History()
    history.steps = [json.loads(line) for line in path.read_text().splitlines()]
    return history


@dataclass
class FinalState:
    """What is where when all is over and everything has had its time to recover.

    None (or an absent entry) means: not looked at.

    * `flash`: record id → digest that the handheld can still read, open file and grace included.
    * `stored`: (record id, digest) of every row in the gateway's database, one pair a row.
    * `receipted`: record id → digest of what a receipt covers, beside the history's `receipt`.
    * `confirmed`: what left the outbox for good, beside the history's `confirm`.
    * `sink`: (id, digest) of every event that the back office received, in order, repeats too.
    * `signed`: record id → digests that the device's key really signed (two for a staged fork).
    * `destroyed`: record ids whose bytes the bench itself destroyed; each must be in `declared`.
    * `declared`: record ids declared lost, by a signed event or the gateway.
    * `chains`: log → (seq, chain hash, previous hash) of each stored segment, in any order;
      `gaps`: (log, seq) recorded as missing; `forks`: (log, seq) recorded as forked.
    * `arrivals`: order key → numbers in the order the last place saw them; repeats are allowed.
    * `integrity`: name of a check → "ok" or what it says (integrity_check, rows against bytes).
    * `bounds`: name → (measured, limit).
    * `recovered`: name → (took, limit), beside the history's `recover`; took None: it never did.
    """

    flash: Digests | None = None
    stored: Pairs | None = None
    receipted: Digests | None = None
    confirmed: Digests | None = None
    sink: Pairs | None = None
    signed: Mapping[str, Iterable[str]] | None = None
    destroyed: frozenset[str] = frozenset()
    declared: frozenset[str] = frozenset()
    chains: Mapping[str, Sequence[tuple[int, str, str]]] | None = None
    gaps: frozenset[tuple[str, int]] = frozenset()
    forks: frozenset[tuple[str, int]] = frozenset()
    arrivals: Mapping[str, Sequence[int]] | None = None
    integrity: Mapping[str, str] | None = None
    bounds: Mapping[str, tuple[float, float]] | None = None
    recovered: Mapping[str, tuple[float | None, float]] | None = None


@dataclass
class Verdict:
    """`broken` are (invariant, text); `decided` the invariants that there was something to judge
    by."""

    broken: list[tuple[str, str]] = field(default_factory=list)
    decided: set[str] = field(default_factory=set)

    def breaks(self, invariant: str, text: str) -> None:
        self.broken.append((invariant, text))

    def raise_first(self, case: str = "") -> None:
        """Violation for the first of what is broken, with the number of the others."""
        if self.broken:
            invariant, text = self.broken[0]
            more = len(self.broken) - 1
            raise Violation(invariant, text + (f" (and {more} more)" if more else ""), case)


def check(
    history: History, state: FinalState, *, must: Iterable[str] = (), case: str = ""
) -> None:
    """Decide I1 … I8: Violation for the first that is broken, ValueError when one of `must` could
    not be decided."""
    verdict = judge(history, state)
    verdict.raise_first(case)
    undecided = sorted(set(must) - verdict.decided)
    if undecided:
        raise ValueError(f"the final state decides nothing about {', '.join(undecided)}")


def judge(history: History, state: FinalState) -> Verdict:
    """All that is broken, and what was decided."""
    verdict = Verdict()
    saved = _saved(history, verdict)
    stored = _rows(state, verdict)
    _lost(history, state, saved, stored, verdict)
    _doubled(state, verdict)
    _order(state, verdict)
    _unsigned(state, verdict)
    _named(state.integrity, verdict)
    _deletes(history, state, verdict)
    _bounds(state, verdict)
    _recovers(history, state, verdict)
    return verdict


def _differ(a: str | None, b: str | None) -> bool:
    return a is not None and b is not None and a != b


def _text(step: Mapping[str, object], name: str) -> str | None:
    found = step.get(name)
    return None if found is None else str(found)


def _saved(history: History, verdict: Verdict) -> dict[str, str | None]:
    """Acknowledged records; I2: no id is acknowledged with two contents."""
    saved: dict[str, str | None] = {}
    for step in history.done("save"):
        key, digest = str(step["key"]), _text(step, "digest")
        if key in saved and _differ(saved[key], digest):
            verdict.breaks("I2", f"{key} was acknowledged with two contents")
        saved[key] = digest
    return saved


def _rows(state: FinalState, verdict: Verdict) -> dict[str, str | None]:
    """The gateway's rows; I2: one row a record, unless the fork is recorded as one."""
    rows: dict[str, str | None] = {}
    forks = {f"{log}/{seq}" for log, seq in state.forks}
    for key, digest in state.stored or ():
        if key in rows and key not in forks:
            what = "with two contents" if _differ(rows[key], digest) else "twice"
            verdict.breaks("I2", f"{key} is in the database {what}")
        rows.setdefault(key, digest)
    return rows


def _lost(
    history: History,
    state: FinalState,
    saved: Digests,
    stored: Digests,
    verdict: Verdict,
) -> None:
    if state.flash is not None or state.stored is not None:
        verdict.decided.add("I1")
        for key, digest in saved.items():
            _find(key, digest, state, stored, verdict)
    if state.stored is not None:
        told = dict(state.receipted or {})
        told.update({str(s["key"]): _text(s, "digest") for s in history.done("receipt")})
        for key, digest in told.items():
            if key not in stored and key not in state.declared:
                verdict.breaks("I1", f"{key} has a receipt and is not in the database")
            elif _differ(digest, stored.get(key)):
                verdict.breaks("I1", f"{key} has a receipt for other content than is stored")
    if state.sink is not None:
        verdict.decided.add("I1")
        arrived = dict(state.sink)
        told = dict(state.confirmed or {})
        told.update({str(s["key"]): _text(s, "digest") for s in history.done("confirm")})
        for key in told:
            if key not in arrived:
                verdict.breaks("I1", f"{key} left the outbox and never reached the back office")


def _find(
    key: str, digest: str | None, state: FinalState, stored: Digests, verdict: Verdict
) -> None:
    places = [place for place in (state.flash or {}, stored) if key in place]
    if not places:
        if key not in state.destroyed:
            verdict.breaks("I1", f"{key} was acknowledged and is nowhere")
        elif key not in state.declared:
            verdict.breaks("I1", f"{key} was destroyed and is not declared lost")
    elif all(_differ(digest, place[key]) for place in places):
        verdict.breaks("I1", f"{key} was acknowledged with other content than is there")


def _doubled(state: FinalState, verdict: Verdict) -> None:
    """I2 in the back office: repeats of one id are allowed, two contents or two ids are not."""
    if state.stored is not None or state.sink is not None:
        verdict.decided.add("I2")
    contents: dict[str, str | None] = {}
    names: dict[str, str] = {}
    for key, digest in state.sink or ():
        if key in contents and _differ(contents[key], digest):
            verdict.breaks("I2", f"{key} reached the back office with two contents")
        contents[key] = digest
        if digest is not None and names.setdefault(digest, key) != key:
            verdict.breaks("I2", f"{names[digest]} and {key} are one event under two ids")


def _order(state: FinalState, verdict: Verdict) -> None:
    for log, links in (state.chains or {}).items():
        verdict.decided.add("I3")
        by_seq: dict[int, list[tuple[str, str]]] = {}
        for seq, own, previous in links:
            by_seq.setdefault(seq, []).append((own, previous))
        for seq in range(1, max(by_seq, default=0) + 1):
            _link(log, seq, by_seq, state, verdict)
    for key, numbers in (state.arrivals or {}).items():
        verdict.decided.add("I3")
        highest, seen = None, set[int]()
        for number in numbers:
            if number not in seen and highest is not None and number < highest:
                verdict.breaks("I3", f"{key}: {number} came for the first time after {highest}")
            seen.add(number)
            highest = number if highest is None else max(highest, number)


def _link(
    log: str,
    seq: int,
    by_seq: Mapping[int, list[tuple[str, str]]],
    state: FinalState,
    verdict: Verdict,
) -> None:
    links = by_seq.get(seq)
    if not links:
        if (log, seq) not in state.gaps:
            verdict.breaks("I3", f"{log}: {seq} is missing and no gap is recorded")
        return
    if len({own for own, _ in links}) > 1 and (log, seq) not in state.forks:
        verdict.breaks("I3", f"{log}: {seq} has two contents and no fork is recorded")
    before = by_seq.get(seq - 1)
    if before and (log, seq) not in state.forks and (log, seq - 1) not in state.forks:
        if links[0][1] not in {own for own, _ in before}:
            verdict.breaks("I3", f"{log}: {seq} does not follow {seq - 1}")


def _unsigned(state: FinalState, verdict: Verdict) -> None:
    if state.signed is None or state.stored is None:
        return
    verdict.decided.add("I4")
    for key, digest in state.stored:
        signed = set(state.signed.get(key, ()))
        if not signed or (digest is not None and digest not in signed):
            verdict.breaks("I4", f"{key} is in the database and the device's key did not sign it")


def _named(checks: Mapping[str, str] | None, verdict: Verdict) -> None:
    for name, said in (checks or {}).items():
        verdict.decided.add("I5")
        if said != "ok":
            verdict.breaks("I5", f"{name}: {said}")


def _deletes(history: History, state: FinalState, verdict: Verdict) -> None:
    """I6: what is deleted has had its receipt before, by the history's own order."""
    receipted = set(state.receipted or {})
    for step in history.steps:
        key = str(step["key"])
        if step["step"] == "ok" and step["kind"] == "receipt":
            receipted.add(key)
        elif step["step"] == "ok" and step["kind"] == "delete":
            verdict.decided.add("I6")
            if key not in receipted:
                verdict.breaks("I6", f"{key} was deleted before any receipt")


def _bounds(state: FinalState, verdict: Verdict) -> None:
    for name, (measured, limit) in (state.bounds or {}).items():
        verdict.decided.add("I7")
        if measured > limit:
            verdict.breaks("I7", f"{name}: {measured:g}, and the limit is {limit:g}")


def _recovers(history: History, state: FinalState, verdict: Verdict) -> None:
    """I8: what was to recover did, within its limit; an operation without an end did not."""
    ended: dict[object, Mapping[str, object]] = {}
    for step in history.steps:
        if step["kind"] == "recover":
            ended[step["op"]] = step
    for step in ended.values():
        verdict.decided.add("I8")
        if step["step"] != "ok":
            verdict.breaks("I8", f"{step['key']} did not recover: {step.get('why', step['step'])}")
        else:
            took, limit = float(str(step["took"])), float(str(step["limit"]))
            if took > limit:
                verdict.breaks("I8", f"{step['key']} took {took:g}, and the limit is {limit:g}")
    for name, (took, limit) in (state.recovered or {}).items():
        verdict.decided.add("I8")
        if took is None or took > limit:
            said = "never" if took is None else f"after {took:g}"
            verdict.breaks("I8", f"{name} recovered {said}, and the limit is {limit:g}")
