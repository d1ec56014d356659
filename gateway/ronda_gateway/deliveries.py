"""Packs for handhelds: queued by any process, signed by the running gateway, tracked to the end.

A draft waits in the database until the gateway signs it with its own key and clock; no other
process needs the key. What became of a pack the handheld's own signed `pack` events say. Sending
is `downlink.py`'s.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa
from ronda_protocol import bodies, chunk, cose, issuing, pack

from ronda_gateway import fleet, packs, schema
from ronda_gateway.keys import Signer
from ronda_gateway.store import Store
from ronda_gateway.transaction import Transaction

WAITING = "waiting"
SENT = "sent"
APPLIED = "applied"
REFUSED = "refused"
REPLACED = "replaced"
UNANSWERED = "unanswered"

# A handheld may have room the next time: worth another try.
_PASSING = ("space", "memory")
_OPEN = (WAITING, SENT)


@dataclass(frozen=True)
class Delivery:
    """One pack on its way to one handheld; times in unix seconds, `version` None until signed."""

    pack: int
    device: str
    name: str
    version: int | None
    state: str
    reason: str
    attempts: int
    made_at: int
    sent_at: int | None
    decided_at: int | None


def queue_cases(  # noqa: PLR0917
    store: Store,
    device: str,
    round_id: str,
    cases: Sequence[dict[str, Any]],
    valid_s: int,
    now: int,
) -> int:
    """Queue a round's whole set of cases for a device, valid for `valid_s` from its signing; its
    number. PackError: no set that a handheld takes. SetupError: unknown device."""
    issuing.encode_cases(round_id, 0, valid_s, list(cases))
    draft = {"round": round_id, "cases": list(cases), "valid_s": valid_s}
    return _queue(store, pack.CASES, device, draft, now)


def queue_config(
    store: Store, device: str | None, values: dict[str, int], valid_s: int, now: int
) -> int:
    """Queue settings (names of bodies.CONFIG) for a device, or with None for the site: every
    enabled device, and those enabled later; the pack's number. PackError, SetupError."""
    issuing.encode_config(values)
    scope = pack.SITE if device is None else device
    return _queue(store, pack.CONFIG, scope, {"config": values, "valid_s": valid_s}, now)


def queue_trust(store: Store, raw: bytes, now: int) -> int:
    """Queue a trust pack, signed by the site's root already, for every enabled device; its number.

    The very pack that was queued last goes out again to those that did not apply it. PackError:
    it is no trust pack, or not newer than that ("old"). Who signed it the caller has checked.
    """
    found = pack.parse(raw)
    manifest = found.manifest
    if manifest.pack_type != pack.TRUST or manifest.scope != pack.SITE:
        raise pack.PackError("type")
    bodies.decode_trust(found.body)
    mark, table = pack.manifest_hash(found.sign1)[:8], schema.packs
    query = sa.select(table.c.id, table.c.version, table.c.mark).where(table.c.type == pack.TRUST)
    with store.write() as connection:
        last = connection.execute(query.order_by(table.c.version.desc()).limit(1)).first()
        if last and last.mark == mark:
            _send_again(connection, last.id)
            fleet.deliveries_changed(connection)
            return last.id
        if last and last.version >= manifest.version:
            raise pack.PackError("old")
        row = {"type": pack.TRUST, "scope": pack.SITE, "name": manifest.name, "made_at": now}
        row |= {"version": manifest.version, "mark": mark, "raw": raw}
        number = connection.scalars(table.insert().values(**row).returning(table.c.id)).one()
        _replace_older(connection, pack.TRUST, pack.SITE, number, now)
        _address(store, connection, number, None)
        fleet.deliveries_changed(connection)
    return number


def _queue(store: Store, kind: int, scope: str, draft: dict[str, Any], now: int) -> int:
    if scope != pack.SITE:
        fleet.show(store, scope)
    name = pack.TYPE_NAMES[kind]
    with store.write() as connection:
        row = {"type": kind, "scope": scope, "name": name, "made_at": now}
        query = schema.packs.insert().values(**row, draft=json.dumps(draft))
        number = connection.scalars(query.returning(schema.packs.c.id)).one()
        _address(store, connection, number, None if scope == pack.SITE else scope)
        fleet.deliveries_changed(connection)
    return number


def _address(store: Store, connection: sa.Connection, number: int, device: str | None) -> None:
    """One delivery of a pack, or one for each enabled device that has none of it."""
    devices, done = schema.devices, schema.deliveries
    if device is None:
        have = sa.select(done.c.device).where(done.c.pack == number)
        enabled = sa.and_(devices.c.state == fleet.ENABLED, devices.c.id.not_in(have))
        query = sa.select(devices.c.id).where(enabled).order_by(devices.c.id)
        to = list(connection.scalars(query))
    else:
        to = [device]
    rows = [(number, one, WAITING, "", 0, None, None) for one in to]
    store.insert(connection, done, rows)


def _send_again(connection: sa.Connection, number: int) -> None:
    done = schema.deliveries
    here = sa.and_(done.c.pack == number, done.c.state != APPLIED)
    values = {"state": WAITING, "reason": "", "attempts": 0, "decided_at": None}
    connection.execute(done.update().where(here).values(**values))


def address_newcomers(store: Store, connection: sa.Connection, now: int) -> None:
    """The site's packs in force go to the devices that were enabled after them, too."""
    table = schema.packs
    newest = (
        sa.select(sa.func.max(table.c.id))
        .where(table.c.scope == pack.SITE, table.c.raw.is_not(None))
        .group_by(table.c.type)
    )
    query = sa.select(table.c.id, table.c.raw).where(table.c.id.in_(newest))
    for row in connection.execute(query).all():
        if now < pack.parse(row.raw).manifest.not_after:
            _address(store, connection, row.id, None)


def counter(connection: sa.Connection) -> int:
    """How often deliveries were changed."""
    found = connection.exec_driver_sql("SELECT value FROM meta WHERE key = 'packs'").scalar()
    return int(found or 0)


def sign_drafts(connection: sa.Connection, signer: Signer, now: int) -> None:
    """Sign what was queued, oldest first; a newer pack replaces older ones on their way."""
    table = schema.packs
    drafts = connection.execute(
        sa.select(table).where(table.c.raw.is_(None)).order_by(table.c.id)
    ).all()
    for row in drafts:
        same = sa.and_(table.c.type == row.type, table.c.scope == row.scope)
        last = connection.scalar(sa.select(sa.func.max(table.c.version)).where(same)) or 0
        raw = _signed(row, last, signer, now)
        found = pack.parse(raw)
        values = {"version": found.manifest.version, "raw": raw, "draft": None}
        values["mark"] = pack.manifest_hash(found.sign1)[:8]
        connection.execute(table.update().where(table.c.id == row.id).values(**values))
        _replace_older(connection, row.type, row.scope, row.id, now)


def _replace_older(
    connection: sa.Connection, kind: int, scope: str, number: int, now: int
) -> None:
    table, done = schema.packs, schema.deliveries
    same = sa.and_(table.c.type == kind, table.c.scope == scope, table.c.id < number)
    connection.execute(
        done.update()
        .where(done.c.pack.in_(sa.select(table.c.id).where(same)))
        .where(done.c.state.in_((*_OPEN, UNANSWERED)))
        .values(state=REPLACED, decided_at=now)
    )


def _signed(row: Any, last: int, signer: Signer, now: int) -> bytes:
    draft: dict[str, Any] = json.loads(row.draft)
    until = now + int(draft["valid_s"])
    if row.type == pack.CASES:
        round_id, cases = draft["round"], draft["cases"]
        return packs.cases_pack(signer, row.scope, round_id, cases, now, until, last_version=last)
    return packs.config_pack(signer, row.scope, draft["config"], now, until, last_version=last)


def open_deliveries(connection: sa.Connection) -> dict[tuple[int, str], tuple[bytes, bytes, int]]:
    """(pack, device) -> (pack file, mark, attempts) of what is signed and not decided, but for
    devices that are revoked."""
    done, table, devices = schema.deliveries, schema.packs, schema.devices
    query = (
        sa.select(done.c.pack, done.c.device, done.c.attempts, table.c.raw, table.c.mark)
        .join(table, table.c.id == done.c.pack)
        .join(devices, devices.c.id == done.c.device)
        .where(done.c.state.in_(_OPEN), table.c.raw.is_not(None))
        .where(devices.c.state != fleet.REVOKED)
        .order_by(table.c.type, table.c.id)
    )
    rows = connection.execute(query).all()
    return {(r.pack, r.device): (r.raw, r.mark, r.attempts) for r in rows}


def sent(connection: sa.Connection, number: int, device: str, now: int) -> None:
    """A pack went out once more."""
    done = schema.deliveries
    here = sa.and_(done.c.pack == number, done.c.device == device)
    values = {"state": SENT, "sent_at": now, "attempts": done.c.attempts + 1}
    connection.execute(done.update().where(here, done.c.state.in_(_OPEN)).values(**values))


def give_up(work: Transaction, number: int, device: str, now: int) -> None:
    """A pack went out often enough without an answer: an alert, and no more of it."""
    done, table = schema.deliveries, schema.packs
    here = sa.and_(done.c.pack == number, done.c.device == device)
    work.connection.execute(
        done.update().where(here, done.c.state.in_(_OPEN)).values(state=UNANSWERED)
    )
    query = sa.select(table.c.name, table.c.version).where(table.c.id == number)
    row = work.connection.execute(query).one()
    key = f"{device}/{number}"
    work.alert("pack_unanswered", key, device, now, name=row.name, version=row.version)


def decided(work: Transaction, device: str, data: object, at: int) -> None:
    """Take what a handheld's signed `pack` event says (track.py); anything else is passed over."""
    told = cast(list[Any], data) if isinstance(data, list) else []
    if len(told) != 6 or not isinstance(told[5], bytes):
        return
    done, table = schema.deliveries, schema.packs
    query = (
        sa.select(done.c.pack, table.c.name, table.c.version)
        .join(table, table.c.id == done.c.pack)
        .where(table.c.mark == told[5], done.c.device == device)
    )
    row = work.connection.execute(query).first()
    if row is None:
        return
    reason = str(told[4])[:32]
    if told[3] == 1:
        values: dict[str, Any] = {"state": APPLIED, "reason": "", "decided_at": at}
    elif reason in _PASSING:
        values = {"reason": reason}
    else:
        values = {"state": REFUSED, "reason": reason, "decided_at": at}
    open_now = (*_OPEN, UNANSWERED, REPLACED)
    here = sa.and_(done.c.pack == row.pack, done.c.device == device, done.c.state.in_(open_now))
    if not work.connection.execute(done.update().where(here).values(**values)).rowcount:
        return
    fleet.deliveries_changed(work.connection)
    if told[3] != 1:
        fields = {"name": row.name, "version": row.version, "why": reason}
        work.alert("pack_refused", f"{device}/{row.pack}", device, at, **fields)


def listing(store: Store, device: str | None = None, name: str | None = None) -> list[Delivery]:
    """Every delivery, newest first, of one device or all, of one type of pack (by name) or all."""
    done, table = schema.deliveries, schema.packs
    query = sa.select(done, table.c.name, table.c.version, table.c.made_at).join(
        table, table.c.id == done.c.pack
    )
    if device is not None:
        query = query.where(done.c.device == device)
    if name is not None:
        query = query.where(table.c.name == name)
    with store.read() as connection:
        rows = connection.execute(query.order_by(table.c.id.desc(), done.c.device)).all()
    names = Delivery.__dataclass_fields__
    return [Delivery(**{name: getattr(row, name) for name in names}) for row in rows]


def messages(raw: bytes, start: int = 0) -> list[bytes]:
    """A pack file as it travels: its manifest, then chunks of the body from an offset on."""

    found = pack.parse(raw)
    name = pack.manifest_hash(found.sign1)
    end = cose.parse_first(raw)[1]
    size = chunk.MAX_DATA
    body = found.body
    return [raw[:end]] + [
        chunk.encode(name, at, body[at : at + size])
        for at in range(start if 0 <= start <= len(body) else 0, len(body), size)
    ]
