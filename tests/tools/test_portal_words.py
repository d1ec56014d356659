"""Polygons, portals and dwell in the words of `feed tail` and `evidence show`."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "gateway"))
import test_fences as made
from desk_device import DeskDevice
from ronda_protocol import reading, visit
from ronda_tools import visit_words as words
from ronda_tools.evidence import Report
from ronda_tools.evidence_words import _visit  # pyright: ignore[reportPrivateUsage]
from ronda_tools.feed_words import fence as fence_words


@pytest.fixture(autouse=True)
def spanish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONDA_LANG", "es")


def told(**fields: Any) -> str:
    device = DeskDevice()
    device.ms = made.CHECK_IN_MS
    last = {"place": fields.pop("place")} if "place" in fields else {}
    evidence = device.evidence(**fields) | last
    evidence = reading.decode_evidence(visit.encode_evidence(evidence))
    return "\n".join(_visit(Report(), evidence))


def test_a_portal_visit_in_words() -> None:
    blind = {"close_fixes": [0, b""], "close_verdict": [3, None, None, 0, 1], "no_signal": True}
    text = told(**made.upstairs(**blind, dwell=[0, 0]))
    assert "se abrió por el portal registrado" in text
    assert "Portal registrado: " in text and "7 s dentro" in text
    assert "«sin señal»" in text
    text = told(dwell=[7, None])
    assert "7 s dentro antes de la llegada." in text and "Portal" not in text


def test_a_polygon_in_words() -> None:
    assert "polígono de 4 esquinas" in told(place=made.block())
    assert words.shape(made.CIRCLE[2:]) == "radio 50,0 m"
    assert words.opened(visit.OPENED_PORTAL) == "se abrió por el portal registrado"


def test_a_place_that_is_no_fence_in_words() -> None:
    bow = made.block((-20, -20), (20, 20), (-20, 20), (20, -20))
    found = made.judged(place=bow, fixes=made.fixes_at(0, made.CHECK_IN_MS))
    text = fence_words(found.verdicts["fence"])
    assert "no sirve como cerco" in text and "dentro" in text
