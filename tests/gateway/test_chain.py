"""The chain of a log, apart from any database: placing, gaps, ranges, entry numbers."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st
from ronda_gateway.chain import BROKEN, GAP, LINKED, LogState, add, count_numbers, place
from ronda_protocol.segment import FIRST_PREV


def hashes(count: int) -> list[tuple[bytes, bytes]]:
    """(chain hash, previous hash) of seq 1, 2, …"""
    found: list[tuple[bytes, bytes]] = []
    before = FIRST_PREV
    for seq in range(1, count + 1):
        this = hashlib.sha256(b"%d" % seq + before).digest()
        found.append((this, before))
        before = this
    return found


def refuse(_seq: int) -> None:
    raise AssertionError("looked up")


def test_the_next_in_order_needs_no_lookup() -> None:
    state = LogState(1, "desk-01", bytes(8))
    for seq, (chain, prev) in enumerate(hashes(5), 1):
        placed = place(state, seq, prev, chain, refuse)
        assert (placed.kind, placed.link, placed.gap, placed.clashes) == ("new", LINKED, None, ())
        assert add(state, seq, chain) == seq - 1
    assert (state.upto, state.max_seq) == (5, 5)


@given(st.permutations(list(range(1, 13))))
def test_every_order_gives_the_same_state(order: list[int]) -> None:
    log = hashes(12)
    state = LogState(1, "desk-01", bytes(8))
    have: dict[int, tuple[bytes, bytes]] = {}
    told: set[int] = set()
    for seq in order:
        chain, prev = log[seq - 1]
        placed = place(state, seq, prev, chain, have.get)
        assert placed.kind == "new" and not placed.clashes
        assert placed.link == (LINKED if seq == state.upto + 1 else GAP)
        if placed.gap:
            missing = set(range(placed.gap[0], placed.gap[1] + 1))
            assert missing and not missing & (told | set(have))
            told |= missing
        have[seq] = (chain, prev)
        add(state, seq, chain)
        stored = set(range(1, state.upto + 1))
        for span in state.beyond:
            assert span.first > state.upto + 1 and span.head == log[span.last - 1][0]
            stored |= set(range(span.first, span.last + 1))
        assert stored == set(have)
        assert all(
            a.last + 1 < b.first for a, b in zip(state.beyond, state.beyond[1:], strict=False)
        )
        again = place(state, seq, prev, chain, have.get)
        assert again.kind == "repeat"
        assert place(state, seq, prev, bytes(32), have.get).kind == "fork"
    assert (state.upto, state.head, state.beyond) == (12, log[11][0], [])


def test_clashes_with_either_neighbour() -> None:
    log = hashes(5)
    state = LogState(1, "desk-01", bytes(8))
    have = {1: log[0], 3: log[2]}
    add(state, 1, log[0][0])
    add(state, 3, log[2][0])
    placed = place(state, 2, bytes(32), b"x" * 32, have.get)
    assert placed.kind == "new" and placed.link == BROKEN
    assert placed.clashes == ((2, 1), (3, 2))
    placed = place(state, 2, log[0][0], b"x" * 32, have.get)
    assert placed.link == LINKED and placed.clashes == ((3, 2),)
    empty = LogState(1, "desk-01", bytes(8))
    assert place(empty, 1, b"y" * 32, b"x" * 32, {}.get).link == BROKEN


def test_entry_numbers() -> None:
    state = LogState(1, "desk-01", bytes(8))
    assert count_numbers(state, [1, 10], False) == ([], [])
    # Visits 13 and 15 are sealed while 11, 12, 14 wait in the open track.
    assert count_numbers(state, [13, 1], True) == ([], [])
    assert count_numbers(state, [15, 1], True) == ([], [])
    assert count_numbers(state, [11, 2, 14, 1, 16, 2], False) == ([], [])
    assert (state.numbered, state.loose) == (17, [])
    assert count_numbers(state, [20, 1], True) == ([], [])
    assert count_numbers(state, [18, 1, 22, 4_000_000_000], False) == ([(19, 19), (21, 21)], [])
    assert count_numbers(state, [5, 3], False) == ([], [(5, 7)])
    assert count_numbers(state, [7, 1], True) == ([], [(7, 7)])


def test_numbers_of_a_log_that_goes_on_from_another() -> None:
    state = LogState(1, "desk-01", bytes(8), numbered=-1)
    assert count_numbers(state, [105, 1], True) == ([], [])
    assert count_numbers(state, [101, 4, 106, 2], False) == ([], [])
    assert state.numbered == 107
