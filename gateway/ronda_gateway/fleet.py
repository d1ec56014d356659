"""Devices of the site: enrol, enable, revoke, list; the keys that a running gateway goes by.

Every change raises the `fleet` counter in the same transaction, so that a gateway in another
process notices. Custody and certificates are not here.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from ronda_protocol import cose
from ronda_protocol.bounds import is_device

from ronda_gateway import schema
from ronda_gateway.keys import valid_public
from ronda_gateway.pipeline import Device
from ronda_gateway.store import Store
from ronda_gateway.wording import setup_error

ENROLLED = "enrolled"
ENABLED = "enabled"
REVOKED = "revoked"


@dataclass(frozen=True)
class Listed:
    """A device as people see it; times in unix seconds, counts of what is stored."""

    id: str
    state: str
    kids: tuple[str, ...]
    enrolled_at: int
    enabled_at: int | None
    revoked_at: int | None
    logs: tuple[dict[str, Any], ...]
    segments: int
    visits: int
    held: int
    quarantined: int
    last_at: int | None
    # What it last said on its state topic, and when we heard it: unsigned. None: nothing yet.
    online: bool | None = None
    said_seq: int | None = None
    said_unsent: int | None = None
    said_at: int | None = None


def enrol(
    store: Store, device: str, public: bytes, now: int, site_keys: tuple[bytes, ...] = ()
) -> bool:
    """Make a device and its public key (64 bytes) known; False if it was so already.

    Enrolled is not enabled. SetupError: a bad id, an id with another key, a key seen before or
    one of `site_keys` (kids of the site itself), a revoked device.
    """
    if not is_device(device):
        raise setup_error("device-id", value=device)
    if len(public) != 64 or not valid_public(public):
        raise setup_error("key-format", where="--key", path="public key")
    kid = cose.kid(public)
    if kid in site_keys:
        raise setup_error("key-is-the-sites", kid=kid.hex())
    keys, devices = schema.device_keys, schema.devices
    with store.write() as connection:
        owner = connection.scalar(sa.select(keys.c.device).where(keys.c.kid == kid))
        known = connection.scalar(sa.select(devices.c.state).where(devices.c.id == device))
        if owner is not None and owner != device:
            raise setup_error("key-taken", kid=kid.hex(), device=owner)
        if known is not None:
            if owner is None:
                old = connection.scalar(sa.select(keys.c.kid).where(keys.c.device == device))
                raise setup_error("device-exists", device=device, kid=(old or b"").hex())
            if known == REVOKED:
                raise setup_error("device-revoked", device=device)
            return False
        store.insert(connection, devices, [(device, ENROLLED, now, None, None)])
        store.insert(connection, keys, [(kid, device, public, now)])
        _changed(connection)
    return True


def enable(store: Store, device: str, now: int) -> bool:
    """Accept a device's segments from now on, held ones included; False if it was so already.

    SetupError: unknown or revoked.
    """
    with store.write() as connection:
        state = _state(connection, device)
        if state == REVOKED:
            raise setup_error("device-revoked", device=device)
        if state == ENABLED:
            return False
        connection.execute(
            schema.devices.update()
            .where(schema.devices.c.id == device)
            .values(state=ENABLED, enabled_at=now)
        )
        _changed(connection)
        deliveries_changed(connection)  # the site's packs go to it, too
    return True


def revoke(store: Store, device: str, now: int) -> bool:
    """Set apart whatever the device's keys sign beyond what is receipted now; False if revoked.

    Stores, per log, the last receipted seq and hash: up to there everything stays valid.
    """
    with store.write() as connection:
        if _state(connection, device) == REVOKED:
            return False
        connection.execute(
            schema.devices.update()
            .where(schema.devices.c.id == device)
            .values(state=REVOKED, revoked_at=now)
        )
        connection.execute(
            schema.logs.update()
            .where(schema.logs.c.device == device)
            .values(revoked_upto=schema.logs.c.upto, revoked_head=schema.logs.c.head)
        )
        _changed(connection)
    return True


def _state(connection: sa.Connection, device: str) -> str:
    query = sa.select(schema.devices.c.state).where(schema.devices.c.id == device)
    state = connection.scalar(query)
    if state is None:
        raise setup_error("device-unknown", device=device)
    return state


def _changed(connection: sa.Connection) -> None:
    connection.execute(
        schema.meta.update()
        .where(schema.meta.c.key == "fleet")
        .values(value=schema.meta.c.value + 1)
    )


def deliveries_changed(connection: sa.Connection) -> None:
    """Let the running gateway know that there may be something to send."""
    connection.exec_driver_sql("UPDATE meta SET value = value + 1 WHERE key = 'packs'")


def counter(connection: sa.Connection) -> int:
    """How often the fleet was changed. Asked once a group, so as plain SQL."""
    found = connection.exec_driver_sql("SELECT value FROM meta WHERE key = 'fleet'").scalar()
    return int(found or 0)


def directory(connection: sa.Connection) -> dict[str, Device]:
    """All devices with their keys, for the pipeline."""
    keys: dict[str, dict[bytes, bytes]] = {}
    table = schema.device_keys
    for row in connection.execute(sa.select(table.c.device, table.c.kid, table.c.public)):
        keys.setdefault(row.device, {})[row.kid] = row.public
    rows = connection.execute(sa.select(schema.devices.c.id, schema.devices.c.state))
    return {row.id: Device(row.id, row.state, keys.get(row.id, {})) for row in rows}


def public_key(store: Store, device: str) -> bytes:
    """The device's public key (64 bytes), the last enrolled; SetupError when it is unknown."""
    keys = schema.device_keys
    query = sa.select(keys.c.public).where(keys.c.device == device)
    with store.read() as connection:
        public = connection.scalar(query.order_by(keys.c.added_at.desc()).limit(1))
    if public is None:
        raise setup_error("device-unknown", device=device)
    return public


def show(store: Store, device: str) -> Listed:
    """One device; SetupError when there is none of that id."""
    found = listing(store, device)
    if not found:
        raise setup_error("device-unknown", device=device)
    return found[0]


def listing(store: Store, only: str | None = None) -> list[Listed]:
    """All devices by id, or one."""
    devices = schema.devices
    query = sa.select(devices).order_by(devices.c.id)
    if only is not None:
        query = query.where(devices.c.id == only)
    with store.read() as connection:
        return [_listed(connection, row) for row in connection.execute(query).all()]


def _listed(connection: sa.Connection, row: sa.Row[Any]) -> Listed:
    keys, logs = schema.device_keys, schema.logs
    kids = connection.scalars(
        sa.select(keys.c.kid).where(keys.c.device == row.id).order_by(keys.c.added_at)
    ).all()
    found = connection.execute(
        sa.select(logs).where(logs.c.device == row.id).order_by(logs.c.id)
    ).all()

    states = schema.device_states
    said = connection.execute(sa.select(states).where(states.c.device == row.id)).one_or_none()

    def count(table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
        query = sa.select(sa.func.count()).select_from(table).where(condition)
        return connection.scalar(query) or 0

    return Listed(
        id=row.id,
        state=row.state,
        kids=tuple(kid.hex() for kid in kids),
        enrolled_at=row.enrolled_at,
        enabled_at=row.enabled_at,
        revoked_at=row.revoked_at,
        logs=tuple(
            {"log": log.log_id.hex(), "upto": log.upto, "max_seq": log.max_seq} for log in found
        ),
        segments=sum(count(schema.segments, schema.segments.c.log == log.id) for log in found),
        visits=count(schema.visits, schema.visits.c.device == row.id),
        held=count(schema.held, schema.held.c.device == row.id),
        quarantined=count(schema.quarantine, schema.quarantine.c.device == row.id),
        last_at=max((log.last_at for log in found), default=None),
        online=said.online if said else None,
        said_seq=said.seq if said else None,
        said_unsent=said.unsent if said else None,
        said_at=said.at if said else None,
    )
