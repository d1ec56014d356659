"""What a handheld declares lost: upto goes over it, told as such; other claims change nothing."""

from typing import Any

import pytest
from conftest import NOW, Bench
from desk_device import DeskDevice
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ronda_gateway import chain, fleet, schema
from ronda_gateway.chain import LogState
from ronda_gateway.group import load_state
from ronda_protocol import reading, segment, track


def claiming(device: DeskDevice, *claims: Any) -> bytes:
    """A track with `lost` events in it."""
    entries = device.entries(1, 0, 0)
    for data in claims:
        number = device.next_numbers(1)[0]
        entries.append([track.EVENT, number, entries[-1][2], track.LOST, data])
    return device.seal_track(entries)


def upto(bench: Bench, device: DeskDevice, log_id: bytes | None = None) -> tuple[int, bytes]:
    with bench.store.read() as connection:
        state = load_state(connection, device.id, log_id or device.log_id)
    assert state is not None
    return state.upto, state.head


def lost_rows(bench: Bench) -> list[tuple[int, int, str]]:
    return sorted((row.first, row.last, row.reason) for row in bench.rows(schema.lost))


def a_day(device: DeskDevice) -> list[bytes]:
    """Segments 1 to 9: 4 to 6 are never sent; 8 declares them lost; 3, 7 and 9 are visits."""
    made = [device.seal_track(), device.seal_track(), device.seal_visit()]
    made += [device.seal_track(), device.seal_visit(), device.seal_track(), device.seal_visit()]
    made.append(claiming(device, [4, 6, "gone"]))
    made.append(device.seal_visit())
    return made


def test_upto_goes_over_what_is_declared_lost(bench: Bench) -> None:
    device = bench.device()
    day = a_day(device)
    (said,) = bench.receipts(bench.send(device.id, *day[:3], day[6]))
    assert said.upto == 3 and [r[:2] for r in said.ranges] == [[7, 7]]
    assert bench.visits()[-1]["data"]["verdicts"]["chain"] == "gap"
    (said,) = bench.receipts(bench.send(device.id, day[7]))
    assert (said.upto, said.head, said.ranges) == (8, device_hash(day[7]), [])
    assert lost_rows(bench) == [(4, 6, "gone")]
    assert bench.alerts() == ["gap", "declared_lost"]
    links = {row.seq: row.link for row in bench.rows(schema.segments)}
    assert links == {1: "linked", 2: "linked", 3: "linked", 7: "lost", 8: "linked"}
    change = bench.visits()[-1]["data"]
    assert (change["changed"], change["reason"]) == ("chain", "declared_lost")
    assert change["verdicts"]["chain"] == "lost"
    assert "chain_lost" in change["verdicts"]["reasons"]
    assert change["verdicts"]["overall"] == "unverified"
    # It goes on, in this process and in the next.
    bench.recorder = bench.new_recorder()
    (said,) = bench.receipts(bench.send(device.id, day[8]))
    assert (said.upto, said.head) == (9, device.prev)
    assert bench.visits()[-1]["data"]["verdicts"]["chain"] == "linked"
    assert bench.alerts() == ["gap", "declared_lost"]


def device_hash(raw: bytes) -> bytes:
    return reading.parse(raw).chain_hash()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.permutations([0, 1, 2, 6, 7, 8]), st.integers(1, 6), st.booleans())
def test_any_order_ends_the_same(make_bench, order: list[int], group: int, restart: bool) -> None:
    bench = make_bench()
    device = bench.device()
    day = a_day(device)
    found: list[Any] = []
    for at in range(0, len(order), group):
        found = bench.send(device.id, *[day[i] for i in order[at : at + group]])
        if restart:
            bench.recorder = bench.new_recorder()
    (said,) = bench.receipts(found)
    assert (said.upto, said.head, said.ranges) == (9, device.prev, [])
    links = {row.seq: row.link for row in bench.rows(schema.segments)}
    assert links == {seq: "lost" if seq == 7 else "linked" for seq in (1, 2, 3, 7, 8, 9)}
    assert {row.seq: row.link for row in bench.rows(schema.visits)} == {
        3: "linked",
        7: "lost",
        9: "linked",
    }
    assert set(bench.alerts()) <= {"gap", "declared_lost"}
    before = bench.counts()
    bench.send(device.id, *[day[i] for i in order])
    assert bench.counts() == before


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("closed", [False, True])
def test_what_was_declared_lost_may_come_after_all(
    bench: Bench, restart: bool, closed: bool
) -> None:
    device = bench.device()
    day = a_day(device)
    bench.send(device.id, *day[:3], day[7])
    if closed:
        bench.send(device.id, day[6])
    if restart:
        bench.recorder = bench.new_recorder()
    assert upto(bench, device)[0] == (8 if closed else 3)
    bench.send(device.id, day[4])
    assert lost_rows(bench) == [(4, 4, "gone"), (6, 6, "gone")]
    assert "lost_found" in bench.alerts()
    if restart:
        bench.recorder = bench.new_recorder()
    bench.send(device.id, day[5], day[3], day[6])
    assert lost_rows(bench) == []
    assert upto(bench, device) == (8, device_hash(day[7]))
    links = {row.seq: row.link for row in bench.rows(schema.segments)}
    assert set(links.values()) == {"linked"} and len(links) == 8
    assert bench.visits()[-1]["data"]["verdicts"]["chain"] == "linked"
    assert not {"chain_broken", "fork", "lost_refused"} & set(bench.alerts())


def test_entries_that_went_with_it_are_no_alarm_and_others_are(bench: Bench) -> None:
    device = bench.device()
    bench.send(device.id, *a_day(device)[:3], *device.sealed[6:9])
    bench.recorder = bench.new_recorder()
    bench.send(device.id, device.seal_track())
    assert "entries_missing" not in bench.alerts()
    device.next_numbers(2)
    bench.send(device.id, device.seal_track())
    assert bench.alerts()[-1] == "entries_missing"


def test_the_end_of_an_older_log(bench: Bench) -> None:
    device = bench.device()
    old = device.log_id
    made = [device.seal_track() for _ in range(5)]
    bench.send(device.id, *made[:2])
    previous = [old, 5, device.prev, "format"]
    device.log_id, device.seq, device.prev = b"newlog-1", 0, segment.FIRST_PREV
    bench.send(device.id, device.seal_track(previous_log=previous))
    assert upto(bench, device, old)[0] == 2
    downlinks = bench.send(device.id, claiming(device, [3, 5, "unreadable", old]))
    said = {one.log_id: one for one in bench.receipts(downlinks)}
    assert (said[old].upto, said[old].head) == (5, previous[2])
    assert said[b"newlog-1"].upto == 2
    assert upto(bench, device, old) == (5, previous[2])
    assert bench.alerts()[-1] == "declared_lost"
    # A middle that is still missing keeps it open; closed, the end follows.
    late = bench.device("desk-02")
    mine = [late.seal_track() for _ in range(5)]
    bench.send(late.id, mine[0], mine[2])
    previous = [late.log_id, 5, late.prev, "format"]
    late.log_id, older = b"newlog-2", late.log_id
    late.seq, late.prev = 0, segment.FIRST_PREV
    bench.send(late.id, late.seal_track(previous_log=previous))
    bench.send(late.id, claiming(late, [4, 5, "unreadable", older]))
    assert upto(bench, late, older)[0] == 1
    bench.recorder = bench.new_recorder()
    (receipt,) = bench.receipts(bench.send(late.id, mine[1]))
    assert (receipt.upto, receipt.head) == (5, previous[2])


HOSTILE: list[tuple[Any, str]] = [
    ([1, 4_294_967_295, "x"], "range"),
    ([5, 5, "itself"], "range"),
    ([6, 9, "to come"], "range"),
    ([1, 2, "x", b"otherlog"], "unknown_log"),
    ([0, 2, "x"], "form"),
    ([3, 2, "x"], "form"),
    ([1, 1 << 32, "x"], "form"),
    ([1, 2], "form"),
    ([True, 2, "x"], "form"),
    ([1, 2, "x", "log", 5], "form"),
    ([1, 2, "x", b"short"], "form"),
    (None, "form"),
    ({1: 2}, "form"),
    ([1, 2, "x"], "here"),
]


@pytest.mark.parametrize(("data", "why"), HOSTILE)
def test_what_counts_for_nothing(bench: Bench, data: Any, why: str) -> None:
    device = bench.device()
    day = [device.seal_track() for _ in range(3)]
    device.seal_track()
    bench.send(device.id, day[0], day[1], claiming(device, data))
    assert upto(bench, device)[0] == 2 and lost_rows(bench) == []
    told = [one["data"] for one in bench.events("site/alerts")]
    assert [one["kind"] for one in told] == ["gap", "lost_refused"]
    assert told[-1]["why"] == why and told[-1]["text"]


def test_of_a_range_that_is_half_here_the_other_half_counts(bench: Bench) -> None:
    device = bench.device()
    day = [device.seal_track() for _ in range(4)]
    bench.send(device.id, day[0], day[1], claiming(device, [1, 4, "gone"], [2, 3, "again"]))
    assert lost_rows(bench) == [(3, 4, "gone")]
    assert upto(bench, device) == (5, device.prev)
    assert bench.alerts() == ["gap", "lost_refused", "declared_lost", "lost_refused"]
    # Said again after a restart of the handheld it is no news.
    bench.send(device.id, claiming(device, [3, 4, "gone"]))
    assert bench.alerts().count("declared_lost") == 1 and len(bench.alerts()) == 4


def test_another_devices_word_and_that_of_two_who_sign_count_for_nothing(bench: Bench) -> None:
    device, other = bench.device(), bench.device("desk-02")
    day = a_day(device)
    bench.send(device.id, *day[:3], day[6])
    bench.send(other.id, claiming(other, [4, 6, "x", device.log_id]))
    assert bench.alerts()[-1] == "lost_refused"
    # A clone forks at 8 and says in 9 that 4 to 6 are lost.
    twin = DeskDevice(device.id, device.log_id)
    twin.signer = device.signer
    for name in ("number", "ms", "boot"):
        setattr(twin, name, getattr(device, name))
    twin.seq, twin.prev = 7, device_hash(day[6])
    bench.send(device.id, twin.seal_track())
    fork = DeskDevice(device.id, device.log_id)
    fork.signer, fork.seq, fork.prev, fork.number = twin.signer, 7, twin.sealed[0][:32], 900
    bench.send(device.id, fork.seal_track())
    assert bench.alerts()[-1] == "fork"
    bench.send(device.id, claiming(twin, [4, 6, "x"]))
    assert bench.alerts()[-1] == "lost_refused" and lost_rows(bench) == []
    assert upto(bench, device)[0] == 3


def test_a_revoked_devices_word_counts_for_nothing(bench: Bench) -> None:
    device = bench.device()
    day = a_day(device)
    bench.send(device.id, *day[:3], day[6])
    fleet.revoke(bench.store, device.id, NOW)
    bench.recorder.notice_fleet()
    bench.send(device.id, day[7])
    assert lost_rows(bench) == [] and upto(bench, device)[0] == 3


def test_ranges_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from ronda_gateway import declared

    monkeypatch.setattr(declared, "_MOST", 3)
    device = bench.device()
    day = [device.seal_track(device.entries(1, 0, 0)) for _ in range(20)]
    bench.send(device.id, *day[1::2])
    bench.send(device.id, claiming(device, *[[seq, seq, "x"] for seq in range(1, 20, 2)]))
    assert len(lost_rows(bench)) == 3 and bench.alerts().count("lost_refused") == 7


def test_ranges_of_any_length_cost_the_same() -> None:
    state = LogState(1, "desk-01", bytes(8))
    chain.add(state, 4_000_000_000, b"h" * 32)
    assert chain.gaps(state) == [(1, 3_999_999_999)]
    chain.declare_lost(state, 1, 1_000_000)
    chain.declare_lost(state, 1_000_001, 3_999_999_998)
    assert state.lost == [(1, 3_999_999_998)]
    chain.advance(state)
    assert state.upto == 0 and chain.gaps(state) == [(3_999_999_999, 3_999_999_999)]
    chain.declare_lost(state, 3_999_999_999, 3_999_999_999)
    chain.advance(state)
    assert (state.upto, state.head, chain.gaps(state)) == (4_000_000_000, b"h" * 32, [])
    assert chain.stored(state, 4_000_000_000, 4_000_000_000)
    assert not chain.stored(state, 1, 3_999_999_999)


@settings(max_examples=200, deadline=None)
@given(st.sets(st.integers(1, 30), max_size=20), st.sets(st.integers(1, 30), max_size=12))
def test_gaps_by_counting(stored: set[int], lost: set[int]) -> None:
    lost -= stored
    state = LogState(1, "desk-01", bytes(8))
    for seq in sorted(stored, key=lambda s: s * 7 % 31):
        chain.add(state, seq, bytes([seq]) * 32)
    for seq in lost:
        chain.declare_lost(state, seq, seq)
    chain.advance(state)
    end = max(stored, default=0)
    wanted = {seq for seq in range(1, end + 1) if seq not in stored | lost}
    assert {s for low, high in chain.gaps(state) for s in range(low, high + 1)} == wanted
    first = min(wanted, default=end + 1)
    reached = [seq for seq in stored if seq < first]
    assert state.upto == max(reached, default=0)
    assert state.head == (bytes([state.upto]) * 32 if state.upto else bytes(32))
    for low in range(1, 31, 4):
        assert chain.stored(state, low, low + 3) == any(
            seq in stored for seq in range(low, low + 4)
        )
