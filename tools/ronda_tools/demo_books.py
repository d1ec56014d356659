"""The demo's books: what was recorded, stored and forwarded, and whether it agrees. Pure.

Takes the raw material (the simulator's journal, the gateway's raw segments, the events a back
office received) and believes no flag in it: entries are decoded here again, and each visit's
signature is verified from its event alone, with the key that the handheld made.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ronda_gateway import feed

from ronda_tools import reconcile
from ronda_tools.evidence import examine
from ronda_tools.evidence_file import held_in

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass
class Books:
    """One handheld's day. `events` in arrival order, repeats included; `public` x || y."""

    journal: str
    log: str
    stored: Sequence[bytes]
    events: Sequence[dict[str, Any]]
    public: bytes
    _wrong: list[str] = field(default_factory=list[str])

    def compare(self) -> dict[str, Any]:
        """What `ronda demo --json` prints of it.

        `balanced` only if nothing is lost, doubled or unrecorded, everything could be read, and
        each recorded visit was forwarded under one id with a signature that verifies here.
        """
        self._wrong.clear()
        recorded = self._read([self.journal], lambda text: reconcile.from_journal(text, self.log))
        found = reconcile.reconcile(
            [entry for entries in recorded for entry in entries],
            self._read(self.stored, reconcile.from_segment),
            [each for each in self._read(self.events, reconcile.from_event) if each is not None],
        )
        visits = self._visits()
        alerts = Counter(_kind(event) for event in self.events if event.get("type") == feed.ALERT)
        balanced = (
            found.balanced
            and not self._wrong
            and len(visits) == found.recorded["visit"]
            and all(visit["signature_verified"] for visit in visits)
        )
        return {
            "balanced": balanced,
            "recorded": found.recorded,
            "stored": found.stored,
            "forwarded": found.forwarded,
            "lost": found.lost,
            "doubled": found.doubled,
            "repeated": found.repeated,
            "unrecorded": found.unrecorded,
            "wrong": found.wrong + self._wrong[:20],
            "visits": visits,
            "alerts": dict(sorted(alerts.items())),
            "segments": len(self.stored),
            "events": len(self.events),
        }

    def _read(self, raw: Iterable[_T], reader: Callable[[_T], _R]) -> list[_R]:
        """What could be read; what could not is wrong."""
        found: list[_R] = []
        for each in raw:
            try:
                found.append(reader(each))
            except reconcile.Unreadable as error:
                self._wrong.append(f"unreadable {error}")
        return found

    def _visits(self) -> list[dict[str, Any]]:
        """One row for each visit id that was forwarded; every event of an id must verify."""
        rows: dict[str, dict[str, Any]] = {}
        for event in self.events:
            if event.get("type") != feed.VISIT:
                continue
            try:
                row = _row(event)
            except (KeyError, TypeError):
                self._wrong.append(f"unreadable visit {event.get('id')}")
                continue
            held = held_in(event)
            verified = bool(held) and all(examine(each, self.public).valid for each in held)
            row = rows.setdefault(row["id"], row)
            row["signature_verified"] = row["signature_verified"] and verified
        for row in rows.values():
            row["corrections"] = []
        for event in {str(event.get("id")): event for event in self.events}.values():
            if event.get("type") == feed.VISIT_VERDICT:
                self._correction(event, rows)
        return list(rows.values())

    def _correction(self, event: dict[str, Any], rows: Mapping[str, dict[str, Any]]) -> None:
        """Put a correction beside its visit; its signature must verify like the visit's."""
        match event.get("data"):
            case {"visit_id": str(named), "correction": {**told}}:
                held = held_in(event)
            case _:
                return
        verified = bool(held) and all(examine(each, self.public).valid for each in held)
        if named not in rows or not verified:
            self._wrong.append(f"correction {event.get('id')}")
        if named in rows:
            names = ("field", "original", "value", "reason", "accepted")
            row = {name: told.get(name) for name in names}
            rows[named]["corrections"].append({**row, "signature_verified": verified})


def device_of(event: Mapping[str, Any]) -> str:
    """The handheld that a feed event is about; "" for none."""
    match event.get("data"):
        case {"device": str(device)}:
            return device
        case _:
            return str(event.get("subject") or "")


_SUMS = ("lost", "doubled", "repeated", "unrecorded", "segments", "events")
_BY_KIND = ("recorded", "stored", "forwarded")


def counts(books: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of one handheld's comparison, without its visits."""
    kept = {name: books[name] for name in ("balanced", *_BY_KIND, *_SUMS)}
    return {**kept, "visits": len(books["visits"])}


def together(all_books: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One comparison of several handhelds' (`Books.compare`): sums, and every visit."""
    found: dict[str, Any] = {"balanced": all(books["balanced"] for books in all_books)}
    named = {kind for books in all_books for name in _BY_KIND for kind in books[name]}
    kinds = [kind for kind in (*reconcile.ORDER, *reconcile.SELDOM) if kind in named]
    for name in _BY_KIND:
        found[name] = {
            kind: sum(books[name].get(kind, 0) for books in all_books) for kind in kinds
        }
    for name in _SUMS:
        found[name] = sum(books[name] for books in all_books)
    found["wrong"] = [each for books in all_books for each in books["wrong"]][:20]
    visits = [visit for books in all_books for visit in books["visits"]]
    found["visits"] = sorted(visits, key=lambda v: (v["check_in_utc"] or 0, v["id"]))
    alerts: Counter[str] = Counter()
    for books in all_books:
        alerts.update(books["alerts"])
    found["alerts"] = dict(sorted(alerts.items()))
    return found


def _kind(alert: dict[str, Any]) -> str:
    match alert.get("data"):
        case {"kind": str(kind)}:
            return kind
        case _:
            return "?"


def _row(event: dict[str, Any]) -> dict[str, Any]:
    data = event["data"]
    row = {name: data[name] for name in ("case_id", "portfolio", "device", "ended", "opened")}
    return {
        "id": str(event["id"]),
        **row,
        "outcome": data["outcome"],
        "promise": data["promise"] is not None,
        "attempts": data["attempts"],
        "check_in_utc": data["check_in"]["utc"],
        "verdicts": data["verdicts"],
        "signature_verified": True,
    }
