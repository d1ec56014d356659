"""Events that the broker has and the consumer has not confirmed: which they are, when they are
due again, and what a confirmation does to them.

Works within transactions that its caller opens; sends nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from ronda_gateway import schema
from ronda_gateway.feed import SENT

UNCONFIRMED = 3
"""Outbox state: the broker has it, and feed.confirm asks for the consumer's word too."""

LONGEST_S = 3600
"""Longest wait before an event is published again."""


class Due(NamedTuple):
    """An event to publish again; `attempts` is how often the broker has taken it."""

    id: int
    topic: str
    event: str
    payload: bytes
    attempts: int


class Lag(NamedTuple):
    """How many events are not confirmed, the first one of them and when it was published."""

    events: int
    oldest: int
    since: int


def wait_s(first_s: int, attempts: int) -> int:
    """Seconds to wait for a confirmation after that many publications (1 first)."""
    return min(first_s * 2 ** min(attempts - 1, 20), max(LONGEST_S, first_s))


def published(
    connection: sa.Connection, events: Iterable[tuple[int, str, str]], now: int, first_s: int
) -> None:
    """The broker has these (outbox id, event id, topic) for the first time."""
    table, due = schema.unconfirmed, now + first_s
    rows = [
        {"id": id, "event": event, "topic": topic, "attempts": 1, "first_at": now, "due_at": due}
        for id, event, topic in events
    ]
    if rows:
        connection.execute(table.insert(), rows)
        connection.exec_driver_sql(
            f"UPDATE outbox SET state = {UNCONFIRMED} WHERE id = ?", [(row["id"],) for row in rows]
        )


def again(
    connection: sa.Connection, events: Iterable[tuple[int, int]], now: int, first_s: int
) -> None:
    """The broker has taken these (outbox id, attempts before) once more. What was confirmed in
    the meantime is no longer here and stays away."""
    rows = [(n + 1, now + wait_s(first_s, n + 1), id) for id, n in events]
    if rows:
        connection.exec_driver_sql(
            "UPDATE unconfirmed SET attempts = ?, due_at = ? WHERE id = ?", rows
        )


def confirm(connection: sa.Connection, ids: Sequence[str], now: int) -> dict[int, str]:
    """Let events go that the consumer has; outbox id -> event id of those that waited for it."""
    table = schema.unconfirmed
    taken = table.delete().where(table.c.event.in_(ids)).returning(table.c.id, table.c.event)
    rows = connection.execute(taken).all()
    if rows:
        connection.exec_driver_sql(
            f"UPDATE outbox SET state = {SENT}, sent_at = ? WHERE id = ?",
            [(now, row.id) for row in rows],
        )
    return {row.id: row.event for row in rows}


def forget(connection: sa.Connection, id: int) -> None:
    """An event was set aside."""
    table = schema.unconfirmed
    connection.execute(table.delete().where(table.c.id == id))


def due(
    connection: sa.Connection, topic: str, now: int, count: int, but: Iterable[int] = ()
) -> list[Due]:
    """At most `count` events of a topic to publish again, those that wait longest first, none of
    `but`."""
    table, outbox = schema.unconfirmed, schema.outbox
    without = list(but)
    query = (
        sa.select(table.c.id, outbox.c.topic, outbox.c.event, outbox.c.payload, table.c.attempts)
        .join(outbox, outbox.c.id == table.c.id)
        .where(table.c.topic == topic, table.c.due_at <= now)
        .order_by(table.c.due_at, table.c.id)
        .limit(count)
    )
    if without:
        query = query.where(table.c.id.not_in(without))
    return [Due(*row) for row in connection.execute(query)]


def hasten(connection: sa.Connection, now: int, first_s: int) -> None:
    """A consumer is back: what waits longer than the first time-out comes again after that."""
    table = schema.unconfirmed
    soon = now + first_s
    connection.execute(table.update().where(table.c.due_at > soon).values(due_at=soon))


def later_than_ever(connection: sa.Connection, now: int, first_s: int) -> bool:
    """Whether an event waits longer than any may: the clock was set back."""
    latest = connection.scalar(sa.select(sa.func.max(schema.unconfirmed.c.due_at)))
    return latest is not None and latest > now + max(LONGEST_S, first_s)


def mend(connection: sa.Connection, now: int, first_s: int) -> None:
    """A clock that was set back must not make an event wait for ever."""
    table = schema.unconfirmed
    latest = now + max(LONGEST_S, first_s)
    connection.execute(table.update().where(table.c.due_at > latest).values(due_at=latest))


def lag(connection: sa.Connection) -> Lag:
    """What is not confirmed; (0, 0, 0) when there is nothing."""
    table = schema.unconfirmed
    query = sa.select(sa.func.count(), sa.func.min(table.c.id))
    count, oldest = connection.execute(query).one()
    if not count:
        return Lag(0, 0, 0)
    since: Any = connection.scalar(sa.select(table.c.first_at).where(table.c.id == oldest))
    return Lag(count, oldest, since)


def release(connection: sa.Connection, now: int) -> int:
    """feed.confirm is off: what the broker has may go; how many."""
    done = connection.execute(schema.unconfirmed.delete()).rowcount
    if done:
        connection.exec_driver_sql(
            f"UPDATE outbox SET state = {SENT}, sent_at = ? WHERE state = {UNCONFIRMED}", (now,)
        )
    return done
