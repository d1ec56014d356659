"""What a handheld itself declares lost: which of its claims count, and the rows of those that do.

A claim is a `lost` event in a valid segment of that device (WIRE.md, Events). It counts for what
the gateway does not have of a range that the device can have sealed; ranges are never walked
through, however long. Works within one transaction; what follows for the chain is the caller's.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import sqlalchemy as sa
from ronda_protocol import reading, segment
from ronda_protocol.bounds import U32, WireError, is_bytes, is_uint

from ronda_gateway import chain, schema
from ronda_gateway.chain import LogState
from ronda_gateway.pipeline import Accepted
from ronda_gateway.transaction import Transaction

# Ranges of one log; each lies between stored segments, so that an honest log has a few.
_MOST = 1000

_LOST = schema.lost
_LOGS = schema.logs
_SEGMENTS = schema.segments


class Claim(NamedTuple):
    """Segments first..last of a log are lost, and why."""

    log_id: bytes
    first: int
    last: int
    reason: str


def read(data: object, log_id: bytes) -> Claim | None:
    """The claim in the data of a `lost` event of a log; None when it is none."""
    told = cast(list[Any], data) if isinstance(data, list) else []
    if not 3 <= len(told) <= 4:
        return None
    first, last, reason = told[:3]
    meant = told[3] if len(told) == 4 else log_id
    if not (is_uint(first, U32, 1) and is_uint(last, U32, first) and is_bytes(meant, 8)):
        return None
    return Claim(meant, first, last, str(reason)[:32])


def load(connection: sa.Connection, state: LogState) -> None:
    """Put what is declared lost of a log into its state."""
    query = sa.select(_LOST.c.first, _LOST.c.last).where(_LOST.c.log == state.key)
    for first, last in connection.execute(query).all():
        chain.declare_lost(state, first, last)
    behind = max((last for _, last in state.lost if last <= state.upto), default=0)
    if behind:
        later = sa.select(_SEGMENTS.c.seq).where(
            _SEGMENTS.c.log == state.key,
            _SEGMENTS.c.seq > behind,
            _SEGMENTS.c.seq <= state.upto,
            _SEGMENTS.c.body == segment.TRACK_BODY,
        )
        state.unnumbered = connection.scalar(later.limit(1)) is None


class Declared:
    """Claims within the transaction `work`; `known` gives the state of a log of a device."""

    def __init__(self, work: Transaction, known: Callable[[str, bytes], LogState | None]) -> None:
        self._work = work
        self._known = known

    def take(self, accepted: Accepted, number: int, data: object, at: int) -> LogState | None:
        """The log of which a claim declared something lost; None when it changed nothing.

        `number` is the event's entry number.
        """
        claim = read(data, accepted.log_id)
        if claim is None:
            self._refuse(accepted, number, None, "form", at)
            return None
        self._work.flush()
        state = self._known(accepted.device.id, claim.log_id)
        why = self._refusal(accepted, claim, state)
        if why or state is None:
            self._refuse(accepted, number, claim, why, at)
            return None
        if chain.stored(state, claim.first, claim.last):
            self._refuse(accepted, number, claim, "here", at)
        pieces = chain.missing(state, claim.first, claim.last)
        if not pieces:
            return None
        for first, last in pieces:
            chain.declare_lost(state, first, last)
        own = self._known(accepted.device.id, accepted.log_id)
        assert own is not None
        rows = [
            (state.key, first, last, claim.reason, own.key, accepted.seq, at)
            for first, last in pieces
        ]
        self._work.store.insert(self._work.connection, _LOST, rows)
        self._alert("declared_lost", accepted, number, claim, claim.reason, at)
        return state

    def _refusal(self, accepted: Accepted, claim: Claim, state: LogState | None) -> str:
        """Why a claim counts for nothing; "" when it may count."""
        if state is None:
            return "unknown_log"
        own = claim.log_id == accepted.log_id
        # Of two who sign for one log nobody knows which of them has lost something.
        if state.forked_from is not None and (not own or accepted.seq >= state.forked_from):
            return "fork"
        # What a log's segment says can be lost was sealed before it.
        end = accepted.seq - 1 if own else max(state.max_seq, self._end(state)[0])
        if claim.last > end:
            return "range"
        return "too_many" if len(state.lost) >= _MOST else ""

    def close_end(self, state: LogState) -> None:
        """Bring upto to the end of a log that the device has left, where that end is lost: its
        hash is known from the log that names it as the one before."""
        if state.beyond:
            return
        last, head = self._end(state)
        if last > state.upto and chain.is_lost(state, state.upto + 1, last):
            state.upto, state.head, state.max_seq = last, head, max(state.max_seq, last)

    def _end(self, state: LogState) -> tuple[int, bytes]:
        """(last seq, its hash) of a log as a later log of the device names it, or (0, b"")."""
        query = (
            sa.select(_SEGMENTS.c.raw)
            .join(_LOGS, _LOGS.c.id == _SEGMENTS.c.log)
            .where(_LOGS.c.device == state.device, _LOGS.c.id != state.key, _SEGMENTS.c.seq == 1)
            .order_by(_LOGS.c.id)
        )
        for raw in self._work.connection.scalars(query):
            try:
                previous = reading.parse(raw).header.previous_log
            except WireError:  # a version that we do not read
                continue
            if previous and previous[0] == state.log_id:
                return previous[1], previous[2]
        return 0, b""

    def found(self, state: LogState, accepted: Accepted, at: int) -> None:
        """A segment that was declared lost came after all: its seq is lost no more."""
        connection, seq = self._work.connection, accepted.seq
        here = sa.and_(_LOST.c.log == state.key, _LOST.c.first <= seq, _LOST.c.last >= seq)
        for row in connection.execute(sa.select(_LOST).where(here)).all():
            connection.execute(_LOST.delete().where(here))
            spans = [(row.first, seq - 1), (seq + 1, row.last)]
            rows = [(row.log, low, high, *row[3:]) for low, high in spans if low <= high]
            self._work.store.insert(connection, _LOST, rows)
        device, log = accepted.device.id, accepted.log_id.hex()
        self._work.alert("lost_found", f"{device}/{log}/{seq}", device, at, log=log, seq=seq)

    def _refuse(
        self, accepted: Accepted, number: int, claim: Claim | None, why: str, at: int
    ) -> None:
        self._alert("lost_refused", accepted, number, claim, why, at)

    def _alert(  # noqa: PLR0917
        self, kind: str, accepted: Accepted, number: int, claim: Claim | None, why: str, at: int
    ) -> None:
        device = accepted.device.id
        key = f"{device}/{accepted.log_id.hex()}/{number}"
        log = claim.log_id if claim else accepted.log_id
        first, last = (claim.first, claim.last) if claim else ("?", "?")
        self._work.alert(kind, key, device, at, log=log.hex(), first=first, last=last, why=why)
