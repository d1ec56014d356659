"""What handhelds say of themselves on state/<device>: kept for people to look at, never believed.

The topic is unsigned, so whoever may write it can say anything: no verdict, receipt or alert
depends on it; it may only move us to ask (`behind`). Only the last word of an enrolled device is
kept; what is no state is counted.
"""

import json
import threading
from collections import Counter
from typing import Any, NamedTuple, cast

import sqlalchemy as sa
from ronda_protocol.bounds import U32, is_device, is_uint

from ronda_gateway import schema
from ronda_gateway.clock import Clock
from ronda_gateway.fleet import ENABLED
from ronda_gateway.store import Store

MAX_BYTES = 256
# Devices whose word waits to be written; more than a fleet has are strangers' inventions.
_MAX_WAITING = 10_000

_STATES = schema.device_states


class Said(NamedTuple):
    """One state: `seq` and `unsent` are None when the device is offline."""

    online: bool
    seq: int | None
    unsent: int | None


def parse(payload: bytes) -> Said | None:
    """The state in a payload; None when it is none. Never raises."""
    if len(payload) > MAX_BYTES:
        return None
    try:
        told: object = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    found = cast(dict[str, Any], told)
    if found.get("online") is False:
        return Said(False, None, None)
    seq, unsent = found.get("seq"), found.get("unsent")
    if found.get("online") is not True or not is_uint(seq, U32) or not is_uint(unsent, U32):
        return None
    return Said(True, seq, unsent)


class Behind(NamedTuple):
    """Segments that a handheld takes for receipted and that are not here: after a restore."""

    device: str
    log_id: bytes
    first: int
    last: int


def behind(connection: sa.Connection) -> list[Behind]:
    """What enabled handhelds say is receipted beyond all that is stored of their newest log.

    A receipt follows its commit, so this is empty unless the database is older than the receipts
    (or somebody else writes states: asking for what does not exist does no harm). A forked log is
    left out: what is set apart of it has receipts too. A handheld's word names no log: one that
    we know nothing of is found when its next segment comes.
    """
    devices, logs = schema.devices, schema.logs
    newest = sa.select(sa.func.max(logs.c.id)).group_by(logs.c.device)
    receipted = _STATES.c.seq - _STATES.c.unsent
    query = (
        sa.select(logs.c.device, logs.c.log_id, logs.c.max_seq + 1, receipted)
        .join(_STATES, _STATES.c.device == logs.c.device)
        .join(devices, devices.c.id == logs.c.device)
        .where(logs.c.id.in_(newest), logs.c.forked_from.is_(None))
        .where(devices.c.state == ENABLED, receipted > logs.c.max_seq)
        .order_by(logs.c.device)
    )
    return [Behind(*row) for row in connection.execute(query)]


class Presence:
    """`heard` from the network's thread, `settle` from the one that writes."""

    def __init__(self, store: Store, clock: Clock, counters: "Counter[str]") -> None:
        self._store = store
        self._clock = clock
        self._counters = counters
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[Said, int]] = {}

    def heard(self, device: str, payload: bytes) -> None:
        """Take a device's last word; what is no state, or no device's, is only counted."""
        said = parse(payload) if is_device(device) else None
        with self._lock:
            room = device in self._waiting or len(self._waiting) < _MAX_WAITING
            if said is None or not room:
                self._counters["state_refused"] += 1
            else:
                self._waiting[device] = (said, self._clock.now())

    def settle(self) -> None:
        """Write what was heard since the last time; DBAPIError: nothing of it is written."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        devices = schema.devices
        with self._store.write() as connection:
            known = set(connection.scalars(sa.select(devices.c.id)))
            kept = {row.device: row for row in connection.execute(sa.select(_STATES))}
            for device, (said, at) in waiting.items():
                old = kept.get(device)
                if device not in known:
                    self._counters["state_refused"] += 1
                elif old is None:
                    row = _STATES.insert().values(device=device, at=at, **said._asdict())
                    connection.execute(row)
                else:
                    values: dict[str, Any] = {"online": said.online, "at": at}
                    if said.online:
                        values |= {"seq": said.seq, "unsent": said.unsent}
                    elif not old.online:
                        continue  # the same last will again, retained
                    here = _STATES.c.device == device
                    connection.execute(_STATES.update().where(here).values(**values))
