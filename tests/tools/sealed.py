"""Sealed segments for tests, made with a key of their own: a visit and a track."""

from ronda_gateway.keys import Signer, make
from ronda_protocol import reading, segment, track, visit

LOG = bytes(range(8))
UTC = 1789477200
SALT = bytes(16)


def fix(number: int, ms: int, lat: int = -121200000, lon: int = -770300000) -> list[object]:
    """A canonical fix entry."""
    return [track.FIX, number, ms, lat, lon, 9, 11, 3, None]


def header(seq: int, numbers: list[int], body: int) -> segment.Header:
    """A header of device eq-1."""
    prev = segment.FIRST_PREV if seq == 1 else bytes([seq]) * 32
    stamp = [1, 60000, UTC, 1, 1]
    return segment.Header("eq-1", "0.1", bytes(16), LOG, seq, prev, stamp, numbers, body)


def evidence(case_id: str = "C-1", **more: object) -> dict[str, object]:
    """The named fields of an honest visit."""
    window = visit.pack_window([fix(0, 60000 + 1000 * n) for n in range(5)], 66000)
    return {
        "ended": visit.CLOSED,
        "case_id": case_id,
        "portfolio": "banco-a",
        "creditor": "banco-a",
        "place": [1, visit.CONFIRMED, 0, -121200000, -770300000, 250],
        "check_in": [1, 66000, UTC + 66, 1, 1],
        "check_in_fixes": window,
        "check_in_verdict": [1, -250, 50, 5, 0],
        "opened": visit.OPENED_INSIDE,
        "close": [1, 90000, UTC + 90, 1, 1],
        "law": [0],
        "outcome": "promesa",
        "battery": [3900, 80, 1],
        **more,
    }


def visit_segment(
    signer: Signer | None = None,
    seq: int = 2,
    number: int = 7,
    withhold: tuple[int, ...] = (),
    **more: object,
) -> tuple[bytes, Signer]:
    """A sealed visit with answers and promise, and the signer of its device."""
    signer = signer or make()
    promise = {
        "currency": "PEN",
        "kind": visit.SETTLES_ALL,
        "pairs": [[125000, 20260930]],
        "who": "titular",
        "limits": 1,
    }
    parts = {
        segment.EVIDENCE: visit.encode_evidence(evidence(**more)),
        segment.ANSWERS: visit.encode_answers(SALT, {"who": "titular"}),
        segment.PROMISE: visit.encode_promise(SALT, promise),
    }
    raw = segment.seal(header(seq, [number, 1], segment.VISIT_BODY), parts, signer)
    if withhold:
        signed = reading.parse(raw).signed
        raw = segment.assemble(signed, {k: v for k, v in parts.items() if k not in withhold})
    return raw, signer


def track_segment(signer: Signer | None = None, seq: int = 1) -> tuple[bytes, Signer]:
    """A sealed track: fixes 1, 2 and 4, battery 3, event 5."""
    signer = signer or make()
    entries = [
        fix(1, 60000),
        fix(2, 75000, -121200100),
        [track.BATTERY, 3, 76000, 3900, 80, 1],
        fix(4, 90000),
        [track.EVENT, 5, 91000, track.RECOVERED, ["open", b"\x01"]],
    ]
    part = track.encode_track(entries, 60000)
    raw = segment.seal(header(seq, [1, 5], segment.TRACK_BODY), {segment.TRACK: part}, signer)
    return raw, signer
