"""The rows that this program makes of a segment, from its bytes alone: for comparing.

Written beside `contents.py` and not by its means, so that a fault there shows in an audit.
"""

import sqlalchemy as sa
from ronda_protocol import cbor, segment, track, visit

from ronda_gateway import changes, schema
from ronda_gateway.feed import fix_rows, utc_offset
from ronda_gateway.pipeline import Accepted

Row = dict[str, object]


def expected(log: int, accepted: Accepted) -> dict[sa.Table, list[Row]]:
    """The rows of a segment by table; only columns that the bytes decide."""
    header = accepted.header
    if accepted.status != schema.STORED or header is None:
        return {}
    if header.body == segment.VISIT_BODY:
        return {schema.visits: [_visit_row(log, accepted)]} if accepted.visit else {}
    if header.body == segment.CORRECTION_BODY:
        return (
            {schema.corrections: [_correction_row(log, accepted)]} if accepted.correction else {}
        )
    return _track_rows(log, accepted)


def _track_rows(log: int, accepted: Accepted) -> dict[sa.Table, list[Row]]:
    header = accepted.header
    assert header is not None
    offset = utc_offset(header.stamp, accepted.entries)
    names = [column.name for column in schema.fixes.columns]
    found: dict[sa.Table, list[Row]] = {
        schema.fixes: [dict(zip(names, row, strict=True)) for row in fix_rows(log, accepted)],
        schema.batteries: [],
        schema.events: [],
    }
    for entry in accepted.entries:
        kind, number, ms = entry[0], entry[1], entry[2]
        row: Row = {"log": log, "seq": accepted.seq, "number": number, "ms": ms}
        row["utc"] = None if offset is None else (ms + offset) // 1000
        if kind == track.BATTERY:
            row |= dict(zip(("mv", "percent", "source"), entry[3:6], strict=True))
            found[schema.batteries].append(row)
        elif kind != track.FIX:
            found[schema.events].append(row | {"code": entry[3], "data": cbor.encode(entry[4])})
    return found


def _visit_row(log: int, accepted: Accepted) -> Row:
    assert accepted.visit is not None and accepted.header is not None
    evidence = accepted.visit.evidence
    return {
        "id": changes.visit_id(accepted),
        "log": log,
        "seq": accepted.seq,
        "number": accepted.header.numbers[0],
        "device": accepted.device.id,
        "portfolio": evidence["portfolio"],
        "case_id": evidence["case_id"],
        "ended": visit.ENDED_NAMES[int(evidence["ended"])],
        "opened": visit.POLICY_NAMES[int(evidence["opened"])],
        "outcome": evidence.get("outcome"),
        "check_in_utc": evidence["check_in"][2],
    }


def _correction_row(log: int, accepted: Accepted) -> Row:
    assert accepted.correction is not None and accepted.header is not None
    found = accepted.correction
    return {
        "log": log,
        "seq": accepted.seq,
        "number": accepted.header.numbers[0],
        "visit": visit.visit_id(accepted.device.id, found["log_id"], found["seq"]),
        "field": found["field"],
        "utc": accepted.header.stamp[2],
    }
