"""Volumes on real littlefs: what a damaged byte costs, what a receipt lets go, how much fits."""

import os

import always_loaded  # noqa: F401
from handheld import log as log_module
from handheld import volumes
from handheld.log import Log
from handheld.volumes import Records, frame
from handheld_board import FakeBoard, FakeClock, files
from ronda_protocol import reading, track

HEAP = "4m"

DAY_MS = 86400000


def start(board, utc=1789473600):
    clock = FakeClock(log_module.next_boot(board.nv), utc)
    log = Log(board, clock)
    log.open()
    return log, clock


def frames(path):
    """(payloads, unreadable bytes) of a file."""
    return whole(volumes.frames(path))


def whole(found):
    payloads, bad = [], 0
    for data, n in found:
        if data is None:
            bad += n
        else:
            payloads.append(data)
    return payloads, bad


def fill(log, clock, count, size=600):
    """Seal so many visits; their seqs and bytes."""
    sealed = {}
    for i in range(count):
        clock.now += 1000
        seq, _ = log.seal_visit(clock.stamp(), b"evidence %d" % i, b"%03d" % i * (size // 3))
        sealed[seq] = bytes(log.read(seq))
    return sealed


def damage(path, at, mask=0x10):
    """Flip bits of one byte of a file: littlefs gives a damaged data block back silently."""
    with open(path, "rb") as f:
        data = bytearray(f.read())
    data[at] ^= mask
    with open(path, "wb") as f:
        f.write(data)


def newest(log):
    return log.chain.path(log.chain.firsts[-1])


def test_frames_find_their_neighbours_whatever_byte_is_damaged():
    FakeBoard()
    payloads = [b"one", b"two" * 50, b"x", b"four"]
    joined = b"".join([frame(p) for p in payloads])
    for at in range(len(joined)):
        for mask in (1, 0x80, 0xFF):
            data = bytearray(joined)
            data[at] ^= mask
            with open("/flash/f", "wb") as f:
                f.write(data)
            found, _bad = frames("/flash/f")
            missing = [p for p in payloads if p not in found]
            assert len(missing) <= 1 and len(found) >= 3, (at, mask, found)
    for cut in range(len(joined)):
        with open("/flash/f", "wb") as f:
            f.write(joined[:cut])
        found, bad = frames("/flash/f")
        assert found == payloads[: len(found)]
        assert sum([len(p) + 8 for p in found]) + bad == cut


def test_noise_is_no_frame():
    FakeBoard()
    for noise in (
        bytes(64),
        b"\xff" * 64,
        b"\x00\x00\xff\xff" * 9,
        b"\xff\xff\x00\x00" * 9,
        b"\x01",
    ):
        with open("/flash/f", "wb") as f:
            f.write(noise)
        assert frames("/flash/f") == ([], len(noise))
    assert frames("/flash/none") == ([], 0)
    os.mkdir("/flash/folder")
    assert frames("/flash/folder")[0] == []


def test_records_gather_and_settle():
    FakeBoard()
    records = Records("/flash/r")
    sent = []
    for i in range(40):
        sent.append(b"%02d" % i * (1 + i % 17))
        records.append(sent[-1])
        assert whole(records.each()) == (sent, 0)
    records.append(b"a" * 300, b"b")
    assert whole(records.each()) == (sent + [b"a" * 300, b"b"], 0)
    assert records.clear() and whole(records.each()) == ([], 0)
    assert records.clear()


def test_a_cut_between_settling_and_emptying_the_tail_repeats_nothing():
    FakeBoard()
    records = Records("/flash/r")
    for i in range(3):
        records.append(b"record-%d" % i + b"." * 20)
    with open("/flash/r.tail", "rb") as f:
        tail = f.read()
    with open("/flash/r", "ab") as f:
        f.write(tail)
    assert len(whole(records.each())[0]) == 3
    records.append(b"another" * 10)
    assert [len(r) for r in whole(records.each())[0]] == [28, 28, 28, 70]


def test_segments_come_back_in_any_order_after_rotation():
    board = FakeBoard()
    log, clock = start(board)
    sealed = fill(log, clock, 120)
    assert len(log.chain.firsts) == 4, log.chain.firsts
    for chain in (log.chain, start_again(board)):
        for seq in list(range(1, 121)) + [7, 119, 3, 120, 1, 60, 61]:
            assert chain.read(seq) == sealed[seq], seq
        assert chain.read(0) is None and chain.read(chain.head + 1) is None


def start_again(board):
    board.reboot()
    return start(board)[0].chain


def test_a_damaged_segment_is_reported_and_costs_no_other():
    board = FakeBoard()
    log, clock = start(board)
    sealed = fill(log, clock, 20)
    head = log.head
    damage(newest(log), 5000)
    log.chain.seek = (0, 0, 0)
    lost = [seq for seq in range(1, head + 1) if log.read(seq) != sealed[seq]]
    assert len(lost) == 1 and log.read(lost[0]) is None
    assert log.chain.hash_at(lost[0])  # its successor names it
    assert log.release(lost[0], log.chain.hash_at(lost[0]))
    board.reboot()
    log, clock = start(board)
    assert len(log.chains()) == 1 and log.released == lost[0]


def test_the_last_segment_damaged_goes_on_by_the_word_of_nv():
    for byte in (0, 2, 3, 40, 500):
        board = FakeBoard()
        log, clock = start(board)
        fill(log, clock, 5)
        log.seal_track()
        head, head_hash, number, log_id = log.head, log.head_hash, log.number, log.log_id
        size = len(log.read(head)) + 8
        if byte < size:
            damage(newest(log), volumes.size(newest(log)) - size + byte)
        board.reboot()
        log, clock = start(board)
        assert log.log_id == log_id and log.head >= head, byte
        log.seal_track()
        after = reading.parse(log.read(head + 1))
        assert after.header.prev == head_hash and after.header.numbers[0] == number + 1


def test_any_damaged_byte_of_the_log_never_stops_a_boot():
    board = FakeBoard()
    log, clock = start(board)
    fill(log, clock, 4, 90)
    log.seal_track()
    for i in range(9):
        log.event(track.FIX_LOST)
    log.release(2, log.chain.hash_at(2))
    number = log.number
    paths = [path for path, size in files("/flash/log") if size]
    assert len(paths) == 4, paths
    image = dict((k, bytes(v)) for k, v in board.blocks.data.items())
    nv = dict(board.nv.values)
    for path in paths:
        for at in range(0, volumes.size(path), 7):
            board.blocks.data = dict((k, bytearray(v)) for k, v in image.items())
            board.nv.values = dict(nv)
            board.reboot()
            damage(path, at, 0xFF)
            log, clock = start(board)
            assert log.number > number or "open" not in path, (path, at, log.number)
            assert log.event(track.FIX_FOUND) and log.seal_track(), (path, at)
            assert len(log.chains()) == 1, (path, at)


def test_junk_among_the_files_is_passed_over():
    board = FakeBoard()
    log, clock = start(board)
    fill(log, clock, 3)
    head, log_id = log.head, log.log_id
    folder = log.chain.folder
    for name in ("zzzzzzzz.vol", "00000009.vol", "00000002.vol.new", "x"):
        with open(folder + "/" + name, "wb") as f:
            f.write(b"" if name[0] == "0" else b"junk")
    os.mkdir("/flash/log/not-hexadecimal!")
    os.mkdir("/flash/log/zzzzzzzzzzzzzzzz")
    board.reboot()
    log, clock = start(board)
    assert log.head == head + 1 and log.log_id == log_id
    assert log.seal_track() == head + 2 and len(fill(log, clock, 20)) == 20
    os.rename(log.chain.path(1), folder + "/gone")
    board.reboot()
    log, clock = start(board)
    assert log.event(track.FIX_LOST) and log.seal_track() == 1
    assert reading.parse(log.read(1)).header.previous_log[3] == "tail"


def test_a_receipt_lets_go_only_of_what_it_proves():
    board = FakeBoard()
    log, clock = start(board)
    fill(log, clock, 10)
    hashes = [log.chain.hash_at(seq) for seq in range(log.head + 1)]
    assert not log.release(3, bytes(32)) and not log.release(3, hashes[4])
    assert not log.release(11, hashes[10]) and not log.release(-1, hashes[0])
    assert not log.release(3, hashes[3], b"otherlog")
    assert log.released == 0 and log.unsent() == 10
    assert log.release(4, hashes[4]) and log.released == 4
    assert log.release(2, hashes[2]) and log.released == 4  # late: true, and nothing goes back
    board.reboot()
    log, clock = start(board)
    assert log.released == 4 and log.read(1)  # grace
    damage(log.chain.folder + "/cursor", 6)
    board.reboot()
    log, clock = start(board)
    assert log.released == 0 and log.release(10, hashes[10])


def test_grace_lasts_seven_days_and_the_newest_segment_for_ever():
    board = FakeBoard()
    log, clock = start(board)
    fill(log, clock, 100)
    assert len(log.chain.firsts) >= 3
    assert log.release(50, log.chain.hash_at(50))
    clock.now += 6 * DAY_MS
    fill(log, clock, 1)
    assert log.release(101, log.head_hash)
    assert log.read(1)
    clock.now += 2 * DAY_MS
    fill(log, clock, 1)
    assert log.release(102, log.head_hash)
    assert log.read(1) is None and log.read(51)
    clock.now += 20 * DAY_MS
    assert log.release(102, log.head_hash)
    assert log.chain.firsts[0] > 51 and log.read(102)
    log_id, head_hash = log.log_id, log.head_hash
    board.reboot()
    log, clock = start(board)
    assert log.log_id == log_id and log.head == 103 and log.unsent() == 1
    assert reading.parse(log.read(103)).header.prev == head_hash


def test_what_is_not_receipted_is_never_evicted():
    board = FakeBoard(count=64)
    log, clock = start(board)
    while log.room():
        fill(log, clock, 1, 3000)
    assert log.read(1) and not log.chain.evict()
    second = log.chain.firsts[1]
    assert log.release(second - 1, log.chain.hash_at(second - 1))
    assert log.read(1)
    assert log.room() and log.read(1) is None and log.read(second)
    told = [e[4] for e in entries(log) if e[0] == track.EVENT and e[3] == track.STORAGE_FULL]
    assert told[0] is None and told[1][0] >= 16 and len(told) == 2


def entries(log):
    log.seal_track()
    found = []
    for seq in range(1, log.head + 1):
        raw = log.read(seq)
        if raw:
            found += reading.parse(raw).entries()
    return found


def test_bytes_on_flash_of_a_day():
    """A day of 1,900 fixes, 96 batteries and 30 visits: what thirty of them take of 1.5 MiB."""
    board = FakeBoard()
    board.keep_saved = False
    log, clock = start(board)
    before = sum([size for _, size in files("/flash")])
    erases = board.blocks.erases
    for i in range(1900):
        clock.now += 15000
        quality = [3, i % 360, 120 + i % 9, 38, 30, 12, 0] if i % 4 == 0 else None
        lat = -121234567 + i * 311 % 9000
        log.fix([track.FIX, 0, clock.ms(), lat, -770301234 - i * 171 % 9000, 9, 11, 3, quality])
        if i % 20 == 0:
            log.battery(3900 - i // 10, 80, 1)
        if i % 63 == 0:
            log.seal_visit(clock.stamp(), b"e" * 280, b"a" * 60)
    used = sum([size for _, size in files("/flash")]) - before
    print(
        "a day: %d segments, %d bytes, erases %d" % (log.head, used, board.blocks.erases - erases)
    )
    assert used * 30 < 1536 * 1024, used
