"""A group of messages becomes one transaction, and the receipts to send after its commit.

Knows no MQTT and owns no thread: the caller calls from one thread only, acknowledges after
`record` has returned, and tries again after a StoreDown.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, exc, select

from ronda_gateway import fleet, pipeline, schema
from ronda_gateway.apart import STRANGER, Apart
from ronda_gateway.chain import LogState
from ronda_gateway.clock import Clock
from ronda_gateway.feed import SENT, Feed
from ronda_gateway.group import Group, LogName, load_state
from ronda_gateway.keys import Signer
from ronda_gateway.pipeline import Accepted, Device, Message, Rejected
from ronda_gateway.presence import Presence
from ronda_gateway.receipts import sealed_receipts
from ronda_gateway.settings import Settings
from ronda_gateway.store import Store
from ronda_gateway.transaction import Transaction

_log = structlog.get_logger("ronda.gateway")

# Log states kept between groups; a fleet of ten thousand handhelds fits.
_MAX_STATES = 20_000
_DAY = 86400


class StoreDown(Exception):
    """The database could not commit (locked, full, failing disk): nothing of the group is
    stored; try again later."""


class _FleetChanged(Exception):
    """Devices are not as they were when the group was judged: nothing of it is stored."""


@dataclass(frozen=True, slots=True)
class Downlink:
    """A signed message for down/<device>."""

    device: str
    payload: bytes


class Recorder:
    """Holds what one gateway process remembers between groups."""

    def __init__(
        self, store: Store, settings: Settings, signer: Signer, clock: Clock, feed: Feed
    ) -> None:
        self._store = store
        self._settings = settings
        self._signer = signer
        self._clock = clock
        self._feed = feed
        self._apart = Apart(settings.quarantine)
        self._states: dict[LogName, LogState] = {}
        self._devices: dict[str, Device] = {}
        self._fleet = -1
        self.counters: Counter[str] = Counter()
        self.presence = Presence(store, clock, self.counters)

    def record(self, messages: Sequence[Message]) -> list[Downlink]:
        """Commit a group; the receipts to send. Raises StoreDown with nothing stored.

        A message that breaks the group by a fault of ours is quarantined, never dropped.
        """
        receipts: list[Downlink] = []
        while True:
            try:
                return receipts + self._commit(messages)
            except _FleetChanged:
                receipts += self.notice_fleet()
            except StoreDown:
                raise
            except Exception as error:
                if len(messages) == 1:
                    return receipts + self._quarantine_fault(messages[0], error)
                break
        for message in messages:
            receipts += self.record([message])
        return receipts

    def _commit(self, messages: Sequence[Message]) -> list[Downlink]:
        judged = [pipeline.judge_bytes(m.device, m.raw, self._devices.get) for m in messages]
        counted = Counter(self.counters)
        now = self._clock.now()
        try:
            with self._store.write() as connection:
                if fleet.counter(connection) != self._fleet:
                    raise _FleetChanged
                work = Transaction(self._store, connection, self._feed)
                group = self._group(work)
                for message, verdict in zip(messages, judged, strict=True):
                    self._take(work, group, message, verdict)
                group.finish(now)
        except BaseException as error:
            self._rolled_back(counted)
            if _is_down(error):
                raise StoreDown(str(getattr(error, "orig", error))) from None
            raise
        self.counters["messages"] += len(messages)
        self.counters["commits"] += 1
        return self._receipts(group, now)

    def _group(self, work: Transaction) -> Group:
        if len(self._states) > _MAX_STATES:
            self._states.clear()
        return Group(work, self._apart, self._settings.fence, self._states, self.counters)

    def _take(
        self, work: Transaction, group: Group, message: Message, verdict: Accepted | Rejected
    ) -> None:
        if isinstance(verdict, Rejected):
            self._refuse(work, message, verdict.reason, verdict.detail)
        elif verdict.device.state == fleet.ENROLLED:
            self.counters["held"] += 1
            self._apart.hold(work, message.device, message.raw, message.at)
        else:
            group.take(verdict, message)
        if message.held_id is not None:
            table = schema.held
            work.connection.execute(table.delete().where(table.c.id == message.held_id))

    def _refuse(self, work: Transaction, message: Message, reason: str, detail: str) -> None:
        self.counters["quarantined"] += 1
        device = message.device if message.device in self._devices else STRANGER
        self._apart.quarantine(work, device, message, reason, detail)
        _log.info("quarantined", device=message.device, reason=reason, detail=detail)

    def _rolled_back(self, counted: "Counter[str]") -> None:
        self._states.clear()
        self._apart.forget()
        self.counters.clear()
        self.counters.update(counted)

    def _quarantine_fault(self, message: Message, error: Exception) -> list[Downlink]:
        """Our own fault on one message: keep it, say so, go on with the others."""
        _log.error("message_failed", device=message.device, exc_info=error)
        try:
            with self._store.write() as connection:
                work = Transaction(self._store, connection, self._feed)
                self._refuse(work, message, pipeline.INTERNAL, type(error).__name__)
                if message.held_id is not None:
                    table = schema.held
                    connection.execute(table.delete().where(table.c.id == message.held_id))
                work.flush()
        except exc.DBAPIError as again:
            self._apart.forget()
            raise StoreDown(str(again.orig)) from None
        return []

    def _receipts(self, group: Group, now: int) -> list[Downlink]:
        found: list[Downlink] = []
        for name, dispositions in group.touched.items():
            try:
                signed = sealed_receipts(self._states[name], dispositions, self._signer, now)
            except ValueError as error:
                # Stored all the same: the handheld asks again.
                _log.error("receipt_failed", device=name[0], why=str(error))
                continue
            found += [Downlink(name[0], payload) for payload in signed]
        self.counters["receipts"] += len(found)
        return found

    def state_of(self, connection: Connection, device: str, log_id: bytes) -> LogState | None:
        """What is stored of a log, from memory where it is there; for reading only."""
        return self._states.get((device, log_id)) or load_state(connection, device, log_id)

    # ---- between groups ------------------------------------------------------------------------

    def notice_fleet(self) -> list[Downlink]:
        """Reload devices if the fleet was changed, also by another process; what waited for a
        device that is enabled now is stored, and its receipts returned. Raises StoreDown."""
        try:
            with self._store.read() as connection:
                counter = fleet.counter(connection)
                if counter == self._fleet:
                    return []
                self._devices = fleet.directory(connection)
        except exc.DBAPIError as error:
            raise StoreDown(str(error.orig)) from None
        self._states.clear()
        self._fleet = counter
        try:
            return self._take_held()
        except (StoreDown, _FleetChanged):
            self._fleet = -1  # so that the rest of them is taken next time
            raise

    def _take_held(self) -> list[Downlink]:
        receipts: list[Downlink] = []
        for message in self._released():
            # Its own transaction each: this is rare, and one bad message stops none behind it.
            try:
                receipts += self._commit([message])
            except (StoreDown, _FleetChanged):
                raise
            except Exception as error:
                receipts += self._quarantine_fault(message, error)
        return receipts

    def _released(self) -> list[Message]:
        """Held segments of devices that are no longer merely enrolled, in the order of arrival."""
        held, devices = schema.held, schema.devices
        query = (
            select(held.c.id, held.c.device, held.c.raw, held.c.received_at)
            .join(devices, devices.c.id == held.c.device)
            .where(devices.c.state != fleet.ENROLLED)
            .order_by(held.c.id)
        )
        try:
            with self._store.read() as connection:
                rows = connection.execute(query).all()
        except exc.DBAPIError as error:
            raise StoreDown(str(error.orig)) from None
        root = self._feed.root
        return [
            Message(f"{root}/up/{row.device}", row.device, row.raw, row.received_at, row.id)
            for row in rows
        ]

    def settle_presence(self) -> None:
        """Write what handhelds said of themselves. Raises StoreDown."""
        try:
            self.presence.settle()
        except exc.DBAPIError as error:
            raise StoreDown(str(error.orig)) from None

    def keep_house(self) -> None:
        """Totals of folded messages, bounds of quarantine and outbox. Raises StoreDown."""
        now = self._clock.now()
        outbox = schema.outbox
        old = now - self._settings.feed.keep_days * _DAY
        try:
            with self._store.write() as connection:
                work = Transaction(self._store, connection, self._feed)
                self._apart.keep_house(work, now)
                connection.execute(
                    outbox.delete().where(outbox.c.state == SENT, outbox.c.sent_at < old)
                )
                work.flush()
        except exc.DBAPIError as error:
            self._apart.forget()
            raise StoreDown(str(error.orig)) from None


def _is_down(error: BaseException) -> bool:
    """Whether the database failed, rather than one message of the group."""
    message_faults = (
        exc.IntegrityError,
        exc.DataError,
        exc.ProgrammingError,
        exc.InterfaceError,
    )
    return isinstance(error, exc.DBAPIError) and not isinstance(error, message_faults)
