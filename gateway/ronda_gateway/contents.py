"""What a segment holds becomes rows and feed events. What changes later of a visit is changes'.

Works within one transaction; the chain verdict comes from the caller.
"""

import json
from collections import Counter
from typing import Any

from ronda_protocol import cbor, segment, track, visit

from ronda_gateway import deliveries, schema
from ronda_gateway.chain import LogState
from ronda_gateway.changes import Changes, visit_id
from ronda_gateway.feed import fix_rows, utc_offset
from ronda_gateway.pipeline import Accepted
from ronda_gateway.settings import FenceSettings
from ronda_gateway.transaction import Transaction


class Contents:
    """Rows and events of accepted segments, in the transaction `work`."""

    def __init__(self, work: Transaction, fence: FenceSettings, counters: Counter[str]) -> None:
        self._work = work
        self.changes = Changes(work, fence)
        # (entry number, data) of `lost` events, for whoever knows the chain.
        self.claims: list[tuple[int, Any]] = []
        self._counters = counters

    def take(self, state: LogState, accepted: Accepted, link: str, at: int) -> None:
        """Store and tell what a segment holds."""
        sealed = accepted.sealed
        if accepted.status != schema.STORED or sealed is None:
            return
        body = sealed.header.body
        if body == segment.VISIT_BODY:
            self._visit(state, accepted, state.told(accepted.seq, link), at)
        elif body == segment.CORRECTION_BODY:
            self.changes.correction(state, accepted, at)
        else:
            self._track(state, accepted, sealed.header.stamp, at)

    def _track(self, state: LogState, accepted: Accepted, base: list[Any], at: int) -> None:
        work, key, seq = self._work, state.key, accepted.seq
        offset = utc_offset(base, accepted.entries)
        fixes = fix_rows(key, accepted)
        work.rows(schema.fixes).extend(fixes)
        for entry in accepted.entries:
            if entry[0] == track.FIX:
                continue
            kind, number, ms = entry[0], entry[1], entry[2]
            utc = None if offset is None else (ms + offset) // 1000
            if kind == track.BATTERY:
                work.rows(schema.batteries).append((key, seq, number, ms, utc, *entry[3:6]))
            else:
                data = cbor.encode(entry[4])
                work.rows(schema.events).append((key, seq, number, ms, utc, entry[3], data))
                if entry[3] == track.PACK:
                    deliveries.decided(work, accepted.device.id, entry[4], at)
                if entry[3] == track.LOST:
                    self.claims.append((number, entry[4]))
        work.publish(*self._work.feed.entries(accepted, at, fixes))

    def _visit(self, state: LogState, accepted: Accepted, link: str, at: int) -> None:
        found, header = accepted.visit, accepted.header
        assert found is not None and header is not None
        evidence = found.evidence
        verdicts = self.changes.verdicts(accepted, link, at)
        self._counters["visits"] += 1
        self._work.rows(schema.visits).append(
            (
                visit_id(accepted),
                state.key,
                accepted.seq,
                header.numbers[0],
                state.device,
                evidence["portfolio"],
                evidence["case_id"],
                visit.ENDED_NAMES[int(evidence["ended"])],
                visit.POLICY_NAMES[int(evidence["opened"])],
                evidence.get("outcome"),
                evidence["check_in"][2],
                at,
                verdicts["overall"],
                link,
                0,
                json.dumps(verdicts),
            )
        )
        self._work.publish(self._work.feed.visit(accepted, verdicts, at))
        self.changes.settle_waiting(accepted, at)
