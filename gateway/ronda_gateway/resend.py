"""Segments asked for again: gaps that stay open, what a restored gateway lacks, operators' wishes.

What is wanted is a row, so that a restart neither forgets a request nor repeats one. Signed and
timed here; `downlink.py` says who is there and sends. What the handheld makes of it (segments, or
a signed `lost` event) comes the usual way.
"""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import sqlalchemy as sa
import structlog
from ronda_protocol import cose, issuing
from ronda_protocol.bounds import U32

from ronda_gateway import chain, fleet, schema
from ronda_gateway.chain import LogState
from ronda_gateway.clock import Clock
from ronda_gateway.group import load_state
from ronda_gateway.keys import Signer
from ronda_gateway.settings import ResendSettings
from ronda_gateway.store import Store
from ronda_gateway.wording import setup_error

_log = structlog.get_logger("ronda.gateway")

# Reasons of a request.
GAP = "gap"
BEHIND = "behind"
OPERATOR = "operator"

# A handheld answers one request a minute (WIRE.md, Receipt) and is busy with it for a while.
PACE_S = 90
_LOOK_S = 5.0
_FRESH_S = 86400
_FRESH_AFTER_S = 5
_KEPT_S = 30 * 86400
# Requests in one turn over all devices: their answers come in all at once.
_MOST_A_TURN = 20

_RESENDS = schema.resends
_LOGS = schema.logs
_SEGMENTS = schema.segments


@dataclass(frozen=True)
class Request:
    """One request; times in unix seconds. Waiting until `sent_at`, done from `done_at`."""

    id: int
    device: str
    log_id: bytes
    first: int
    last: int
    why: str
    made_at: int
    request_id: bytes | None
    sent_at: int | None
    done_at: int | None

    @property
    def state(self) -> str:
        """waiting, sent or done."""
        if self.done_at is not None:
            return "done"
        return "waiting" if self.sent_at is None else "sent"


def want(  # noqa: PLR0917
    store: Store, device: str, log_id: bytes, first: int, last: int, why: str, now: int
) -> int:
    """Ask a device for segments `first` to `last` of a log, when it is there; the request's
    number, an older one's if that still waits. SetupError: unknown device, no range, no log id.

    Any process may call it. `last` may lie beyond what the device has: it sends what there is.
    """
    fleet.show(store, device)
    if not 1 <= first <= last <= U32:
        raise setup_error("resend-range", first=first, last=last)
    if len(log_id) != 8:
        raise setup_error("log-unknown", device=device, log=log_id.hex())
    with store.write() as connection:
        number = _waiting(connection, device, log_id, first, last)
        if number is None:
            number = _insert(connection, device, log_id, first, last, why, now)
            fleet.deliveries_changed(connection)
    return number


def newest_log(store: Store, device: str) -> bytes:
    """The id of the log that a device writes now, as far as is known; SetupError: none is."""
    query = sa.select(_LOGS.c.log_id).where(_LOGS.c.device == device).order_by(_LOGS.c.id.desc())
    with store.read() as connection:
        found = connection.scalar(query.limit(1))
    if found is None:
        fleet.show(store, device)
        raise setup_error("log-none", device=device)
    return found


def listing(store: Store, device: str | None = None) -> list[Request]:
    """Every request of the last month, newest first, of one device or all."""
    query = sa.select(_RESENDS).order_by(_RESENDS.c.id.desc())
    if device is not None:
        query = query.where(_RESENDS.c.device == device)
    with store.read() as connection:
        rows = connection.execute(query).all()
    names = Request.__dataclass_fields__
    return [Request(**{name: getattr(row, name) for name in names}) for row in rows]


def _waiting(
    connection: sa.Connection, device: str, log_id: bytes, first: int, last: int
) -> int | None:
    query = sa.select(_RESENDS.c.id).where(
        _RESENDS.c.device == device,
        _RESENDS.c.log_id == log_id,
        _RESENDS.c.first <= first,
        _RESENDS.c.last >= last,
        _RESENDS.c.sent_at.is_(None),
        _RESENDS.c.done_at.is_(None),
    )
    return connection.scalar(query.limit(1))


def _insert(  # noqa: PLR0917
    connection: sa.Connection,
    device: str,
    log_id: bytes,
    first: int,
    last: int,
    why: str,
    now: int,
) -> int:
    row = {"device": device, "log_id": log_id, "first": first, "last": last, "made_at": now}
    query = _RESENDS.insert().values(**row, why=why[:16]).returning(_RESENDS.c.id)
    return connection.scalars(query).one()


def _nobody(_connection: sa.Connection) -> Iterable[tuple[str, bytes, int, int]]:
    return ()


class Resends:
    """The running gateway's side; one a process, called from the recorder's thread only.

    `state_of` gives what is stored of a log (`group.load_state`'s word, or a copy at hand);
    `behind` the (device, log id, first, last) that devices say were receipted and are not here.
    """

    def __init__(  # noqa: PLR0917
        self,
        store: Store,
        signer: Signer,
        clock: Clock,
        settings: ResendSettings,
        state_of: Callable[[sa.Connection, str, bytes], LogState | None] = load_state,
        behind: Callable[[sa.Connection], Iterable[tuple[str, bytes, int, int]]] = _nobody,
    ) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock
        self._settings = settings
        self._state_of = state_of
        self._behind = behind
        self._looked: float | None = None
        self._counter = -1
        self._paced: dict[str, float] = {}

    def turn(self, there: set[str], counter: int) -> list[tuple[str, bytes]]:
        """(device, signed request) to send now; `counter` rises when somebody wants something.

        A request is written down as sent before it goes out: what is lost on the way is asked
        for again after `again_s`, never in a loop. Raises DBAPIError.
        """
        wall = time.monotonic()
        due = self._looked is None or wall - self._looked >= _LOOK_S or counter != self._counter
        if not due:
            return []
        self._looked, self._counter = wall, counter
        now = self._clock.now()
        with self._store.read() as connection:
            wanted = self._wanted(connection, now)
            idle = not wanted and not self._undone(connection)
        if idle:
            return []
        with self._store.write() as connection:
            for device, log_id, first, last, why in wanted:
                _insert(connection, device, log_id, first, last, why, now)
            self._settle(connection, now)
            return self._send(connection, there, now, wall)

    # ---- what is missing -----------------------------------------------------------------------

    def _wanted(
        self, connection: sa.Connection, now: int
    ) -> list[tuple[str, bytes, int, int, str]]:
        """One range a device at most: it answers them one after the other anyway."""
        found: dict[str, tuple[str, bytes, int, int, str]] = {}
        waiting = self._devices_waiting(connection)
        for device, log_id, first, last, why in self._missing(connection, now):
            if device in found or device in waiting:
                continue
            # Where a device is said to be is unsigned: saying more of it makes no other request.
            end = first if why == BEHIND else last
            if not self._asked(connection, device, log_id, first, end, now):
                found[device] = (device, log_id, first, last, why)
        return list(found.values())

    def _missing(
        self, connection: sa.Connection, now: int
    ) -> "list[tuple[str, bytes, int, int, str]]":
        devices = schema.devices
        query = (
            sa.select(_LOGS.c.id, _LOGS.c.device, _LOGS.c.log_id)
            .join(devices, devices.c.id == _LOGS.c.device)
            .where(_LOGS.c.max_seq > _LOGS.c.upto, devices.c.state == fleet.ENABLED)
            .order_by(_LOGS.c.id)
        )
        patience = self._patience_s(connection, now)
        found: list[tuple[str, bytes, int, int, str]] = []
        for log, device, log_id in connection.execute(query).all():
            state = self._state_of(connection, device, log_id)
            for first, last in chain.gaps(state) if state else ():
                if self._open_since(connection, log, last) <= now - patience:
                    found.append((device, log_id, first, last, GAP))
        for device, log_id, first, last in self._behind(connection):
            found.append((device, log_id, first, last, BEHIND))
        return found

    def _patience_s(self, connection: sa.Connection, now: int) -> int:
        """Seconds that a gap may stay open; hardly any for a day after a restore, when segments
        that were receipted are missing and nothing under way will fill the gap."""
        meta = schema.meta
        restored = connection.scalar(sa.select(meta.c.value).where(meta.c.key == "restored"))
        fresh = restored is not None and 0 <= now - restored < _FRESH_S
        return min(_FRESH_AFTER_S, self._settings.after_s) if fresh else self._settings.after_s

    def _open_since(self, connection: sa.Connection, log: int, last: int) -> int:
        """When the segment beyond a gap arrived, unix seconds."""
        query = (
            sa.select(_SEGMENTS.c.received_at)
            .where(_SEGMENTS.c.log == log, _SEGMENTS.c.seq > last)
            .order_by(_SEGMENTS.c.seq)
        )
        return connection.scalar(query.limit(1)) or 0

    def _asked(  # noqa: PLR0917
        self,
        connection: sa.Connection,
        device: str,
        log_id: bytes,
        first: int,
        last: int,
        now: int,
    ) -> bool:
        """Whether all of a range was asked for not long ago, or waits to be."""
        recent = sa.or_(
            _RESENDS.c.sent_at.is_(None), _RESENDS.c.sent_at > now - self._settings.again_s
        )
        query = sa.select(_RESENDS.c.id).where(
            _RESENDS.c.device == device,
            _RESENDS.c.log_id == log_id,
            _RESENDS.c.first <= first,
            _RESENDS.c.last >= last,
            recent,
        )
        return connection.scalar(query.limit(1)) is not None

    def _devices_waiting(self, connection: sa.Connection) -> set[str]:
        query = sa.select(_RESENDS.c.device).where(
            _RESENDS.c.sent_at.is_(None), _RESENDS.c.done_at.is_(None)
        )
        return set(connection.scalars(query))

    def _undone(self, connection: sa.Connection) -> bool:
        query = sa.select(_RESENDS.c.id).where(_RESENDS.c.done_at.is_(None))
        return connection.scalar(query.limit(1)) is not None

    # ---- what becomes of a request -------------------------------------------------------------

    def _settle(self, connection: sa.Connection, now: int) -> None:
        """Close what is answered; forget what is a month old."""
        table = _RESENDS
        connection.execute(table.delete().where(table.c.made_at < now - _KEPT_S))
        query = sa.select(table).where(table.c.done_at.is_(None))
        for row in connection.execute(query).all():
            asked = row.sent_at is not None or row.why != OPERATOR
            state = self._state_of(connection, row.device, row.log_id) if asked else None
            if state and not chain.missing(state, row.first, row.last):
                here = table.c.id == row.id
                connection.execute(table.update().where(here).values(done_at=now))

    def _send(
        self, connection: sa.Connection, there: set[str], now: int, wall: float
    ) -> list[tuple[str, bytes]]:
        table = _RESENDS
        query = (
            sa.select(table)
            .where(table.c.sent_at.is_(None), table.c.done_at.is_(None))
            .order_by(table.c.id)
        )
        found: dict[str, bytes] = {}
        for row in connection.execute(query).all():
            device = row.device
            if device not in there or device in found or len(found) >= _MOST_A_TURN:
                continue
            if not self._paces(connection, device, now, wall):
                continue
            name = os.urandom(8)
            payload = issuing.encode_resend(device, row.log_id, row.first, row.last, name)
            found[device] = cose.sign(payload, self._signer)
            values = {"request_id": name, "sent_at": now}
            connection.execute(table.update().where(table.c.id == row.id).values(**values))
            self._paced[device] = wall
            _log.info(
                "resend_asked", device=device, first=row.first, last=row.last, reason=row.why
            )
        return list(found.items())

    def _paces(self, connection: sa.Connection, device: str, now: int, wall: float) -> bool:
        """Whether a device may be asked: by this process's wall time, and after a restart."""
        last = self._paced.get(device)
        if last is not None:
            return wall - last >= PACE_S
        table = _RESENDS
        newest = sa.select(sa.func.max(table.c.sent_at)).where(table.c.device == device)
        sent_at = connection.scalar(newest)
        return sent_at is None or not 0 <= now - sent_at < PACE_S
