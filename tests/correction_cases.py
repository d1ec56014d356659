"""The cases of protocol/vectors/correction.json: part 5, a sealed correction, what is refused."""

from typing import Any

import segment_cases
import wire_reference as ref
from track_cases import plain
from visit_cases import PROMISE

Case = dict[str, Any]
SALT = bytes(range(0x60, 0x70))
LOG = bytes.fromhex("a1b2c3d4e5f60718")
PROMISE_NAMES = ("currency", "kind", "pairs", "who", "limits")


def correction_map(**fields: Any) -> dict[int, Any]:
    """Part 5 without its salt, by key; fields replace the defaults by name."""
    names = ("", "of", "field", "value", "reason", "gestor", "later")
    values: dict[str, Any] = {
        "of": [LOG, 2],
        "field": "outcome",
        "value": "sin_acuerdo",
        "reason": "toqué promesa por error",
        "gestor": "g-07",
        **fields,
    }
    return {names.index(name): value for name, value in values.items() if value != "absent"}


def part(**fields: Any) -> bytes:
    """The whole part."""
    return SALT + ref.dumps(correction_map(**fields))


def good() -> list[Case]:
    """Corrections that both directions accept; `fields` as our code names them."""
    table: list[tuple[str, dict[str, Any]]] = [
        ("another outcome", {}),
        ("another answer", {"field": "answers.quien", "value": "codeudor"}),
        ("an answer of several", {"field": "answers.contacto", "value": ["llamada", 3]}),
        ("an answer taken back", {"field": "answers.volver_el", "value": None}),
        ("a question id of 32 bytes", {"field": "answers." + "é" * 16, "value": True}),
        ("a question whose id is a field's", {"field": "answers.outcome", "value": 1}),
        ("another promise", {"field": "promise", "value": PROMISE}),
        ("a promise taken back", {"field": "promise", "value": None}),
        ("a gestor nobody named", {"gestor": "absent"}),
        ("a reason of 160 bytes", {"reason": "ñ" * 80}),
        ("the last segment there can be", {"of": [LOG, 2**32 - 1]}),
    ]
    cases: list[Case] = []
    for name, fields in table:
        value = correction_map(**fields)
        told = {"log_id": value[1][0], "seq": value[1][1], "field": value[2], "value": value[3]}
        told |= {"reason": value[4], "gestor": value.get(5)}
        if value[2] == "promise" and value[3]:
            told["value"] = dict(zip(PROMISE_NAMES, value[3], strict=True))
        cases.append({"name": name, "fields": plain(told), "hex": part(**fields).hex()})
    return cases


def refused() -> list[Case]:
    """Parts that decode refuses."""
    answer = {"field": "answers.quien"}
    table: list[tuple[str, dict[str, Any], str]] = [
        ("no visit", {"of": "absent"}, "visit"),
        ("a visit by its seq alone", {"of": 2}, "visit"),
        ("a visit id of text", {"of": "rh-0001/a1b2c3d4e5f60718/2"}, "visit"),
        ("a visit of three", {"of": [LOG, 2, 1]}, "visit"),
        ("a log id of 7 bytes", {"of": [LOG[:7], 2]}, "visit"),
        ("a visit of seq 0", {"of": [LOG, 0]}, "visit"),
        ("a visit of seq true", {"of": [LOG, True]}, "visit"),
        ("a seq of more than 32 bits", {"of": [LOG, 2**32]}, "visit"),
        ("no field", {"field": "absent"}, "field"),
        ("a field of the fence", {"field": "check_in_verdict", "value": [1, 0, 0, 8, 0]}, "field"),
        ("a numbered field", {"field": 14}, "field"),
        ("an answer to no question", {"field": "answers."}, "field"),
        ("a question id of 33 bytes", {"field": "answers." + "x" * 33}, "field"),
        ("a question id with a newline", {"field": "answers.a\nb"}, "field"),
        ("no value", {"value": "absent"}, "value"),
        ("an outcome taken back", {"value": None}, "value"),
        ("an empty outcome", {"value": ""}, "value"),
        ("an outcome of 33 bytes", {"value": "x" * 33}, "value"),
        ("a numbered outcome", {"value": 3}, "value"),
        ("an answer of bytes", {**answer, "value": b"titular"}, "value"),
        ("an answer of lists", {**answer, "value": [[]]}, "value"),
        ("an answer that is a map", {**answer, "value": {}}, "value"),
        ("a promise of four", {"field": "promise", "value": PROMISE[:4]}, "value"),
        ("a promise of text", {"field": "promise", "value": "sí"}, "value"),
        (
            "a promise for 31 September",
            {"field": "promise", "value": [*PROMISE[:2], [[1, 20260931]], *PROMISE[3:]]},
            "value",
        ),
        ("no reason", {"reason": "absent"}, "reason"),
        ("an empty reason", {"reason": ""}, "reason"),
        ("a reason of 161 bytes", {"reason": "ñ" * 80 + "x"}, "reason"),
        ("a reason with ESC", {"reason": "\x1b[2J"}, "reason"),
        ("an empty gestor", {"gestor": ""}, "gestor"),
        ("a null gestor", {"gestor": None}, "gestor"),
        ("a gestor of 33 bytes", {"gestor": "x" * 33}, "gestor"),
    ]
    raw = [
        ("nothing", b"", "salt"),
        ("salt alone", SALT, "salt"),
        ("an array", SALT + b"\x80", "shape"),
        ("a text key", SALT + ref.dumps({"x": 1}), "shape"),
        ("cut", part()[:-1], "cbor-truncated"),
        ("a byte too many", part() + b"\x00", "cbor-trailing"),
    ]
    cases = [{"name": name, "hex": part(**fields).hex(), "code": c} for name, fields, c in table]
    return [{"name": name, "hex": data.hex(), "code": code} for name, data, code in raw] + cases


def refused_headers() -> list[Case]:
    """Headers of corrections that are refused."""
    one = bytes(32)
    table: list[tuple[str, dict[str, Any]]] = [
        ("a correction of two numbers", {"numbers": [34, 2]}),
        ("a correction without its part", {"parts": {}}),
        ("a correction with evidence", {"parts": {2: one}}),
        ("a correction with answers beside it", {"parts": {3: one, 5: one}}),
        ("a correction with a part hash of 31 bytes", {"parts": {5: one[:31]}}),
    ]
    found: list[Case] = []
    for name, fields in table:
        told = {"seq": 4, "body": 3, "numbers": [34, 1], "parts": {5: one}, **fields}
        header = ref.header_map(prev=one, previous_log="absent", **told)
        found.append({"name": name, "payload": ref.dumps(header).hex(), "code": "header"})
    return found


def sealed() -> Case:
    """A correction of the vectors' visit, the fourth segment of its log."""
    before = segment_cases.chain()[2]
    fields = {"seq": 4, "numbers": [34, 1], "body": 3, "stamp": [3, 800000, 1789477940, 1, 1]}
    fields["prev"] = bytes.fromhex(before["chain_hash"])
    return segment_cases.segment("a correction of the visit", fields, {5: part()})


def correction_vectors() -> Case:
    """protocol/vectors/correction.json."""
    return {
        "about": "Corrections (WIRE.md, Correction). Fields by name, values as in cbor.json; the "
        "hex is the part. `segment` goes on with the chain of segment.json.",
        "made_by": "python tests/make_wire_vectors.py",
        "key": ref.DEVICE.as_json(),
        "salt": SALT.hex(),
        "good": good(),
        "unknown_keys": {"hex": part(later=["of a later version"]).hex()},
        "refused": refused(),
        "refused_headers": refused_headers(),
        "segment": sealed(),
    }
