"""A correction: one field of a sealed visit set right by its gestor, in an entry of its own.

The visit stays as it was sealed. Whether a correction may be made (by whom, until when) is the
handheld's and the gateway's word. Writing does not judge the value; reading checks everything.
"""

from ronda_protocol import cbor
from ronda_protocol.bounds import U32, WireError, is_bytes, is_list, is_map, is_text, is_uint

# Cells of decoded CBOR are Any by nature.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Fields that can be corrected; an answer's is ANSWER and its question id.
OUTCOME = "outcome"
PROMISE = "promise"
ANSWER = "answers."

MAX_REASON = 160
"""Bytes of a reason in UTF-8."""


class CorrectionError(WireError):
    """Codes: cbor-…, shape, salt, visit, field, value, reason, gestor."""


def _need(ok: bool, code: str) -> None:
    if not ok:
        raise CorrectionError(code)


def question(field: str) -> "str | None":
    """The id of the question whose answer is corrected; None for another field."""
    return field[len(ANSWER) :] if field.startswith(ANSWER) else None


def encode(salt: bytes, fields: "dict[str, Any]") -> bytes:
    """Part 5 of a segment from log_id, seq, field, value, reason, gestor (or None).

    A promise is a dict as `visit.encode_promise` takes it; an outcome is a text; an answer as in
    the answers part. A promise or an answer of None takes back what was there.
    """
    _need(is_bytes(salt, 16), "salt")
    promise = fields["value"] if fields["field"] == PROMISE else None
    value: dict[int, Any] = {1: [fields["log_id"], fields["seq"]], 2: fields["field"]}
    value[3] = fields["value"]
    if promise is not None:
        names = ("currency", "kind", "pairs", "who", "limits")
        value[3] = [promise.get(name) for name in names]
    value[4] = fields["reason"]
    if fields.get("gestor") is not None:
        value[5] = fields["gestor"]
    try:
        return salt + cbor.encode(value)
    except cbor.CborError as error:
        raise CorrectionError("cbor-" + error.code)


# What follows is the gateway's and the auditor's side; a handheld runs none of it.


def decode(part: bytes) -> "tuple[bytes, dict[str, Any]]":
    """(salt, fields as `encode` takes them) of part 5; keys of a later version are passed over."""
    from ronda_protocol import visit

    _need(len(part) > 16, "salt")
    try:
        value = cbor.decode(part[16:], visit.MAX_BODY)
    except cbor.CborError as error:
        raise CorrectionError("cbor-" + error.code)
    _need(is_map(value), "shape")
    get = value.get
    of = get(1)
    _need(is_list(of, 2, 2) and is_bytes(of[0], 8) and is_uint(of[1], U32, 1), "visit")
    field = get(2)
    _need(type(field) is str, "field")
    _need(field in (OUTCOME, PROMISE) or is_text(question(field), 32), "field")
    _need(3 in value, "value")
    _need(is_text(get(4), MAX_REASON), "reason")
    _need(5 not in value or is_text(value[5], 32), "gestor")
    fields = {"log_id": of[0], "seq": of[1], "field": field, "value": _read(field, value[3])}
    fields["reason"] = value[4]
    fields["gestor"] = get(5)
    return part[:16], fields


def _read(field: str, value: "Any") -> "Any":
    """The new value; CorrectionError("value") unless it fits the field."""
    from ronda_protocol import reading, visit

    try:
        if field == OUTCOME:
            _need(is_text(value, 32), "value")
        elif field != PROMISE:
            reading.check_answers({question(field): value})
        elif value is not None:
            visit.check_promise(value)
            names = ("currency", "kind", "pairs", "who", "limits")
            return {names[i]: value[i] for i in range(5)}
    except visit.VisitError:
        raise CorrectionError("value")
    return value
