"""Segments stripped of parts on their way: kept, told once, never receipted, until whole."""

import itertools

import pytest
from conftest import NOW, Bench
from desk_device import DeskDevice, withhold
from ronda_gateway import fleet, schema
from ronda_protocol import reading, segment

TRACK, EVIDENCE, ANSWERS, PROMISE = 1, 2, 3, 4
PROMISED = {
    "currency": "PEN",
    "kind": 1,
    "pairs": [[25000, 20260930]],
    "who": "titular",
    "limits": 1,
}


def a_visit(device: DeskDevice) -> bytes:
    raw = device.seal_visit(answers={"who": "titular"}, promise=PROMISED)
    assert set(reading.parse(raw).parts) == {EVIDENCE, ANSWERS, PROMISE}
    return raw


STRIPS = [
    parts
    for count in (1, 2, 3)
    for parts in itertools.combinations((EVIDENCE, ANSWERS, PROMISE), count)
]


@pytest.mark.parametrize("parts", STRIPS)
@pytest.mark.parametrize("restart", [False, True])
def test_stripped_then_whole(bench: Bench, parts: tuple[int, ...], restart: bool) -> None:
    device = bench.device()
    track, whole = device.seal_track(), a_visit(device)
    bench.send(device.id, track)
    stripped = withhold(whole, *parts)
    assert bench.send(device.id, stripped) == []
    assert bench.visits() == [] and bench.alerts() == ["parts_withheld"]
    (kept,) = bench.rows(schema.quarantine)
    assert (kept.reason, kept.raw, kept.signed, kept.seq) == ("stripped", stripped, True, 2)
    assert bench.counts()["segments"] == 1
    if restart:
        bench.recorder = bench.new_recorder()
    # What the handheld keeps sending is stripped again, and told no second time.
    assert bench.send(device.id, stripped, stripped) == []
    assert bench.alerts() == ["parts_withheld"] and bench.rows(schema.quarantine)[0].copies == 3
    (said,) = bench.receipts(bench.send(device.id, whole))
    assert (said.upto, said.head, said.dispositions) == (2, device.prev, [])
    assert [row.raw for row in bench.store.segments()] == [track, whole]
    (told,) = bench.visits()
    assert told["data"]["answers"] == {"who": "titular"} and told["data"]["promise"]
    assert set(told["data"]["parts"].values()) == {"present"}
    assert bench.alerts() == ["parts_withheld"]


@pytest.mark.parametrize("parts", STRIPS)
def test_whole_then_stripped(bench: Bench, parts: tuple[int, ...]) -> None:
    device = bench.device()
    whole = a_visit(device)
    bench.send(device.id, whole)
    before = bench.counts()
    bench.recorder = bench.new_recorder()
    # It is here: the receipt says nothing but the truth.
    (said,) = bench.receipts(bench.send(device.id, withhold(whole, *parts)))
    assert said.upto == 1 and bench.counts() == before and bench.alerts() == []
    assert [row.raw for row in bench.store.segments()] == [whole]


def test_tracks_and_corrections_too(bench: Bench) -> None:
    device = bench.device()
    whole = [device.seal_track(), device.seal_visit(), device.seal_correction(2, "outcome", "no")]
    bare = [withhold(raw, TRACK, EVIDENCE, ANSWERS, segment.CORRECTION) for raw in whole]
    assert bench.send(device.id, *bare) == []
    counts = bench.counts()
    assert (counts["segments"], counts["fixes"], counts["visits"]) == (0, 0, 0)
    assert bench.alerts() == ["parts_withheld"] * 3
    (said,) = bench.receipts(bench.send(device.id, *whole))
    assert said.upto == 3 and bench.counts()["fixes"] == 30
    assert bench.visits()[-1]["data"]["reason"] == "corrected"


def test_the_gap_is_a_gap(bench: Bench) -> None:
    """What came without its parts is not here: later segments wait behind a gap."""
    device = bench.device()
    day = device.day(2)
    bench.send(device.id, day[0])
    bench.send(device.id, withhold(day[1], ANSWERS))
    (said,) = bench.receipts(bench.send(device.id, day[2], day[3]))
    assert said.upto == 1 and [r[:2] for r in said.ranges] == [[3, 4]]
    assert bench.alerts() == ["parts_withheld", "gap"]
    (said,) = bench.receipts(bench.send(device.id, day[1]))
    assert (said.upto, said.ranges) == (4, [])


@pytest.mark.parametrize("together", [False, True])
def test_whoever_strips_every_copy_of_other_parts_gave_us_all(
    bench: Bench, together: bool
) -> None:
    device = bench.device()
    whole = a_visit(device)
    copies = [withhold(whole, EVIDENCE), withhold(whole, ANSWERS, PROMISE)]
    found = (
        bench.send(device.id, *copies)
        if together
        else [one for raw in copies for one in bench.send(device.id, raw)]
    )
    (said,) = bench.receipts(found)
    assert said.upto == 1 and [row.raw for row in bench.store.segments()] == [whole]
    assert len(bench.visits()) == 1 and bench.alerts() == ["parts_withheld"]


def test_parts_of_another_segment_make_nothing_whole(bench: Bench) -> None:
    """A fork's parts under the same number are not this segment's."""
    device = bench.device()
    twin = device.clone()
    ours, other = a_visit(device), a_visit(twin)
    assert bench.send(device.id, withhold(ours, EVIDENCE), withhold(other, ANSWERS)) == []
    assert bench.counts()["segments"] == 0
    (said,) = bench.receipts(bench.send(device.id, ours))
    assert said.upto == 1 and "fork" not in bench.alerts()
    (said,) = bench.receipts(bench.send(device.id, withhold(other, PROMISE)))
    assert said.dispositions == [[1, 2]] and bench.alerts()[-1] == "fork"


def test_of_a_device_not_enabled_and_of_a_revoked_one(bench: Bench) -> None:
    device = bench.device(state="enrolled")
    whole = a_visit(device)
    assert bench.send(device.id, withhold(whole, ANSWERS)) == []
    fleet.enable(bench.store, device.id, NOW)
    assert bench.recorder.notice_fleet() == []
    assert bench.alerts() == ["parts_withheld"] and bench.counts()["held"] == 0
    (said,) = bench.receipts(bench.send(device.id, whole))
    assert said.upto == 1
    fleet.revoke(bench.store, device.id, NOW)
    assert bench.send(device.id, withhold(a_visit(device), ANSWERS)) == []


def test_a_flood_of_them_is_bounded_and_receipts_nothing(make_bench) -> None:
    bench = make_bench(quarantine={"per_hour": 5})
    device = bench.device()
    day = [device.seal_track(device.entries(1, 0, 0)) for _ in range(20)]
    assert bench.send(device.id, *[withhold(raw, TRACK) for raw in day]) == []
    assert bench.counts()["quarantine"] == 5 and "quarantine_folded" in bench.alerts()
    (said,) = bench.receipts(bench.send(device.id, *day))
    assert said.upto == 20
