"""A gestor's day by keys alone, on each screen, in both languages: every page as it was stored."""

import json
from pathlib import Path

import pytest
from ronda_tools.handset import PANELS
from walk import STORED, hands


@pytest.mark.parametrize("language", ["es", "en"])
@pytest.mark.parametrize("panel", sorted(PANELS))
def test_a_day(panel: str, language: str, tmp_path: Path) -> None:
    with hands(tmp_path, panel, language) as me:
        me.look("start")
        me.choose()
        me.handset.pass_time(10)
        me.look("round")
        me.choose()
        me.look("door-far")
        me.choose()
        me.look("door-refused")
        me.walk(40)
        me.look("door-here")
        me.choose()
        me.look("ask-who")
        me.next(2)
        me.look("ask-who-marked")
        me.choose(3)
        me.look("ask-outcome")
        me.choose()
        me.look("ask-save")
        me.tap()
        me.look("ask-hold")
        if len(PANELS[panel].keys) == 1:
            me.next()  # a tap moves the mark there: back to the choice
        me.choose()
        scale = 1 if PANELS[panel].high == 64 else 2
        me.look("saved", blank=(28 * scale, 37 * scale))  # its id begins with a random log id
        me.choose()
        me.look("round-one-done")
        report = _ended(me)
        assert report["counts"]["visit"] == 2  # one refused at the door, one closed
        me.check()


def _ended(me):  # type: ignore[no-untyped-def]
    """End the shift, then the handheld; its report."""
    me.choose(3)
    me.look("day")
    me.choose(1)
    me.look("day-ended")
    return me.handset.end()


def test_no_screen_is_stored_that_nobody_looks_at() -> None:
    names = {name.rsplit("/", 1)[0] for name in json.loads(STORED.read_text())}
    assert names == {f"{panel}/{language}" for panel in PANELS for language in ("es", "en")}
