"""A gestor's day by keys alone, on each screen, in both languages: every page as it was stored."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ronda_tools import metres
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


@pytest.mark.parametrize("panel", sorted(PANELS))
def test_a_promise(panel: str, tmp_path: Path) -> None:
    """Who pays how much and when, by keys; the promise is in the sealed visit."""
    with hands(tmp_path, panel) as me:
        me.choose()
        me.handset.pass_time(10)
        me.walk(45)
        me.choose()
        me.choose()
        me.choose()  # the debtor
        me.choose()  # willing and able
        me.next(14)
        me.look("outcome-promise")
        me.choose()
        me.look("promise-how-much")
        me.choose(1)
        me.turn(0)
        me.turn(0)
        me.turn(2)
        me.look("promise-amount")
        me.turn(5)
        me.turn(0)
        me.look("promise-until")
        me.choose(2)
        me.look("ask-save-promise")
        me.choose()
        storage = me.handset.storage
        me.handset.end()
        promise = me.sealed_promise(storage)
        assert promise["pairs"] == [[25000, 20260922]]
        assert (promise["who"], promise["kind"], promise["currency"]) == ("titular", 2, "PEN")
        me.check()


def test_the_battery_is_pulled_in_the_middle(tmp_path: Path) -> None:
    """After it is put in again the same question stands there, once the gestor says so."""
    with hands(tmp_path, "mono") as me:
        me.choose()
        me.handset.pass_time(10)
        me.walk(45)
        me.choose()
        me.choose()
        me.choose()  # the debtor
        before = me.look("ask-typology")
        me.handset.pass_time(20)
        me.pull_battery(60)
        me.handset.pass_time(25)
        me.look("again")
        me.choose()
        after = me.look("again-typology")
        # But for the line of states: another clock, other segments.
        assert before.splitlines()[5:] == after.splitlines()[5:]
        me.check()


@pytest.mark.parametrize(
    ("away_s", "north_m", "declined"), [(1200, 0, False), (60, 500, False), (60, 0, True)]
)
def test_a_visit_that_cannot_go_on_is_sealed_beside_a_page(
    away_s: int, north_m: int, declined: bool, tmp_path: Path
) -> None:
    """Too late, elsewhere, not wanted: beside a page 192 KiB have room for that seal."""
    with hands(tmp_path, "mono") as me:
        me.choose()
        me.handset.pass_time(10)
        me.walk(45)
        me.choose()
        me.choose()
        me.choose()  # the debtor
        me.handset.where = metres.offset(me.handset.where, north_m, 0)
        me.handset.panel = replace(PANELS["mono"], heap="192k")
        me.pull_battery(away_s)
        me.handset.pass_time(30)
        if declined:
            me.choose(1)
        assert me.handset.end()["counts"]["visit"] == 1


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
