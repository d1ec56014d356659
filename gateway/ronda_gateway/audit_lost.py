"""What an audit asks of ranges that stand as declared lost, and of a log that ends in one.

Each row of `lost` needs the signed event that it names; the end of a log that its device has left
is known from the first segment of the log that follows. Differences are `audit.py`'s to word.
"""

from typing import Any

import sqlalchemy as sa
from ronda_protocol import reading, track
from ronda_protocol.bounds import WireError

from ronda_gateway import chain, declared, pipeline, schema
from ronda_gateway.chain import LogState
from ronda_gateway.pipeline import Accepted, Device


def ranges(connection: sa.Connection, log: int) -> list[Any]:
    """The rows of a log in `lost`, in their order."""
    table = schema.lost
    query = sa.select(table).where(table.c.log == log).order_by(table.c.first)
    return list(connection.execute(query))


def is_signed(connection: sa.Connection, row: Any, log_id: bytes, device: Device | None) -> bool:
    """Whether the segment that a row of `lost` names declares all of that range, signed by the
    device that keeps the log."""
    logs, segments = schema.logs, schema.segments
    query = (
        sa.select(segments.c.raw, logs.c.device)
        .join(logs, logs.c.id == segments.c.log)
        .where(segments.c.log == row.by_log, segments.c.seq == row.by_seq)
    )
    found = connection.execute(query).one_or_none()
    if found is None or device is None or found.device != device.id:
        return False
    told = pipeline.judge_bytes(device.id, found.raw, lambda _: device)
    return isinstance(told, Accepted) and any(
        claim is not None
        and claim.log_id == log_id
        and claim.first <= row.first <= row.last <= claim.last
        for claim in _claims(told)
    )


def _claims(accepted: Accepted) -> list[declared.Claim | None]:
    return [
        declared.read(entry[4], accepted.log_id)
        for entry in accepted.entries
        if entry[0] == track.EVENT and entry[3] == track.LOST
    ]


def close_end(connection: sa.Connection, state: LogState) -> None:
    """Bring upto to the end of a log that the device has left, where that end is lost."""
    logs, segments = schema.logs, schema.segments
    query = (
        sa.select(segments.c.raw)
        .join(logs, logs.c.id == segments.c.log)
        .where(logs.c.device == state.device, logs.c.id != state.key, segments.c.seq == 1)
        .order_by(logs.c.id)
    )
    for raw in connection.scalars(query):
        try:
            previous = reading.parse(raw).header.previous_log
        except (WireError, TypeError):  # another version, or no bytes: told elsewhere
            continue
        if previous and previous[0] == state.log_id:
            last, head = previous[1], previous[2]
            if last > state.upto and chain.is_lost(state, state.upto + 1, last):
                state.upto, state.head = last, head
                state.max_seq = max(state.max_seq, last)
            return
