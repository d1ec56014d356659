"""A visit's parts: evidence, answers, promise.

Decides nothing: the verdict is the fence's, what opens a visit the handheld's policy. Writing does
not judge the fields (what was seen is saved, whatever it is); `reading` checks every one.
"""

from ronda_protocol import cbor, track
from ronda_protocol.bounds import WireError, is_bytes, is_list, is_text, is_uint

# Decoded dicts hold values of many types.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ronda_protocol.track import Entry

# How a visit ended.
CLOSED = 1
INTERRUPTED = 2
REFUSED = 3
ENDED_NAMES = ("", "closed", "interrupted", "refused")

# Quality of a case's place.
GEOCODED = 0
CONFIRMED = 1
CORRECTED = 2
QUALITY_NAMES = ("geocoded", "confirmed", "corrected")

# How the check-in policy opened it.
OPENED_REFUSED = 0
OPENED_INSIDE = 1
OPENED_UNCONFIRMED = 2
OPENED_ADDRESS = 3
OPENED_PORTAL = 4
POLICY_NAMES = ("refused", "inside", "unconfirmed", "address_to_confirm", "portal")

PORTAL_MS = 1200000
"""How long what was registered at a building's entrance is good for upstairs, in one boot."""

RESUME_S = 600
"""How long after the power went a visit may be resumed, in seconds."""

# What a promise settles.
SETTLES_ALL = 1
PARTIAL = 2

NOT_EVALUATED = 0
LAW_NAMES = ("not_evaluated",)

MAX_WINDOW = 8
"""Fixes in the evidence of one check-in or close."""

MAX_BODY = 16384
"""Bytes of an answers or promise part."""

# Names of the evidence map's keys, from 1.
FIELDS = (
    "ended case_id portfolio creditor place check_in check_in_fixes check_in_verdict opened"
    " close close_fixes close_verdict law outcome battery attempts gestor form cases_version"
    " dwell portal no_signal resumed"
)


class VisitError(WireError):
    """Codes: cbor-…, shape, salt, fixes, answers, promise, or the name of the evidence field."""


def visit_id(device: str, log_id: bytes, seq: int) -> str:
    """The visit's id for ever: `<device>/<log id in hex>/<seq>`."""
    return f"{device}/{log_id.hex()}/{seq}"


def _need(ok: bool, code: str) -> None:
    if not ok:
        raise VisitError(code)


def pack_window(fixes: "list[Entry]", stamp_ms: int) -> "list[Any]":
    """[back_ds, packed fixes]: fixes of at most 60 s before `stamp_ms`, the oldest back_ds ago."""
    if not fixes:
        return [0, b""]
    base = fixes[0][2]
    _need(len(fixes) <= MAX_WINDOW and fixes[-1][2] <= stamp_ms, "fixes")
    try:
        value = [(stamp_ms - base) // 100, track.pack_fixes(fixes, base)]
    except track.TrackError:
        raise VisitError("fixes")
    check_window(value, stamp_ms)
    return value


def check_window(value: "Any", stamp_ms: int) -> None:
    """VisitError("fixes") unless value is [back_ds, byte string], 60 s at most and since boot."""
    ok = is_list(value, 2, 2) and is_uint(value[0], min(600, stamp_ms // 100))
    _need(ok and type(value[1]) is bytes, "fixes")


def encode_evidence(fields: "dict[str, Any]") -> bytes:
    """Part 2 from fields by name (WIRE.md, Visit); None is as good as absent."""
    value: dict[int, Any] = dict(fields.get("unknown") or {})
    names = FIELDS.split()
    for i in range(len(names)):
        if fields.get(names[i]) is not None:
            value[i + 1] = fields[names[i]]
    return _encode(value)


def _encode(value: "Any") -> bytes:
    try:
        return cbor.encode(value)
    except cbor.CborError as error:
        raise VisitError("cbor-" + error.code)


def _salted(salt: bytes, value: "Any") -> bytes:
    _need(is_bytes(salt, 16), "salt")
    return salt + _encode(value)


def encode_answers(salt: bytes, answers: "dict[str, Any]") -> bytes:
    """Part 3: 16 random bytes, then {question id: answer}.

    An answer is None, a boolean, an integer, a text, or a list of integers and texts.
    """
    return _salted(salt, answers)


def encode_promise(salt: bytes, promise: "dict[str, Any]") -> bytes:
    """Part 4 from {currency, kind, pairs, who, limits}.

    `currency` three capitals; `kind` SETTLES_ALL or PARTIAL; `pairs` 1 to 12 of [amount in minor
    units, day as yyyymmdd], days ascending; `who` a text; `limits` the version of the limits.
    """
    value = [promise.get(name) for name in ("currency", "kind", "pairs", "who", "limits")]
    check_promise(value)
    return _salted(salt, value)


def check_promise(value: "Any") -> None:
    """VisitError("promise") unless value is [currency, kind, pairs, who, limits]."""
    _need(is_list(value, 5, 5), "promise")
    currency, kind, pairs, who, limits = value
    ok = type(currency) is str and len(currency) == 3 and is_list(pairs, 12, 1)
    _need(ok and is_uint(kind, PARTIAL, SETTLES_ALL), "promise")
    for i in range(3):
        _need("A" <= currency[i] <= "Z", "promise")
    _need(is_text(who, 32) and is_uint(limits), "promise")
    last = 0
    for pair in pairs:
        _need(is_list(pair, 2, 2) and is_uint(pair[0], 0xFFFFFFFFFFFF, 1), "promise")
        _need(is_day(pair[1]) and pair[1] > last, "promise")
        last = pair[1]


def is_day(value: "Any") -> bool:
    """Whether value is a day of the years 2000 to 2099 as yyyymmdd."""
    if not is_uint(value, 20991231, 20000101):
        return False
    month = value // 100 % 100
    # From 2000 to 2099 every fourth year is a leap year.
    february = 28 if value // 10000 % 4 else 29
    days = (31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    return 1 <= month <= 12 and 1 <= value % 100 <= days[month - 1]
