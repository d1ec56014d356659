"""The cases of protocol/vectors/visit.json: evidence, answers, promise."""

from typing import Any

import wire_reference as ref
from fence_cases import BLOCK, outline
from track_cases import LAT, LON, fix, plain

Case = dict[str, Any]

NAMES = [
    "ended",
    "case_id",
    "portfolio",
    "creditor",
    "place",
    "check_in",
    "check_in_fixes",
    "check_in_verdict",
    "opened",
    "close",
    "close_fixes",
    "close_verdict",
    "law",
    "outcome",
    "battery",
    "attempts",
    "gestor",
    "form",
    "cases_version",
    "dwell",
    "portal",
    "no_signal",
    "resumed",
]

ANSWERS = {
    "quien": "titular",
    "identificado": True,
    "vive_aqui": True,
    "telefono_ok": False,
    "contacto": ["llamada", "wsp"],
    "motivo": "desempleo",
    "ingreso": 185000,
    "dependientes": 3,
    "animo": 2,
    "aviso": "en_mano",
    "vivienda": "alquilada",
    "resultado": "promesa",
}
PROMISE = ["PEN", 2, [[25000, 20260930], [25000, 20261030]], "titular", 1]


def window(ms: int, count: int = 8) -> list[Any]:
    """Fixes of a door, one a second, the last at `ms`."""
    base = ms - 1000 * (count - 1)
    quality = [0, 0, 116, None, None, None, 0]
    fixes = [
        fix(0, base + 1000 * i, LAT + (3 * i) % 5, LON - i, 9, 11, 3, quality if i == 0 else None)
        for i in range(count)
    ]
    return [(ms - base) // 100, ref.fixes_string(fixes, base)]


PORTAL = [[3, 300000, 1789477440, 1, 1], window(300000), [1, -298, 50, 8, 0], 7]
# Resumed for the second time, 93 s after the last that was known.
RESUMED = [2, 93, [5, 60000, 1789477500, 1, 1], window(60000), [1, -298, 50, 8, 0]]
AGAIN = {"resumed": RESUMED, "close": [5, 150000, 1789477590, 1, 1], "dwell": [7, 90]}


def evidence(**fields: Any) -> dict[str, Any]:
    """A closed visit by name; fields replace the defaults, "absent" removes one."""
    values: dict[str, Any] = {
        "ended": 1,
        "case_id": "C-2026-001187",
        "portfolio": "banco-a",
        "creditor": "banco-a",
        "place": [1, 1, 0, LAT, LON, 300],
        "check_in": [3, 120000, 1789477260, 1, 1],
        "check_in_fixes": window(120000),
        "check_in_verdict": [1, -298, 50, 8, 0],
        "opened": 1,
        "close": [3, 420000, 1789477560, 1, 1],
        "close_fixes": window(420000),
        "close_verdict": [1, -298, 50, 8, 0],
        "law": [0],
        "outcome": "promesa",
        "battery": [3912, 81, 1],
        "gestor": "g-07",
        "form": ["visita-1", bytes(range(8))],
        "cases_version": 1789473600,
        "dwell": [7, 293],
        **fields,
    }
    return {name: value for name, value in values.items() if value != "absent"}


def evidence_map(**fields: Any) -> dict[int, Any]:
    """The same by key."""
    return {NAMES.index(name) + 1: value for name, value in evidence(**fields).items()}


def no_close() -> dict[str, str]:
    """Nothing of a close."""
    names = ("close", "close_fixes", "close_verdict", "outcome")
    return dict.fromkeys(names, "absent")


def good_evidence() -> list[Case]:
    """Evidence that both directions accept."""
    bare = dict.fromkeys(("battery", "gestor", "form", "cases_version", "dwell"), "absent")
    blind = [3, None, None, 0, 1]
    upstairs = {"check_in_fixes": [0, b""], "check_in_verdict": blind, "opened": 4}
    upstairs |= {
        "check_in": [3, 900000, 1789478040, 1, 1],
        "close": [3, 1200000, 1789478340, 1, 1],
    }
    upstairs |= {"close_fixes": window(1200000), "dwell": [0, 6], "portal": PORTAL}
    block = [1, 1, 1, outline(BLOCK)]
    no_fix = {"check_in_fixes": [0, b""], "check_in_verdict": [3, None, None, 0, 1], "opened": 2}
    refused = {"ended": 3, "opened": 0, "attempts": 3, "check_in_verdict": [2, 812, 50, 8, 0]}
    table: list[tuple[str, dict[str, Any]]] = [
        ("closed at the door", {}),
        ("closed indoors, no fix asked for", {"close_fixes": "absent", "close_verdict": "absent"}),
        ("opened without a fix", no_fix),
        ("refused from across the street", {**no_close(), **refused}),
        ("interrupted", {**no_close(), "ended": 2}),
        ("as little as may be", {**bare, "close_fixes": "absent", "close_verdict": "absent"}),
        ("no trusted time", {"check_in": [3, 120000, None, 0, 0]}),
        ("a case id of 32 bytes", {"case_id": "ñ" * 16}),
        ("a creditor's own name", {"creditor": "Banco Andino S.A.C. «Perú»"}),
        ("in a block", {"place": block, "check_in_verdict": [1, -199, 50, 8, 0]}),
        ("upstairs, closed at the entrance", upstairs),
        (
            "upstairs, closed without a signal",
            {**upstairs, "close_fixes": [0, b""], "close_verdict": blind, "no_signal": True},
        ),
        ("resumed after the power went", {**AGAIN, "close_fixes": window(150000)}),
        ("resumed and interrupted", {**no_close(), "ended": 2, "resumed": RESUMED}),
        ("upstairs, interrupted", {**upstairs, **no_close(), "ended": 2, "dwell": [0, None]}),
    ]
    return [
        {"name": name, "fields": plain(evidence(**f)), "hex": ref.dumps(evidence_map(**f)).hex()}
        for name, f in table
    ]


def refused_evidence() -> list[Case]:
    """Evidence that is refused, by the name of its first bad field."""
    place = [1, 1, 0, LAT, LON, 300]
    stamp = [3, 120000, 1789477260, 1, 1]
    late = [70, ref.fixes_string([fix(0, 120100, LAT, LON)], 113000)]
    nine = window(120000, 9)
    verdict = [1, -298, 50, 8, 0]
    corners = outline(BLOCK)
    opened = {"opened": 4, "portal": PORTAL}
    table: list[tuple[str, dict[str, Any], str]] = [
        ("ended 0", {"ended": 0}, "ended"),
        ("ended 4", {"ended": 4}, "ended"),
        ("ended true", {"ended": True}, "ended"),
        ("no case", {"case_id": "absent"}, "case_id"),
        ("an empty case id", {"case_id": ""}, "case_id"),
        ("a case id of 33 bytes", {"case_id": "ñ" * 16 + "x"}, "case_id"),
        ("a case id of bytes", {"case_id": b"C-1"}, "case_id"),
        ("a null case id", {"case_id": None}, "case_id"),
        ("the agency's portfolio", {"portfolio": "site"}, "portfolio"),
        ("a portfolio with a slash", {"portfolio": "a/b"}, "portfolio"),
        ("a portfolio with a wildcard", {"portfolio": "#"}, "portfolio"),
        ("a portfolio of 25 letters", {"portfolio": "a" * 25}, "portfolio"),
        ("an empty creditor", {"creditor": ""}, "creditor"),
        ("a creditor of 33 bytes", {"creditor": "x" * 33}, "creditor"),
        ("a case id with a NUL", {"case_id": "C\0"}, "case_id"),
        ("a gestor with DEL", {"gestor": "g\x7f"}, "gestor"),
        ("a gestor with a C1 control", {"gestor": "g\x9b"}, "gestor"),
        ("a place beyond 80 degrees", {"place": [*place[:3], -800000001, LON, 300]}, "place"),
        ("a place of five", {"place": place[:5]}, "place"),
        ("place quality 3", {"place": [1, 3, *place[2:]]}, "place"),
        ("a circle that says polygon", {"place": [1, 1, 1, *place[3:]]}, "place"),
        ("a polygon that says circle", {"place": [1, 1, 0, corners]}, "place"),
        ("a polygon with a radius", {"place": [1, 1, 1, corners, 300]}, "place"),
        ("a polygon of two corners", {"place": [1, 1, 1, corners[:4]]}, "place"),
        ("a polygon of 33 corners", {"place": [1, 1, 1, corners[:2] + [9, 9] * 32]}, "place"),
        ("half a corner", {"place": [1, 1, 1, corners[:-1]]}, "place"),
        ("a step of 2^21", {"place": [1, 1, 1, [*corners[:-1], 2097152]]}, "place"),
        ("a polygon beyond 80 degrees", {"place": [1, 1, 1, [800000001, *corners[1:]]]}, "place"),
        ("a place of shape 2", {"place": [1, 1, 2, corners]}, "place"),
        ("a radius of 9.9 m", {"place": [*place[:5], 99]}, "place"),
        ("a radius of 2000.1 m", {"place": [*place[:5], 20001]}, "place"),
        ("a place beyond the pole", {"place": [*place[:3], 900000001, LON, 300]}, "place"),
        ("a stamp of four", {"check_in": stamp[:4]}, "check_in"),
        ("no check-in", {"check_in": "absent"}, "check_in"),
        ("no fixes", {"check_in_fixes": "absent"}, "fixes"),
        ("fixes before boot", {"check_in": [3, 5000, 1789477260, 1, 1]}, "fixes"),
        ("fixes of more than 60 s", {"check_in_fixes": [601, window(120000)[1]]}, "fixes"),
        ("fixes that are text", {"check_in_fixes": [70, "x"]}, "fixes"),
        ("fixes that do not unpack", {"check_in_fixes": [70, b"\x00"]}, "fixes"),
        ("a fix after the check-in", {"check_in_fixes": late}, "fixes"),
        ("nine fixes", {"check_in_fixes": nine}, "fixes"),
        ("no verdict", {"check_in_verdict": "absent"}, "check_in_verdict"),
        ("verdict 0", {"check_in_verdict": [0, *verdict[1:]]}, "check_in_verdict"),
        ("verdict 4", {"check_in_verdict": [4, *verdict[1:]]}, "check_in_verdict"),
        ("a verdict of nine fixes", {"check_in_verdict": [1, -298, 50, 9, 0]}, "check_in_verdict"),
        ("a negative accuracy", {"check_in_verdict": [1, -298, -1, 8, 0]}, "check_in_verdict"),
        ("a reason of 4", {"check_in_verdict": [1, -298, 50, 8, 4]}, "check_in_verdict"),
        ("a closed visit that was refused", {"opened": 0}, "opened"),
        ("opened 5", {"opened": 5}, "opened"),
        ("opened at a portal without one", {"opened": 4}, "portal"),
        ("a portal that opened nothing", {"portal": PORTAL}, "portal"),
        ("a portal of three", {**opened, "portal": PORTAL[:3]}, "portal"),
        ("a portal without a stamp", {**opened, "portal": [None, *PORTAL[1:]]}, "portal"),
        (
            "a portal of bad fixes",
            {**opened, "portal": [PORTAL[0], [70, b"\0"], *PORTAL[2:]]},
            "fixes",
        ),
        (
            "a portal's fixes before boot",
            {**opened, "portal": [[3, 0, None, 0, 0], *PORTAL[1:]]},
            "fixes",
        ),
        ("a portal without a verdict", {**opened, "portal": [*PORTAL[:2], None, 7]}, "portal"),
        ("a portal's dwell of text", {**opened, "portal": [*PORTAL[:3], "7"]}, "portal"),
        ("no signal where none was needed", {"no_signal": True}, "no_signal"),
        ("no signal that is false", {**opened, "no_signal": False}, "no_signal"),
        (
            "no signal of an open visit",
            {**no_close(), **opened, "ended": 2, "no_signal": True},
            "no_signal",
        ),
        ("resumed without a time", {"resumed": [0, *RESUMED[1:]]}, "resumed"),
        ("resumed in four", {"resumed": RESUMED[:4]}, "resumed"),
        ("resumed before it was left", {"resumed": [1, -1, *RESUMED[2:]]}, "resumed"),
        ("resumed without a stamp", {"resumed": [1, 93, None, *RESUMED[3:]]}, "resumed"),
        ("resumed without a verdict", {"resumed": [*RESUMED[:4], None]}, "resumed"),
        (
            "resumed by bad fixes",
            {"resumed": [*RESUMED[:3], [70, b"\0"], RESUMED[4]]},
            "fixes",
        ),
        (
            "a refused visit that was resumed",
            {**no_close(), "ended": 3, "opened": 0, "resumed": RESUMED},
            "resumed",
        ),
        ("a dwell of one", {"dwell": [7]}, "dwell"),
        ("a negative dwell", {"dwell": [-1, 0]}, "dwell"),
        ("a dwell of text", {"dwell": [7, "9"]}, "dwell"),
        ("a refused visit that was opened", {**no_close(), "ended": 3}, "opened"),
        ("closed without a close", {"close": "absent"}, "close"),
        ("fixes of no close", {"ended": 2, "close": "absent"}, "close"),
        ("close fixes without a verdict", {"close_verdict": "absent"}, "close_verdict"),
        ("a close verdict without fixes", {"close_fixes": "absent"}, "fixes"),
        ("no law", {"law": "absent"}, "law"),
        ("an empty law", {"law": []}, "law"),
        ("a law of text", {"law": ["yes"]}, "law"),
        ("closed without an outcome", {"outcome": "absent"}, "outcome"),
        ("an outcome of 33 bytes", {"outcome": "x" * 33}, "outcome"),
        ("a battery of two", {"battery": [3912, 81]}, "battery"),
        ("a battery at 101 per cent", {"battery": [3912, 101, 1]}, "battery"),
        ("attempts of a closed visit", {"attempts": 2}, "attempts"),
        ("an empty gestor", {"gestor": ""}, "gestor"),
        ("a form without its hash", {"form": ["visita-1"]}, "form"),
        ("a form hash of 7 bytes", {"form": ["visita-1", bytes(7)]}, "form"),
        ("a negative cases version", {"cases_version": -1}, "cases_version"),
    ]
    out: list[Case] = []
    for name, fields, code in table:
        value = evidence_map(**fields)
        out.append({"name": name, "hex": ref.dumps(value).hex(), "code": code})
    raw: list[tuple[str, bytes, str]] = [
        ("nothing", b"", "cbor-truncated"),
        ("an array", b"\x80", "shape"),
        ("an empty map", b"\xa0", "ended"),
        ("a text key", ref.dumps({"x": 1}), "shape"),
        ("more than 16384 bytes", ref.dumps({**evidence_map(), 99: bytes(16384)}), "cbor-size"),
    ]
    return out + [
        {"name": name, "hex": data.rstrip(b"\0").hex(), "code": code, "zeros": zeros(data)}
        for name, data, code in raw
    ]


def zeros(data: bytes) -> int:
    """How many zero bytes end it."""
    return len(data) - len(data.rstrip(b"\0"))


def answers() -> Case:
    """Part 3: accepted and refused."""
    salt = bytes(range(0x40, 0x50))
    good: list[tuple[str, dict[str, Any]]] = [
        ("twelve answers", ANSWERS),
        ("none", {}),
        (
            "every kind",
            {"a": None, "b": False, "c": -5, "d": "", "e": [], "f": ["x", 1], "g": "1\n2"},
        ),
        ("an id of 32 bytes", {"é" * 16: 1}),
    ]
    bad: list[tuple[str, Any, str]] = [
        ("a list", [], "answers"),
        ("a numbered question", {1: "x"}, "answers"),
        ("an empty id", {"": 1}, "answers"),
        ("an id of 33 bytes", {"x" * 33: 1}, "answers"),
        ("bytes", {"x": b"y"}, "answers"),
        ("a NUL", {"x": "y\0"}, "answers"),
        ("a text of 4097 bytes", {"x": "y" * 4097}, "answers"),
        ("a map", {"x": {}}, "answers"),
        ("a list of lists", {"x": [[]]}, "answers"),
        ("a list with null", {"x": [None]}, "answers"),
        ("a list of 65", {"x": [1] * 65}, "answers"),
        ("257 questions", {f"q{i:03}": 1 for i in range(257)}, "answers"),
    ]
    return {
        "salt": salt.hex(),
        "good": [
            {"name": name, "value": plain(value), "hex": (salt + ref.dumps(value)).hex()}
            for name, value in good
        ],
        "refused": [
            {"name": "no salt", "hex": "", "code": "salt"},
            {"name": "salt alone", "hex": salt.hex(), "code": "salt"},
            {
                "name": "cut",
                "hex": (salt + ref.dumps(ANSWERS))[:-1].hex(),
                "code": "cbor-truncated",
            },
            *(
                {"name": name, "hex": (salt + ref.dumps(value)).hex(), "code": code}
                for name, value, code in bad
            ),
        ],
    }


def promises() -> Case:
    """Part 4: accepted and refused."""
    salt = bytes(range(0x50, 0x60))
    many = [[100, 20260900 + day] for day in range(1, 13)]
    good: list[tuple[str, list[Any]]] = [
        ("two payments", PROMISE),
        ("all at once", ["COP", 1, [[281474976710655, 20280229]], "cónyuge", 4294967295]),
        ("twelve payments", ["MXN", 2, many, "otro", 0]),
    ]

    def but(index: int, value: Any) -> list[Any]:
        return [*PROMISE[:index], value, *PROMISE[index + 1 :]]

    bad: list[tuple[str, Any]] = [
        ("a map", {}),
        ("four items", PROMISE[:4]),
        ("six items", [*PROMISE, 0]),
        ("a currency of two letters", but(0, "PE")),
        ("a small-letter currency", but(0, "pen")),
        ("an accented currency", but(0, "PÉN")),
        ("kind 0", but(1, 0)),
        ("kind 3", but(1, 3)),
        ("kind true", but(1, True)),
        ("no payment", but(2, [])),
        ("thirteen payments", but(2, [*many, [100, 20261001]])),
        ("nothing to pay", but(2, [[0, 20260930]])),
        ("an amount of more than 48 bits", but(2, [[2**48, 20260930]])),
        ("an amount that is true", but(2, [[True, 20260930]])),
        ("a payment of three", but(2, [[1, 20260930, 0]])),
        ("31 September", but(2, [[1, 20260931]])),
        ("29 February 2027", but(2, [[1, 20270229]])),
        ("month 13", but(2, [[1, 20261301]])),
        ("month 0", but(2, [[1, 20260001]])),
        ("day 0", but(2, [[1, 20260900]])),
        ("the year 1999", but(2, [[1, 19991231]])),
        ("the year 2100", but(2, [[1, 21000101]])),
        ("days out of order", but(2, [[1, 20261001], [1, 20260930]])),
        ("the same day twice", but(2, [[1, 20260930], [1, 20260930]])),
        ("nobody", but(3, "")),
        ("negative limits", but(4, -1)),
    ]
    return {
        "salt": salt.hex(),
        "good": [
            {"name": name, "value": plain(value), "hex": (salt + ref.dumps(value)).hex()}
            for name, value in good
        ],
        "refused": [
            {"name": "no salt", "hex": "00", "code": "salt"},
            *(
                {"name": name, "hex": (salt + ref.dumps(value)).hex(), "code": "promise"}
                for name, value in bad
            ),
        ],
    }


def visit_vectors() -> Case:
    """protocol/vectors/visit.json."""
    more = {**evidence_map(), 33: "a later version's", 77: [1, None]}
    return {
        "about": "Parts of a visit (WIRE.md, Visit). Fields by name, values as in cbor.json; the "
        "hex is the part.",
        "made_by": "python tests/make_wire_vectors.py",
        "visit_id": ["rh-0001", "a1b2c3d4e5f60718", 2, "rh-0001/a1b2c3d4e5f60718/2"],
        "evidence": good_evidence(),
        "unknown_keys": {
            "hex": ref.dumps(more).hex(),
            "unknown": plain({33: more[33], 77: more[77]}),
        },
        "refused_evidence": refused_evidence(),
        "answers": answers(),
        "promises": promises(),
    }
