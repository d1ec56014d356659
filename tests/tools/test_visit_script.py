"""Case and script files: what is right is read, what is wrong is named with its line."""

import json
from pathlib import Path
from typing import Any

import pytest
from ronda_tools.texts import UsedWrong
from ronda_tools.visit_script import Act, perform, read_case, read_script

CASE: dict[str, Any] = {
    "case_id": "c-1",
    "portfolio": "cartera-a",
    "creditor": "banco-a",
    "lat_e7": -121211000,
    "lon_e7": -770297000,
    "radius_m": 40,
    "place_quality": "confirmed",
}


def _file(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_case_is_read(tmp_path: Path) -> None:
    """The place as packs carry it; a byte order mark and other keys do no harm."""
    case = read_case(
        _file(
            tmp_path, "\ufeff" + json.dumps(CASE | {"note": "x", "creditor": "Banco Andino S.A."})
        )
    )
    assert case.case_id == "c-1" and case.place == [1, 1, 0, -121211000, -770297000, 400]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"case_id": ""}, "case_id"),
        ({"case_id": "á" * 17}, "case_id"),
        ({"case_id": 5}, "case_id"),
        ({"case_id": None}, "case_id"),
        ({"portfolio": "site"}, "portfolio"),
        ({"portfolio": "a/b"}, "portfolio"),
        ({"creditor": ""}, "creditor"),
        ({"creditor": "a\x1bb"}, "creditor"),
        ({"lat_e7": -12.1211}, "lat_e7"),
        ({"lat_e7": True}, "lat_e7"),
        ({"lat_e7": 900000001}, "lat_e7"),
        ({"lon_e7": "x"}, "lon_e7"),
        ({"radius_m": 9}, "radius_m"),
        ({"radius_m": 2001}, "radius_m"),
        ({"place_quality": "exact"}, "place_quality"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    """Type, range, alphabet; and a field that is missing."""
    with pytest.raises(UsedWrong) as caught:
        read_case(_file(tmp_path, json.dumps(CASE | change)))
    assert caught.value.code == "script.field" and f"«{told}»" in str(caught.value)
    with pytest.raises(UsedWrong):
        read_case(_file(tmp_path, json.dumps({k: v for k, v in CASE.items() if k != told})))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "file.empty"),
        (" \n", "file.empty"),
        (b"\xff\xfe\x00", "file.unreadable"),
        ("{", "script.json"),
        ("[1]", "script.object"),
        ("null", "script.object"),
        ('{"lat_e7": NaN}', "script.json"),
        ('{"a": ' + "1" * 5000 + "}", "script.json"),
        ('{"case_id": "\\ud800"}', "script.json"),
        ("[" * 100_000, "script.json"),
        (b" " * (1 << 20) + b"{}", "file.huge"),
    ],
)
def test_what_is_no_case(tmp_path: Path, text: str | bytes, code: str) -> None:
    """Empty, not UTF-8, not JSON, not an object, hostile."""
    with pytest.raises(UsedWrong) as caught:
        read_case(_file(tmp_path, text))
    assert caught.value.code == code


def test_a_script_is_read_in_the_order_of_its_times(tmp_path: Path) -> None:
    """Empty lines are skipped, \r\n is fine, args may be absent."""
    text = (
        '{"at_ms": 5000, "intent": "close", "args": {"outcome": "ausente", "answers": {}}}\r\n\r\n'
        '{"at_ms": 0, "intent": "shift_start"}\n'
        '{"at_ms": 0, "intent": "check_in", "args": {"case_id": "niño 😀", "acknowledge": true}}'
    )
    acts = read_script(_file(tmp_path, text))
    assert [(act.at_ms, act.intent) for act in acts] == [
        (0, "shift_start"),
        (0, "check_in"),
        (5000, "close"),
    ]
    assert acts[1].args == {"case_id": "niño 😀", "acknowledge": True}


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("{at_ms: 1}", "script.json", "línea 3"),
        ("7", "script.object", "línea 3"),
        ('{"intent": "sync"}', "script.field", "«at_ms» falta"),
        ('{"at_ms": -1, "intent": "sync"}', "script.field", "«at_ms»"),
        ('{"at_ms": 1.5, "intent": "sync"}', "script.field", "«at_ms»"),
        ('{"at_ms": 1}', "script.field", "«intent» falta"),
        ('{"at_ms": 1, "intent": "chek_in"}', "script.intent", "«chek_in»"),
        ('{"at_ms": 1, "intent": "finish"}', "script.intent", "«finish»"),
        ('{"at_ms": 1, "intent": "check_in"}', "script.field", "«args.case_id» falta"),
        ('{"at_ms": 1, "intent": "check_in", "args": []}', "script.field", "«args»"),
        ('{"at_ms": 1, "intent": "sync", "args": {"x": 1}}', "script.field", "«args.x» no existe"),
        (
            '{"at_ms": 1, "intent": "check_in", "args": {"case_id": "c", "acknowledge": 1}}',
            "script.field",
            "«args.acknowledge»",
        ),
        ('{"at_ms": 1, "intent": "sync", "arg": {}}', "script.field", "«arg» no existe"),
        ('{"at_ms": 1, "intent": "' + "x" * 9000 + '"}', "script.long", "línea 3"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, code: str, told: str) -> None:
    """By its number, with what is wrong."""
    good = '{"at_ms": 1, "intent": "status"}\n'
    with pytest.raises(UsedWrong) as caught:
        read_script(_file(tmp_path, good + "\n" + line + "\n" + good))
    assert caught.value.code == code and told in str(caught.value)
    assert "línea 3" in str(caught.value)


def test_a_check_in_told_to_wait_is_repeated() -> None:
    """Each second, for as long as the handheld asks for patience; then the script goes on."""
    acts = [Act(0, "check_in", {"case_id": "c"}), Act(500, "close", {"outcome": "ausente"})]
    done: list[Any] = []
    script = perform(acts, iter([None, None, 5000]), done)
    assert [next(script), script.send(1000), script.send(2000)] == [1000, 2000, 5000]
    assert script.send(5000) == ("check_in", {"case_id": "c"})
    for second in range(3):
        assert script.send({"ok": False, "code": "waiting_fix"}) == 6000 + second * 1000
        assert script.send(6000 + second * 1000) == ("check_in", {"case_id": "c"})
    assert script.send({"ok": True, "code": "opened_inside"}) == 5500
    assert script.send(8000) == ("close", {"outcome": "ausente"})
    with pytest.raises(StopIteration):
        script.send({"ok": True, "code": "saved"})
    assert [(ms, act.intent, answer["code"]) for ms, act, answer in done] == [
        (8000, "check_in", "opened_inside"),
        (8000, "close", "saved"),
    ]


def test_patience_ends() -> None:
    """A handheld that asks for ever is not asked for ever."""
    done: list[Any] = []
    script = perform([Act(0, "check_in", {"case_id": "c"})], iter([1000]), done)
    ms, asked = next(script), 0
    with pytest.raises(StopIteration):
        while True:
            wish = script.send(ms)
            assert isinstance(wish, tuple)
            asked += 1
            ms = script.send({"ok": False, "code": "waiting_fix"})
    assert 100 < asked < 150


def test_without_a_fix_the_script_is_not_done() -> None:
    """The log ended: nothing is asked."""
    done: list[Any] = []
    script = perform([Act(0, "sync")], iter([None]), done)
    assert next(script) == 1000
    with pytest.raises(StopIteration):
        script.send(1000)
    assert done == []


SQUARE = [
    [-121211000, -770297000],
    [-121211000, -770293000],
    [-121207000, -770293000],
    [-121207000, -770297000],
]


def polygon_case(corners: Any) -> str:
    """The case with a polygon in place of its circle."""
    circle = ("lat_e7", "lon_e7", "radius_m")
    return json.dumps({k: v for k, v in CASE.items() if k not in circle} | {"polygon": corners})


def test_a_polygon_is_read(tmp_path: Path) -> None:
    """As packs carry it: the first corner, then steps."""
    case = read_case(_file(tmp_path, polygon_case(SQUARE)))
    assert case.place == [1, 1, 1, [-121211000, -770297000, 0, 4000, 4000, 0, 0, -4000]]


@pytest.mark.parametrize(
    ("corners", "why"),
    [
        ([], "esquinas"),
        ({}, "esquinas"),
        (SQUARE[:2], "esquinas"),
        ([*SQUARE, [1]], "esquinas"),
        ([*SQUARE, [1.5, 2]], "esquinas"),
        ([*SQUARE, [True, 2]], "esquinas"),
        ([*SQUARE, 7], "esquinas"),
        ([[900000001, 0], *SQUARE[1:]], "esquinas"),
        ([*SQUARE, [1, 1]], "esquinas"),
        ([*SQUARE, SQUARE[0]], "dos veces"),
        ([SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3]], "se cruzan"),
        ([[lat, -770297000] for lat in range(3)], "100 m²"),
        ([[0, 0], [400000, 0], [400000, 400000], [0, 400000]], "2 km"),
    ],
)
def test_a_polygon_that_is_none_is_told(tmp_path: Path, corners: Any, why: str) -> None:
    """With what is wrong with its corners."""
    with pytest.raises(UsedWrong) as caught:
        read_case(_file(tmp_path, polygon_case(corners)))
    assert "«polygon»" in str(caught.value) and why in str(caught.value)


def test_a_place_is_a_circle_or_a_polygon(tmp_path: Path) -> None:
    """Not both, not half of one."""
    with pytest.raises(UsedWrong) as caught:
        read_case(_file(tmp_path, json.dumps(CASE | {"polygon": SQUARE})))
    assert "se excluyen" in str(caught.value)


def test_the_intents_of_a_portal(tmp_path: Path) -> None:
    """register_portal with or without a case; "sin señal" at the close."""
    text = (
        '{"at_ms": 0, "intent": "register_portal"}\n'
        '{"at_ms": 1, "intent": "register_portal", "args": {"case_id": "c-1"}}\n'
        '{"at_ms": 2, "intent": "close", "args": {"outcome": "ausente", "no_signal": true}}'
    )
    assert [act.intent for act in read_script(_file(tmp_path, text))][:2] == [
        "register_portal"
    ] * 2


def test_a_correction_names_the_last_visit_of_its_case(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"at_ms": 0, "intent": "check_in", "args": {"case_id": "c-1"}},
        {"at_ms": 1, "intent": "close", "args": {"outcome": "ausente"}},
    ]
    right = {"field": "outcome", "value": "mudado", "reason": "un vecino"}
    for at, named in enumerate(({"case_id": "c-1"}, {"visit_id": "d/0/7"}, {"case_id": "c-2"}), 2):
        lines.append({"at_ms": at, "intent": "correct", "args": {**named, **right}})
    acts = read_script(_file(tmp_path, "\n".join(map(json.dumps, lines))))
    done: list[Any] = []
    script = perform(acts, iter([5]), done)
    asked: list[Any] = []
    wish: Any = next(script)
    try:
        while True:
            if isinstance(wish, int):
                wish = script.send(wish)  # type: ignore[arg-type]
            else:
                asked.append(wish)
                code = {"ok": True, "code": "saved", "visit_id": "d/0/2"}
                wish = script.send(code)  # type: ignore[arg-type]
    except StopIteration:
        pass
    assert [args for intent, args in asked if intent == "correct"] == [
        {**right, "visit_id": "d/0/2"},
        {**right, "visit_id": "d/0/7"},
        {**right, "visit_id": ""},
    ]
    assert [act.args.get("case_id") for _, act, _ in done[2:]] == ["c-1", None, "c-2"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"case_id": None}, "args.case_id"),
        ({"visit_id": "d/0/1"}, "args.case_id"),
        ({"field": ""}, "args.field"),
        ({"reason": None}, "args.reason"),
        ({"seq": 4}, "args.seq"),
    ],
)
def test_a_correction_says_of_what(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    args = {"case_id": "c-1", "field": "outcome", "value": None, "reason": "x"}
    line = {"at_ms": 0, "intent": "correct", "args": args}
    assert read_script(_file(tmp_path, json.dumps(line)))
    line["args"] = args | change
    with pytest.raises(UsedWrong) as caught:
        read_script(_file(tmp_path, json.dumps(line)))
    assert f"«{told}»" in str(caught.value)
    del args["value"]
    line["args"] = args
    with pytest.raises(UsedWrong):
        read_script(_file(tmp_path, json.dumps(line)))
