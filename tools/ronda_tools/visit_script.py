"""Reads what makes a simulated handheld record a visit: one case, and a script of intents.

Checks form and names so that a typing error is found before anything runs; whether an answer is a
right one the firmware's questionnaire decides. Every error names the file and, in a script, the
line.
"""

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ronda_protocol import fence, polygon
from ronda_protocol.bounds import is_portfolio, is_text

from ronda_tools import texts
from ronda_tools.conductor import Answer, Script
from ronda_tools.texts import Text, UsedWrong

texts.add(
    {
        "script.json": Text(
            "{path}, línea {line}: no es JSON ({error})",
            "{path}, line {line}: not JSON ({error})",
            "corrija la línea; en un guion cada línea es un objeto JSON",
            "correct the line; in a script every line is a JSON object",
        ),
        "script.object": Text(
            "{path}, línea {line}: debe ser un objeto JSON",
            "{path}, line {line}: it must be a JSON object",
            'por ejemplo: {{"at_ms": 60000, "intent": "check_in", "args": {{"case_id": "c-1"}}}}',
            'for example: {{"at_ms": 60000, "intent": "check_in", "args": {{"case_id": "c-1"}}}}',
        ),
        "script.field": Text(
            "{path}, línea {line}: «{name}» {why}",
            "{path}, line {line}: “{name}” {why}",
            "corrija ese campo",
            "correct that field",
        ),
        "script.intent": Text(
            "{path}, línea {line}: intención desconocida «{name}»",
            "{path}, line {line}: unknown intent “{name}”",
            "las intenciones son: {known}",
            "the intents are: {known}",
        ),
        "script.long": Text(
            "{path}, línea {line}: tiene más de {most} caracteres",
            "{path}, line {line}: it has more than {most} characters",
            "reparta las respuestas en varias intenciones answer",
            "spread the answers over several answer intents",
        ),
        "why.missing": Text("falta", "is missing"),
        "why.unknown": Text("no existe aquí", "does not exist here"),
        "why.uint": Text("debe ser un entero de 0 o más", "must be an integer of 0 or more"),
        "why.text": Text("debe ser un texto no vacío", "must be a text, not empty"),
        "why.truth": Text("debe ser true o false", "must be true or false"),
        "why.map": Text("debe ser un objeto", "must be an object"),
        "why.id": Text("debe tener de 1 a 32 bytes de UTF-8", "must have 1 to 32 bytes of UTF-8"),
        "why.portfolio": Text(
            "debe tener de 1 a 24 minúsculas, cifras o guiones, y no ser «site»",
            "must have 1 to 24 lower-case letters, digits or hyphens, and not be “site”",
        ),
        "why.between": Text(
            "debe ser un entero entre {low} y {high}", "must be an integer from {low} to {high}"
        ),
        "why.quality": Text(
            "debe ser geocoded, confirmed o corrected", "must be geocoded, confirmed or corrected"
        ),
        "why.corners": Text(
            "debe ser una lista de 3 a 32 esquinas [lat_e7, lon_e7], cada una a menos de 0,2 "
            "grados de la anterior",
            "must be a list of 3 to 32 corners [lat_e7, lon_e7], each less than 0.2 degrees from "
            "the one before",
        ),
        "why.repeated": Text(
            "tiene una esquina dos veces; no repita la primera al final",
            "has a corner twice; do not repeat the first one at the end",
        ),
        "why.crossing": Text(
            "tiene lados que se cruzan o se tocan: ponga las esquinas en orden",
            "has edges that cross or touch: put the corners in order",
        ),
        "why.flat": Text("encierra menos de 100 m²", "encloses less than 100 m²"),
        "why.size": Text(
            "tiene una esquina a más de 2 km de su centro",
            "has a corner more than 2 km from its centre",
        ),
        "why.pole": Text(
            "está más allá de los 80 grados de latitud", "lies beyond 80 degrees of latitude"
        ),
        "why.one_visit": Text(
            "o visit_id: diga con uno de los dos qué visita se corrige",
            "or visit_id: say with one of the two which visit is corrected",
        ),
        "why.circle_too": Text(
            "y lat_e7, lon_e7, radius_m se excluyen: el lugar es un polígono o un círculo",
            "and lat_e7, lon_e7, radius_m exclude each other: a place is a polygon or a circle",
        ),
    }
)

QUALITIES = ("geocoded", "confirmed", "corrected")
_CASE_MAX = 1 << 20
_SCRIPT_MAX = 4 << 20
_LINE_MAX = 8192  # the handheld has 192 KB of heap for everything
_WAIT_MS = 1000
_PATIENCE_MS = 130_000
# No position yet; the clock wants three fixes; the agency a stay at the door.
_LATER = ("waiting_fix", "no_time", "waiting_dwell")

# intent -> its arguments: name -> (kind, whether it must be there)
_INTENTS: dict[str, dict[str, tuple[str, bool]]] = {
    "shift_start": {"gestor": ("text", False)},
    "shift_end": {},
    "register_portal": {"case_id": ("text", False)},
    "check_in": {"case_id": ("text", True), "acknowledge": ("truth", False)},
    "answer": {"id": ("text", True), "value": ("any", True)},
    "close": {
        "outcome": ("text", True),
        "answers": ("map", False),
        "promise": ("map", False),
        "ask_fix": ("truth", False),
        "no_signal": ("truth", False),
    },
    "correct": {
        "case_id": ("text", False),
        "visit_id": ("text", False),
        "field": ("text", True),
        "value": ("any", True),
        "reason": ("text", True),
    },
    "status": {},
    "sync": {},
}


@dataclass(frozen=True)
class Case:
    """One case as a round would carry it; `place` as packs and visits have it (WIRE.md, Visit)."""

    case_id: str
    portfolio: str
    creditor: str
    place: list[Any]


@dataclass(frozen=True)
class Act:
    """One line of a script: an intent, at a time counted from the log's first valid fix."""

    at_ms: int
    intent: str
    args: dict[str, Any] = field(default_factory=dict[str, Any])


def _read(path: Path, most: int) -> str:
    try:
        if path.is_dir():
            raise UsedWrong("file.directory", file=path)
        with path.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise UsedWrong("file.missing", file=path) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsedWrong("file.unreadable", file=path, why=why) from None
    if len(data) > most:
        raise UsedWrong("file.huge", file=path, limit=most >> 20)
    if not data.strip():
        raise UsedWrong("file.empty", file=path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsedWrong("file.unreadable", file=path, why="UTF-8") from None


def _object(path: Path, line: int, text: str) -> dict[str, Any]:
    try:
        value: object = json.loads(text, parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except json.JSONDecodeError as error:
        at = line + error.lineno - 1
        raise UsedWrong("script.json", path=path, line=at, error=error.msg) from None
    except (ValueError, RecursionError) as error:
        raise UsedWrong("script.json", path=path, line=line, error=error) from None
    if not isinstance(value, dict):
        raise UsedWrong("script.object", path=path, line=line)
    return cast(dict[str, Any], value)


def _refuse(name: str) -> object:
    raise ValueError(name)


@dataclass(frozen=True)
class _Line:
    """Where a value stands, for the error."""

    path: Path
    number: int

    def wrong(self, name: str, why: str, **fields: object) -> UsedWrong:
        return UsedWrong(
            "script.field",
            path=self.path,
            line=self.number,
            name=name,
            why=texts.say(f"why.{why}", **fields),
        )

    def integer(self, value: dict[str, Any], name: str, low: int, high: int) -> int:
        found = self._there(value, name)
        if type(found) is not int or not low <= found <= high:
            raise self.wrong(name, "between", low=low, high=high)
        return found

    def _there(self, value: dict[str, Any], name: str) -> object:
        if name not in value:
            raise self.wrong(name, "missing")
        return value[name]

    def text(self, value: dict[str, Any], name: str) -> str:
        found = self._there(value, name)
        if not isinstance(found, str) or not found.strip():
            raise self.wrong(name, "text")
        return found


def read_case(path: Path) -> Case:
    """The case in a JSON file; UsedWrong says which field is wrong and how."""
    value = _object(path, 1, _read(path, _CASE_MAX))
    at = _Line(path, 1)
    case_id = at.text(value, "case_id")
    if not is_text(case_id, 32):
        raise at.wrong("case_id", "id")
    portfolio, creditor = at.text(value, "portfolio"), at.text(value, "creditor")
    if not is_portfolio(portfolio):
        raise at.wrong("portfolio", "portfolio")
    if not is_text(creditor, 32):
        raise at.wrong("creditor", "id")
    quality = at.text(value, "place_quality")
    if quality not in QUALITIES:
        raise at.wrong("place_quality", "quality")
    return Case(case_id, portfolio, creditor, [1, QUALITIES.index(quality), *_fence(at, value)])


def _fence(at: _Line, value: dict[str, Any]) -> list[Any]:
    """A polygon [1, corners] from `polygon`, or a circle [0, lat, lon, radius in dm]."""
    if "polygon" not in value:
        return [
            0,
            at.integer(value, "lat_e7", -800_000_000, 800_000_000),
            at.integer(value, "lon_e7", -1_800_000_000, 1_800_000_000),
            at.integer(value, "radius_m", 10, 2000) * 10,
        ]
    if not {"lat_e7", "lon_e7", "radius_m"}.isdisjoint(value):
        raise at.wrong("polygon", "circle_too")
    given: object = value["polygon"]
    pairs = cast(list[Any], given) if isinstance(given, list) else []
    if not all(isinstance(pair, list) and len(cast(list[Any], pair)) == 2 for pair in pairs):
        raise at.wrong("polygon", "corners")
    if not all(type(number) is int for pair in pairs for number in pair):
        raise at.wrong("polygon", "corners")
    shape: list[Any] = [1, polygon.steps(pairs)]
    try:
        fence.Plane(shape)
    except fence.FenceError as error:
        raise at.wrong("polygon", error.code) from None
    return shape


def read_script(path: Path) -> list[Act]:
    """The acts of a script in the order of their times; empty lines are skipped."""
    acts: list[Act] = []
    for number, text in enumerate(_read(path, _SCRIPT_MAX).split("\n"), 1):
        if len(text) > _LINE_MAX:
            raise UsedWrong("script.long", path=path, line=number, most=_LINE_MAX)
        if text.strip():
            acts.append(_act(_Line(path, number), _object(path, number, text)))
    return sorted(acts, key=lambda act: act.at_ms)


def _act(at: _Line, value: dict[str, Any]) -> Act:
    at_ms = at.integer(value, "at_ms", 0, 1 << 40)
    intent = at.text(value, "intent")
    if intent not in _INTENTS:
        known = ", ".join(sorted(_INTENTS))
        raise UsedWrong("script.intent", path=at.path, line=at.number, name=intent, known=known)
    args: object = value.get("args", {})
    if not isinstance(args, dict):
        raise at.wrong("args", "map")
    given = cast(dict[str, Any], args)
    for name in given:
        if name not in _INTENTS[intent]:
            raise at.wrong(f"args.{name}", "unknown")
    for name, (kind, needed) in _INTENTS[intent].items():
        _argument(at, given, name, kind, needed)
    for name in value:
        if name not in ("at_ms", "intent", "args"):
            raise at.wrong(name, "unknown")
    if intent == "correct" and (given.get("case_id") is None) == (given.get("visit_id") is None):
        raise at.wrong("args.case_id", "one_visit")
    return Act(at_ms, intent, given)


def _argument(at: _Line, given: dict[str, Any], name: str, kind: str, needed: bool) -> None:
    value = given.get(name)
    if name not in given or (value is None and not needed):
        if needed:
            raise at.wrong(f"args.{name}", "missing")
        return
    right = {
        "text": isinstance(value, str) and bool(value.strip()),
        "truth": isinstance(value, bool),
        "map": isinstance(value, dict),
        "any": True,
    }
    if not right[kind]:
        raise at.wrong(f"args.{name}", kind)


def perform(
    acts: list[Act], first_fix_ms: "Iterator[int | None]", done: "list[tuple[int, Act, Answer]]"
) -> Script:
    """The script as the conductor runs it; `first_fix_ms` yields None until the fix is known.

    A check-in that is told to wait for a fix or for the time is repeated each second, as a gestor
    in the street would. A correction that names a case is of the last visit to it that this script
    closed. `done` gets (simulated ms, act, last answer). Ends early when `first_fix_ms` ends.
    """
    ms, origin = 0, None
    closed: dict[str, str] = {}
    visiting = ""
    while origin is None:
        try:
            origin = next(first_fix_ms)
        except StopIteration:
            return
        if origin is None:
            ms = yield ms + _WAIT_MS
    for act in acts:
        ms = yield origin + act.at_ms
        args = act.args
        if act.intent == "correct" and args.get("case_id") is not None:
            named = closed.get(args["case_id"], "")
            args = {**args, "visit_id": named}
            del args["case_id"]
        answer = yield act.intent, args
        began = ms
        while answer["code"] in _LATER and ms - began < _PATIENCE_MS:
            ms = yield ms + _WAIT_MS
            answer = yield act.intent, args
        if act.intent == "check_in" and answer.get("ok"):
            visiting = str(args["case_id"])
        elif act.intent == "close" and answer.get("ok"):
            closed[visiting] = str(answer.get("visit_id"))
        done.append((ms, act, answer))


__all__ = ["Act", "Case", "Generator", "perform", "read_case", "read_script"]
