"""The reconciliation finds what it must: lost, doubled, repeated, altered, invented."""

import base64
import hashlib
import json

import pytest
from ronda_protocol import reading, track
from ronda_tools.reconcile import (
    Carried,
    Entry,
    Unreadable,
    from_event,
    from_journal,
    from_segment,
    reconcile,
)
from sealed import LOG, track_segment, visit_segment

LOG_HEX = LOG.hex()


def entry(number: int, kind: int = track.FIX, digest: str = "") -> Entry:
    """An entry whose digest follows from its number, unless told."""
    return Entry(kind, LOG_HEX, number, digest or hashlib.sha256(bytes([number])).hexdigest())


def carried(id: str, *entries: Entry, content: str = "same") -> Carried:
    """One message."""
    return Carried(id, content, entries)


DAY = [entry(1), entry(2, track.BATTERY), entry(3, track.EVENT), entry(4, track.VISIT), entry(5)]
STORED = [carried("s/1", DAY[0], DAY[1], DAY[2], DAY[4]), carried("s/2", DAY[3])]
SENT = [
    carried("s/1/positions", DAY[0], DAY[4]),
    carried("s/1/battery", DAY[1]),
    carried("s/1/events", DAY[2]),
    carried("s/2", DAY[3]),
]
COUNTS = {"visit": 1, "fix": 2, "battery": 1, "event": 1}


def test_a_day_that_balances() -> None:
    found = reconcile(DAY, STORED, SENT)
    assert found.balanced
    assert found.recorded == found.stored == found.forwarded == COUNTS
    assert (found.lost, found.doubled, found.repeated, found.unrecorded) == (0, 0, 0, 0)


def test_what_the_handheld_declared_lost_is_counted_beside_it() -> None:
    def stored(seq: int, *lost: tuple[str, int, int]) -> Carried:
        return Carried(f"eq-1/{LOG_HEX}/{seq}", "same", (entry(seq),), lost)

    day = [entry(seq) for seq in range(1, 7)]
    claims = ((LOG_HEX, 2, 4), (LOG_HEX, 3, 4_000_000_000), ("00" * 8, 1, 9))
    kept = [stored(1), stored(3), stored(6, *claims)]
    found = reconcile(day, kept, [carried(f"s/{n}", entry(n)) for n in (1, 3, 6)])
    assert (found.lost, found.declared_lost, found.balanced) == (3, 3, False)
    told = [f"declared lost {LOG_HEX}/{span}" for span in ("2-2", "4-4", "5-5")]
    assert found.wrong[:3] == told


def test_an_empty_day_balances() -> None:
    assert reconcile([], [], []).balanced


def test_repeats_of_one_id_are_allowed() -> None:
    found = reconcile(DAY, STORED, [*SENT, SENT[0], SENT[3], SENT[3]])
    assert found.balanced
    assert found.repeated == 3
    assert found.forwarded == COUNTS


def test_what_was_not_forwarded_is_lost() -> None:
    found = reconcile(DAY, STORED, SENT[:3])
    assert (found.lost, found.doubled, found.balanced) == (1, 0, False)
    assert found.wrong == [f"lost visit {LOG_HEX}/4"]


def test_what_was_not_stored_is_lost_once() -> None:
    found = reconcile(DAY, STORED[:1], SENT[:3])
    assert found.lost == 1
    assert reconcile(DAY, [], []).lost == 5


def test_one_visit_under_two_ids_is_doubled() -> None:
    found = reconcile(DAY, STORED, [*SENT, carried("s/9", DAY[3])])
    assert (found.lost, found.doubled, found.repeated) == (0, 1, 0)
    assert not found.balanced


def test_an_entry_in_two_stored_segments_is_doubled_once() -> None:
    twice = reconcile(
        DAY, [*STORED, carried("s/3", DAY[0])], [*SENT, carried("s/3/positions", DAY[0])]
    )
    assert twice.doubled == 1


def test_one_id_with_two_contents_is_doubled() -> None:
    found = reconcile(DAY, STORED, [*SENT, replace_content(SENT[3])])
    assert (found.doubled, found.repeated) == (1, 0)


def replace_content(message: Carried) -> Carried:
    return message._replace(content="other")


def test_an_altered_entry_is_lost_and_unrecorded_but_not_doubled() -> None:
    altered = DAY[0]._replace(digest="00")
    found = reconcile(
        DAY,
        [carried("s/1", altered, DAY[1], DAY[2], DAY[4]), STORED[1]],
        [carried("s/1/positions", altered, DAY[4]), *SENT[1:]],
    )
    assert (found.lost, found.doubled, found.unrecorded) == (1, 0, 1)
    assert not found.balanced
    assert found.stored == COUNTS


def test_altered_on_the_way_out_only() -> None:
    altered = DAY[0]._replace(digest="00")
    found = reconcile(DAY, STORED, [carried("s/1/positions", altered, DAY[4]), *SENT[1:]])
    assert (found.lost, found.unrecorded) == (1, 1)


def test_another_log_with_the_same_numbers_is_another_log() -> None:
    other = [e._replace(log="ff" * 8) for e in DAY]
    found = reconcile(DAY + other, STORED, SENT)
    assert (found.lost, found.doubled) == (5, 0)


def test_what_nobody_recorded_does_not_balance() -> None:
    found = reconcile(DAY, STORED, [*SENT, carried("s/7", entry(9))])
    assert (found.lost, found.doubled, found.unrecorded, found.balanced) == (0, 0, 1, False)


# ---- from the journal, the database, the feed --------------------------------------------------


def test_journal_lines_and_a_torn_last_one() -> None:
    lines = [
        {"kind": 1, "number": 1, "digest": "aa", "log": LOG_HEX},
        {"kind": "visit", "number": 2, "digest": "bb"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    expected = [Entry(1, LOG_HEX, 1, "aa"), Entry(4, "dd", 2, "bb")]
    assert from_journal(text, "dd") == expected
    assert from_journal(text + '{"kind": 1, "num', "dd") == expected
    for bad in ("{}\n", "nonsense\n", "[]\n", '{"kind":"dog","number":1,"digest":""}\n', "\n"):
        with pytest.raises(Unreadable):
            from_journal(text + bad)


def test_a_stored_segment_gives_its_entries() -> None:
    raw, _ = track_segment()
    found = from_segment(raw)
    assert found.id == f"eq-1/{LOG_HEX}/1"
    assert [(e.kind, e.number) for e in found.entries] == [(1, 1), (1, 2), (2, 3), (1, 4), (3, 5)]
    canonical = reading.parse(raw).entries()
    assert [e.digest for e in found.entries] == [track.entry_digest(c).hex() for c in canonical]
    with pytest.raises(Unreadable):
        from_segment(raw[:-1])


def test_a_visit_event_gives_its_visit() -> None:
    raw, _ = visit_segment()
    event = {
        "id": f"eq-1/{LOG_HEX}/2",
        "type": "ronda.visit",
        "data": {"evidence": base64.b64encode(raw).decode()},
    }
    found = from_event(event)
    assert found is not None
    assert found.entries == from_segment(raw).entries
    assert found.entries[0].number == 7
    with pytest.raises(Unreadable):
        from_event({**event, "data": {"evidence": "AAAA"}})


def test_an_alert_carries_nothing() -> None:
    assert from_event({"id": "a", "type": "ronda.alert", "data": {"kind": "gap"}}) is None
