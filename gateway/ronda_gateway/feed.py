"""What the back office is told: CloudEvents 1.0 in JSON (structured mode), as outbox rows.

Pure. Ids are stable (the visit id; `<visit-style id>/positions` and so on for segments), so that
a consumer can drop repeats. Describes, never judges.
"""

import base64
import json
from typing import Any, NamedTuple, cast

from ronda_protocol import polygon, reading, segment, track, visit
from ronda_protocol.bounds import MAX_UTC, is_uint

from ronda_gateway.clock import iso
from ronda_gateway.pipeline import Accepted, Visit

DESTINATION = "feed"
WAITING, SENT, ASIDE = 0, 1, 2

# CloudEvents types.
VISIT = "ronda.visit"
VISIT_VERDICT = "ronda.visit.verdict"
POSITIONS = "ronda.positions"
BATTERY = "ronda.battery"
EVENTS = "ronda.events"
ALERT = "ronda.alert"

_SOURCES = ("none", "gnss", "gateway", "rtc")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

OutboxRow = tuple[object, ...]


class Change(NamedTuple):
    """A later change of a visit of `device`; `data` has visit_id, version, portfolio and more."""

    device: str
    data: dict[str, Any]


FixRow = tuple[int, int, int, int, int | None, int, int, int, int, int, str | None]
"""A row of schema.fixes: log, seq, number, ms, utc, lat_e7, lon_e7, hdop, satellites, fix_type,
quality as JSON."""


class Feed:
    """Makes outbox rows for one site; `root` is the root of all topics."""

    def __init__(self, root: str) -> None:
        self.root = root

    def _row(
        self,
        topic: str,
        kind: str,
        event_id: str,
        device: str,
        at: int,
        *,
        data: dict[str, Any],
        entries: str | None = None,
    ) -> OutboxRow:
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": self.root,
            "type": kind,
            "subject": device,
            "time": iso(at),
            "datacontenttype": "application/json",
            "data": data,
        }
        payload = _encode(event)
        if entries is not None:
            # `data` and its entries come last; the entries are JSON already (see _fixes_json).
            payload = f'{payload[:-2]},"entries":[{entries}]}}}}'
        topic = f"{self.root}/feed/{topic}"
        return (None, DESTINATION, topic, event_id, WAITING, at, None, payload.encode())

    def entries(self, accepted: Accepted, at: int, fixes: list[FixRow]) -> list[OutboxRow]:
        """At most three events of a track segment: its positions, battery readings, log events.

        `fixes` is what `fix_rows` made of it.
        """
        header = accepted.header
        assert header is not None
        offset = utc_offset(header.stamp, accepted.entries)
        others: dict[int, list[str]] = {}
        for entry in accepted.entries:
            if entry[0] != track.FIX:
                others.setdefault(entry[0], []).append(_other_json(entry, offset))
        found = {kind: ",".join(told) for kind, told in others.items()}
        if fixes:
            found[track.FIX] = _fixes_json(fixes)
        log = accepted.log_id.hex()
        device = accepted.device.id
        rows: list[OutboxRow] = []
        for kind, (name, event_type) in _TRACK_FEEDS.items():
            if kind not in found:
                continue
            data: dict[str, Any] = {
                "device": device,
                "log": log,
                "seq": accepted.seq,
                "boot": header.stamp[0],
                "stamp": stamp(header.stamp),
                "received_at": at,
            }
            event_id = f"{device}/{log}/{accepted.seq}/{name}"
            topic = f"site/{name}"
            told = found[kind]
            rows.append(
                self._row(topic, event_type, event_id, device, at, data=data, entries=told)
            )
        return rows

    def visit(self, accepted: Accepted, verdicts: dict[str, Any], at: int) -> OutboxRow:
        """The one event of a visit; needs its evidence."""
        found = accepted.visit
        assert found is not None
        visit_id = visit.visit_id(accepted.device.id, accepted.log_id, accepted.seq)
        data = {
            "visit_id": visit_id,
            **describe(accepted, found, at),
            "verdicts": verdicts,
            "signature_verified": True,
            "evidence": base64.b64encode(accepted.raw).decode(),
        }
        topic = f"{found.evidence['portfolio']}/visits"
        return self._row(topic, VISIT, visit_id, accepted.device.id, at, data=data)

    def verdict(self, change: Change, at: int) -> OutboxRow:
        """A later change to a visit that was told: `<visit id>/v<n>`, never a second visit."""
        data = change.data
        topic = f"{data['portfolio']}/visits"
        event_id = f"{data['visit_id']}/v{data['version']}"
        return self._row(topic, VISIT_VERDICT, event_id, change.device, at, data=data)

    def alert(self, alert_id: str, device: str, at: int, data: dict[str, Any]) -> OutboxRow:
        """An alert for the agency alone."""
        return self._row("site/alerts", ALERT, alert_id, device, at, data=data)


def describe(accepted: Accepted, found: Visit, at: int) -> dict[str, Any]:
    """A visit in readable names: integers with units, UTC seconds, positions in 1e-7 degrees."""
    header = accepted.header
    assert header is not None
    evidence = found.evidence
    form = evidence.get("form")
    return {
        "device": accepted.device.id,
        "log": accepted.log_id.hex(),
        "seq": accepted.seq,
        "number": header.numbers[0],
        "kid": accepted.kid.hex(),
        "chain": accepted.chain.hex(),
        "firmware": header.fw_version,
        "ended": visit.ENDED_NAMES[evidence["ended"]],
        "opened": visit.POLICY_NAMES[evidence["opened"]],
        "case_id": evidence["case_id"],
        "portfolio": evidence["portfolio"],
        "creditor": evidence["creditor"],
        "gestor": evidence.get("gestor"),
        "place": _place(evidence["place"]),
        "check_in": _moment(evidence, "check_in"),
        "close": _moment(evidence, "close") if evidence.get("close") else None,
        "dwell": _dwell(evidence.get("dwell")),
        "portal": _portal(evidence.get("portal")),
        "no_signal": "no_signal" in evidence,
        "outcome": evidence.get("outcome"),
        "answers": found.answers,
        "promise": found.promise,
        "battery": _battery_reading(evidence.get("battery")),
        "attempts": evidence.get("attempts"),
        "form": {"id": form[0], "hash": form[1].hex()} if form else None,
        "cases_version": evidence.get("cases_version"),
        "parts": parts(accepted),
        "clocks": {
            "handheld": stamp(evidence["check_in"]),
            "sealed": stamp(header.stamp),
            "gateway": at,
        },
    }


def parts(accepted: Accepted) -> dict[str, str]:
    """Which of the signed parts came along, by name: present or withheld."""
    sealed = accepted.sealed
    assert sealed is not None
    return {
        segment.PART_NAMES[number]: "present" if number in sealed.parts else "withheld"
        for number in sorted(sealed.header.parts)
    }


def _place(place: list[Any]) -> dict[str, Any]:
    """Where a visit was judged: a circle, or a polygon by its corners [[lat_e7, lon_e7]…]."""
    told: dict[str, Any] = {"version": place[0], "quality": visit.QUALITY_NAMES[place[1]]}
    if place[2]:
        return told | {"shape": "polygon", "corners": polygon.corners(place[3])}
    _, _, _, lat, lon, radius = place
    return told | {"shape": "circle", "lat_e7": lat, "lon_e7": lon, "radius_dm": radius}


def _moment(evidence: dict[str, Any], name: str) -> dict[str, Any]:
    window, verdict = evidence.get(f"{name}_fixes"), evidence.get(f"{name}_verdict")
    return _seen(evidence[name], window, verdict)


def _seen(stamped: list[Any], window: list[Any] | None, verdict: Any) -> dict[str, Any]:
    fixes = reading.unpack_window(window, stamped[1]) if window is not None else []
    offset = None if stamped[2] is None else stamped[2] * 1000 - stamped[1]
    return {
        "stamp": stamp(stamped),
        "utc": stamped[2],
        "fixes": [_fix(fix, offset) for fix in fixes],
        "verdict": verdict,
    }


def _dwell(value: list[Any] | None) -> dict[str, Any] | None:
    """Seconds inside before the check-in, and at most during the visit (null: never closed)."""
    return None if value is None else {"before_s": value[0], "during_s": value[1]}


def _portal(value: list[Any] | None) -> dict[str, Any] | None:
    """What was registered at a building's entrance."""
    return None if value is None else _seen(*value[:3]) | {"dwell_s": value[3]}


def _battery_reading(value: list[Any] | None) -> dict[str, Any] | None:
    return None if value is None else dict(zip(("mv", "percent", "source"), value, strict=True))


def stamp(value: list[Any]) -> dict[str, Any]:
    """A stamp by name: boot, ms since it, UTC seconds or null, source, uncertainty in seconds."""
    boot, ms, utc, source, uncertainty = value
    return {
        "boot": boot,
        "ms": ms,
        "utc": utc,
        "source": _SOURCES[source],
        "uncertainty_s": uncertainty,
    }


def utc_offset(base: list[Any], entries: list[list[Any]]) -> int | None:
    """Milliseconds to add to ms since boot for UTC, from the base stamp or, where it has none,
    from the first time_set event of the segment; None when no time was known."""
    if base[2] is not None:
        return base[2] * 1000 - base[1]
    for entry in entries:
        if entry[0] == track.EVENT and entry[3] == track.TIME_SET:
            data: object = entry[4]
            utc: object = cast(list[object], data)[0] if isinstance(data, list) and data else None
            if is_uint(utc, MAX_UTC):
                return cast(int, utc) * 1000 - entry[2]
    return None


def _fix(entry: list[Any], offset: int | None) -> dict[str, Any]:
    return {
        "number": entry[1],
        "ms": entry[2],
        "utc": None if offset is None else (entry[2] + offset) // 1000,
        "lat_e7": entry[3],
        "lon_e7": entry[4],
        "hdop": entry[5],
        "satellites": entry[6],
        "fix_type": entry[7],
        "quality": entry[8],
    }


def fix_rows(log: int, accepted: Accepted) -> list[FixRow]:
    """What is stored of the fixes of a track segment, and told of them by `Feed.entries`."""
    header = accepted.header
    assert header is not None
    offset = utc_offset(header.stamp, accepted.entries)
    seq, fix = accepted.seq, track.FIX
    rows: list[FixRow] = []
    for entry in accepted.entries:
        if entry[0] == fix:
            _, number, ms, lat, lon, hdop, satellites, fix_type, quality = entry
            utc = None if offset is None else (ms + offset) // 1000
            told = None if quality is None else str(quality).replace("None", "null")
            rows.append((log, seq, number, ms, utc, lat, lon, hdop, satellites, fix_type, told))
    return rows


# One format of what is a row already: a third of the cost of a dict and the encoder, and fixes are
# most of what passes here.
_FIX_JSON = (
    '{"number":%d,"ms":%d,"utc":%s,"lat_e7":%d,"lon_e7":%d,"hdop":%d,"satellites":%d,'
    '"fix_type":%d,"quality":%s}'
)


def _fixes_json(rows: list[FixRow]) -> str:
    """`_fix` of each row as JSON, joined by commas."""
    return ",".join([_FIX_JSON % row[2:] for row in rows]).replace("None", "null")


def _other_json(entry: list[Any], offset: int | None) -> str:
    return _encode(_battery(entry, offset) if entry[0] == track.BATTERY else _event(entry, offset))


def _battery(entry: list[Any], offset: int | None) -> dict[str, Any]:
    return {
        "number": entry[1],
        "ms": entry[2],
        "utc": None if offset is None else (entry[2] + offset) // 1000,
        "mv": entry[3],
        "percent": entry[4],
        "source": entry[5],
    }


def _event(entry: list[Any], offset: int | None) -> dict[str, Any]:
    return {
        "number": entry[1],
        "ms": entry[2],
        "utc": None if offset is None else (entry[2] + offset) // 1000,
        "code": entry[3],
        "name": reading.event_name(entry[3]),
        "data": plain(entry[4]),
    }


def plain(value: Any) -> Any:
    """A CBOR value for JSON: bytes as {"hex": …}, maps as {"map": [[key, value]…]}."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, list):
        return [plain(item) for item in cast(list[Any], value)]
    if isinstance(value, dict):
        pairs = cast(dict[Any, Any], value).items()
        return {"map": [[plain(key), plain(item)] for key, item in pairs]}
    return value


_TRACK_FEEDS = {
    track.FIX: ("positions", POSITIONS),
    track.BATTERY: ("battery", BATTERY),
    track.EVENT: ("events", EVENTS),
}
