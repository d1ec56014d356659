"""When the database takes nothing (disk full, failing, read-only): told while it lasts, and after.

While it lasts nothing can be put into the outbox, so the alert goes straight to the feed's broker
and may be lost; the one that says how long it lasted is stored and forwarded like any other.
"""

from typing import cast

from sqlalchemy import exc

from ronda_gateway.alerts import describe
from ronda_gateway.apart import STRANGER
from ronda_gateway.clock import Clock
from ronda_gateway.feed import Feed
from ronda_gateway.link import Link
from ronda_gateway.store import Store
from ronda_gateway.transaction import Transaction

# One failure may be another writer's long transaction; the second in a row is trouble.
_FAILURES = 2
_WHY_KEPT = 80


class StoreTrouble:
    """For the recorder's thread: `failed` after each StoreDown, `over` after each commit. `link`
    is the one to the feed's broker."""

    def __init__(self, store: Store, feed: Feed, clock: Clock, link: Link) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock
        self._link = link
        self._since: int | None = None
        self._failures = 0
        self._told = False
        self._why = ""

    def failed(self, why: str) -> None:
        """A commit did not happen."""
        now = self._clock.now()
        if self._since is None:
            self._since = now
        self._failures += 1
        self._why = why[:_WHY_KEPT]
        if self._failures >= _FAILURES and not self._told:
            fields = {"why": self._why, "since": self._since}
            data = describe("store_failed", STRANGER, now, fields)
            key = f"alert/store_failed/{self._since}"
            row, client = self._feed.alert(key, STRANGER, now, data), self._link.client
            if client is not None:
                client.publish(str(row[2]), cast(bytes, row[7]), qos=1)
                self._told = True

    def over(self) -> bool:
        """A commit happened; whether there is an alert now to be forwarded."""
        since, failures = self._since, self._failures
        if since is None:
            return False
        if failures >= _FAILURES:
            now = self._clock.now()
            fields = {"why": self._why, "since": since, "seconds": max(0, now - since)}
            try:
                with self._store.write() as connection:
                    work = Transaction(self._store, connection, self._feed)
                    work.alert("store_recovered", str(since), STRANGER, now, **fields)
                    work.flush()
            except exc.DBAPIError:
                return False  # not over after all
        self._since, self._failures, self._told = None, 0, False
        return failures >= _FAILURES
