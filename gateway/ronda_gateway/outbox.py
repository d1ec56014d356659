"""The durable outbox: rows leave for the back office's broker in order, and count as sent only
after its PUBACK, and where feed.confirm says so after the consumer's confirmation too.

A row too large for the broker is set aside with an alert and never tried for ever. After a lost
connection rows are sent again: the same event under the same id. Rows are published for the first
time in their order; one that nobody confirms comes again later, oldest first, and takes at most
half of the window, so that it holds nothing else up (`repeats.py`).
"""

import random
import threading
import time
from collections import Counter, deque
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
import structlog
from sqlalchemy import exc, select

from ronda_gateway import confirmations, schema
from ronda_gateway.apart import STRANGER
from ronda_gateway.clock import Clock
from ronda_gateway.confirmer import Confirmer
from ronda_gateway.feed import ASIDE, DESTINATION, SENT, WAITING, Feed
from ronda_gateway.link import Link
from ronda_gateway.repeats import Repeats
from ronda_gateway.settings import Settings
from ronda_gateway.store import Store
from ronda_gateway.transaction import Transaction

_log = structlog.get_logger("ronda.gateway")

# A connection lost this often with one and the same row alone in flight: the row is the cause.
_LOSSES = 5
# No broker worth the name refuses a message this small; such losses are its own.
_SURELY_TAKEN = 8192
_MARK_ROWS = 200
_MARK_S = 0.1
_POLL_S = 0.5
_GATHER_S = 0.02
_LONGEST_RETRY_S = 10.0


class _Event(NamedTuple):
    """A row on its way; `attempts` > 0: published before, and not confirmed."""

    id: int
    topic: str
    event: str
    payload: bytes
    attempts: int = 0


class Outbox:
    """Owns the connection to the feed's broker and the thread that forwards.

    Call `notify` after a commit that added rows.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        feed: Feed,
        clock: Clock,
        credentials: tuple[str, str] | None,
    ) -> None:
        self._settings = settings.feed
        self._store = store
        self._feed = feed
        self._clock = clock
        self._wake = threading.Event()
        self._fresh = True
        self._read_at = 0.0
        self._stopping = threading.Event()
        self._acked: deque[tuple[mqtt.Client, int]] = deque()
        self._client: mqtt.Client | None = None
        self._in_flight: dict[int, _Event] = {}
        self._done: list[_Event] = []
        self._done_since = 0.0
        self._last = 0
        # After a loss rows go one at a time up to this id; `_losses` counts those of one row.
        self._probe_to = 0
        self._suspect = 0
        self._losses = 0
        # Repeats to send one at a time after a loss.
        self._probe_repeats = 0
        self._repeated_at = 0.0
        # Rows that the consumer confirmed before the broker acknowledged them.
        self._early: set[int] = set()
        self._repeats = Repeats(store, settings.feed, clock)
        self._confirmer: Confirmer | None = None
        if settings.feed.confirm:
            self._confirmer = Confirmer(
                settings,
                store,
                feed,
                clock,
                early=self._note_early,
                confirmed=self._repeats.confirmed,
            )
        self._counted: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self.link = Link(
            settings.feed.host or settings.broker.host,
            settings.feed.port or settings.broker.port,
            f"{settings.client_id}-out",
            keepalive_s=settings.broker.keepalive_s,
            credentials=credentials,
            prepare=self._prepare,
            up=self._up,
            lost=self._wake.set,
        )

    def start(self) -> None:
        """Begin to forward; returns at once."""
        self._thread.start()
        self.link.start()

    def notify(self) -> None:
        """There are new rows. Any thread may say so."""
        self._fresh = True
        self._wake.set()

    def stop(self) -> None:
        """Mark what was acknowledged and end; the rest stays in the outbox."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self.link.stop()

    @property
    def counters(self) -> "Counter[str]":
        """published (PUBACKs of first publications), republished, and the confirmer's."""
        own = Counter(self._counted)
        return own + Counter(self._confirmer.counters) if self._confirmer else own

    # ---- the network's thread ------------------------------------------------------------------

    def _prepare(self, client: mqtt.Client) -> None:
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe

    def _up(self, client: mqtt.Client) -> None:
        if self._confirmer:
            client.subscribe(self._confirmer.topic, qos=1)
        self._wake.set()

    def _on_message(self, client: mqtt.Client, _data: Any, packet: mqtt.MQTTMessage) -> None:
        # Acknowledged at once: what a lost command confirmed is published again.
        if self._confirmer:
            self._confirmer.heard(bytes(packet.payload), retained=packet.retain)
        if packet.qos:
            client.ack(packet.mid, packet.qos)
        self._wake.set()

    def _on_subscribe(
        self, _client: mqtt.Client, _data: Any, _mid: int, granted: list[Any], _properties: Any
    ) -> None:
        if self._confirmer and any(code.is_failure for code in granted):
            _log.warning("commands_denied", topic=self._confirmer.topic)

    def _on_publish(
        self, client: mqtt.Client, _data: Any, mid: int, _reason: Any, _properties: Any
    ) -> None:
        self._acked.append((client, mid))
        self._wake.set()

    # ---- the outbox's thread -------------------------------------------------------------------

    def _run(self) -> None:
        wait = 0.2
        released = self._confirmer is not None
        while not self._stopping.is_set():
            try:
                if not released:
                    self._release()
                    released = True
                self._step()
                wait = 0.2
            except exc.DBAPIError as error:
                pause = round(wait * random.uniform(0.5, 1.0), 2)
                _log.error("outbox_failed", why=str(error.orig), wait=pause)
                wait = min(wait * 2, _LONGEST_RETRY_S)
                self._stopping.wait(pause)
            except Exception:
                # A fault of ours: rows stay where they are; a dead thread would forward none.
                _log.exception("outbox_fault")
                self._stopping.wait(1.0)
        try:
            self._collect()
            self._mark()
        except exc.DBAPIError as error:
            _log.error("outbox_failed", why=str(error.orig), wait=0)

    def _release(self) -> None:
        """What waits for a confirmation from a time when feed.confirm was on goes without."""
        with self._store.read() as connection:
            if not confirmations.lag(connection).events:
                return
        with self._store.write() as connection:
            count = confirmations.release(connection, self._clock.now())
        _log.warning("confirm_off", count=count)

    def _step(self) -> None:
        self._wake.clear()
        client = self.link.client
        if client is not self._client:
            self._changed(client)
        self._collect()
        if self._done and (
            len(self._done) >= _MARK_ROWS
            or not self._in_flight
            or time.monotonic() - self._done_since >= _MARK_S
        ):
            self._mark()
        busy = self._confirmer is not None and self._confirmer.settle()
        if busy:
            self._repeated_at = 0.0  # room for more repeats
        if self._confirmer and self._confirmer.look():
            self._fresh = True
        if client is not None:
            busy = self._repeat(client) or busy
            busy = self._fill(client) or busy
        if not busy:
            self._wake.wait(_MARK_S if self._done else _POLL_S)

    def _changed(self, client: mqtt.Client | None) -> None:
        """The connection came, went, or was replaced: begin again at the oldest row not sent."""
        self._collect()
        if self._in_flight:
            oldest = next(iter(self._in_flight.values()))
            self._losses = self._losses + 1 if oldest.id == self._suspect else 1
            self._suspect = oldest.id
            firsts = [e.id for e in self._in_flight.values() if not e.attempts]
            self._probe_to = max(self._probe_to, *firsts) if firsts else self._probe_to
            self._probe_repeats = len(self._in_flight) - len(firsts)
            if self._losses >= _LOSSES and len(oldest.payload) > _SURELY_TAKEN:
                self._set_aside(oldest, f"{len(oldest.payload)} B, {self._losses} x")
        self._in_flight.clear()
        self._last = 0
        self._fresh = True
        self._client = client

    def _collect(self) -> None:
        """Take what the broker has acknowledged out of the window."""
        while self._acked:
            client, mid = self._acked.popleft()
            event = self._in_flight.pop(mid, None) if client is self._client else None
            if event is not None:
                if event.attempts:
                    self._probe_repeats = max(0, self._probe_repeats - 1)
                if not self._done:
                    self._done_since = time.monotonic()
                self._done.append(event)

    def _mark(self) -> None:
        if not self._done:
            return
        now = self._clock.now()
        first_s = self._settings.confirm_s
        firsts = [event for event in self._done if not event.attempts]
        repeats = [(event.id, event.attempts) for event in self._done if event.attempts]
        left = [e for e in firsts if not self._confirmer or e.id in self._early]
        with self._store.write() as connection:
            if left:
                connection.exec_driver_sql(
                    f"UPDATE outbox SET state = {SENT}, sent_at = ? WHERE id = ?",
                    [(now, event.id) for event in left],
                )
            if self._confirmer:
                waiting = [(e.id, e.event, e.topic) for e in firsts if e.id not in self._early]
                self._repeats.published({topic for _, _, topic in waiting})
                confirmations.published(connection, waiting, now, first_s)
                confirmations.again(connection, repeats, now, first_s)
        self._early -= {event.id for event in left}
        self._counted["published"] += len(firsts)
        self._counted["republished"] += len(repeats)
        self._done = []

    def _note_early(self, event: str) -> bool:
        """The consumer has an event whose PUBACK has not come, or is not written down, yet."""
        found = [e.id for e in (*self._in_flight.values(), *self._done) if e.event == event]
        self._early.update(found)
        return bool(found)

    def _repeat(self, client: mqtt.Client) -> bool:
        """Publish again what was not confirmed in time, if there is room; whether there was."""
        now = time.monotonic()
        if not self._confirmer or now - self._repeated_at < _POLL_S:
            return False
        mine = [e.id for e in (*self._in_flight.values(), *self._done) if e.attempts]
        window = self._settings.window
        room = min(max(1, window // 2) - len(mine), window - len(self._in_flight))
        if self._probing():
            room = min(room, 1 - len(self._in_flight))
        if room <= 0:
            return False
        found = self._repeats.due(room, mine)
        self._repeated_at = now
        if not found:
            self._probe_repeats = 0
        for row in found:
            self._publish(client, _Event(*row))
        return bool(found)

    def _probing(self) -> bool:
        """Whether rows go one at a time, to see which of them ends the connection."""
        return self._probe_repeats > 0 or self._last < self._probe_to

    def _fill(self, client: mqtt.Client) -> bool:
        """Publish further rows, oldest first, as far as the window allows; whether there were."""
        now = time.monotonic()
        if not self._fresh and now - self._read_at < _POLL_S:
            return False
        room = (1 if self._probing() else self._settings.window) - len(self._in_flight)
        if room <= 0:
            return False
        # A reading for each commit would cost more than the events: a few commits share one.
        self._stopping.wait(max(0.0, self._read_at + _GATHER_S - now))
        self._fresh = False
        found = self._next(room)
        if len(found) == room:
            self._fresh = True
        else:
            self._read_at = time.monotonic()
        if not found and not self._in_flight:
            self._probe_to = 0
        for event in found:
            self._last = event.id
            self._publish(client, event)
        return bool(found)

    def _publish(self, client: mqtt.Client, event: _Event) -> None:
        size = len(event.payload) + len(event.topic.encode()) + 8
        if size > self._settings.max_bytes:
            self._set_aside(event, f"{size} B > feed.max_bytes")
        else:
            sent = self.link.publish(client, event.topic, event.payload)
            self._in_flight[sent.mid] = event

    def _next(self, count: int) -> list[_Event]:
        table = schema.outbox
        query = (
            select(table.c.id, table.c.topic, table.c.event, table.c.payload)
            .where(
                table.c.destination == DESTINATION,
                table.c.state == WAITING,
                table.c.id > self._last,
            )
            .order_by(table.c.id)
            .limit(count)
        )
        with self._store.read() as connection:
            rows = connection.execute(query).all()
        done = {event.id for event in self._done}
        return [_Event(r.id, r.topic, r.event, r.payload) for r in rows if r.id not in done]

    def _set_aside(self, event: _Event, why: str) -> None:
        table = schema.outbox
        now = self._clock.now()
        with self._store.write() as connection:
            connection.execute(
                table.update().where(table.c.id == event.id).values(state=ASIDE, sent_at=None)
            )
            confirmations.forget(connection, event.id)
            work = Transaction(self._store, connection, self._feed)
            key = f"{event.event[:80]}/{event.id}"
            work.alert("set_aside", key, STRANGER, now, event=event.event, row=event.id, why=why)
            work.flush()
        _log.error("set_aside", id=event.event, why=why)
