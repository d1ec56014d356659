"""The demo's page: fits every terminal, survives any event, and draws what was told."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from ronda_gateway import feed
from ronda_tools.demo import Round, Scene
from ronda_tools.demo_live import can_draw
from ronda_tools.demo_rounds import rounds
from ronda_tools.demo_view import Board, export_svg, render


def _board(count: int, ms: int = 3_000_000) -> Board:
    board = Board()
    days = rounds(count)
    fleet = [Round(f"demo-{k:02d}", day, Path("nowhere")) for k, day in enumerate(days, 1)]
    board.opening(Scene("mqtt://127.0.0.1:1", Path("gateway.toml"), 60, fleet, lambda: ms))
    return board


def _visit(**changed: Any) -> dict[str, Any]:
    fence = {
        "gateway": "inside",
        "handheld": "inside",
        "d_dm": -120,
        "r_dm": 50,
        "fixes_used": 8,
        "reason": "ok",
        "agrees": True,
    }
    data = {
        "device": "demo-01",
        "case_id": "C-1001",
        "ended": "closed",
        "outcome": "ausente",
        "check_in": {"utc": 1789480000},
        "verdicts": {"fence": fence, "overall": "unverified", "reasons": []},
    }
    return {"type": feed.VISIT, "id": "x", "data": {**data, **changed}}


def _drawn(board: Board, width: int, height: int) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=False)
    console.print(render(board, width, height))
    return out.getvalue().rstrip("\n").split("\n")


@pytest.mark.parametrize("count", [1, 3, 20])
@pytest.mark.parametrize(("width", "height"), [(200, 60), (118, 24), (80, 24), (60, 20), (40, 16)])
def test_the_page_fits(count: int, width: int, height: int) -> None:
    board = _board(count)
    for _ in range(30):
        board.feed(_visit())
    lines = _drawn(board, width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "demo-01" in text and "C-1001" in text


def test_it_shows_what_was_told() -> None:
    board = _board(1)
    [seen] = board.seen.values()
    board.told(seen.round, {"t": "link", "up": True})
    board.told(seen.round, {"t": "sealed", "seq": 7, "body": 1})
    board.told(seen.round, {"t": "receipt", "upto": 4, "unsent": 3})
    board.gestor(seen.round, "check_in", {"case_id": "C-1001", "code": "refused_outside"})
    board.gestor(
        seen.round, "check_in", {"case_id": "C-1001", "code": "opened_inside", "ok": True}
    )
    text = "\n".join(_drawn(board, 110, 24))
    assert "por enviar 3" in text and "rechazos 1" in text and "en visita C-1001" in text
    board.gestor(seen.round, "close", {"case_id": "C-1001", "code": "saved", "ok": True})
    board.gestor(seen.round, "left", {"case_id": "C-1001"})
    board.network(seen.round, False, 0)
    text = "\n".join(_drawn(board, 110, 24))
    assert "visitas 1" in text and "faltan 9" in text and "sin red" in text and "C-1002" in text
    board.feed({"type": feed.ALERT, "data": {"text": "falta un tramo"}})
    assert "falta un tramo" in "\n".join(_drawn(board, 110, 30))


@pytest.mark.parametrize("data", [None, [], {}, {"verdicts": 7}, {"device": "\x1b[2J"}])
def test_a_hostile_event_is_one_line(data: Any) -> None:
    board = _board(1)
    board.feed({"type": feed.VISIT, "data": data})
    board.feed(_visit(case_id="\x1b[2Jgone"))
    text = "\n".join(_drawn(board, 100, 24))
    assert "ilegible" in text and "\x1b" not in text


def test_a_picture_is_written(tmp_path: Path) -> None:
    export_svg(_board(3), tmp_path / "demo.svg")
    assert (tmp_path / "demo.svg").read_text().startswith("<svg")


def test_without_a_terminal_lines_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    for name in ("CI", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert can_draw()
    for name, value in (("TERM", "dumb"), ("NO_COLOR", "1"), ("CI", "true")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert not can_draw()


def test_a_correction_is_a_line_of_its_own() -> None:
    board = _board(1)
    told = {"field": "outcome", "original": "ausente", "value": "mudado", "accepted": True}
    data: dict[str, Any] = {
        "visit_id": "demo-01/00/7",
        "case_id": "C-1002",
        "at": 1789480000,
        "reason": "corrected",
        "correction": told,
    }
    board.feed({"type": feed.VISIT_VERDICT, "data": data})
    text = "\n".join(_drawn(board, 100, 24))
    assert "C-1002 corrige el resultado: nadie en casa -> se mudó" in text
    board.feed({"type": feed.VISIT_VERDICT, "data": {**data, "correction": None}})
    board.feed({"type": feed.VISIT_VERDICT, "data": {}})
    text = "\n".join(_drawn(board, 100, 24))
    assert "ilegible" in text and text.count("C-1002") >= 2


@pytest.mark.parametrize("width", [40, 44, 48, 52, 56, 60])
def test_a_narrow_line_says_where_to_and_is_not_cut(width: int) -> None:
    """Shorter words take the place of a cut end: the way to the door, the exception's mark."""
    board = _board(3)
    first, second, third = board.seen.values()
    list(first.round.day.walk.nmea())  # its receiver hears something
    board.gestor(
        first.round, "check_in", {"case_id": "C-1001", "code": "opened_inside", "ok": True}
    )
    board.told(second.round, {"t": "sealed", "seq": 40, "body": 1})
    board.network(third.round, False, 0)
    for _ in range(12):
        board.gestor(second.round, "close", {"case_id": "C-2001", "code": "saved", "ok": True})
    lines = _drawn(board, width, 24)
    told = [line for line in lines if "demo-0" in line] + [
        lines[k + 1] for k, line in enumerate(lines) if "demo-0" in line
    ]
    assert len(told) == 6 and not any("…" in line.replace("conecta…", "") for line in told)
    assert all(case in "".join(told) for case in ("C-1001", "C-2001", "C-3001"))
    reasons = ["location_unconfirmed", "law_not_evaluated"]
    verdicts = _visit()["data"]["verdicts"] | {"overall": "exception", "reasons": reasons}
    board.feed(_visit(verdicts=verdicts))
    (line,) = [line for line in _drawn(board, width, 24) if "nadie" in line]
    assert "!" in line or "por revisar" in line
    (line,) = [line for line in _drawn(board, 117, 24) if "nadie" in line]
    assert "por revisar: ubicación no confirmada · nadie en casa" in line
