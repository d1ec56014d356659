"""Compares what a handheld recorded with what the gateway stored and what it forwarded. Pure.

*Recorded* is the simulator's own journal: one line for each durable append, independent of the
handheld's log and of the gateway. *Stored* is decoded here again from the gateway's raw segments,
*forwarded* from the feed events a back office received; neither side's counters are trusted.
Entries are compared by log id, number and the digest of their content. Reading files, databases
and the network is the caller's.

What counts as what:

* **lost**: a recorded entry that was not stored, or not forwarded, with exactly that content.
* **doubled**: an entry under a second id (a second event or a second stored segment), and a second
  content under one event id. Totals would double.
* **repeated**: the same event, same id and content, again: allowed, a consumer drops it.
* **declared lost**: segments that a handheld itself, in a stored one, declared lost, and that are
  not stored. What they held counts as lost; this says that the handheld knows and has signed it.
* **unrecorded**: content that arrived but was never recorded. An altered entry is therefore one
  lost (what was recorded did not arrive) and one unrecorded (what arrived was not recorded), and
  not doubled; the books balance only when this is 0 too.
"""

import base64
import binascii
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from ronda_gateway import chain, declared, feed
from ronda_protocol import reading, track
from ronda_protocol.cbor import CborError

ORDER = ("visit", "fix", "battery", "event")
# Counted like the others where there are any: most days have none.
SELDOM = ("correction",)
_NUMBER_OF = {name: kind for kind, name in track.NAMES.items()}


class Entry(NamedTuple):
    """One log entry as compared: its kind, log id (hex), number, digest of its content (hex)."""

    kind: int
    log: str
    number: int
    digest: str

    @property
    def key(self) -> tuple[str, int]:
        """What names the entry whatever it holds."""
        return self.log, self.number


class Carried(NamedTuple):
    """What one stored segment or one feed event carried: its id, content hash and entries."""

    id: str
    content: str
    entries: tuple[Entry, ...]
    lost: tuple[tuple[str, int, int], ...] = ()
    """(log id in hex, first, last) of segments that it declares lost."""


class Unreadable(ValueError):
    """A journal line, a stored segment or a feed event that cannot be what it should be."""


@dataclass
class Reconciliation:
    """The three counts by kind and what does not agree; `wrong` names up to 20 culprits."""

    recorded: dict[str, int]
    stored: dict[str, int]
    forwarded: dict[str, int]
    lost: int
    doubled: int
    repeated: int
    unrecorded: int
    wrong: list[str] = field(default_factory=list[str])
    declared_lost: int = 0

    @property
    def balanced(self) -> bool:
        """Nothing lost, nothing doubled, nothing that was never recorded."""
        return not (self.lost or self.doubled or self.unrecorded)


def reconcile(
    recorded: Iterable[Entry], stored: Iterable[Carried], forwarded: Iterable[Carried]
) -> Reconciliation:
    """Compare the three books. `forwarded` is every event in arrival order, repeats included."""
    journal = set(recorded)
    kept, sent = list(stored), list(forwarded)
    in_store = {entry for carried in kept for entry in carried.entries}
    in_feed = {entry for carried in sent for entry in carried.entries}
    lost = journal - (in_store & in_feed)
    unrecorded = (in_store | in_feed) - journal
    doubled, twice = _doubled(kept, sent)
    gone = _declared(kept)
    wrong = [f"declared lost {log}/{first}-{last}" for log, first, last in gone]
    wrong += [_name(entry, "lost") for entry in sorted(lost)]
    wrong += [_name(entry, "unrecorded") for entry in sorted(unrecorded)]
    return Reconciliation(
        recorded=_count(journal),
        stored=_count(in_store),
        forwarded=_count(in_feed),
        lost=len(lost),
        doubled=doubled,
        repeated=len(sent) - len({(carried.id, carried.content) for carried in sent}),
        unrecorded=len(unrecorded),
        wrong=(wrong + twice)[:20],
        declared_lost=sum(last - first + 1 for _, first, last in gone),
    )


def _declared(kept: list[Carried]) -> list[tuple[str, int, int]]:
    """(log, first, last) of what is declared lost and not stored, below the last that is."""
    claims = [claim for carried in kept for claim in carried.lost]
    states: dict[str, chain.LogState] = {}
    for carried in kept if claims else ():
        device, log, seq = carried.id.rsplit("/", 2)
        state = states.setdefault(log, chain.LogState(0, device, bytes.fromhex(log)))
        chain.add(state, int(seq), b"")
    found: list[tuple[str, int, int]] = []
    for log, first, last in sorted(claims):
        state = states.get(log)
        if state is None:
            continue
        for low, high in chain.missing(state, first, min(last, state.max_seq)):
            chain.declare_lost(state, low, high)
            found.append((log, low, high))
    return found


def _count(entries: Iterable[Entry]) -> dict[str, int]:
    found = Counter(kind for kind, _ in {(e.kind, e.key) for e in entries})
    told = {name: found[_NUMBER_OF[name]] for name in ORDER}
    return told | {name: found[_NUMBER_OF[name]] for name in SELDOM if found[_NUMBER_OF[name]]}


def _doubled(stored: list[Carried], sent: list[Carried]) -> tuple[int, list[str]]:
    """Entries under further ids (the worse of store and feed), plus further contents of one id."""
    extra: Counter[tuple[str, int]] = Counter()
    for book in (stored, sent):
        ids: dict[tuple[str, int], set[str]] = {}
        for carried in book:
            for entry in carried.entries:
                ids.setdefault(entry.key, set()).add(carried.id)
        for key, under in ids.items():
            extra[key] = max(extra[key], len(under) - 1)
    contents: dict[str, set[str]] = {}
    for carried in sent:
        contents.setdefault(carried.id, set()).add(carried.content)
    two_contents = {id: len(found) - 1 for id, found in contents.items() if len(found) > 1}
    named = [f"doubled {log}/{number}" for (log, number), count in extra.items() if count]
    named += [f"two contents under {id}" for id in two_contents]
    return sum(extra.values()) + sum(two_contents.values()), named


def _name(entry: Entry, what: str) -> str:
    return f"{what} {track.NAMES.get(entry.kind, entry.kind)} {entry.log}/{entry.number}"


# ---- the three books, from what is lying about -------------------------------------------------


def from_journal(text: str, log: str = "") -> list[Entry]:
    """Entries of a simulator's journal (JSON lines: kind, number, digest and, if told, log).

    A last line without its newline was cut by a power loss and is not a record. Raises
    Unreadable for any other line that is not one.
    """
    lines = text.split("\n")
    entries: list[Entry] = []
    for number, line in enumerate(lines[:-1], 1):
        try:
            row = json.loads(line)
            kind = row["kind"]
            kind = _NUMBER_OF[kind] if isinstance(kind, str) else int(kind)
            entries.append(Entry(kind, row.get("log", log), int(row["number"]), row["digest"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Unreadable(f"journal line {number}") from None
    return entries


def from_segment(raw: bytes) -> Carried:
    """What a sealed segment carries; its id is device/log/seq. Raises Unreadable."""
    try:
        sealed = reading.parse(raw)
        header = sealed.header
        log = header.log_id.hex()
        found = sealed.entries()
        entries = tuple(
            Entry(entry[0], log, entry[1], track.entry_digest(entry).hex()) for entry in found
        )
    except (ValueError, KeyError, IndexError) as error:
        raise Unreadable(f"stored segment: {error!r}") from None
    claims = [
        declared.read(entry[4], header.log_id)
        for entry in found
        if entry[0] == track.EVENT and entry[3] == track.LOST
    ]
    lost = tuple((claim.log_id.hex(), claim.first, claim.last) for claim in claims if claim)
    name = f"{header.device}/{log}/{header.seq}"
    return Carried(name, hashlib.sha256(raw).hexdigest(), entries, lost)


def from_event(event: Mapping[str, Any]) -> Carried | None:
    """What a feed event carries, or None for one that carries no entries (an alert).

    A visit is decoded from the event's own evidence, other entries from their fields. Raises
    Unreadable.
    """
    data = cast(Mapping[str, Any], event.get("data") or {})
    content = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    try:
        if "evidence" in data:
            sealed = base64.b64decode(data["evidence"], validate=True)
            return Carried(str(event["id"]), content, from_segment(sealed).entries)
        if "correction" in data:
            sealed = base64.b64decode(data["correction"]["evidence"], validate=True)
            return Carried(str(event["id"]), content, from_segment(sealed).entries)
        make = _CANONICAL.get(str(event.get("type")))
        if make is None:
            return None
        log = str(data["log"])
        entries: list[Entry] = []
        for row in data["entries"]:
            canonical = make(row)
            digest = track.entry_digest(canonical).hex()
            entries.append(Entry(canonical[0], log, canonical[1], digest))
        return Carried(str(event["id"]), content, tuple(entries))
    except (KeyError, TypeError, ValueError, binascii.Error, CborError) as error:
        raise Unreadable(f"feed event {event.get('id')}: {error!r}") from None


def _fix(row: Mapping[str, Any]) -> list[Any]:
    return [
        track.FIX,
        row["number"],
        row["ms"],
        row["lat_e7"],
        row["lon_e7"],
        row["hdop"],
        row["satellites"],
        row["fix_type"],
        row["quality"],
    ]


def _battery(row: Mapping[str, Any]) -> list[Any]:
    return [track.BATTERY, row["number"], row["ms"], row["mv"], row["percent"], row["source"]]


def _event(row: Mapping[str, Any]) -> list[Any]:
    return [track.EVENT, row["number"], row["ms"], row["code"], _plain(row["data"])]


def _plain(value: Any) -> Any:
    """An event's data as it was before JSON, which has no byte strings and no number keys."""
    match value:
        case {"hex": str(digits)}:
            return bytes.fromhex(digits)
        case {"map": pairs}:
            rows = cast(list[list[Any]], pairs)
            return {_plain(key): _plain(item) for key, item in rows}
        case list():
            return [_plain(item) for item in cast(list[Any], value)]
        case _:
            return value


_CANONICAL = {feed.POSITIONS: _fix, feed.BATTERY: _battery, feed.EVENTS: _event}
