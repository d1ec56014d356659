"""Which unconfirmed events are published again now, and how many at once. Sends nothing.

A broker with a small queue drops most of a burst, and again most of the next one. So repeats go
like segments of TCP: a few are on their way at a time, more when they are confirmed, fewer when
they are not. Each topic has a pace of its own, so that a consumer that never confirms delays no
other's.
"""

import time

import sqlalchemy as sa

from ronda_gateway import confirmations, schema
from ronda_gateway.clock import Clock
from ronda_gateway.confirmations import Due
from ronda_gateway.settings import FeedSettings
from ronda_gateway.store import Store

LEAST = 4
"""Repeats of a topic that may be on their way whatever happened before."""
_FIRST = 8


class Pace:
    """How many repeats of one topic may be published and unconfirmed, within `wait_s` seconds."""

    def __init__(self, wait_s: float, most: int) -> None:
        self._wait_s = wait_s
        self._most = max(most, 1)
        self._size = min(_FIRST, self._most)
        self._cut_at = 0.0
        self._out: dict[int, float] = {}

    def room(self, now: float) -> int:
        """How many more may go. What was not confirmed in time makes place, and room for fewer."""
        late = [id for id, at in self._out.items() if now - at >= self._wait_s]
        for id in late:
            del self._out[id]
        if late and now - self._cut_at >= self._wait_s:
            self._cut_at = now
            self._size = min(max(LEAST, self._size // 2), self._most)
        return max(0, self._size - len(self._out))

    def sent(self, id: int, now: float) -> None:
        """A repeat was published."""
        self._out[id] = now

    def confirmed(self, id: int) -> None:
        """An event was; a repeat that was on its way makes room for two."""
        if self._out.pop(id, None) is not None:
            self._size = min(self._size + 1, self._most)


class Repeats:
    """For the outbox's thread."""

    def __init__(self, store: Store, feed: FeedSettings, clock: Clock) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock
        self._paces: dict[str, Pace] | None = None

    def published(self, topics: set[str]) -> None:
        """Events of these topics wait for a confirmation now."""
        for topic in topics:
            self._all().setdefault(topic, self._pace())

    def confirmed(self, ids: list[int]) -> None:
        """These events were confirmed."""
        for pace in self._all().values():
            for id in ids:
                pace.confirmed(id)

    def due(self, room: int, but: list[int]) -> list[Due]:
        """At most `room` events to publish again now, none of `but`; they count as published."""
        now, found = time.monotonic(), list[Due]()
        paces = self._all()
        with self._store.read() as connection:
            at = self._clock.now()
            for topic, pace in list(paces.items()):
                most = min(pace.room(now), room - len(found))
                if most > 0:
                    rows = confirmations.due(connection, topic, at, most, but)
                    for row in rows:
                        pace.sent(row.id, now)
                    found += rows
                if len(found) >= room:
                    # The others first the next time.
                    paces[topic] = paces.pop(topic)
                    break
        return sorted(found, key=lambda row: row.id)

    def _pace(self) -> Pace:
        return Pace(self._feed.confirm_s, max(1, self._feed.window // 2))

    def _all(self) -> dict[str, Pace]:
        if self._paces is None:
            with self._store.read() as connection:
                topics = connection.scalars(sa.select(schema.unconfirmed.c.topic).distinct()).all()
            self._paces = {topic: self._pace() for topic in topics}
        return self._paces
