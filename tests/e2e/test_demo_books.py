"""A day whose books do not balance is found out: an event dropped, altered, doubled or forged."""

import base64
import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ronda_tools import demo
from ronda_tools.back_office import BackOffice
from ronda_tools.conductor import Battery, Link
from ronda_tools.demo import Demo, Options
from ronda_tools.demo_books import Books
from ronda_tools.demo_day import START_UNIX, Day, Stop
from ronda_tools.synth import MIRAFLORES, Walk

Events = Iterator[dict[str, Any]]


def half_an_hour() -> Day:
    """One honest visit, and a dead zone around its end."""
    walk = Walk(MIRAFLORES["parque"], START_UNIX, seed=3)
    walk.stand(120)
    arrive = walk.go(MIRAFLORES["tarata"])
    walk.stand(900)
    stop = Stop(
        "C-1",
        "banco-andino",
        "andino",
        MIRAFLORES["tarata"],
        arrive,
        200,
        "ausente",
        {"quien": "nadie"},
    )
    link = Link([(0, True), (arrive, False), (arrive + 400_000, True)])
    return Day(walk, link, Battery(), [stop], shift_start_ms=60_000, shift_end_ms=walk.ms - 5000)


def run(monkeypatch: pytest.MonkeyPatch, tamper: Callable[[dict[str, Any]], Events]) -> Any:
    """The outcome of the half hour when the back office receives what `tamper` makes of events."""
    keep = BackOffice._keep

    def tampered(self: BackOffice, event: dict[str, Any], payload: bytes) -> None:
        for each in tamper(event):
            keep(self, each, payload)

    monkeypatch.setattr(BackOffice, "_keep", tampered)
    monkeypatch.setattr(demo, "_FORWARD_LIMIT_S", 1.0)
    with Demo(Options(), days=[half_an_hour()]) as day:
        return day.run()


def test_untouched_it_balances(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run(monkeypatch, lambda event: iter([event]))
    assert outcome.balanced, outcome.data
    assert outcome.data["recorded"]["visit"] == 1


def test_a_gateway_that_was_away_misses_nothing() -> None:
    """It ends in the middle of the day and comes back two seconds of wall time later."""
    away: list[threading.Timer] = []

    def fault(ms: int) -> None:
        if ms >= 360_000 and not away:
            day.gateway.stop()
            away.append(threading.Timer(2.0, day.gateway.start))
            away[0].start()

    with Demo(Options(), days=[half_an_hour()]) as day:
        outcome = day.run(fault)
    away[0].join()
    assert outcome.balanced, outcome.data
    assert outcome.data["wall_s"] > 2


def test_three_handhelds_balance_each_by_itself() -> None:
    with Demo(Options(), days=[half_an_hour(), half_an_hour(), half_an_hour()]) as day:
        outcome = day.run()
    data = outcome.data
    assert outcome.balanced, data
    assert [row["device"] for row in data["handhelds"]] == ["demo-01", "demo-02", "demo-03"]
    assert sorted(visit["device"] for visit in data["visits"]) == ["demo-01", "demo-02", "demo-03"]
    for kind, count in data["recorded"].items():
        assert count == sum(row["books"]["recorded"][kind] for row in data["handhelds"])
    assert all(row["books"]["balanced"] for row in data["handhelds"])


def test_an_event_of_nobodys_handheld_is_unrecorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def stray(event: dict[str, Any]) -> Events:
        yield event
        if event["type"] == "ronda.visit":
            data = {**event["data"], "device": "demo-77"}
            yield {**event, "id": "demo-77/1", "subject": "demo-77", "data": data}

    outcome = run(monkeypatch, stray)
    assert not outcome.balanced
    assert outcome.data["unrecorded"] == 1


def test_a_dropped_event_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run(monkeypatch, lambda e: iter([] if e["type"] == "ronda.visit" else [e]))
    assert not outcome.balanced
    assert outcome.data["lost"] == 1
    assert outcome.data["visits"] == []


def test_a_repeated_event_is_only_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run(monkeypatch, lambda e: iter([e, e]))
    assert outcome.balanced
    assert outcome.data["repeated"] == outcome.data["events"] // 2


def test_a_visit_under_a_second_id_is_doubled_and_not_verified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def twice(event: dict[str, Any]) -> Events:
        yield event
        if event["type"] == "ronda.visit":
            yield {**event, "id": event["id"] + "0"}

    outcome = run(monkeypatch, twice)
    assert not outcome.balanced
    assert outcome.data["doubled"] == 1
    assert [v["signature_verified"] for v in outcome.data["visits"]] == [True, False]


def test_a_changed_fix_is_lost_and_unrecorded(monkeypatch: pytest.MonkeyPatch) -> None:
    changed: list[str] = []

    def move(event: dict[str, Any]) -> Events:
        if event["type"] == "ronda.positions" and not changed:
            changed.append(event["id"])
            event = copy.deepcopy(event)
            event["data"]["entries"][0]["lat_e7"] += 1
        yield event

    outcome = run(monkeypatch, move)
    assert not outcome.balanced
    assert (outcome.data["lost"], outcome.data["unrecorded"]) == (1, 1)


def test_a_flag_without_its_signature_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    def forge(event: dict[str, Any]) -> Events:
        if event["type"] == "ronda.visit":
            event = copy.deepcopy(event)
            sealed = bytearray(base64.b64decode(event["data"]["evidence"]))
            # A byte of the signature: the parts and their hashes stay whole.
            at = sealed.index(b"\x58\x40") + 40
            sealed[at] ^= 1
            event["data"]["evidence"] = base64.b64encode(sealed).decode()
            assert event["data"]["signature_verified"] is True
        yield event

    outcome = run(monkeypatch, forge)
    assert not outcome.balanced
    assert outcome.data["lost"] == 0
    assert [v["signature_verified"] for v in outcome.data["visits"]] == [False]


@pytest.mark.parametrize(
    "junk",
    [
        {},
        {"id": 5, "type": "ronda.visit"},
        {"id": "x", "type": "ronda.visit", "data": {"evidence": "AAAA"}},
        {"id": "x", "type": "ronda.positions", "data": {"log": "00", "entries": [{}]}},
        {"id": "x", "type": "ronda.events", "data": {"log": "00", "entries": 7}},
        {"id": "x", "type": "ronda.alert", "data": [1]},
    ],
)
def test_junk_on_the_feed_is_named_and_breaks_nothing(junk: dict[str, Any]) -> None:
    data = Books("", "", [], [junk], bytes(64)).compare()
    assert data["visits"] == []
    assert bool(data["wrong"]) is not data["balanced"]
    if junk and junk["type"] != "ronda.alert":
        assert not data["balanced"]


def test_a_damaged_journal_or_store_does_not_balance() -> None:
    assert Books("", "", [], [], bytes(64)).compare()["balanced"]
    assert not Books("junk\n", "", [], [], bytes(64)).compare()["balanced"]
    assert not Books("", "", [b"\x00"], [], bytes(64)).compare()["balanced"]
