"""One open transaction: its connection, rows gathered for bulk insert, alerts and feed events.

Looking up what the gathered rows hold needs a `flush` first.
"""

import json
from typing import Any

import sqlalchemy as sa

from ronda_gateway import schema
from ronda_gateway.alerts import describe
from ronda_gateway.feed import Feed, OutboxRow
from ronda_gateway.store import Store

Row = tuple[object, ...]

# In this order: what others refer to comes first.
_BULK = (
    schema.segments,
    schema.fixes,
    schema.batteries,
    schema.events,
    schema.visits,
    schema.corrections,
    schema.outbox,
)


class Transaction:
    """Used within `Store.write()`; nothing of it outlives the commit."""

    def __init__(self, store: Store, connection: sa.Connection, feed: Feed) -> None:
        self.store = store
        self.connection = connection
        self.feed = feed
        self._gathered: dict[sa.Table, list[Row]] = {table: [] for table in _BULK}

    def rows(self, table: sa.Table) -> list[Row]:
        """The rows gathered for a bulk table, to append to."""
        return self._gathered[table]

    def publish(self, *events: OutboxRow) -> None:
        """Put events into the outbox, in this order."""
        self._gathered[schema.outbox] += events

    def alert(self, kind: str, key: str, device: str, at: int, **fields: Any) -> bool:
        """Raise an alert once for its id `alert/<kind>/<key>`; True if it is new."""
        alert_id = f"alert/{kind}/{key}"
        data = describe(kind, device, at, fields)
        row = (alert_id, kind, device, at, json.dumps(data, ensure_ascii=False))
        if not self.store.insert(self.connection, schema.alerts, [row], keep_old=True):
            return False
        self.publish(self.feed.alert(alert_id, device, at, data))
        return True

    def flush(self) -> None:
        """Insert what was gathered."""
        for table, rows in self._gathered.items():
            if rows:
                self.store.insert(self.connection, table, rows)
                self._gathered[table] = []
