"""An event leaves when the broker has it and the consumer confirmed it; until then it is due
again, later each time, and holds nothing else up."""

import json
from collections.abc import Callable

import feed_schemas
import pytest
import sqlalchemy as sa
from conftest import NOW, Bench
from ronda_gateway import confirmations, schema
from ronda_gateway.confirmer import Confirmer
from ronda_gateway.feed import SENT, Feed
from ronda_gateway.repeats import LEAST, Pace, Repeats
from ronda_tools.feed_confirm import command

FIRST_S = 60
TOPIC = "ronda/lima/feed/site/alerts"


@pytest.fixture
def confirming(make_bench: Callable[..., Bench]) -> Bench:
    made = make_bench(feed={"confirm": True, "confirm_s": FIRST_S, "confirm_alert_s": 600})
    made.send(made.device().id)
    return made


def fill(bench: Bench, count: int = 5) -> list[str]:
    """Rows in the outbox that the broker has, and nobody has confirmed."""
    feed = Feed(bench.settings.topic_root)
    with bench.store.write() as connection:
        rows = [feed.alert(f"alert/x/{n}", "desk-01", NOW, {}) for n in range(count)]
        bench.store.insert(connection, schema.outbox, rows)
        table = schema.outbox
        found = connection.execute(sa.select(table.c.id, table.c.event).order_by(table.c.id)).all()
        confirmations.published(connection, [(r.id, r.event, TOPIC) for r in found], NOW, FIRST_S)
    return [row.event for row in found]


def confirmer(bench: Bench, early: Callable[[str], bool] = lambda _: False) -> Confirmer:
    feed = Feed(bench.settings.topic_root)
    return Confirmer(bench.settings, bench.store, feed, bench.clock, early=early)


def due(bench: Bench, count: int = 100, but: list[int] | None = None) -> list[tuple[str, int]]:
    with bench.store.read() as connection:
        found = confirmations.due(connection, TOPIC, bench.clock.now(), count, but or [])
    return [(row.event, row.attempts) for row in found]


def kinds(bench: Bench) -> list[str]:
    return [row.kind for row in bench.rows(schema.alerts)]


def states(bench: Bench) -> dict[str, int]:
    return {row.event: row.state for row in bench.rows(schema.outbox)}


def test_waits_grow_to_an_hour() -> None:
    waits = [confirmations.wait_s(60, n) for n in (1, 2, 3, 6, 7, 8, 10**6)]
    assert waits == [60, 120, 240, 1920, 3600, 3600, 3600]
    assert confirmations.wait_s(86400, 1) == confirmations.wait_s(86400, 9) == 86400


def test_due_again_oldest_first_with_back_off(confirming: Bench) -> None:
    ids = fill(confirming)
    assert confirming.store.outbox_depth() == 5 and set(states(confirming).values()) == {3}
    assert due(confirming) == []
    confirming.clock.unix += FIRST_S
    assert due(confirming, 3) == [(id, 1) for id in ids[:3]]
    rows = confirming.rows(schema.unconfirmed)
    with confirming.store.write() as connection:
        told = [(row.id, row.attempts) for row in rows[:2]]
        confirmations.again(connection, told, confirming.clock.now(), FIRST_S)
    # What came again waits twice as long; the others are not behind it.
    assert due(confirming) == [(id, 1) for id in ids[2:]]
    assert due(confirming, 100, [rows[2].id]) == [(id, 1) for id in ids[3:]]
    confirming.clock.unix += 2 * FIRST_S - 1
    assert ids[0] not in dict(due(confirming))
    confirming.clock.unix += 1
    assert dict(due(confirming)) == dict.fromkeys(ids[:2], 2) | dict.fromkeys(ids[2:], 1)


def test_confirmed_goes_and_nothing_brings_it_back(confirming: Bench) -> None:
    ids = fill(confirming)
    before = {row.event: row.id for row in confirming.rows(schema.outbox)}
    desk = confirmer(confirming)
    office = confirming.site.signer("office")
    # Out of order, some twice, some that nobody knows.
    first = [ids[3], ids[1], "desk-01/00/9", "x"]
    desk.heard(command(office, "ronda/lima", first, NOW), retained=False)
    desk.heard(command(office, "ronda/lima", [ids[3], ids[0]], NOW), retained=False)
    assert desk.settle() and not desk.settle()
    assert {id for id, state in states(confirming).items() if state == SENT} == {
        ids[n] for n in (0, 1, 3)
    }
    counted = desk.counters
    assert (counted["confirmed"], counted["confirm_unknown"]) == (3, 2)
    assert counted["confirm_repeated"] == 1 and counted["commands_refused"] == 0
    assert confirming.store.outbox_depth() == 2
    # The PUBACK of a repeat that was confirmed on its way changes nothing.
    with confirming.store.write() as connection:
        confirmations.again(connection, [(before[ids[0]], 1)], NOW, FIRST_S)
    assert states(confirming)[ids[0]] == SENT
    confirming.clock.unix += 10 * FIRST_S
    assert [id for id, _ in due(confirming)] == [ids[2], ids[4]]


def test_confirmed_before_the_puback(confirming: Bench) -> None:
    asked: list[str] = []
    desk = confirmer(confirming, early=lambda event: not asked.append(event))
    desk.heard(command(confirming.site.signer("office"), "ronda/lima", ["a"], NOW), retained=False)
    desk.settle()
    assert asked == ["a"] and desk.counters["confirm_early"] == 1


def test_a_replayed_command_is_refused_until_it_expires_and_after(confirming: Bench) -> None:
    ids = fill(confirming)
    office = confirming.site.signer("office")
    raw = command(office, "ronda/lima", ids[:1], NOW, jti="only-once")
    other = command(office, "ronda/lima", ids[1:], NOW, jti="only-once")
    desk = confirmer(confirming)
    for told in (raw, raw, other):
        desk.heard(told, retained=False)
    desk.settle()
    assert desk.counters["refused_replayed"] == 2 and states(confirming)[ids[1]] == 3
    # Across a restart, and past its end.
    again = confirmer(confirming)
    again.heard(raw, retained=False)
    again.settle()
    assert again.counters["refused_replayed"] == 1
    confirming.clock.unix += 361
    again.heard(raw, retained=False)
    again.heard(command(office, "ronda/lima", ids[:1], confirming.clock.now()), retained=False)
    again.settle()
    assert again.counters["refused_expired"] == 1
    assert [row.jti == "only-once" for row in confirming.rows(schema.command_ids)] == [False]
    # One alert for each reason, however often.
    alerts = [row.id for row in confirming.rows(schema.alerts)]
    day = NOW // 86400 * 86400
    assert alerts == [f"alert/command_refused/{why}/{day}" for why in ("replayed", "expired")]
    assert kinds(confirming) == ["command_refused"] * 2


def test_a_flood_of_rubbish_costs_no_writing(confirming: Bench) -> None:
    desk = confirmer(confirming)
    for n in range(1000):
        desk.heard(b"garbage" * n, retained=False)
    desk.heard(b"{}", retained=True)
    assert desk.counters["commands_dropped"] == 801
    while desk.settle():
        pass
    assert desk.counters["commands_refused"] == 200
    assert kinds(confirming) == ["command_refused"]
    desk.heard(b"{}", retained=True)
    desk.settle()
    assert desk.counters["refused_retained"] == 1
    with confirming.store.write():  # nothing new to tell: it must not wait for the lock
        desk.heard(b"garbage", retained=False)
        assert desk.settle()


def test_the_next_day_it_is_told_again(confirming: Bench) -> None:
    desk = confirmer(confirming)
    for _ in range(2):
        desk.heard(b"x", retained=False)
        desk.settle()
        confirming.clock.unix += 86400
    assert kinds(confirming) == ["command_refused"] * 2


def test_a_consumer_that_is_back_need_not_wait_an_hour(confirming: Bench) -> None:
    ids = fill(confirming)
    with confirming.store.write() as connection:
        rows = [(row.id, 9) for row in confirming.rows(schema.unconfirmed)]
        confirmations.again(connection, rows, NOW, FIRST_S)
    confirming.clock.unix += FIRST_S
    assert due(confirming) == []
    desk = confirmer(confirming)
    office = confirming.site.signer("office")
    desk.heard(command(office, "ronda/lima", ids[:1], confirming.clock.now()), retained=False)
    desk.settle()
    confirming.clock.unix += FIRST_S
    assert [id for id, _ in due(confirming)] == ids[1:]


def test_lag_is_told_once_and_again_when_it_comes_back(
    confirming: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ronda_gateway.confirmer._LOOK_S", 0.0)
    ids = fill(confirming)
    desk = confirmer(confirming)
    assert not desk.look() and desk.counters["unconfirmed"] == 5
    confirming.clock.unix += 600
    assert desk.look() and not desk.look()
    assert desk.counters["confirm_age_s"] == 600
    # A restart says nothing new of the same event.
    assert not confirmer(confirming).look()
    office = confirming.site.signer("office")
    desk.heard(command(office, "ronda/lima", ids, confirming.clock.now()), retained=False)
    desk.settle()
    assert not desk.look() and desk.counters["confirm_age_s"] == 0
    assert kinds(confirming) == ["confirm_lag"]
    told = json.loads(confirming.rows(schema.outbox)[-1].payload)
    assert feed_schemas.problems(told) == []
    assert told["data"]["count"] == 5 and told["data"]["age"] == 600


def test_a_clock_set_back_delays_nothing_for_ever(
    confirming: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ronda_gateway.confirmer._LOOK_S", 0.0)
    fill(confirming)
    confirming.clock.unix -= 10 * 365 * 86400
    confirmer(confirming).look()
    confirming.clock.unix += confirmations.LONGEST_S
    assert len(due(confirming)) == 5


def test_switched_off_it_waits_no_longer(confirming: Bench) -> None:
    ids = fill(confirming)
    with confirming.store.write() as connection:
        assert confirmations.release(connection, NOW) == len(ids)
        assert confirmations.release(connection, NOW) == 0
    assert confirming.store.outbox_depth() == 0
    assert {row.sent_at for row in confirming.rows(schema.outbox)} == {NOW}


def test_a_pace_grows_with_confirmations_and_shrinks_without() -> None:
    pace = Pace(60, 50)
    assert pace.room(0) == 8
    for id in range(8):
        pace.sent(id, 0)
    assert pace.room(1) == 0
    for id in range(8):
        pace.confirmed(id)
        pace.confirmed(id)
    assert pace.room(1) == 16
    for id in range(100):
        pace.sent(id, 2)
        pace.confirmed(id)
    assert pace.room(2) == 50
    # Late ones make place for others, in less room, down to the least.
    for at in range(2, 700, 60):
        for id in range(pace.room(at)):
            pace.sent(at * 100 + id, at)
        assert pace.room(at + 59) == 0
    assert pace.room(10_000) == LEAST
    assert Pace(60, 1).room(0) == 1


def test_an_absent_consumers_events_are_not_before_anothers(confirming: Bench) -> None:
    """A thousand that nobody confirms, and one of another portfolio behind them."""
    feed = Feed(confirming.settings.topic_root)
    confirming.clock.unix = NOW
    with confirming.store.write() as connection:
        rows = [feed.alert(f"alert/x/{n}", "desk-01", NOW, {}) for n in range(1001)]
        confirming.store.insert(connection, schema.outbox, rows)
        table = schema.outbox
        found = connection.execute(sa.select(table.c.id, table.c.event).order_by(table.c.id)).all()
        waiting = [(r.id, r.event, "a" if r.id < found[-1].id else "b") for r in found]
        confirmations.published(connection, waiting, NOW, FIRST_S)
    repeats = Repeats(confirming.store, confirming.settings.feed, confirming.clock)
    assert repeats.due(50, []) == []
    confirming.clock.unix += FIRST_S
    first = repeats.due(50, [])
    assert [row.id for row in first] == [r.id for r in found[:8]] + [found[-1].id]
    # All of them are on their way: no more of these, until some are confirmed.
    assert repeats.due(50, [row.id for row in first]) == []
    repeats.confirmed([row.id for row in first[:3]])
    again = repeats.due(50, [row.id for row in first])
    assert [row.id for row in again] == [r.id for r in found[8:14]]
    # With little room the topics take turns.
    fresh = Repeats(confirming.store, confirming.settings.feed, confirming.clock)
    turns = [fresh.due(1, [])[0].id for _ in range(2)]
    assert sorted(turns) == sorted([found[0].id, found[-1].id])
