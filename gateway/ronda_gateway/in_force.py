"""Which settings a config pack had put in force on a handheld at a moment of its own time.

Read from the device's signed `pack` events, in the order of its boots and clock, and from the
packs that this site made. Knows only what has come: behind a gap it is judged again when that
closes.
"""

from collections.abc import Iterator
from typing import Any, cast

import sqlalchemy as sa
from ronda_protocol import bodies, cbor, fence, pack, track, visit

from ronda_gateway import schema

SEARCH_M = 8
"""The key of `search_m` (bodies.CONFIG)."""

_EVENTS = schema.events
_SEGMENTS = schema.segments
_LOGS = schema.logs
_PACKS = schema.packs


def matters(evidence: dict[str, Any]) -> bool:
    """Whether a visit's policy depends on a setting of the handheld: few do, and asking costs."""
    outside = evidence["check_in_verdict"][0] == fence.OUTSIDE
    return outside and evidence["place"][1] == visit.GEOCODED


def search_m(
    connection: sa.Connection, device: str, evidence: dict[str, Any], default: int
) -> int:
    """The search radius in metres to judge a visit with: that of its check-in."""
    if not matters(evidence):
        return default
    return setting(connection, device, evidence["check_in"], SEARCH_M, default)


def setting(
    connection: sa.Connection, device: str, stamp: list[Any], key: int, default: int
) -> int:
    """The value of a config key in force on a device at a stamp (boot, ms…), or the default.

    The device's own pack beats the site's, whichever is newer; a pack that has ended counts no
    more. A pack that this database does not have says nothing.
    """
    own: dict[int, int] | None = None
    site: dict[int, int] | None = None
    for told in _told(connection, device, stamp[0], stamp[1]):
        mark = told[5] if len(told) > 5 else None
        found = _pack(connection, mark)
        if told[3] == 1:
            scope, values = found or (device, {})
            if scope == pack.SITE:
                site = values
            else:
                own = values
        elif found and told[4] == "time":
            own, site = (own, None) if found[0] == pack.SITE else (None, site)
        elif mark is None:
            # At boot: what lies on flash is no good any more, the handheld's own first.
            own, site = (None, site) if own is not None else (None, None)
    values = own if own is not None else site
    return (values or {}).get(key, default)


def _told(connection: sa.Connection, device: str, boot: int, ms: int) -> Iterator[list[Any]]:
    """The data of the config packs' events up to a moment, oldest first."""
    here = sa.and_(_SEGMENTS.c.log == _EVENTS.c.log, _SEGMENTS.c.seq == _EVENTS.c.seq)
    query = (
        sa.select(_EVENTS.c.data)
        .join(_SEGMENTS, here)
        .join(_LOGS, _LOGS.c.id == _EVENTS.c.log)
        .where(_LOGS.c.device == device, _EVENTS.c.code == track.PACK)
        .where(
            sa.or_(_SEGMENTS.c.boot < boot, sa.and_(_SEGMENTS.c.boot == boot, _EVENTS.c.ms <= ms))
        )
        .order_by(_SEGMENTS.c.boot, _EVENTS.c.ms, _EVENTS.c.number)
    )
    for data in connection.scalars(query):
        value: object = cbor.decode(data)
        told = cast(list[Any], value) if isinstance(value, list) else []
        if len(told) >= 5 and told[0] == pack.CONFIG:
            yield told


def _pack(connection: sa.Connection, mark: object) -> tuple[str, dict[int, int]] | None:
    """(scope, settings by key) of a config pack that we made, by its mark."""
    if not isinstance(mark, bytes):
        return None
    query = sa.select(_PACKS.c.scope, _PACKS.c.raw).where(
        _PACKS.c.mark == mark, _PACKS.c.type == pack.CONFIG
    )
    row = connection.execute(query).first()
    return (row.scope, bodies.decode_config(pack.parse(row.raw).body)) if row else None
