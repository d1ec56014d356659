"""Detector flags and verdicts' reasons are told in words, in both languages, wherever a person
reads them."""

import copy
from pathlib import Path
from typing import Any

import pytest
from ronda_gateway import keys, schemas
from ronda_protocol import reading, segment, track, visit
from ronda_tools import visit_words as words
from ronda_tools.cli import build
from ronda_tools.feed_words import sentence
from ronda_tools.texts import codes
from sealed import evidence, fix, header, visit_segment
from test_feed_tail import track_events, visit_event
from typer.testing import CliRunner

FROZEN_AND_JUMP = track.FROZEN | 8
MEANS = "congelada (ni la última cifra cambió en 60 s) en 1 de 2; salto (se movió a más de 60 m/s)"


def flagged(number: int, ms: int, flags: int) -> list[Any]:
    """A fix with a quality block that has these flags."""
    found = fix(number, ms)
    found[8] = [0, 0, 0, 0, 0, 0, flags]
    return found


def test_every_flag_has_words_and_an_unknown_one_is_named() -> None:
    for name in reading.flag_names(0x0FFF):
        assert f"word.flag.{name}" in codes(), name
    assert words.flags([0, 0]) == words.flags([]) == ""
    assert words.flags([FROZEN_AND_JUMP, 0]) == MEANS + " en 1 de 2"
    assert "flag-32768 (marca que esta versión no conoce) en 2 de 2" in words.flags([1 << 15] * 2)


def test_every_reason_has_words(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = schemas.schema("visit")["$defs"]["verdicts"]["properties"]
    change = schemas.schema("visit.verdict")["properties"]["data"]["properties"]["correction"]
    refused = change["properties"]["refused_for"]["items"]["enum"]
    for lang in ("es", "en"):
        monkeypatch.setenv("RONDA_LANG", lang)
        for reason in verdicts["reasons"]["items"]["enum"]:
            told = words.reasons([reason])
            assert told != reason and ("_" not in told), reason
            assert bool(told) == (reason != "law_not_evaluated")
        for reason in refused:
            assert words.refused_for([reason]) != reason
    assert words.reasons(["new_one", "portal"]) == "new_one, opened by the entrance"


def test_the_feed_tells_them() -> None:
    _, (positions, *_) = track_events()
    assert "marcas" not in sentence(positions)
    rows = positions["data"]["entries"]
    rows[0]["quality"] = [0, None, None, None, None, None, FROZEN_AND_JUMP]
    told = sentence(positions)
    assert "marcas del receptor: congelada" in told and "en 1 de 3." in told
    event = visit_event()
    assert "marcas" not in sentence(event)
    changed = copy.deepcopy(event)
    changed["data"]["check_in"]["fixes"][0]["quality"] = [0, None, None, None, None, None, 8]
    assert "marcas del receptor: salto" in sentence(changed)
    changed["data"]["verdicts"] |= {
        "overall": "exception",
        "reasons": ["fixes_disqualified", "law_not_evaluated", "corrected"],
    }
    told = sentence(changed)
    assert (
        "queda por revisar por una persona (posiciones congeladas, descartadas, el gestor la "
        "corrigió)." in told
    )


def test_a_refused_correction_says_why() -> None:
    event = visit_event()
    data = {
        "visit_id": event["id"],
        "case_id": "C-1",
        "portfolio": "banco-a",
        "version": 1,
        "reason": "correction_refused",
        "verdicts": event["data"]["verdicts"],
        "correction": {
            "gestor": "G-99",
            "field": "promise",
            "original": None,
            "value": None,
            "reason": "x",
            "refused_for": ["other_gestor", "after_shift"],
        },
    }
    told = sentence({"type": "ronda.visit.verdict", "data": data})
    assert "no vale: es de otro gestor, el turno ya había terminado" in told
    assert "corrige la promesa: decía «-»" in told


def shown(tmp_path: Path, raw: bytes, public: bytes) -> str:
    (tmp_path / "raw").write_bytes(raw)
    (tmp_path / "key.pem").write_bytes(keys.public_pem(public))
    arguments = ["evidence", "show", str(tmp_path / "raw"), "--key", str(tmp_path / "key.pem")]
    done = CliRunner().invoke(build(["evidence"]), arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_evidence_show_tells_them(tmp_path: Path) -> None:
    check_in = evidence()["check_in"]
    fixes = [flagged(0, check_in[1] - 2000, FROZEN_AND_JUMP), flagged(0, check_in[1] - 1000, 0)]
    window = visit.pack_window(fixes, check_in[1])
    raw, signer = visit_segment(check_in_fixes=window)
    assert f"Marcas del receptor, al abrir: {MEANS} en 1 de 2." in shown(
        tmp_path, raw, signer.public
    )
    entries = [flagged(1, 60000, 2048), fix(2, 75000)]
    part = track.encode_track(entries, 60000)
    raw = segment.seal(header(1, [1, 2], segment.TRACK_BODY), {segment.TRACK: part}, signer)
    told = shown(tmp_path, raw, signer.public)
    assert "Marcas del receptor, en el recorrido: estimada" in told
    raw, signer = visit_segment()
    assert "Marcas" not in shown(tmp_path, raw, signer.public)
