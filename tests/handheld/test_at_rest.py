"""What a copied flash image tells of a debtor: nothing, at no moment of a round, after any cut."""

import binascii
import hashlib
import os

import always_loaded  # noqa: F401
from handheld import packs, provision, vault, wipe
from handheld_board import PowerCut
from pii_scan import needles, scan
from ronda_protocol import cbor, pack, reading, segment, track, visit
from test_inbox import NOW, Handheld, LinkBoard, cases_pack, chunks, trust_pack, whole
from test_visits import DOOR, Day

HEAP = "6m"

WORDS = (
    "Juana Quispe Mamani",
    "Jr. Las Gardenias 482, Surquillo",
    "DNI 45879213",
    "cartera-reservada",
    "Financiera Huascarán",
    "puede_no_quiere",
    "codeudor",
    "convenio",
    "me equivoqué de monto con la señora",
)
NUMBERS = (45879213, 1234567, 20261117, 987654321)
WANTED = needles(WORDS, NUMBERS)
PROMISE = {
    "currency": "PEN",
    "kind": 2,
    "pairs": [[1234567, 20261117]],
    "who": "codeudor",
    "limits": 0,
}
CLOSING = {"outcome": "convenio", "answers": {"quien": "codeudor"}, "promise": PROMISE}


def body(count=3, expires=NOW + 86400):
    """Cases with what later versions will tell of a debtor: unknown keys are passed over."""
    listed = []
    for i in range(count):
        place = [1, 1, 0, DOOR[0] + i * 90000, DOOR[1], 400]
        found = {1: "caso-%d" % i, 2: "cartera-reservada", 3: "Financiera Huascarán"}
        found.update({4: place, 5: i, 6: "PEN", 20: WORDS[0], 21: WORDS[1], 22: WORDS[2]})
        found.update({23: 45879213, 24: 1234567, 25: 987654321})
        listed.append(found)
    return cbor.encode({1: "r1", 2: NOW, 3: expires, 4: listed})


def image(board):
    """Every block as it lies in the chip, stale ones too, in the order of their numbers."""
    data = board.blocks.data
    return b"".join([bytes(data[number]) for number in sorted(data)])


def clean(board):
    found = scan(image(board), WANTED)
    assert not found, found


def begun(board=None):
    """A day whose cases came by provisioning, with a shift begun."""
    if not board:
        board = LinkBoard(128)
        cases = whole(*cases_pack(10, body=body()))
        provision.install(board, "prueba-01", whole(*trust_pack()), cases)
    day = Day(board, packs=lambda _: None, utc=NOW)
    load(day)
    day.visits.in_shift or day.do("shift_start", gestor="g-07")
    day.gnss.stand()
    return day


def load(day):
    from handheld.trust import Trust

    trust = Trust(day.board)
    for row, value in packs.take(trust, day.clock, day.log):
        if row[0] == pack.CASES:
            day.visits.cases = value
    day.trust = trust


def test_the_search_finds_what_is_there():
    for word in WORDS:
        for form in (word.encode(), b"x" + word.encode() + b"y"):
            assert scan(form, WANTED) and scan(form.upper(), WANTED)
            assert scan(binascii.hexlify(form), WANTED) and scan(binascii.b2a_base64(form), WANTED)
    for number in NUMBERS:
        assert scan(cbor.encode([1, {2: number}]), WANTED), number
        assert scan(str(number).encode(), WANTED)
    assert len(scan(body(), WANTED)) >= 8
    assert not scan(hashlib.sha256(b"x").digest() * 9, WANTED)


def test_nothing_of_a_debtor_lies_in_clear_in_a_round():
    day = begun()
    clean(day.board)
    assert day.visits.cases.get("caso-0")["portfolio"] == "cartera-reservada"
    assert day.do("check_in", case_id="caso-0")["ok"]
    clean(day.board)
    for name, value in (("quien", "codeudor"), ("tipologia", "puede_no_quiere")):
        assert day.do("answer", id=name, value=value)["ok"]
        clean(day.board)
    assert day.do("answer", id="volver_el", value=20261117)["ok"]
    clean(day.board)
    done = day.do("close", **CLOSING)
    assert done["ok"], done
    clean(day.board)
    fix = {"reason": WORDS[8], "seq": done["seq"]}
    assert day.do("correct", field="promise", value=None, **fix)["ok"]
    assert day.do("correct", field="answers.tipologia", value="puede_no_quiere", **fix)["ok"]
    day.gnss.stand(90)
    assert day.do("check_in", case_id="caso-0")["code"] == "refused_outside"
    clean(day.board)
    # What is sent holds all of it, and verifies.
    sent = b"".join([day.log.read(seq) for seq in range(1, day.log.head + 1)])
    assert len(scan(sent, WANTED)) >= 6, scan(sent, WANTED)
    # Receipted, it stays as grace.
    assert day.log.release(day.log.head, day.log.head_hash)
    clean(day.board)
    assert day.log.read(done["seq"]) and day.do("shift_end")["ok"]
    clean(day.board)


def test_nor_after_a_power_cut_at_any_operation_of_a_save():
    def door(day):
        day.do("check_in", case_id="caso-0")
        for name, value in (("quien", "codeudor"), ("tipologia", "puede_no_quiere")):
            day.do("answer", id=name, value=value)
        day.do("close", **CLOSING)

    board = begun().board
    blocks = dict((k, bytes(v)) for k, v in board.blocks.data.items())
    values = dict(board.nv.values)
    cut, ended = 0, False
    while not ended:
        cut += 1
        board.blocks.data = dict((k, bytearray(v)) for k, v in blocks.items())
        board.nv.values = dict(values)
        board.reboot()
        day = begun(board)
        board.flash.operations, board.flash.cut_at, board.flash.torn = 0, cut, bool(cut & 1)
        try:
            door(day)
            ended = True
        except PowerCut:
            pass
        clean(board)
        board.reboot()
        day = Day(board, packs=lambda _: None, utc=NOW)
        clean(board)
    assert cut > 10, cut


async def test_nor_while_chunks_arrive_and_after_a_cut_among_them():
    message, data = cases_pack(20, body=body(40))
    board, cut = None, 0
    device = Handheld(LinkBoard(128) if board else None)
    parts = chunks(message, data)
    assert len(parts) > 3
    assert await device.get(message, *parts[:2]) == []
    clean(device.board)
    device.board.flash.cut_at = device.board.flash.operations + 4
    try:
        await device.get(*parts[2:])
    except PowerCut:
        cut = 1
    clean(device.board)
    device.board.reboot()
    again = Handheld(device.board)
    assert cut and again.sync.coming and again.sync.coming[1] >= 4096
    assert await again.get(*parts[again.sync.coming[1] // 2048 :]) == []
    clean(device.board)
    assert again.in_force() == 20 and again.found[-1][1].get("caso-39")["order"] == 39


def test_a_changed_byte_is_a_damaged_record():
    day = begun()
    day.do("check_in", case_id="caso-0")
    day.do("answer", id="quien", value="codeudor")
    done = day.do("close", **CLOSING)
    raw = day.log.chain._raw(done["seq"])
    where = day.log.log_id + done["seq"].to_bytes(4, "big")
    begin = raw.find(b"\x59", 200)
    while vault.show(day.board, where, raw, begin) is None:
        begin = raw.find(b"\x59", begin + 1)
    plain = vault.show(day.board, where, raw, begin)
    assert plain == day.log.read(done["seq"])
    for at in range(begin, len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 4
        found = vault.show(day.board, where, bytes(changed), begin)
        # The mark of a key that is gone leaves out what was said; nothing else is believed.
        gone = begin + 15 <= at < begin + 19
        assert found is None or gone and plain.startswith(found) and len(found) < len(plain), at
    assert vault.show(day.board, b"elsewhere", raw, begin) is None


def test_a_pack_in_clear_is_refused():
    day = begun()
    with open("/flash/packs/cases", "wb") as f:
        f.write(whole(*cases_pack(30, body=body())))
    try:
        packs.load(day.trust, day.clock, pack.CASES)
        assert False
    except pack.PackError as error:
        assert error.code == "unreadable"
    assert day.visits.cases.get("caso-0") is None


def round_of(board):
    """Whether a boot can still read the cases that lie on flash."""
    day = Day(board, packs=lambda _: None, utc=NOW)
    load(day)
    return day.visits.cases is not None


def events(day, code):
    day.log.seal_track()
    found = []
    for seq in range(1, day.log.head + 1):
        part = reading.parse(day.log.read(seq))
        found += [entry[4] for entry in part.entries() if entry[:1] + entry[3:4] == [3, code]]
    return found


def test_the_end_of_the_shift_ends_the_round():
    day = begun()
    with open("/flash/packs/cases", "rb") as f:
        old = f.read()
    day.do("check_in", case_id="caso-0")
    done = day.do("close", **CLOSING)
    assert day.do("shift_end")["ok"] and day.visits.cases is None
    assert events(day, track.WIPED) == [["round"]] and not vault.owed(day.board)
    assert "cases" not in os.listdir("/flash/packs")
    # The image as it was, put back: nobody can read it any more.
    with open("/flash/packs/cases", "wb") as f:
        f.write(old)
    assert not round_of(day.board)
    # What was said at the door is not the round's: it is still to be sent, and in grace after it.
    assert len(scan(day.log.read(done["seq"]), WANTED)) >= 3
    clean(day.board)


def test_a_set_that_came_for_tomorrow_stays():
    day = begun()
    day.do("check_in", case_id="caso-0")
    day.do("close", **CLOSING)
    day.visits.cases.version += 1  # another one has come
    assert day.do("shift_end")["ok"] and day.visits.cases
    assert round_of(day.board) and not events(day, track.WIPED)


def test_a_wipe_of_all_leaves_what_proves_the_visit():
    day = begun()
    day.do("check_in", case_id="caso-0")
    first = day.do("close", **CLOSING)["seq"]
    day.do("check_in", case_id="caso-0")
    day.do("answer", id="quien", value="codeudor")
    wipe.run(day.visits, wipe.ALL)
    assert day.visits.cases is None and day.visits.case_id is None
    parts = [reading.parse(day.log.read(seq)) for seq in range(1, day.log.head + 1)]
    parts = [part for part in parts if part.header.body == segment.VISIT_BODY]
    assert parts[0].header.seq == first and sorted(parts[0].header.parts) == [2, 3, 4]
    assert sorted(parts[0].parts) == [2]  # signed for, and gone
    facts = [reading.decode_evidence(part.parts[2]) for part in parts]
    assert [f["ended"] for f in facts] == [visit.CLOSED, visit.INTERRUPTED]
    assert events(day, track.WIPED) == [["all"]]
    assert events(day, track.LOST) == [[first, first, "wiped"]]
    clean(day.board)
    day.board.reboot()
    assert not round_of(day.board)


def test_a_wipe_cut_at_any_operation_is_ended_by_the_next_boot():
    board = begun().board
    day = begun(board)
    day.do("check_in", case_id="caso-0")
    day.do("close", **CLOSING)
    blocks = dict((k, bytes(v)) for k, v in board.blocks.data.items())
    values = dict(board.nv.values)
    for what in (wipe.ROUND, wipe.ALL):
        cut, ended = 0, False
        while not ended:
            cut += 1
            board.blocks.data = dict((k, bytearray(v)) for k, v in blocks.items())
            board.nv.values = dict(values)
            board.reboot()
            day = begun(board)
            board.flash.operations, board.flash.cut_at = 0, cut
            try:
                wipe.run(day.visits, what)
                ended = True
            except PowerCut:
                pass
            assert board.nv.values["rest"] != values["rest"]
            board.reboot()
            day = Day(board, packs=lambda _: None, utc=NOW)
            assert not vault.owed(board) and "cases" not in os.listdir("/flash/packs"), cut
            assert ["round" if what == wipe.ROUND else "all"] in events(day, track.WIPED)
            clean(board)
        assert cut > 2, cut


def test_a_bench_wipes_and_the_next_boot_tells():
    day = begun()
    wipe.destroy(day.board, wipe.ALL)
    assert "cases" not in os.listdir("/flash/packs") and vault.owed(day.board) == wipe.ALL
    day.board.reboot()
    day = Day(day.board, packs=lambda _: None, utc=NOW)
    assert events(day, track.WIPED) == [["all"]]


def test_cases_past_their_time_are_over_and_others_are_not():
    for expires, over in ((NOW + 86400, False), (NOW - 1, True)):
        board = LinkBoard(128)
        provision.install(board, "prueba-01", whole(*trust_pack()))
        packs.store(
            board, "/flash/packs/cases", whole(*cases_pack(10, body=body(expires=expires)))
        )
        day = Day(board, packs=lambda _: None, utc=NOW)
        load(day)
        assert packs.over(day.trust, day.clock) is over
