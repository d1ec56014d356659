"""What changes of a visit after it was told: a gap closed, parts came, a fork, a correction.

Each is a new `visit.verdict` event whose number n comes from the database in the same transaction
as the event; the visit itself is never told a second time. Works within one transaction.
"""

import base64
import json
from typing import Any

import sqlalchemy as sa
from ronda_protocol import correction, segment, track, visit

from ronda_gateway import chain, in_force, pipeline, schema
from ronda_gateway.chain import LogState
from ronda_gateway.feed import Change, parts, stamp
from ronda_gateway.judge import judge
from ronda_gateway.pipeline import Accepted
from ronda_gateway.settings import FenceSettings
from ronda_gateway.transaction import Transaction

# States of a correction.
WAITING = "waiting"
ACCEPTED = "accepted"
REFUSED = "refused"

_VISITS = schema.visits
_CORRECTIONS = schema.corrections
# Plain SQL: it runs for every visit, and the way by names costs more than the query.
_WAITING = f"SELECT log, seq FROM corrections WHERE visit = ? AND state = '{WAITING}' ORDER BY seq"

_RESTORED = "SELECT value FROM meta WHERE key = 'restored'"


class Changes:
    """Later changes of told visits, in the transaction `work`."""

    def __init__(self, work: Transaction, fence: FenceSettings) -> None:
        self._work = work
        self._fence = fence

    def verdicts(self, accepted: Accepted, link: str, at: int) -> dict[str, Any]:
        """The judgement of a visit; its alarms have stable ids, so judging again raises none."""
        found = accepted.visit
        assert found is not None
        rules, seen = self._fence, found.evidence
        if in_force.matters(seen):
            self._work.flush()
        connection, device = self._work.connection, accepted.device.id
        search_m = in_force.search_m(connection, device, seen, rules.search_m)
        judged = judge(seen, link, rules.uere_dm, search_m, rules.dwell_s)
        for kind, fields in judged.alarms.items():
            alert(self._work, kind, accepted, at, visit_id=visit_id(accepted), **fields)
        return judged.verdicts

    def retell(self, state: LogState, accepted: Accepted, link: str, why: str, at: int) -> None:
        """Judge a visit again and tell the change, if it was told before.

        `why`: chain (a gap closed), lost (it closed by what the device declared lost) or parts
        (withheld ones arrived).
        """
        here = sa.and_(_VISITS.c.log == state.key, _VISITS.c.seq == accepted.seq)
        row = self._work.connection.execute(sa.select(_VISITS).where(here)).one_or_none()
        found = accepted.visit
        if row is None or found is None:
            return
        told = state.told(accepted.seq, link)
        verdicts = self.verdicts(accepted, told, at)
        states = sa.select(_CORRECTIONS.c.state).where(_CORRECTIONS.c.visit == row.id)
        for settled in set(self._work.connection.scalars(states)):
            verdicts = corrected(verdicts, settled)
        if why == "parts":
            sealed = base64.b64encode(accepted.raw).decode()
            more = {"parts": parts(accepted), "answers": found.answers, "promise": found.promise}
            self._tell(row, verdicts, told, "parts", "parts_arrived", at, sealed=sealed, **more)
        elif json.loads(row.verdicts) != verdicts:
            closed = "declared_lost" if why == "lost" else "gap_filled"
            reason = "chain_broken" if link == chain.BROKEN else closed
            self._tell(row, verdicts, told, "chain", reason, at)

    def _tell(  # noqa: PLR0917
        self,
        row: sa.Row[Any],
        verdicts: dict[str, Any],
        link: str,
        changed: str,
        reason: str,
        at: int,
        **more: Any,
    ) -> None:
        """Number the change, keep the new verdicts and put the event into the outbox."""
        connection, here = self._work.connection, _VISITS.c.id == row.id
        version = (connection.scalar(sa.select(_VISITS.c.version).where(here)) or 0) + 1
        # A restored database has forgotten versions that were told: never one of them again.
        version = max(version, connection.exec_driver_sql(_RESTORED).scalar() or 0)
        values = {"version": version, "link": link, "overall": verdicts["overall"]}
        values["verdicts"] = json.dumps(verdicts)
        connection.execute(_VISITS.update().where(here).values(**values))
        data: dict[str, Any] = {
            "visit_id": row.id,
            "version": version,
            "changed": changed,
            "reason": reason,
            "case_id": row.case_id,
            "portfolio": row.portfolio,
            "verdicts_before": json.loads(row.verdicts),
            "verdicts": verdicts,
            "at": at,
            **more,
        }
        self._work.publish(self._work.feed.verdict(Change(row.device, data), at))

    # ---- forks ---------------------------------------------------------------------------------

    def forked(self, state: LogState, seq: int, at: int) -> None:
        """A second content was signed for `seq`: of what was told from there on nobody knows any
        more which of the two is the device's."""
        if state.forked_from is not None and state.forked_from <= seq:
            return
        self._work.flush()
        state.forked_from = seq
        connection, logs = self._work.connection, schema.logs
        connection.execute(logs.update().where(logs.c.id == state.key).values(forked_from=seq))
        query = sa.select(_VISITS).where(
            _VISITS.c.log == state.key, _VISITS.c.seq >= seq, _VISITS.c.link != chain.FORKED
        )
        for row in connection.execute(query.order_by(_VISITS.c.seq)).all():
            verdicts: dict[str, Any] = json.loads(row.verdicts)
            others = [r for r in verdicts["reasons"] if not r.startswith("chain_")]
            verdicts |= {"chain": chain.FORKED, "overall": "exception"}
            verdicts["reasons"] = ["chain_forked", *others]
            self._tell(row, verdicts, chain.FORKED, "chain", "fork_found", at)

    # ---- corrections ---------------------------------------------------------------------------

    def correction(self, state: LogState, accepted: Accepted, at: int) -> None:
        """Keep a correction, and tell it beside its visit when that is here."""
        found, header = accepted.correction, accepted.header
        assert found is not None and header is not None
        named = visit.visit_id(accepted.device.id, found["log_id"], found["seq"])
        values = (named, found["field"], WAITING, header.stamp[2], at)
        row = (state.key, accepted.seq, header.numbers[0], *values)
        self._work.rows(_CORRECTIONS).append(row)
        self._work.flush()
        if not self._settle(state.key, accepted, named, at):
            alert(self._work, "correction_unknown", accepted, at, visit_id=named)

    def settle_waiting(self, accepted: Accepted, at: int) -> None:
        """Tell the corrections that came before their visit did."""
        named = visit_id(accepted)
        connection = self._work.connection
        waiting = connection.exec_driver_sql(_WAITING, (named,)).all()
        if waiting:
            self._work.flush()
        for log, seq in waiting:
            table = schema.segments
            here = sa.and_(table.c.log == log, table.c.seq == seq)
            raw = connection.scalar(sa.select(table.c.raw).where(here))
            assert raw is not None
            self._settle(log, pipeline.reopen(accepted.device, raw), named, at)

    def _settle(self, log: int, accepted: Accepted, named: str, at: int) -> bool:
        """Judge a correction against its visit; False while the visit is not here."""
        found = accepted.correction
        assert found is not None
        row = self._work.connection.execute(
            sa.select(_VISITS).where(_VISITS.c.id == named)
        ).one_or_none()
        if row is None:
            if not self._is_no_visit(accepted):
                return False
            self._refused(log, accepted, named, ["not_a_visit"], at)
            return True
        original, reasons = self._against(accepted, row)
        told = _describe(accepted, original, reasons)
        before: dict[str, Any] = json.loads(row.verdicts)
        settled = REFUSED if reasons else ACCEPTED
        reason = "correction_refused" if reasons else "corrected"
        verdicts = corrected(before, settled)
        self._tell(row, verdicts, row.link, "correction", reason, at, correction=told)
        if reasons:
            self._refused(log, accepted, named, reasons, at)
        else:
            self._state(log, accepted.seq, ACCEPTED)
        return True

    def _state(self, log: int, seq: int, state: str) -> None:
        here = sa.and_(_CORRECTIONS.c.log == log, _CORRECTIONS.c.seq == seq)
        self._work.connection.execute(_CORRECTIONS.update().where(here).values(state=state))

    def _refused(
        self, log: int, accepted: Accepted, named: str, reasons: list[str], at: int
    ) -> None:
        self._state(log, accepted.seq, REFUSED)
        why = ", ".join(reasons)
        alert(self._work, "correction_refused", accepted, at, visit_id=named, why=why)

    def _is_no_visit(self, accepted: Accepted) -> bool:
        """Whether what the correction names is here and is no visit."""
        found, table, logs = accepted.correction, schema.segments, schema.logs
        assert found is not None
        query = (
            sa.select(table.c.body)
            .join(logs, logs.c.id == table.c.log)
            .where(logs.c.device == accepted.device.id, logs.c.log_id == found["log_id"])
            .where(table.c.seq == found["seq"])
        )
        body = self._work.connection.scalar(query)
        return body is not None and body != segment.VISIT_BODY

    def _against(self, accepted: Accepted, row: sa.Row[Any]) -> tuple[Any, list[str]]:
        """(what the visit says in that field, why the correction does not hold)."""
        found, header, table = accepted.correction, accepted.header, schema.segments
        assert found is not None and header is not None
        here = sa.and_(table.c.log == row.log, table.c.seq == row.seq)
        raw = self._work.connection.scalar(sa.select(table.c.raw).where(here))
        assert raw is not None
        corrected = pipeline.reopen(accepted.device, raw).visit
        assert corrected is not None
        number, reasons = header.numbers[0], list[str]()
        if found["gestor"] != corrected.evidence.get("gestor"):
            reasons.append("other_gestor")
        if number <= row.number:
            reasons.append("before_visit")
        elif self._shift_ended(row.device, row.number, number):
            reasons.append("after_shift")
        question = correction.question(found["field"])
        ended = corrected.evidence["ended"]
        if ended == visit.REFUSED or (question is None and ended != visit.CLOSED):
            reasons.append("not_closed")
        if question is not None:
            return (corrected.answers or {}).get(question), reasons
        if found["field"] == correction.PROMISE:
            return corrected.promise, reasons
        return corrected.evidence.get("outcome"), reasons

    def _shift_ended(self, device: str, first: int, last: int) -> bool:
        """Whether a shift's end is known between two entry numbers of a device."""
        events, logs = schema.events, schema.logs
        query = (
            sa.select(events.c.number)
            .join(logs, logs.c.id == events.c.log)
            .where(logs.c.device == device, events.c.code == track.SHIFT_END)
            .where(events.c.number > first, events.c.number < last)
        )
        return self._work.connection.scalar(query.limit(1)) is not None


def corrected(verdicts: dict[str, Any], settled: str) -> dict[str, Any]:
    """Verdicts with what a settled correction adds: corrected, or correction_refused."""
    if settled == WAITING:
        return verdicts
    reason = "corrected" if settled == ACCEPTED else "correction_refused"
    reasons = [r for r in verdicts["reasons"] if r != reason]
    overall = verdicts["overall"] if settled == ACCEPTED else "exception"
    return verdicts | {"reasons": [*reasons, reason], "overall": overall}


def _describe(accepted: Accepted, original: Any, reasons: list[str]) -> dict[str, Any]:
    """A correction on the feed: what the visit says, what it should say, and the proof."""
    found, header = accepted.correction, accepted.header
    assert found is not None and header is not None
    return {
        "device": accepted.device.id,
        "log": accepted.log_id.hex(),
        "seq": accepted.seq,
        "number": header.numbers[0],
        "kid": accepted.kid.hex(),
        "chain": accepted.chain.hex(),
        "field": found["field"],
        "original": original,
        "value": found["value"],
        "reason": found["reason"],
        "gestor": found["gestor"],
        "stamp": stamp(header.stamp),
        "accepted": not reasons,
        "refused_for": reasons,
        "evidence": base64.b64encode(accepted.raw).decode(),
    }


def alert(work: Transaction, kind: str, accepted: Accepted, at: int, **fields: Any) -> None:
    """Raise an alert about one segment: one of a kind for each seq."""
    device, log = accepted.device.id, accepted.log_id.hex()
    fields = {"log": log, "seq": accepted.seq, **fields}
    work.alert(kind, f"{device}/{log}/{fields['seq']}", device, at, **fields)


def visit_id(accepted: Accepted) -> str:
    """The id of the visit that this segment is."""
    return visit.visit_id(accepted.device.id, accepted.log_id, accepted.seq)
