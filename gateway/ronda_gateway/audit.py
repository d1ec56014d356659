"""Re-verifies a database from the raw bytes: every signature, chain link and derived row.

Reads one consistent view from beginning to end, holds one segment and its rows at a time, and
changes nothing. What follows from no raw bytes (states, outbox, alerts, when something came) it
does not judge. Words are `audit_words.py`'s.
"""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa
from ronda_protocol import cbor, cose
from ronda_protocol.segment import FIRST_PREV
from sqlalchemy import exc

from ronda_gateway import audit_lost, audit_rows, chain, changes, fleet, in_force, pipeline, schema
from ronda_gateway.chain import LogState
from ronda_gateway.judge import judge
from ronda_gateway.pipeline import Accepted, Device, Rejected
from ronda_gateway.settings import FenceSettings
from ronda_gateway.store import Store
from ronda_gateway.wording import Problem

_FETCH = 200
_INTEGRITY = 20
_MOST_FOREIGN = 20

Progress = Callable[[int, int], None]
"""Called now and then with (segments done, segments in all)."""


class Difference(NamedTuple):
    """One row that is not what the raw bytes say; `code` is a code of audit_words."""

    code: str
    table: str
    row: str
    fields: Mapping[str, object]

    def text(self) -> str:
        """In words, in RONDA_LANG."""
        return Problem(self.code, {"table": self.table, "row": self.row, **self.fields}).text()

    def as_json(self) -> dict[str, object]:
        """For programs: code, table, row, fields, and the words."""
        told = {name: _plain(value) for name, value in self.fields.items()}
        where = {"code": self.code, "table": self.table, "row": self.row}
        return {**where, **told, "text": self.text()}


@dataclass
class Audit:
    """What an audit does and has found: iterate `differences`, then read the counts.

    `derived` False leaves out the derived rows: those of an older schema mean something else.
    """

    store: Store
    fence: FenceSettings
    progress: Progress = lambda _done, _all: None
    derived: bool = True
    counts: Counter[str] = field(default_factory=Counter[str])
    newest: int = 0

    def differences(self) -> Iterator[Difference]:
        """Every difference, as it is found. A file that SQLite cannot read on ends it."""
        self.counts.clear()
        try:
            with self.store.read() as connection:
                yield from self._all(connection)
        except exc.DBAPIError as error:
            yield Difference("audit-damaged", "sqlite", "-", {"why": str(error.orig)})

    def _all(self, connection: sa.Connection) -> Iterator[Difference]:
        yield from _sqlite(connection)
        yield from _keys(connection)
        devices = fleet.directory(connection)
        yield from self._segments(connection, devices)
        if self.derived:
            yield from self._apart(connection, devices)

    # ---- segments, in the order of their logs -------------------------------------------------

    def _segments(
        self, connection: sa.Connection, devices: dict[str, Device]
    ) -> Iterator[Difference]:
        logs, table = schema.logs, schema.segments
        total = connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
        # Not every older schema has the last of these columns.
        last = logs.c.forked_from if self.derived else sa.null().label("forked_from")
        known = {row.id: row for row in connection.execute(sa.select(*_LOG_COLUMNS, last))}
        beside = [_Beside(connection, name) for name in _DERIVED] if self.derived else []
        rows = _stream(connection, sa.select(table).order_by(table.c.log, table.c.seq))
        seen: set[int] = set()
        for key, found in itertools.groupby(rows, lambda row: row.log):
            log = known.get(key)
            if log is None:
                yield Difference("audit-extra", "segments", f"log {key}", {})
                continue
            seen.add(key)
            walk = _Log(self, connection, log, devices.get(log.device), beside)
            for row in found:
                self.counts["segments"] += 1
                if self.counts["segments"] % 100 == 0:
                    self.progress(self.counts["segments"], total)
                yield from walk.segment(row)
            yield from walk.end()
        for row in known.values():
            if row.id not in seen and row.upto:
                told = {"column": "upto", "stored": row.upto, "expected": 0}
                yield Difference("audit-head", logs.name, _log_name(row), told)
        for other in beside:
            yield from other.rest()
        self.progress(total, total)

    # ---- what is set apart -------------------------------------------------------------------

    def _apart(
        self, connection: sa.Connection, devices: dict[str, Device]
    ) -> Iterator[Difference]:
        for table in (schema.quarantine, schema.held):
            columns = [table.c.id, table.c.device, table.c.sha256, table.c.raw]
            for row in _stream(connection, sa.select(*columns).order_by(table.c.id)):
                self.counts[table.name] += 1
                whole = len(row.raw) < _QUARANTINE_KEPT or table is schema.held
                if whole and hashlib.sha256(row.raw).digest() != row.sha256:
                    yield Difference("audit-digest", table.name, f"{row.device} #{row.id}", {})
        table = schema.quarantine
        for row in _stream(
            connection, sa.select(table).where(table.c.signed).order_by(table.c.id)
        ):
            yield from _signed_apart(row, devices)


_QUARANTINE_KEPT = 65536
_LOG_COLUMNS = [
    schema.logs.c[name] for name in ("id", "device", "log_id", "upto", "head", "max_seq")
]
_DERIVED = (schema.fixes, schema.batteries, schema.events, schema.visits, schema.corrections)


def _log_name(row: Any) -> str:
    return f"{row.device}/{row.log_id.hex()}"


def _stream(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[Any]:
    """Rows a few at a time, however many there are."""
    return iter(connection.execute(query.execution_options(yield_per=_FETCH)))


def _sqlite(connection: sa.Connection) -> Iterator[Difference]:
    """What SQLite finds by itself: pages, indices, references between tables."""
    found = connection.exec_driver_sql(f"PRAGMA integrity_check({_INTEGRITY})")
    for (said,) in found.fetchall():
        if said != "ok":
            yield Difference("audit-damaged", "sqlite", "-", {"why": said})
    found = connection.exec_driver_sql("PRAGMA foreign_key_check")
    for row in found.fetchmany(_MOST_FOREIGN):
        told = {"parent": row[2]}
        yield Difference("audit-reference", str(row[0]), f"rowid {row[1]}", told)


def _keys(connection: sa.Connection) -> Iterator[Difference]:
    table = schema.device_keys
    for row in connection.execute(sa.select(table)):
        if cose.kid(row.public) != row.kid:
            yield Difference("audit-key", table.name, f"{row.device} {row.kid.hex()}", {})


def _signed_apart(row: Any, devices: dict[str, Device]) -> Iterator[Difference]:
    """A quarantined segment that is marked as signed by its device."""
    name = f"{row.device} #{row.id}"
    if len(row.raw) != row.length:
        return  # only its beginning was kept
    told = pipeline.judge_bytes(row.device, row.raw, devices.get)
    if isinstance(told, Rejected):
        why = {"reason": told.reason, "detail": told.detail}
        yield Difference("audit-signature", "quarantine", name, why)
        return
    for column in ("log_id", "seq", "chain"):
        if getattr(row, column) != getattr(told, column):
            yield _column("quarantine", name, column, getattr(row, column), getattr(told, column))


class _Beside:
    """The rows of one derived table, taken along with the segments they belong to."""

    def __init__(self, connection: sa.Connection, table: sa.Table) -> None:
        self.table = table
        last = [table.c.number] if "number" in table.c else []
        self._rows = _stream(
            connection, sa.select(table).order_by(table.c.log, table.c.seq, *last)
        )
        self._next: Any = next(self._rows, None)

    def take(self, log: int, seq: int) -> tuple[list[Any], list[Any]]:
        """(rows of this segment, rows before it that belong to none)."""
        mine: list[Any] = []
        nobodys: list[Any] = []
        while self._next is not None and (self._next.log, self._next.seq) <= (log, seq):
            (mine if (self._next.log, self._next.seq) == (log, seq) else nobodys).append(
                self._next
            )
            self._next = next(self._rows, None)
        return mine, nobodys

    def rest(self) -> Iterator[Difference]:
        """What is left when all segments are through belongs to none."""
        while self._next is not None:
            yield self.extra(self._next)
            self._next = next(self._rows, None)

    def extra(self, row: Any, log: str = "") -> Difference:
        name = f"{log or f'log {row.log}'}/{row.seq}"
        return Difference("audit-extra", self.table.name, f"{name} #{row.number}", {})


class _Log:
    """One log on the way: its segments in order, and what they say about the log's own row."""

    def __init__(
        self,
        audit: Audit,
        connection: sa.Connection,
        log: Any,
        device: Device | None,
        beside: list[_Beside],
    ) -> None:
        self._audit, self._connection = audit, connection
        self._row, self._device, self._beside = log, device, beside
        self._name = _log_name(log)
        self._state = LogState(log.id, log.device, log.log_id, forked_from=log.forked_from)
        self._lost: list[Any] = []
        if audit.derived:
            self._lost = audit_lost.ranges(connection, log.id)
            for row in self._lost:
                chain.declare_lost(self._state, row.first, row.last)
        self._before: tuple[int, bytes] | None = (0, FIRST_PREV)
        self._whole = True

    def segment(self, row: Any) -> Iterator[Difference]:
        """Everything about one stored segment and the rows made of it."""
        name = f"{self._name}/{row.seq}"
        self._audit.newest = max(self._audit.newest, row.received_at or 0)
        rows = self._rows_of(row.seq)
        for other, _, nobodys in rows:
            for extra in nobodys:
                yield other.extra(extra, self._name)
        accepted = self._opened(row)
        if isinstance(accepted, Rejected):
            why = {"reason": accepted.reason, "detail": accepted.detail}
            yield Difference("audit-signature", "segments", name, why)
            self._before = None
            return
        yield from self._columns(row, accepted, name)
        yield from self._link(row, accepted, name)
        if self._audit.derived:
            yield from self._derived(row, accepted, name, rows)

    def _rows_of(self, seq: int) -> list[tuple[_Beside, list[Any], list[Any]]]:
        return [(other, *other.take(self._row.id, seq)) for other in self._beside]

    def _opened(self, row: Any) -> Accepted | Rejected:
        if self._device is None:
            return Rejected(pipeline.UNKNOWN_DEVICE, self._row.device)
        try:
            return pipeline.judge_bytes(self._device.id, row.raw, lambda _: self._device)
        except (TypeError, ValueError, AttributeError) as error:  # no bytes at all
            return Rejected(pipeline.UNDECODABLE, type(error).__name__)

    def _columns(self, row: Any, accepted: Accepted, name: str) -> Iterator[Difference]:
        header = accepted.header
        expected: dict[str, object] = {
            "seq": accepted.seq,
            "status": accepted.status,
            "kid": accepted.kid,
            "prev": accepted.prev,
            "chain": accepted.chain,
            "body": header.body if header else None,
            "firmware": header.fw_version if header else None,
            "numbers": cbor.encode(header.numbers) if header else None,
        }
        stamp = header.stamp if header else [None] * 5
        expected |= dict(
            zip(("boot", "base_ms", "base_utc", "source", "uncertainty"), stamp, strict=True)
        )
        if accepted.log_id != self._row.log_id:
            yield _column("segments", name, "log_id", self._row.log_id, accepted.log_id)
        for column, value in expected.items():
            if getattr(row, column) != value:
                yield _column("segments", name, column, getattr(row, column), value)

    def _link(self, row: Any, accepted: Accepted, name: str) -> Iterator[Difference]:
        """Its place in the chain, as stored and as the bytes say; goes on to the next."""
        state, seq = self._state, row.seq
        known = self._before is not None and self._before[0] == seq - 1
        fits = known and self._before is not None and self._before[1] == accepted.prev
        follows = seq == state.upto + 1 or chain.is_lost(state, state.upto + 1, seq - 1)
        if self._whole and follows:
            state.upto, state.head = seq, accepted.chain
            wanted = (chain.LINKED,) if fits else (chain.BROKEN,) if known else (chain.LOST,)
        else:
            self._whole = False
            wanted = (chain.GAP,) if fits or not known else (chain.GAP, chain.BROKEN)
        if self._before is not None and row.link not in wanted:
            told = {"stored": row.link, "expected": wanted[-1]}
            yield Difference("audit-link", "segments", name, told)
        if chain.is_lost(state, seq, seq):
            yield Difference("audit-extra", schema.lost.name, f"{name}, which is here", {})
        if known and not fits:
            # It may have been found and told when it came; the bytes say it all the same.
            self._audit.counts["broken_links"] += 1
        self._before = (seq, accepted.chain)
        state.max_seq = seq

    def end(self) -> Iterator[Difference]:
        """The log's own row, and what is declared lost of it."""
        for row in self._lost:
            if not audit_lost.is_signed(self._connection, row, self._row.log_id, self._device):
                where = f"{self._name}/{row.first}-{row.last}"
                yield Difference("audit-extra", schema.lost.name, where, {})
        if self._whole and self._lost:
            audit_lost.close_end(self._connection, self._state)
        for column in ("upto", "head", "max_seq"):
            stored, expected = getattr(self._row, column), getattr(self._state, column)
            if stored != expected:
                told = {"column": column, "stored": _plain(stored), "expected": _plain(expected)}
                yield Difference("audit-head", "logs", self._name, told)

    # ---- rows made of a segment --------------------------------------------------------------

    def _derived(
        self, row: Any, accepted: Accepted, name: str, found: list[Any]
    ) -> Iterator[Difference]:
        expected = audit_rows.expected(self._row.id, accepted)
        for other, rows, _ in found:
            table = other.table
            self._audit.counts[table.name] += len(rows)
            if table is schema.visits:
                yield from self._visit(row, accepted, rows, expected.get(table), name)
            else:
                yield from _compare(table, rows, expected.get(table, []), name)

    def _visit(
        self,
        row: Any,
        accepted: Accepted,
        rows: list[Any],
        expected: list[dict[str, object]] | None,
        name: str,
    ) -> Iterator[Difference]:
        yield from _compare(schema.visits, rows, expected or [], name)
        if not rows or accepted.visit is None:
            return
        stored, rules = rows[0], self._audit.fence
        told = self._state.told(row.seq, row.link)
        seen = accepted.visit.evidence
        search_m = in_force.search_m(self._connection, accepted.device.id, seen, rules.search_m)
        judged = judge(seen, told, rules.uere_dm, search_m, rules.dwell_s).verdicts
        table = schema.corrections
        query = sa.select(table.c.state).where(table.c.visit == stored.id).distinct()
        for settled in self._connection.scalars(query):
            judged = changes.corrected(judged, settled)
        try:
            kept: dict[str, Any] = json.loads(stored.verdicts)
            differing = sorted(
                k for k in judged.keys() | kept.keys() if not _same(judged, kept, k)
            )
        except (ValueError, TypeError, AttributeError):
            differing, kept = ["verdicts"], {}
        for column, told_in in (("overall", "overall"), ("link", "chain")):
            if getattr(stored, column) != kept.get(told_in) and told_in not in differing:
                yield _column("visits", name, column, getattr(stored, column), kept.get(told_in))
        for which in differing:
            says = {"which": which, "stored": str(kept.get(which, "-"))}
            says["expected"] = str(judged.get(which, "-"))
            yield Difference("audit-verdict", "visits", name, dict(says))


def _same(judged: dict[str, Any], kept: dict[str, Any], which: str) -> bool:
    if which not in judged or which not in kept:
        return False
    if which == "reasons":  # corrections settle in any order
        return sorted(judged[which]) == sorted(kept[which])
    # As it went through JSON.
    return json.loads(json.dumps(judged[which])) == kept[which]


def _compare(
    table: sa.Table, rows: list[Any], expected: list[dict[str, object]], name: str
) -> Iterator[Difference]:
    """Rows of one segment against what its bytes say, by entry number."""
    wanted = {row["number"]: row for row in expected}
    for row in rows:
        which = f"{name} #{row.number}"
        told = wanted.pop(row.number, None)
        if told is None:
            yield Difference("audit-extra", table.name, which, {})
            continue
        for column, value in told.items():
            if getattr(row, column) != value:
                yield _column(table.name, which, column, getattr(row, column), value)
    for number in wanted:
        yield Difference("audit-missing", table.name, f"{name} #{number}", {})


def _column(table: str, row: str, column: str, stored: object, expected: object) -> Difference:
    told = {"column": column, "stored": _plain(stored), "expected": _plain(expected)}
    return Difference("audit-column", table, row, told)


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value
