"""One transaction's accepted segments: place in the chain, rows, receipts to send, alerts.

Lives as long as its transaction, and changes log states that the caller drops when it does not
commit. What a segment holds is `contents.py`'s.
"""

from collections import Counter
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from ronda_protocol import cbor, reading, receipt, segment

from ronda_gateway import chain, declared, fleet, pipeline, schema
from ronda_gateway.apart import Apart
from ronda_gateway.chain import LogState, Range
from ronda_gateway.changes import alert
from ronda_gateway.contents import Contents
from ronda_gateway.declared import Declared
from ronda_gateway.pipeline import Accepted, Device, Message
from ronda_gateway.settings import FenceSettings
from ronda_gateway.transaction import Transaction

LogName = tuple[str, bytes]
"""A device id and a log id."""


class Group:
    """`touched` says which logs to receipt after the commit, with dispositions by seq."""

    def __init__(
        self,
        work: Transaction,
        apart: Apart,
        fence: FenceSettings,
        states: dict[LogName, LogState],
        counters: Counter[str],
    ) -> None:
        self._work = work
        self._connection = work.connection
        self._apart = apart
        self._states = states
        self._counters = counters
        self._contents = Contents(work, fence, counters)
        self._declared = Declared(work, self._known)
        self._pending: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        self.touched: dict[LogName, dict[int, int]] = {}

    def take(self, accepted: Accepted, message: Message) -> None:
        """Store a segment, or set it apart; `message` is what it came in."""
        at = message.at
        state = self._state(accepted, at)
        placed = chain.place(
            state,
            accepted.seq,
            accepted.prev,
            accepted.chain,
            lambda seq: self._stored(state, seq),
        )
        if placed.kind == "repeat":
            self._counters["repeats"] += 1
            self._repeat(state, accepted, at)
        elif accepted.sealed and accepted.sealed.withheld and placed.kind == "new":
            self._stripped(accepted, message)
        elif accepted.device.state == fleet.REVOKED:
            self._set_apart(accepted, message, pipeline.REVOKED, receipt.HELD)
        elif placed.kind == "fork" or self._continues_fork(state, placed, accepted):
            self._set_apart(accepted, message, pipeline.FORK, receipt.QUARANTINED)
            if placed.kind == "fork":
                self._contents.changes.forked(state, accepted.seq, at)
        else:
            self._counters["stored"] += 1
            self._new(state, placed, accepted, at)

    def _stripped(self, accepted: Accepted, message: Message) -> None:
        """Parts were taken out on the way: no receipt, so that the handheld keeps the whole one.

        Whoever strips each copy of other parts has given us all of them: then it is whole.
        """
        sealed, device, at = accepted.sealed, accepted.device, message.at
        assert sealed is not None
        whole = (device.id, accepted.log_id, accepted.seq, accepted.chain)
        copies = self._apart.stripped_copies(self._work, *whole)
        parts = dict(sealed.parts)
        for raw in copies:
            parts |= reading.parse(raw).parts
        if parts.keys() >= sealed.header.parts.keys():
            raw = segment.assemble(sealed.signed, parts)
            self.take(pipeline.reopen(device, raw), replace(message, raw=raw))
            return
        self._counters["quarantined"] += 1
        names = ", ".join(segment.PART_NAMES[number] for number in sealed.withheld)
        detail, reason = f"seq {accepted.seq}: {names}", pipeline.STRIPPED
        self._apart.quarantine(self._work, device.id, message, reason, detail, signed=accepted)
        alert(self._work, "parts_withheld", accepted, at, parts=names)

    def _continues_fork(self, state: LogState, placed: chain.Placed, accepted: Accepted) -> bool:
        """Whether it follows what was set apart, be there only a gap yet in the other branch."""
        if state.forked_from is None or placed.link == chain.LINKED:
            return False
        return self._apart.is_fork_branch(
            self._work, accepted.device.id, accepted.log_id, accepted.seq, accepted.prev
        )

    def _set_apart(
        self, accepted: Accepted, message: Message, reason: str, disposition: int
    ) -> None:
        """Quarantine a validly signed segment; receipted, by disposition, when it was kept."""
        self._counters["quarantined"] += 1
        device, detail = accepted.device.id, f"seq {accepted.seq}"
        if self._apart.quarantine(self._work, device, message, reason, detail, signed=accepted):
            self._touch(accepted, disposition)

    def _touch(self, accepted: Accepted, disposition: int = 0) -> None:
        told = self.touched.setdefault((accepted.device.id, accepted.log_id), {})
        if disposition:
            told[accepted.seq] = disposition

    def _new(self, state: LogState, placed: chain.Placed, accepted: Accepted, at: int) -> None:
        header = accepted.header
        row = (
            state.key,
            accepted.seq,
            accepted.status,
            header.body if header else None,
            accepted.kid,
            accepted.prev,
            accepted.chain,
            placed.link,
            *(header.stamp if header else [None] * 5),
            header.fw_version if header else None,
            cbor.encode(header.numbers) if header else None,
            at,
            accepted.raw,
        )
        self._work.rows(schema.segments).append(row)
        self._pending[state.key, accepted.seq] = (accepted.chain, accepted.prev)
        late = bool(state.lost) and chain.is_lost(state, accepted.seq, accepted.seq)
        was = chain.add(state, accepted.seq, accepted.chain)
        self._touch(accepted, accepted.status)
        self._chain_alerts(placed, accepted, at)
        self._unreadable(accepted, at)
        self._contents.take(state, accepted, placed.link, at)
        if late:
            self._came_after_all(state, accepted, at)
        if self._contents.claims:
            self._claims(state, accepted, at)
        if state.lost and chain.is_lost(state, state.upto + 1, state.upto + 1):
            self._declared.close_end(state)
        if state.upto > was + 1:
            self._advanced(state, accepted.device, was, at)
        elif state.upto > was and header:
            self._count(state, accepted.seq, header.numbers, header.body, at)

    def _chain_alerts(self, placed: chain.Placed, accepted: Accepted, at: int) -> None:
        device, log = accepted.device.id, accepted.log_id.hex()
        if placed.gap:
            first, last = placed.gap
            key = f"{device}/{log}/{first}"
            self._work.alert("gap", key, device, at, log=log, first=first, last=last)
        for seq, neighbour in placed.clashes:
            alert(self._work, "chain_broken", accepted, at, seq=seq, neighbour=neighbour)

    def _unreadable(self, accepted: Accepted, at: int) -> None:
        if accepted.trouble:
            self._counters["unreadable"] += 1
            alert(self._work, "unreadable", accepted, at, why=accepted.trouble)

    # ---- a copy of what came before ------------------------------------------------------------

    def _repeat(self, state: LogState, accepted: Accepted, at: int) -> None:
        """Receipt a repeated segment again; parts it brings that were withheld are added."""
        self._work.flush()
        status, link, raw = self._segment_row(state, accepted.seq)
        self._touch(accepted, status)
        if accepted.sealed is None or status != schema.STORED:
            return
        kept = reading.parse(raw)
        extra = {n: part for n, part in accepted.sealed.parts.items() if n not in kept.parts}
        if not extra:
            return
        whole = segment.assemble(kept.signed, {**kept.parts, **extra})
        fuller = pipeline.reopen(accepted.device, whole)
        self._update_segment(state, accepted.seq, status=fuller.status, raw=whole)
        self._touch(fuller, fuller.status)
        self._unreadable(fuller, at)
        if extra.keys() & {segment.TRACK, segment.EVIDENCE, segment.CORRECTION}:
            was = state.upto
            self._contents.take(state, fuller, link, at)
            self._claims(state, fuller, at)
            if state.upto > was:
                self._advanced(state, fuller.device, was, at)
        elif fuller.status == schema.STORED:
            self._contents.changes.retell(state, fuller, link, "parts", at)

    # ---- a gap that closed ---------------------------------------------------------------------

    def _claims(self, state: LogState, accepted: Accepted, at: int) -> None:
        """What a segment declares lost: upto goes over it; of its own log the caller tells."""
        claims, self._contents.claims = self._contents.claims, []
        for number, data in claims:
            found = self._declared.take(accepted, number, data, at)
            if found is None:
                continue
            was = found.upto
            chain.advance(found)
            if found is state:
                continue
            self._declared.close_end(found)
            if found.upto > was:
                self.touched.setdefault((found.device, found.log_id), {})
                self._advanced(found, accepted.device, was, at)

    def _came_after_all(self, state: LogState, accepted: Accepted, at: int) -> None:
        """What was declared lost is here: the segment behind it hangs on it, or does not."""
        self._work.flush()
        self._declared.found(state, accepted, at)
        table, behind = schema.segments, accepted.seq + 1
        query = sa.select(table.c.seq, table.c.prev, table.c.link, table.c.body)
        here = query.where(table.c.log == state.key, table.c.seq == behind)
        row = self._connection.execute(here).one_or_none()
        if row is not None and row.link == chain.LOST:
            link = chain.LINKED if row.prev == accepted.chain else chain.BROKEN
            self._relink(state, accepted.device, row, link, "chain", at)

    def _relink(  # noqa: PLR0917
        self, state: LogState, device: Device, row: Any, link: str, why: str, at: int
    ) -> None:
        """Another chain verdict for a stored segment (seq, link, body); told of a visit."""
        if link == row.link:
            return
        self._update_segment(state, row.seq, link=link)
        if row.body == segment.VISIT_BODY:
            told = pipeline.reopen(device, self._segment_row(state, row.seq)[2])
            self._contents.changes.retell(state, told, link, why, at)

    def _advanced(self, state: LogState, device: Device, was: int, at: int) -> None:
        """Segments was+1 to upto now hang together from seq 1, over what is declared lost: tell
        what that changes."""
        self._work.flush()
        table = schema.segments
        columns = (table.c.seq, table.c.prev, table.c.chain, table.c.link, table.c.body)
        query = (
            sa.select(*columns, table.c.numbers)
            .where(table.c.log == state.key, table.c.seq >= was, table.c.seq <= state.upto)
            .order_by(table.c.seq)
        )
        before, last, why = segment.FIRST_PREV, 0, "chain"
        for row in self._connection.execute(query).all():
            if row.seq > was:
                link = chain.LINKED if row.prev == before else chain.BROKEN
                if row.seq > last + 1:
                    link, why, state.unnumbered = chain.LOST, "lost", True
                self._relink(state, device, row, link, why, at)
                if row.numbers:
                    self._count(state, row.seq, cbor.decode(row.numbers), row.body, at)
            before, last = row.chain, row.seq

    def _count(self, state: LogState, seq: int, numbers: list[int], body: int, at: int) -> None:
        """Account for the entry numbers of a segment now within upto (protocol.md, Entries)."""
        alone = body in (segment.VISIT_BODY, segment.CORRECTION_BODY)
        missing, again = chain.count_numbers(state, numbers, alone)
        log = state.log_id.hex()
        for kind, spans in (("entries_missing", missing), ("entries_repeated", again)):
            for first, last in spans:
                key = f"{state.device}/{log}/{seq}/{first}"
                fields = {"log": log, "seq": seq, "first": first, "last": last}
                self._work.alert(kind, key, state.device, at, **fields)

    # ---- logs ----------------------------------------------------------------------------------

    def _state(self, accepted: Accepted, at: int) -> LogState:
        name = (accepted.device.id, accepted.log_id)
        state = self._states.get(name)
        if state is None:
            state = load_state(self._connection, *name) or self._new_log(accepted, at)
            self._states[name] = state
        return state

    def _known(self, device: str, log_id: bytes) -> LogState | None:
        """A log that is stored, wholly or in part."""
        name = (device, log_id)
        state = self._states.get(name) or load_state(self._connection, device, log_id)
        if state is not None:
            self._states[name] = state
        return state

    def _new_log(self, accepted: Accepted, at: int) -> LogState:
        device, header, table = accepted.device.id, accepted.header, schema.logs
        state = LogState(0, device, accepted.log_id)
        others = self._connection.scalar(
            sa.select(sa.func.count()).where(table.c.device == device)
        )
        previous = header.previous_log if header else None
        if others or previous:
            state.numbered = -1
            self._log_replaced(accepted, previous, at)
        row = {"device": device, "log_id": accepted.log_id, "first_at": at, "last_at": at}
        row |= {"upto": 0, "head": state.head, "max_seq": 0, "numbered": state.numbered}
        query = table.insert().values(**row).returning(table.c.id)
        state.key = self._connection.scalars(query).one()
        return state

    def _log_replaced(self, accepted: Accepted, previous: list[Any] | None, at: int) -> None:
        device, log = accepted.device.id, accepted.log_id.hex()
        fields: dict[str, object] = {"log": log, "missing": "?"}
        if previous:
            log_id, last_seq, _, reason = previous
            old = load_state(self._connection, device, log_id)
            stored = old.upto + sum(r.last - r.first + 1 for r in old.beyond) if old else 0
            fields["missing"] = max(0, last_seq - stored)
            fields |= {"previous_log": log_id.hex(), "previous_seq": last_seq, "why": reason}
        self._work.alert("log_replaced", f"{device}/{log}", device, at, **fields)

    def _stored(self, state: LogState, seq: int) -> tuple[bytes, bytes] | None:
        found = self._pending.get((state.key, seq))
        if found or seq < 1:
            return found
        table = schema.segments
        row = self._connection.execute(
            sa.select(table.c.chain, table.c.prev).where(
                table.c.log == state.key, table.c.seq == seq
            )
        ).one_or_none()
        return (row.chain, row.prev) if row else None

    def _segment_row(self, state: LogState, seq: int) -> tuple[int, str, bytes]:
        """(status, link, sealed bytes) of a stored segment."""
        table = schema.segments
        query = sa.select(table.c.status, table.c.link, table.c.raw)
        here = query.where(table.c.log == state.key, table.c.seq == seq)
        row = self._connection.execute(here).one()
        return row.status, row.link, row.raw

    def _update_segment(self, state: LogState, seq: int, **values: object) -> None:
        table = schema.segments
        self._connection.execute(
            table.update().where(table.c.log == state.key, table.c.seq == seq).values(**values)
        )

    def finish(self, at: int) -> None:
        """Insert what was gathered and write the chain heads of the logs that were touched."""
        self._work.flush()
        heads: list[tuple[object, ...]] = []
        for name in self.touched:
            state = self._states[name]
            heads.append((state.upto, state.head, state.max_seq, state.numbered, at, state.key))
        if heads:
            self._connection.exec_driver_sql(_HEADS, heads)


# Plain SQL: it runs once a group for each log, and the way by names costs more than the update.
_HEADS = "UPDATE logs SET upto=?, head=?, max_seq=?, numbered=?, last_at=? WHERE id=?"


def load_state(connection: sa.Connection, device: str, log_id: bytes) -> LogState | None:
    """What is stored of a log; None when nothing is."""
    logs, segments = schema.logs, schema.segments
    row = connection.execute(
        sa.select(logs).where(logs.c.device == device, logs.c.log_id == log_id)
    ).one_or_none()
    if row is None:
        return None
    state = LogState(row.id, device, log_id, row.upto, row.head, row.max_seq)
    state.numbered, state.forked_from = row.numbered, row.forked_from
    later = (
        sa.select(segments.c.seq, segments.c.chain)
        .where(segments.c.log == row.id, segments.c.seq > row.upto)
        .order_by(segments.c.seq)
    )
    for seq, head in connection.execute(later):
        if state.beyond and state.beyond[-1].last + 1 == seq:
            state.beyond[-1].last, state.beyond[-1].head = seq, head
        else:
            state.beyond.append(Range(seq, seq, head))
    loose = sa.union_all(
        *[
            sa.select(alone.c.number).where(
                alone.c.log == row.id, alone.c.seq <= row.upto, alone.c.number > row.numbered
            )
            for alone in (schema.visits, schema.corrections)
        ]
    )
    state.loose = sorted(connection.scalars(loose))
    declared.load(connection, state)
    return state
