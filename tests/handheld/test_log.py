"""The device log on real littlefs: what is saved stays saved, whatever happens in between."""

import os

import always_loaded  # noqa: F401
from handheld import log as log_module
from handheld.log import Log
from handheld_board import Blocks, FakeBoard, FakeClock, PowerCut, files
from ronda_protocol import cose, p256, reading, track

HEAP = "4m"


def start(board, boot=None, **kwargs):
    """A clock and an opened log: what app does at power-on."""
    boot = log_module.next_boot(board.nv) if boot is None else boot
    clock = FakeClock(boot, **kwargs)
    log = Log(board, clock)
    log.open()
    return log, clock


def fix(clock, i=0):
    return [track.FIX, 0, clock.ms(), -121234567 + i * 31, -770301234 - i * 17, 9, 11, 3, None]


def chain_of(log):
    """Every readable segment of every chain, its signature and its place checked; digests."""
    digests = {}
    for chain in log.chains():
        prev = None
        for seq in range(1, chain.head + 1):
            raw = chain.read(seq)
            if raw is None:
                prev = None
                continue
            found = reading.parse(raw)
            header = found.header
            assert header.seq == seq and header.log_id == chain.log_id
            assert prev is None or header.prev == prev, seq
            assert cose.kid(log.board.signer.public) == found.sign1.kid
            prev = found.chain_hash()
            last = 0
            for entry in found.entries():
                digests.setdefault(entry[1], []).append(track.entry_digest(entry))
                assert entry[1] > last
                last = entry[1]
        if chain.head and prev:
            assert prev == chain.head_hash
    return digests


def check_saved(board, log):
    """Every saved entry is sealed or still open, once, and with the digest it was saved with."""
    log.seal_track()
    digests = chain_of(log)
    for kind, number, digest in board.saved_entries:
        assert digests.get(number) == [digest], (kind, number, digests.get(number))
    return digests


def test_a_day_seals_by_count_and_by_age():
    board = FakeBoard()
    log, clock = start(board)
    for i in range(130):
        clock.now += 15000
        assert log.fix(fix(clock, i)) == i + 2  # 1 is the boot event
    assert log.head == 2
    clock.now += 899000
    log.tick()
    assert log.head == 3  # the open one's first entry is 15 minutes old
    counts = {"fix": 130, "battery": 0, "event": 1, "visit": 0, "correction": 0}
    assert log.counts == counts
    check_saved(board, log)
    found = reading.parse(log.read(1))
    assert cose.verify(found.sign1, board.signer.public, p256.verify)
    assert found.header.stamp[0] == 1 and found.header.device == "prueba-01"
    assert found.header.numbers == [1, 61]
    assert found.entries()[0][3:] == [track.BOOT, ["power"]]


def test_a_visit_is_sealed_while_a_track_is_open():
    board = FakeBoard()
    log, clock = start(board)
    log.fix(fix(clock))
    seq, visit_id = log.seal_visit(clock.stamp(), b"evidence", b"answers", None)
    assert seq == 1
    assert visit_id == "prueba-01/" + log.log_id.hex() + "/1"
    clock.now += 5000
    log.battery(3900, 80, 1)
    assert log.seal_track() == 2
    check_saved(board, log)
    assert reading.parse(log.read(2)).header.numbers == [1, 2, 4, 1]
    visit = reading.parse(log.read(1))
    assert sorted(visit.parts) == [2, 3] and visit.header.numbers == [3, 1]


def test_the_next_boot_seals_what_the_last_one_left_open():
    board = FakeBoard()
    log, clock = start(board)
    for i in range(10):
        clock.now += 15000
        log.fix(fix(clock, i))
    log.seal_visit(clock.stamp(), b"e")
    board.reboot()
    log, clock = start(board, utc=None)
    assert log.head == 2
    recovered = reading.parse(log.read(2))
    assert recovered.header.stamp[0] == 1 and recovered.header.numbers == [1, 11]
    assert log.fix(fix(clock)) == 14  # 12 the visit, 13 the boot event
    check_saved(board, log)
    assert reading.parse(log.read(3)).header.stamp == [2, clock.ms(), None, 0, 0]


def test_no_boot_is_counted_twice_though_nv_says_so():
    """An nv that was put back, or refused the count: the newest segment knows, or the open one."""
    for sealed in (True, False):
        board = FakeBoard()
        for _ in range(3):
            log, clock = start(board)
            clock.now += 5000
            log.fix(fix(clock))
            if sealed:
                log.seal_track()
            board.reboot()
        board.nv.set("boot", bytes(4))
        log, clock = start(board)
        assert clock.boot == 4 and board.nv.get("boot") == b"\x00\x00\x00\x04"
        log.seal_track()
        last = reading.parse(log.read(log.head))
        assert last.header.stamp[0] == 4
        events = [entry[3:] for entry in last.entries() if entry[0] == track.EVENT]
        assert [track.RECOVERED, ["boot", 3]] in events
        check_saved(board, log)


def test_time_does_not_run_backward_in_number_order():
    board = FakeBoard()
    log, clock = start(board)
    clock.now += 5000
    late = fix(clock)
    clock.now += 700
    log.event(track.FIX_FOUND)
    log.fix(late)
    log.seal_track()
    entries = reading.parse(log.read(1)).entries()
    times = [entry[2] for entry in entries]
    assert times == sorted(times) and entries[-1][0] == track.FIX


def test_an_entry_that_could_not_be_sealed_is_not_saved():
    board = FakeBoard()
    log, clock = start(board)
    for wrong in (fix(clock)[:5], fix(clock)[:5] + [0, 11, 3, None], [9, 0, 1000, 1, 1]):
        try:
            log.fix(wrong)
            assert False, wrong
        except ValueError:
            pass
    assert log.number == 1 and len(board.saved_entries) == 1


def workload(board, log, clock, results):
    """A short day: fixes, two seals, three visits, releases; what returned is acknowledged."""
    for i in range(7):
        clock.now += 15000
        log.fix(fix(clock, i))
        if i in (1, 4, 5):
            log.seal_visit(clock.stamp(), b"evidence %d" % i, b"a" * 300, None)
        if i == 3:
            log.seal_track()
            results.append(log.release(2, log.chain.hash_at(2)))
    log.battery(3700, None, 2)
    log.seal_track()


def test_power_cuts_at_every_operation_lose_nothing_saved():
    board = FakeBoard()
    start(board)
    base = dict((k, bytes(v)) for k, v in board.blocks.data.items())
    nv = dict(board.nv.values)
    saved = list(board.saved_entries)
    k = 0
    while True:
        k += 1
        board.blocks.data = dict((n, bytearray(v)) for n, v in base.items())
        board.nv.values = dict(nv)
        board.saved_entries = list(saved)
        board.reboot(cut_at=k, torn=k & 1)
        try:
            log, clock = start(board)
            workload(board, log, clock, [])
            done = True
        except PowerCut:
            done = False
        board.reboot()
        log, clock = start(board)
        assert log.head_hash and log.fix(fix(clock)), k
        digests = check_saved(board, log)
        # Numbers: whatever was not saved may be there or not, but nothing is there twice.
        assert all(len(found) == 1 for found in digests.values()), k
        assert len(log.chains()) == 1, k
        if done:
            break
    assert k > 30
    print("cut points", k)


def test_a_cut_inside_recovery_loses_nothing():
    board = FakeBoard()
    log, clock = start(board)
    for i in range(8):
        log.fix(fix(clock, i))
    base = dict((k, bytes(v)) for k, v in board.blocks.data.items())
    nv = dict(board.nv.values)
    saved = list(board.saved_entries)
    for k in range(1, 60):
        board.blocks.data = dict((n, bytearray(v)) for n, v in base.items())
        board.nv.values = dict(nv)
        board.saved_entries = list(saved)
        board.reboot(cut_at=k)
        try:
            start(board)
        except PowerCut:
            pass
        board.reboot()
        check_saved(board, start(board)[0])


def test_nv_behind_is_adopted():
    board = FakeBoard()
    log, clock = start(board)
    log.seal_track()
    old = board.nv.values["head"]
    log.seal_visit(clock.stamp(), b"e")
    board.nv.values["head"] = old  # the power went between the volume and nv
    head, head_hash, number, log_id = log.head, log.head_hash, log.number, log.log_id
    board.reboot()
    log, clock = start(board)
    assert (log.head, log.head_hash, log.log_id) == (head, head_hash, log_id)
    assert log.number == number + 1
    check_saved(board, log)


def test_nv_lost_goes_on_with_the_log_and_says_so():
    board = FakeBoard()
    log, clock = start(board)
    log.seal_visit(clock.stamp(), b"e")
    log.seal_track()  # its numbers are lower than the visit's
    log_id = log.log_id
    secrets = board.nv.get("rest")
    board.nv.values = {"rest": secrets}
    board.reboot()
    log, clock = start(board)
    assert log.log_id == log_id and log.number > 2
    check_saved(board, log)
    events = [e[3:] for e in reading.parse(log.read(log.head)).entries()]
    assert [track.RECOVERED, ["nv"]] in events
    # With the secrets gone too the visit is unreadable, and what is chained to it is not.
    board.nv.values = {}
    board.reboot()
    log, clock = start(board)
    assert log.log_id == log_id and log.read(1) is None and log.read(2) and log.chain.hash_at(1)


def test_a_flash_put_back_begins_a_new_log_that_names_the_old():
    board = FakeBoard()
    log, clock = start(board)
    log.seal_visit(clock.stamp(), b"one")
    image = dict((k, bytes(v)) for k, v in board.blocks.data.items())
    log.seal_visit(clock.stamp(), b"two")
    old, last, last_hash, number = log.log_id, log.head, log.head_hash, log.number
    board.blocks.data = dict((k, bytearray(v)) for k, v in image.items())
    board.reboot()
    log, clock = start(board)
    assert log.log_id != old and len(log.chains()) == 2
    assert log.chains()[0].log_id == old and log.chains()[0].unsent() == 1
    assert log.number > number
    log.seal_track()
    first = reading.parse(log.read(1))
    assert first.header.previous_log == [old, last, last_hash, "tail"]
    events = []
    for seq in range(1, log.head + 1):
        events += [e[3:] for e in reading.parse(log.read(seq)).entries() if e[0] == track.EVENT]
    assert [track.LOST, [2, 2, "tail", old]] in events
    # The old log is still sent and receipted, under its own id.
    assert log.unsent() == log.head + 1
    assert log.release(1, log.chains()[0].head_hash, old)
    assert log.unsent() == log.head


def test_a_formatted_flash_begins_a_new_log():
    board = FakeBoard()
    log, clock = start(board)
    log.seal_visit(clock.stamp(), b"one")
    old, last_hash, number = log.log_id, log.head_hash, log.number
    fresh = FakeBoard(Blocks(512, 4096), mount="/other")
    fresh.nv = board.nv
    log, clock = start(fresh)
    log.seal_track()
    first = reading.parse(log.read(1))
    assert first.header.previous_log == [old, 1, last_hash, "missing"]
    assert first.header.numbers[0] == number + 1
    # And again: the newborn log is on flash now, so nothing else happens at the next boot.
    log_id = log.log_id
    fresh.reboot()
    log, clock = start(fresh)
    assert log.log_id == log_id and len(log.chains()) == 1


def test_full_flash_refuses_loudly_and_recovers():
    board = FakeBoard(Blocks(64, 4096))
    log, clock = start(board)
    visits = 0
    while log.room():
        clock.now += 60000
        assert log.seal_visit(clock.stamp(), b"e" * 400, b"a" * 3000)
        visits += 1
    assert visits > 30 and log.full and log.counts["event"] == 2  # boot, storage_full
    # Visits that are open then can be closed; fixes go on until the reserve is touched.
    for i in range(9):
        assert log.seal_visit(clock.stamp(), b"e" * 400, b"a" * 3000)
    refused = 0
    for i in range(200):
        refused += log.fix(fix(clock, i)) is None
    assert refused and log.dropped == refused
    assert log.seal_visit(clock.stamp(), b"e" * 400, b"a" * 3000)
    assert log.counts["event"] == 2 and not log.room()
    check_saved(board, log)
    board.reboot()
    log, clock = start(board)
    assert log.full
    # A receipt makes room, which is looked for once a minute.
    assert log.release(log.head, log.head_hash) and log.full
    clock.now += 60000
    log.tick()
    assert not log.full and log.fix(fix(clock))
    assert log.read(log.head)  # the newest sealed segment stays


def test_full_to_the_last_block_keeps_what_is_saved():
    board = FakeBoard(Blocks(40, 4096))
    log, clock = start(board)
    with open("/flash/ballast", "wb") as f:
        try:
            while True:
                f.write(b"x" * 1024)
                f.flush()
        except OSError:
            pass
    for i in range(200):
        clock.now += 15000
        log.event(track.FIX_LOST)
        if i % 20 == 0:
            log.seal_visit(clock.stamp(), b"e" * 300)
        log.tick()
    assert log.full
    board.reboot()
    log, clock = start(board)
    os.remove("/flash/ballast")
    assert log.room()
    clock.now += 100000
    assert log.event(track.FIX_LOST)
    check_saved(board, log)


def test_erases_per_fix_and_per_visit():
    board = FakeBoard()
    log, clock = start(board)
    log.seal_track()
    before = board.blocks.erases, board.blocks.programmed
    for i in range(600):
        clock.now += 15000
        log.fix(fix(clock, i))
    fixes = board.blocks.erases - before[0], board.blocks.programmed - before[1]
    before = board.blocks.erases, board.blocks.programmed
    for i in range(20):
        log.seal_visit(clock.stamp(), b"e" * 300, b"a" * 150)
    visits = board.blocks.erases - before[0], board.blocks.programmed - before[1]
    print("60 fixes: erases/10 %d, bytes %d" % (fixes[0], fixes[1] // 10))
    print("a visit's seal: erases/20 %d, bytes %d" % (visits[0], visits[1] // 20))
    assert fixes[0] < 300, fixes
    assert visits[0] < 40, visits
    print(sum(size for _, size in files("/flash")))
