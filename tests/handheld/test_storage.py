"""The flash filled to the last block: what is kept, refused, said, and what comes back.

Here in RAM, by whatever fills it; suite D11 of the torture lab adds power cuts and the app.
"""

import os

import handheld

handheld.forget = lambda *names: None  # sources would be compiled anew for every intent
from handheld import log as log_module
from handheld import volumes
from handheld_board import Blocks, FakeBoard, files
from ronda_protocol import reading, segment, track
from test_log import check_saved, fix, start
from test_visits import Day

HEAP = "16m"

BLOCKS = 64


def fill(left, path="/flash/ballast"):
    """Take blocks until so many are free."""
    with open(path, "ab") as f:
        while os.statvfs("/flash")[3] > left:
            f.write(bytes(1024))
            f.flush()


def free():
    return os.statvfs("/flash")[3]


def events(log, code):
    """Data of every sealed event of a code."""
    log.seal_track()
    found = []
    for seq in range(1, log.head + 1):
        entries = reading.parse(log.read(seq)).entries()
        found += [e[4] for e in entries if e[0] == track.EVENT and e[3] == code]
    return found


def test_whatever_the_room_a_visit_that_begins_is_closed_and_sealed():
    begun = 0
    for left in range(13, 22):
        day = Day(board=FakeBoard(Blocks(BLOCKS, 4096)))
        assert day.do("shift_start", gestor="g-07")["ok"]
        day.gnss.stand()
        fill(left)
        wanted = "opened_inside" if free() >= 16 else "storage_full"
        code = day.do("check_in", case_id="caso-0")["code"]
        assert code == wanted, (left, code)
        if code == "storage_full":
            assert day.log.full and day.do("status")["full"]
            continue
        begun += 1
        swamp(day)
        outcome = day.do("close", outcome="ausente", answers={"quien": "nadie"})
        assert outcome["code"] == "saved", (left, outcome)
        assert day.log.room() == (free() >= 16) != day.log.full
        day.board.reboot()
        day = Day(board=day.board)
        assert len(day.evidence()) == 1 and day.evidence()[0]["case_id"] == "caso-0"
    assert begun >= 5


def swamp(day):
    """Everything that can take flash while a visit is open does, for as long as it may."""
    day.do("answer", id="quien", value="nadie")
    log, clock = day.log, day.clock
    refused = 0
    for i in range(4000):
        clock.now += 61000
        wrote = log.fix(fix(clock, i)) or log.event(track.FIX_LOST) or log.battery(3900, 80, 1)
        wrote = day.do("answer", id="quien", value="nadie")["ok"] or wrote
        log.tick()
        refused = 0 if wrote else refused + 1
        if refused > 3:
            return
    assert False, "nothing is ever refused"


def test_the_last_blocks_are_not_for_the_track():
    board = FakeBoard(Blocks(BLOCKS, 4096))
    log, clock = start(board)
    fill(12)
    clock.now += 61000
    assert not log.room() and log.full
    saved = 0
    for i in range(3000):
        clock.now += 15000
        saved += log.event(track.FIX_LOST) is not None
        log.tick()
    assert 0 < saved < 3000 and log.dropped >= 3000 - saved, (saved, log.dropped, free())
    left = free()
    assert left >= 4, left
    for _ in range(30):  # not even boots, or a handheld that restarts in a loop would eat them
        board.reboot()
        log, clock = start(board)
        assert log.full
        while log.fix(fix(clock)):
            clock.now += 15000
    assert free() >= 4, (left, free())
    assert log.seal_visit(clock.stamp(), b"e" * 300, b"a" * 300)
    os.remove("/flash/ballast")
    assert log.room() and not log.full
    check_saved(board, log)
    assert len(events(log, track.STORAGE_FULL)) == 2


def test_it_says_that_it_is_full_and_that_it_is_no_more():
    board = FakeBoard(Blocks(BLOCKS, 4096))
    log, clock = start(board)
    fill(15)
    log.sealed.clear()
    assert not log.room() and log.full
    told = [fields for name, fields in board.told if name == "storage"]
    assert len(told) == 1 and told[0]["full"] and told[0]["free"] < 16
    assert log.sealed.is_set()  # sync says its state again
    log.room()
    log.seal_track()
    assert len([1 for name, _ in board.told if name == "storage"]) == 1  # once
    os.remove("/flash/ballast")
    clock.now += 61000
    log.tick()
    told = [fields for name, fields in board.told if name == "storage"]
    assert len(told) == 2 and not told[1]["full"] and not log.full
    found = events(log, track.STORAGE_FULL)
    assert found[0] is None and found[1][0] >= 16 and len(found) == 2


def test_space_that_cannot_be_told_is_none():
    board = FakeBoard(Blocks(BLOCKS, 4096))
    log, clock = start(board)

    class Os:
        answer = None

        @staticmethod
        def statvfs(_path):
            if Os.answer is None:
                raise OSError(5)
            return (4096, 4096, BLOCKS, Os.answer, Os.answer, 0, 0, 0, 0, 255)

    real, log_module.os = log_module.os, Os
    try:
        for answer in (None, 0xFFFFFFFF, BLOCKS + 1, 0):
            Os.answer = answer
            assert not log.room() and log.full, answer
            assert log.fix(fix(clock)) is None
        Os.answer = 40
        assert log.room() and not log.full
    finally:
        log_module.os = real
    assert log.fix(fix(clock))


def test_the_oldest_grace_goes_first_before_anything_is_refused():
    board = FakeBoard(Blocks(BLOCKS, 4096))
    log, clock = start(board)
    for _ in range(12):
        assert log.seal_visit(clock.stamp(), b"e" * 400, b"a" * 3000)
    old = log.log_id
    board.nv.values.pop("log")
    board.nv.values["log"] = b"newlogid"
    board.reboot()
    log, clock = start(board)
    assert log.log_id != old and len(log.past) == 1
    for _ in range(20):
        assert log.seal_visit(clock.stamp(), b"e" * 400, b"a" * 3000)
    assert log.release(log.past[0].head, log.past[0].head_hash, old)
    assert log.release(20, log.chain.hash_at(20))
    gone = []
    oldest = log.chain.firsts[0]
    while log.room():
        assert log.seal_visit(clock.stamp(), b"e" * 400, b"a" * 3000)
        if not log.past and "old" not in gone:
            gone.append("old")
            assert log.chain.firsts[0] == oldest  # ours came after
        if log.chain.firsts[0] != oldest and "own" not in gone:
            gone.append("own")
    assert gone == ["old", "own"], gone
    assert log.chain.firsts[0] > 20 - 12 and log.full


def test_an_older_log_is_grace_for_a_week_too():
    board = FakeBoard(Blocks(128, 4096))
    log, clock = start(board)
    log.seal_visit(clock.stamp(), b"e")
    board.nv.values["log"] = b"newlogid"
    board.reboot()
    log, clock = start(board)
    past = log.past[0]
    log.seal_visit(clock.stamp(), b"e")
    assert log.release(past.head, past.head_hash, past.log_id)
    assert log.release(1, log.chain.hash_at(1)) and log.past
    clock.now += 7 * 86400000
    log.seal_visit(clock.stamp(), b"e")
    assert log.release(2, log.chain.hash_at(2)) and log.past
    clock.now += 2 * 86400000
    log.seal_visit(clock.stamp(), b"e")
    assert log.release(3, log.chain.hash_at(3)) and not log.past
    assert not [name for name, _ in files("/flash") if past.log_id.hex() in name]


def test_a_damaged_cursor_declares_nothing_lost():
    board = FakeBoard(Blocks(BLOCKS, 4096))
    log, clock = start(board)
    for _ in range(30):
        log.seal_visit(clock.stamp(), b"e" * 400, b"a" * 3000)
    assert log.release(30, log.head_hash) and log.chain.evict()
    oldest = log.chain.firsts[0]
    assert oldest > 1
    cursor = log.folder + "/" + log.log_id.hex() + "/cursor"
    for damage in (b"", b"\x00\x10", b"\xff" * 60):
        with open(cursor, "wb") as f:
            f.write(damage)
        board.reboot()
        log, clock = start(board)
        assert log.released == oldest - 1, damage
        assert log.chain.hash_at(log.released) == log.chain.released_hash
        assert log.read(log.released + 1)  # the next to be sent is there
    assert log.release(log.head, log.head_hash)


def test_a_tail_that_is_in_both_files_counts_once():
    board = FakeBoard(Blocks(BLOCKS, 4096))
    log, clock = start(board)
    for i in range(6):
        clock.now += 15000
        log.fix(fix(clock, i))
    # The flash refused when the tail was to be emptied: it lies behind the file, and stays.
    with open(log.folder + "/open.tail", "rb") as f:
        tail = f.read()
    assert tail
    with open(log.folder + "/open", "ab") as f:
        f.write(tail)
    clock.now += 15000
    small = log.event(track.FIX_LOST)
    assert small
    number = log.number
    board.reboot()
    log, clock = start(board)
    found = reading.parse(log.read(1))
    assert segment.expand(found.header.numbers) == list(range(1, number + 1))
    check_saved(board, log)


def test_nv_that_refuses_does_not_stop_a_boot():
    class Refusing:
        def __init__(self, values):
            self.values = values

        def get(self, name):
            return self.values.get(name)

        def set(self, _name, _value):
            raise OSError(5)

    board = FakeBoard(Blocks(BLOCKS, 4096))
    log, clock = start(board)
    assert log.seal_visit(clock.stamp(), b"e")
    board.nv = Refusing(board.nv.values)
    board.reboot()
    log, clock = start(board)
    assert clock.stamp()[0] == 2
    assert log.fix(fix(clock)) and log.seal_visit(clock.stamp(), b"e") and log.nv_failures
    check_saved(board, log)


def test_a_volume_fills_its_blocks():
    board = FakeBoard(Blocks(256, 4096))
    log, clock = start(board)
    log.seal_track()
    while len(log.chain.firsts) < 4:
        log.seal_visit(clock.stamp(), b"e" * 300, b"a" * 200)
    for first in log.chain.firsts[:-1]:
        size = volumes.size(log.chain.path(first))
        assert size <= 8 * 4096 - 44, size
        assert size > 8 * 4096 - 44 - 1000, size
    before = free()
    assert log.release(log.head, log.head_hash) and log.chain.evict()
    assert free() == before + 8


def test_a_backlog_is_sealed_in_fuller_segments():
    board = FakeBoard(Blocks(256, 4096))
    log, clock = start(board)
    seqs = []
    for i in range(900):
        clock.now += 15000
        log.fix(fix(clock, i))
        if len(seqs) < log.head:
            seqs.append(segment.expand(reading.parse(log.read(log.head)).header.numbers))
    sizes = [len(numbers) for numbers in seqs]
    assert sizes == [61, 60, 60, 60, 60, 240, 240], sizes
    clock.now += 3600000
    log.tick()
    assert log.open_count  # an hour old, and nobody waits for it
    assert log.release(log.head, log.head_hash)
    log.tick()
    assert not log.open_count
    # Readings alone: eight hours of them in one.
    log.seal_visit(clock.stamp(), b"e")
    for _ in range(5):
        log.seal_visit(clock.stamp(), b"e")
    head = log.head
    for _ in range(40):
        clock.now += 900000
        log.battery(3900, 80, 1)
        log.tick()
    assert log.head == head + 1
    assert len(segment.expand(reading.parse(log.read(log.head)).header.numbers)) == 33
