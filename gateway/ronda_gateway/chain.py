"""The hash chain of one device log: where a segment belongs, what is missing, what is forked.

Pure: what is stored already comes in through a lookup. Receipted is everything up to `upto`, each
seq durable or declared lost by the device itself, plus the ranges beyond it.
"""

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass, field

from ronda_protocol.segment import FIRST_PREV

LINKED = "linked"
GAP = "gap"
# Directly behind segments that the device itself declared lost.
LOST = "lost"
BROKEN = "broken"
# Told of a visit at or after a seq that has two signed contents; no segment's own link.
FORKED = "forked"

# seq -> (chain hash, previous hash) of a stored segment of this log, or None.
Stored = Callable[[int], tuple[bytes, bytes] | None]


@dataclass(slots=True)
class Range:
    """Stored segments first..last in one row; `head` is the chain hash of last."""

    first: int
    last: int
    head: bytes


@dataclass(slots=True)
class LogState:
    """What is stored of one log.

    `numbered`: entries up to that number are accounted for, -1 until the first track of a log
    that continues another's numbers; `loose`: numbers of visits beyond it. `lost`:
    ranges declared lost and not stored, ascending, never touching; `unnumbered`: such a range lies
    behind the last track within upto, and the numbers missing before the next one went with it.
    """

    key: int
    device: str
    log_id: bytes
    upto: int = 0
    head: bytes = FIRST_PREV
    max_seq: int = 0
    beyond: list[Range] = field(default_factory=list[Range])
    numbered: int = 0
    loose: list[int] = field(default_factory=list[int])
    revoked_upto: int | None = None
    forked_from: int | None = None
    lost: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    unnumbered: bool = False

    def told(self, seq: int, link: str) -> str:
        """The chain verdict of a visit: which branch of a fork is the device's nobody knows."""
        return FORKED if self.forked_from is not None and seq >= self.forked_from else link


@dataclass(frozen=True, slots=True)
class Placed:
    """What a segment is to its log: new, repeat or fork, and how it hangs together.

    `gap` is the range newly known to be missing, `clashes` the (seq, neighbour's seq) pairs whose
    hashes do not fit.
    """

    kind: str
    link: str = LINKED
    gap: tuple[int, int] | None = None
    clashes: tuple[tuple[int, int], ...] = ()


def place(state: LogState, seq: int, prev: bytes, chain: bytes, stored: Stored) -> Placed:
    """Where a segment belongs. Looks nothing up for the next one in order, the usual case."""
    if seq == state.upto + 1 and prev == state.head and not state.beyond:
        return Placed("new")
    old = stored(seq) if seq <= state.max_seq else None
    if old is not None:
        return Placed("repeat" if old[0] == chain else "fork")
    clashes: list[tuple[int, int]] = []
    before = FIRST_PREV if seq == 1 else _chain_of(stored(seq - 1))
    if before is not None and before != prev:
        clashes.append((seq, seq - 1))
    after = stored(seq + 1) if seq < state.max_seq else None
    if after is not None and after[1] != chain:
        clashes.append((seq + 1, seq))
    link = GAP if seq > state.upto + 1 else LINKED
    if link == LINKED and before is None:
        link = LOST
    if clashes and clashes[0][0] == seq:
        link = BROKEN
    gap = (state.max_seq + 1, seq - 1) if seq > state.max_seq + 1 else None
    return Placed("new", link, gap, tuple(clashes))


def _chain_of(row: tuple[bytes, bytes] | None) -> bytes | None:
    return row[0] if row else None


def add(state: LogState, seq: int, chain: bytes) -> int:
    """Take a new segment into the state; the upto before it (the same when there is a gap)."""
    was = state.upto
    state.max_seq = max(state.max_seq, seq)
    if state.lost:
        state.lost = _subtract(state.lost, seq, seq)
    if seq == was + 1:
        state.upto, state.head = seq, chain
        if state.beyond:
            advance(state)
    elif seq > was:
        _add_beyond(state.beyond, seq, chain)
        if state.lost:
            advance(state)
    return was


def advance(state: LogState) -> None:
    """Join to upto the ranges that nothing separates from it but what is declared lost.

    The hash of a lost seq is known from the segment behind it alone, so that upto never ends
    within a lost range.
    """
    beyond = state.beyond
    while beyond:
        first = beyond[0].first
        if first > state.upto + 1 and not is_lost(state, state.upto + 1, first - 1):
            return
        joined = beyond.pop(0)
        state.upto, state.head = joined.last, joined.head


def is_lost(state: LogState, first: int, last: int) -> bool:
    """Whether all of a range is declared lost."""
    return any(low <= first and last <= high for low, high in state.lost)


def declare_lost(state: LogState, first: int, last: int) -> None:
    """Take a range that is not stored as lost; `advance` is the caller's."""
    spans = sorted([*state.lost, (first, last)])
    joined = [spans[0]]
    for low, high in spans[1:]:
        if low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    state.lost = joined


def _subtract(spans: list[tuple[int, int]], first: int, last: int) -> list[tuple[int, int]]:
    """Ascending ranges without what lies in first..last."""
    found: list[tuple[int, int]] = []
    for low, high in spans:
        if low < first:
            found.append((low, min(high, first - 1)))
        if high > last:
            found.append((max(low, last + 1), high))
    return found


def gaps(state: LogState) -> list[tuple[int, int]]:
    """Ranges before the last stored segment that are neither stored nor declared lost."""
    return missing(state, 1, state.max_seq)


def missing(state: LogState, first: int, last: int) -> list[tuple[int, int]]:
    """What of a range is neither stored nor declared lost, whatever its length."""
    spans = [(max(first, state.upto + 1), last)] if last > state.upto else []
    for one in state.beyond:
        if one.first > last:
            break
        spans = [*spans[:-1], *_subtract(spans[-1:], one.first, one.last)]
    for low, high in state.lost:
        spans = _subtract(spans, low, high)
    return spans


def stored(state: LogState, first: int, last: int) -> bool:
    """Whether any segment of a range is stored."""
    if first <= state.upto:
        within = [(first, min(last, state.upto))]
        for low, high in state.lost:
            within = _subtract(within, low, high)
        if within:
            return True
    return any(one.first <= last and first <= one.last for one in state.beyond)


def _add_beyond(beyond: list[Range], seq: int, chain: bytes) -> None:
    at = bisect_left(beyond, seq, key=lambda r: r.first)
    before = beyond[at - 1] if at else None
    after = beyond[at] if at < len(beyond) else None
    if before and before.last + 1 == seq:
        before.last, before.head = seq, chain
        if after and after.first == seq + 1:
            before.last, before.head = after.last, after.head
            del beyond[at]
    elif after and after.first == seq + 1:
        after.first = seq
    else:
        beyond.insert(at, Range(seq, seq, chain))


def count_numbers(
    state: LogState, numbers: list[int], alone: bool
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Account for the entry numbers (flat ranges) of a segment now within upto.

    Returns the ranges that are missing (none where a declared loss explains them) and those seen
    before. What is sealed alone, a visit or a
    correction, is sealed at once, so its
    number may come before those of the open track; a track segment holds every other entry up to
    its last: what is then still missing was never sealed.
    """
    first, count = numbers[0], numbers[1]
    excused = state.unnumbered and not alone
    if excused:
        state.unnumbered = False
    if state.numbered < 0 and not alone:
        state.numbered = min([first, *state.loose]) - 1
    if len(numbers) == 2 and first == state.numbered + 1 and not state.loose:
        state.numbered += count
        return [], []
    spans = [(numbers[i], numbers[i] + numbers[i + 1] - 1) for i in range(0, len(numbers), 2)]
    if alone:
        if first <= state.numbered or first in state.loose:
            return [], spans
        insort(state.loose, first)
        return [], []
    last = spans[-1][1]
    early = [n for n in state.loose if n <= last]
    state.loose = state.loose[len(early) :]
    absent: list[tuple[int, int]] = []
    again: list[tuple[int, int]] = []
    expected = state.numbered + 1
    for low, high in sorted(spans + [(n, n) for n in early]):
        if low > expected:
            absent.append((expected, low - 1))
        elif low < expected:
            again.append((low, min(high, expected - 1)))
        expected = max(expected, high + 1)
    state.numbered = expected - 1
    return [] if excused else absent, again
