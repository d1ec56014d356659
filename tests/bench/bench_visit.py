"""Bytes of one visit of twelve answers on the wire, and what they are spent on."""

from typing import Any

from figures import Figure

TITLE = "A visit of twelve answers on the wire"
_UTC = 1789477200
_PLACE = [1, 1, 0, -121191427, -770349046, 400]
_QUESTIONS: tuple[tuple[str, str | int], ...] = (
    ("quien", "titular"),
    ("tipologia", "quiere_no_puede"),
    ("vive_aqui", "si"),
    ("trabaja_en", "comercio"),
    ("ingreso_es", "quincenal"),
    ("motivo", "enfermedad"),
    ("paga_por", "banca_movil"),
    ("hogar_personas", 5),
    ("capacidad_pen", 30000),
    ("otras_deudas", "no"),
    ("volver_el", 20261001),
    ("mejor_hora", "manana"),
)
_PROMISE = {
    "currency": "PEN",
    "kind": 2,
    "pairs": [[15000, 20260930], [15000, 20261030]],
    "who": "titular",
    "limits": 1,
}


def _fixes(ms: int) -> list[list[Any]]:
    """Eight fixes of somebody who stands at the door."""
    lat, lon = _PLACE[3:5]
    return [
        [1, 0, ms - 8000 + i * 1000, lat + i * 31 % 90, lon - i * 17 % 80, 9, 11, 3, None]
        for i in range(8)
    ]


def _evidence(close_fix: bool) -> dict[str, Any]:
    from ronda_protocol import visit

    begun, ended = [4, 3_600_000, _UTC, 1, 1], [4, 4_020_000, _UTC + 420, 1, 1]
    fields: dict[str, Any] = {
        "ended": visit.CLOSED,
        "case_id": "C-2017-0456",
        "portfolio": "banco-a",
        "creditor": "banco-a",
        "place": _PLACE,
        "check_in": begun,
        "check_in_fixes": visit.pack_window(_fixes(begun[1]), begun[1]),
        "check_in_verdict": [1, -249, 50, 8, 0],
        "opened": visit.OPENED_INSIDE,
        "close": ended,
        "law": [visit.NOT_EVALUATED],
        "outcome": "promesa",
        "battery": [3912, 77, 1],
        "gestor": "g-017",
        "form": ["encuesta-12", bytes(range(8))],
        "cases_version": _UTC,
        "dwell": [35, 388],
    }
    if close_fix:
        fields["close_fixes"] = visit.pack_window(_fixes(ended[1]), ended[1])
        fields["close_verdict"] = [1, -251, 50, 8, 0]
    return fields


def sealed(*, close_fix: bool, promise: bool, answers: dict[str, Any]) -> tuple[int, list[int]]:
    """(bytes of the sealed visit, those of its parts in their order)."""
    from ronda_gateway import keys
    from ronda_protocol import segment, visit

    fields, salt = _evidence(close_fix), bytes(range(16))
    parts = {
        segment.EVIDENCE: visit.encode_evidence(fields),
        segment.ANSWERS: visit.encode_answers(salt, answers),
    }
    if promise:
        parts[segment.PROMISE] = visit.encode_promise(salt, _PROMISE)
    header = segment.Header(
        "lima-0042",
        "0.1.0",
        bytes(range(16)),
        bytes(range(8)),
        137,
        bytes(range(32)),
        [4, 4_020_000, _UTC + 420, 1, 1],
        [4211, 1],
        segment.VISIT_BODY,
    )
    raw = segment.seal(header, parts, keys.make())
    return len(raw), [len(part) for part in parts.values()]


def measure(quick: bool) -> list[Figure]:
    """The visit in its cases, and what a form's numbers in place of words would make of it."""
    spoken = dict(_QUESTIONS)
    bare, parts = sealed(close_fix=False, promise=False, answers=spoken)
    with_fix, _ = sealed(close_fix=True, promise=False, answers=spoken)
    whole, _ = sealed(close_fix=True, promise=True, answers=spoken)
    evidence, answers = parts
    numbered = {
        chr(65 + n): (value if isinstance(value, int) else n % 4)
        for n, (_, value) in enumerate(_QUESTIONS)
    }
    short, _ = sealed(close_fix=False, promise=False, answers=numbered)
    return [
        Figure("twelve answers, no fix at the close, no promise", bare, "B", "≤ 600"),
        Figure("with the fixes of the close", with_fix, "B"),
        Figure("with those and a promise of two payments", whole, "B"),
        Figure("of the first: evidence", evidence, "B"),
        Figure("of the first: answers", answers, "B"),
        Figure("of the first: header, hashes, signature", bare - evidence - answers, "B"),
        Figure("the first with questions and options as numbers of a form", short, "B", "≤ 600"),
    ]
