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
from ronda_protocol import chunk, cose, issuing, pack

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


def queue_config(store: Store, device: str, values: dict[str, int], valid_s: int, now: int) -> int:
    """Queue settings for a device (names of bodies.CONFIG); its number. PackError, SetupError."""
    issuing.encode_config(values)
    return _queue(store, pack.CONFIG, device, {"config": values, "valid_s": valid_s}, now)


def _queue(store: Store, kind: int, device: str, draft: dict[str, Any], now: int) -> int:
    fleet.show(store, device)
    name = pack.TYPE_NAMES[kind]
    with store.write() as connection:
        row = {"type": kind, "scope": device, "name": name, "made_at": now}
        query = schema.packs.insert().values(**row, draft=json.dumps(draft))
        number = connection.scalars(query.returning(schema.packs.c.id)).one()
        store.insert(connection, schema.deliveries, [(number, device, WAITING, "", 0, None, None)])
        changed(connection)
    return number


def changed(connection: sa.Connection) -> None:
    """Let the running gateway know that there is something to look at."""
    connection.exec_driver_sql("UPDATE meta SET value = value + 1 WHERE key = 'packs'")


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
        older = sa.select(table.c.id).where(same, table.c.id < row.id)
        done = schema.deliveries
        connection.execute(
            done.update()
            .where(done.c.pack.in_(older), done.c.state.in_((*_OPEN, UNANSWERED)))
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
    """(pack, device) -> (pack file, mark, attempts) of what is signed and not decided."""
    done, table = schema.deliveries, schema.packs
    query = (
        sa.select(done.c.pack, done.c.device, done.c.attempts, table.c.raw, table.c.mark)
        .join(table, table.c.id == done.c.pack)
        .where(done.c.state.in_(_OPEN), table.c.raw.is_not(None))
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
    changed(work.connection)
    if told[3] != 1:
        fields = {"name": row.name, "version": row.version, "why": reason}
        work.alert("pack_refused", f"{device}/{row.pack}", device, at, **fields)


def listing(store: Store, device: str | None = None) -> list[Delivery]:
    """Every delivery, newest first, of one device or all."""
    done, table = schema.deliveries, schema.packs
    query = sa.select(done, table.c.name, table.c.version, table.c.made_at).join(
        table, table.c.id == done.c.pack
    )
    if device is not None:
        query = query.where(done.c.device == device)
    with store.read() as connection:
        rows = connection.execute(query.order_by(table.c.id.desc())).all()
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
