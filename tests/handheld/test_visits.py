"""The visit machine on real littlefs: what opens, what is refused and why, what a cut leaves."""

import hashlib
import os

import always_loaded  # noqa: F401
from handheld import log as log_module
from handheld import questionnaire, vault
from handheld.cases import Cases
from handheld.log import Log
from handheld.visits import Visits
from handheld_board import Blocks, FakeBoard, FakeClock, PowerCut
from ronda_protocol import fence, issuing, reading, segment, track, visit

HEAP = "4m"

DOOR = (-121200000, -770300000)
NORTH_10M = 905  # 1e-7 degrees of latitude in 10 m, rounded up
EXPIRES = 1789473600 + 86400


def cases(board, quality=visit.CONFIRMED, expires_at=EXPIRES):
    listed = []
    for i in range(3):
        place = [1, quality, 0, DOOR[0] + i * 90000, DOOR[1], 400]
        listed.append(
            {
                "case_id": "caso-%d" % i,
                "portfolio": "banco-a",
                "creditor": "banco",
                "place": place,
                "order": 3 - i,
                "currency": "PEN",
            }
        )
    body = issuing.encode_cases("ronda-1", 1789473600, expires_at, listed)
    path = "%s/round-%d-%d" % (os.getenv("RONDA_TMP"), quality, expires_at)
    nonce = bytes(12)
    with open(path, "wb") as f:
        f.write(nonce + vault.pieces(board, nonce, 0, body))
    return Cases(board, path, 0, len(body), hashlib.sha256(body).digest(), 17)


class Gnss:
    """The receiver's window as the test sets it."""

    def __init__(self, clock):
        self.clock = clock
        self.fixes = []

    def stand(self, metres=0, east=0, hdop=9, flags=0, count=8):
        """Stand so many metres north and east of the first door."""
        quality = [None] * 6 + [flags] if flags else None
        lat, lon = DOOR[0] + metres * NORTH_10M // 10, DOOR[1] + east * 920 // 10
        ms = self.clock.ms() - count * 1000
        self.fixes = [
            [track.FIX, 0, ms + i * 1000, lat, lon, hdop, 12, 3, quality] for i in range(count)
        ]

    def window(self):
        return self.fixes


class Power:
    def read(self):
        return (3912, 77, 1)


class Day:
    """A board, its log and its visits, from power-on."""

    def __init__(self, board=None, packs=None, utc=1789473600):
        self.board = board or FakeBoard()
        self.board.power = Power()
        self.clock = FakeClock(log_module.next_boot(self.board.nv), utc)
        self.clock.now = 20000
        self.log = Log(self.board, self.clock)
        self.log.open()
        self.gnss = Gnss(self.clock)
        self.visits = Visits(
            self.board,
            self.clock,
            self.gnss,
            self.log,
            packs if hasattr(packs, "get") else (packs or cases)(self.board),
        )
        self.visits.open()

    def do(self, name, **args):
        intent = self.visits.intent(name, args)
        try:
            while True:
                intent.send(None)
        except StopIteration as done:
            return done.value

    def segments(self):
        found = []
        for chain in self.log.chains():
            for seq in range(1, chain.head + 1):
                found.append(reading.parse(chain.read(seq)))
        return found

    def evidence(self):
        """The evidence of every sealed visit, in order."""
        return [
            reading.decode_evidence(found.parts[segment.EVIDENCE])
            for found in self.segments()
            if found.header.body == segment.VISIT_BODY
        ]


def opened(**kwargs):
    """A day with a visit open at the first door."""
    day = Day(**kwargs)
    assert day.do("shift_start", gestor="g-07")["code"] == "shift_started"
    day.gnss.stand()
    assert day.do("check_in", case_id="caso-0")["code"] == "opened_inside"
    return day


def test_an_honest_visit_from_check_in_to_close():
    day = opened()
    day.clock.now += 60000
    assert day.do("answer", id="quien", value="titular") == {"ok": True, "code": "answered"}
    promise = {
        "currency": "PEN",
        "kind": visit.PARTIAL,
        "pairs": [[15000, 20260930], [15000, 20261031]],
        "who": "titular",
        "limits": 0,
    }
    day.clock.now += 60000
    done = day.do(
        "close", outcome="promesa", answers={"tipologia": "quiere_puede"}, promise=promise
    )
    assert done["ok"] and done["code"] == "saved"
    assert done["visit_id"] == visit.visit_id("prueba-01", day.log.log_id, done["seq"])
    found = reading.parse(day.log.read(done["seq"]))
    assert sorted(found.parts) == [2, 3, 4]
    assert reading.decode_promise(found.parts[4])[1] == promise
    answers = reading.decode_answers(found.parts[3])
    assert answers[1] == {"quien": "titular", "tipologia": "quiere_puede"}
    assert answers[0] != reading.decode_promise(found.parts[4])[0]
    facts = day.evidence()[0]
    assert facts["ended"] == visit.CLOSED and facts["opened"] == visit.OPENED_INSIDE
    assert facts["check_in"][1] == 20000 and facts["close"][1] == 140000
    assert facts["close"][2] - facts["check_in"][2] == 120
    assert "close_verdict" not in facts and "close_fixes" not in facts
    assert facts["battery"] == [3912, 77, 1] and facts["gestor"] == "g-07"
    assert facts["form"] == questionnaire.form() and facts["cases_version"] == 17
    assert facts["portfolio"] == "banco-a" and facts["law"] == [0]
    # The gateway reproduces the verdict from what the evidence holds.
    fixes = reading.unpack_window(facts["check_in_fixes"], facts["check_in"][1])
    assert len(fixes) == 8
    again = fence.verdict(facts["place"][2:], fence.of_entries(fixes), 50)
    assert again == facts["check_in_verdict"]
    kind, number, digest = day.board.saved_entries[-1]
    assert kind == "visit" and number == found.header.numbers[0]
    assert digest == track.entry_digest([track.VISIT, number, found.header.parts])
    assert day.visits.case_id is None


def test_the_case_is_kept_small_and_whole():
    few = cases(FakeBoard())
    assert few.ids() == ["caso-2", "caso-1", "caso-0"] and few.get("no") is None
    assert few.get("caso-1")["place"] == [1, visit.CONFIRMED, 0, DOOR[0] + 90000, DOOR[1], 400]
    assert few.get(7) is None and few.round_id == "ronda-1"


def test_closing_indoors_needs_no_fix_and_may_ask_for_one():
    day = opened()
    day.gnss.fixes = []
    closing = {"outcome": "sin_acuerdo", "answers": {"quien": "titular"}}
    assert day.do("close", ask_fix=True, **closing)["code"] == "saved"
    facts = day.evidence()[0]
    assert facts["close_verdict"] == [fence.UNCERTAIN, None, None, 0, fence.NO_FIX]
    assert facts["close_fixes"] == [0, b""]


def test_refused_from_across_the_street_with_metres_and_direction():
    day = Day()
    day.do("shift_start", gestor="g-07")
    for north, east, direction in ((90, 0, 4), (-90, 0, 0), (0, 90, 6), (-70, -70, 1)):
        day.gnss.stand(north, east)
        answer = day.do("check_in", case_id="caso-0", acknowledge=True)
        assert answer["code"] == "refused_outside" and not answer["ok"]
        assert answer["direction"] == direction, (north, east, answer)
        assert 48 <= answer["metres"] <= 60, answer
    # Four times within five minutes: one record, sealed when the five minutes are over.
    assert not day.evidence()
    day.clock.now += 299000
    day.visits.tick()
    assert not day.evidence()
    day.clock.now += 1000
    day.visits.tick()
    facts = day.evidence()
    assert len(facts) == 1 and facts[0]["attempts"] == 4
    assert facts[0]["ended"] == visit.REFUSED and facts[0]["opened"] == 0
    assert facts[0]["check_in"][1] == 20000 and facts[0]["case_id"] == "caso-0"
    assert facts[0]["check_in_verdict"][0] == fence.OUTSIDE


def test_refused_attempts_are_sealed_by_what_comes_next():
    def refused():
        day = Day()
        day.do("shift_start", gestor="g-07")
        day.gnss.stand(90)
        assert day.do("check_in", case_id="caso-0")["code"] == "refused_outside"
        return day

    day = refused()
    day.do("check_in", case_id="caso-1")  # a refused one too: 900 m away
    assert [f["case_id"] for f in day.evidence()] == ["caso-0"]
    assert day.do("shift_end")["ok"]
    assert [f["case_id"] for f in day.evidence()] == ["caso-0", "caso-1"]
    day = refused()
    day.gnss.stand()
    day.do("check_in", case_id="caso-0")
    assert [f["ended"] for f in day.evidence()] == [visit.REFUSED]
    day = refused()
    day.gnss.stand(80)
    day.do("check_in", case_id="caso-0")
    day.board.reboot()
    day = Day(day.board, utc=None)
    assert [(f["ended"], f["attempts"]) for f in day.evidence()] == [(visit.REFUSED, 2)]
    day.board.reboot()
    assert len(Day(day.board).evidence()) == 1
    day = refused()
    day.clock.now += 300000
    day.gnss.stand(70)
    day.do("check_in", case_id="caso-0")
    day.do("shift_end")
    assert [f["attempts"] for f in day.evidence()] == [1, 1]


def test_without_a_fix_it_waits_then_asks():
    day = Day()
    day.do("shift_start")
    assert day.do("check_in", case_id="caso-0") == {
        "ok": False,
        "code": "waiting_fix",
        "remaining_s": 120,
    }
    day.clock.now += 50000
    assert day.do("check_in", case_id="caso-0", acknowledge=True)["remaining_s"] == 70
    assert day.do("check_in", case_id="caso-1")["remaining_s"] == 120
    assert day.do("check_in", case_id="caso-0")["remaining_s"] == 120
    # Two hours later it is another visit to that door: the waiting begins anew.
    day.clock.now += 7200000
    assert day.do("check_in", case_id="caso-0")["remaining_s"] == 120
    day.clock.now += 120000
    assert day.do("check_in", case_id="caso-0")["code"] == "ask_unconfirmed"
    assert day.do("check_in", case_id="caso-0", acknowledge="yes")["code"] == "ask_unconfirmed"
    assert day.do("check_in", case_id="caso-0", acknowledge=True)["code"] == "opened_unconfirmed"
    day.do("close", outcome="ausente", answers={"quien": "nadie"})
    facts = day.evidence()[0]
    assert facts["opened"] == visit.OPENED_UNCONFIRMED and facts["check_in_fixes"] == [0, b""]


def test_frozen_fixes_prove_nothing():
    day = Day()
    day.do("shift_start")
    day.gnss.stand(flags=track.FROZEN)
    assert day.do("check_in", case_id="caso-0")["code"] == "ask_unconfirmed"
    assert day.do("check_in", case_id="caso-0", acknowledge=True)["code"] == "opened_unconfirmed"
    day.do("close", outcome="ausente", answers={"quien": "nadie"})
    facts = day.evidence()[0]
    assert facts["check_in_verdict"] == [fence.UNCERTAIN, None, None, 0, fence.DISQUALIFIED]
    fixes = reading.unpack_window(facts["check_in_fixes"], facts["check_in"][1])
    assert [track.fix_flags(fix) for fix in fixes] == [track.FROZEN] * 8


def test_a_geocoded_address_may_be_searched():
    day = Day(packs=lambda board: cases(board, visit.GEOCODED))
    day.do("shift_start")
    day.gnss.stand(300)
    assert day.do("check_in", case_id="caso-0")["code"] == "opened_address"
    day.do("close", outcome="mudado", answers={"quien": "tercero"})
    day.gnss.stand(-400)
    assert day.do("check_in", case_id="caso-0")["code"] == "refused_outside"


def test_why_a_check_in_is_refused():
    day = Day(utc=None)
    day.gnss.stand()
    codes = []
    codes.append(day.do("check_in", case_id="caso-0")["code"])
    day.do("shift_start")
    codes.append(day.do("check_in", case_id="caso-0")["code"])
    day.clock._utc = 1789473600
    codes.append(day.do("check_in", case_id="caso-9")["code"])
    codes.append(day.do("check_in", case_id=[1])["code"])
    day.clock._utc = EXPIRES
    codes.append(day.do("check_in", case_id="caso-0")["code"])
    day.visits.cases = None
    codes.append(day.do("check_in", case_id="caso-0")["code"])
    assert codes == "no_shift no_time no_case no_case cases_expired no_cases".split()
    day = opened()
    assert day.do("check_in", case_id="caso-1")["code"] == "already_open"
    assert day.do("shift_end") == {"ok": False, "code": "visit_open", "case_id": "caso-0"}
    assert day.do("shift_start")["code"] == "in_shift"
    assert day.do("dance")["code"] == "unknown_intent"
    status = day.do("status")
    assert status["visit"] == "caso-0" and status["shift"] and status["open"] == 3


def test_a_full_flash_refuses_a_visit_but_closes_the_open_one():
    day = opened(board=FakeBoard(Blocks(64, 4096)))

    def fill():
        while day.log.room():
            day.log.seal_visit(day.clock.stamp(), b"e" * 200, b"a" * 3000)

    fill()
    assert day.do("close", outcome="ausente", answers={"quien": "nadie"})["code"] == "saved"
    fill()
    assert day.do("check_in", case_id="caso-0")["code"] == "storage_full"
    day.log.release(day.log.head, day.log.head_hash)
    assert day.do("check_in", case_id="caso-0")["code"] == "opened_inside"


def test_answers_are_checked_against_the_questionnaire():
    day = opened()
    assert day.do("answer", id="quien", value="el perro")["problems"] == ["value:quien"]
    assert day.do("answer", id="color", value="rojo")["problems"] == ["unknown:color"]
    assert day.do("answer")["problems"] == ["unknown:None"]
    for closing, problems in (
        ({}, ["outcome", "required:quien"]),
        ({"outcome": "ausente"}, ["required:quien"]),
        ({"outcome": "ausente", "answers": [1]}, ["answers"]),
        ({"outcome": "disputa", "answers": {"quien": "titular"}}, ["required:disputa"]),
        (
            {"outcome": "ausente", "answers": {"quien": "nadie", "tipologia": "quiere_puede"}},
            ["irrelevant:tipologia"],
        ),
        ({"outcome": "promesa", "answers": {"quien": "titular"}}, ["promise_missing"]),
        (
            {"outcome": "ya_pago", "answers": {"quien": "titular", "pagado_el": 20260231}},
            ["value:pagado_el"],
        ),
    ):
        answer = day.do("close", **closing)
        assert answer == {"ok": False, "code": "invalid", "problems": problems}, answer
    promise = {"currency": "PEN", "kind": 1, "pairs": [[1, 20260930]], "who": "nadie", "limits": 0}
    validate = questionnaire.validate
    assert validate({"quien": "nadie"}, "promesa", promise) == ["promise_who"]
    assert validate({"quien": "titular"}, "promesa", promise) == ["promise_who"]
    promise["who"] = "titular"
    assert validate({"quien": "titular"}, "promesa", promise) == []
    assert validate({"quien": "titular"}, "ausente", promise) == ["promise_unexpected"]
    promise["pairs"] = [[0, 20260930]]
    assert validate({"quien": "titular"}, "promesa", promise) == ["promise"]
    assert validate({"quien": "titular"}, "promesa", 5) == ["promise"]
    assert day.visits.case_id == "caso-0" and not day.evidence()


def test_an_open_visit_survives_the_power():
    day = opened()
    day.do("answer", id="quien", value="tercero")
    day.do("answer", id="quien", value="titular")
    day.do("answer", id="volver_el", value=20260930)
    day.board.reboot()
    day = Day(day.board, utc=None)
    assert not day.evidence() and day.do("status")["resume"] == "caso-0"
    # Nobody knows what time it is: ten minutes later it is over.
    day.clock.now = 600000
    day.visits.tick()
    facts = day.evidence()
    assert len(facts) == 1 and facts[0]["ended"] == visit.INTERRUPTED
    assert facts[0]["check_in"][0] == 1 and "outcome" not in facts[0] and "close" not in facts[0]
    found = [s for s in day.segments() if s.header.body == segment.VISIT_BODY][0]
    assert reading.decode_answers(found.parts[3])[1] == {"quien": "titular", "volver_el": 20260930}
    assert found.header.stamp[0] == 2
    # The shift goes on, and the next visit can begin as soon as there is time.
    assert day.visits.in_shift and day.visits.gestor == "g-07" and day.visits.case_id is None
    day.clock._utc = 1789473600
    day.gnss.stand()
    assert day.do("check_in", case_id="caso-0")["ok"]


def test_power_cuts_at_every_operation_of_a_visit():
    day = Day()
    day.do("shift_start", gestor="g-07")
    base = dict((k, bytes(v)) for k, v in day.board.blocks.data.items())
    nv = dict(day.board.nv.values)
    saved = list(day.board.saved_entries)
    board = day.board
    k = 0
    while True:
        k += 1
        board.blocks.data = dict((n, bytearray(v)) for n, v in base.items())
        board.nv.values = dict(nv)
        board.saved_entries = list(saved)
        board.reboot(cut_at=k, torn=k & 1)
        done = []
        try:
            day = Day(board)
            day.gnss.stand(90)
            done.append(day.do("check_in", case_id="caso-0")["code"])
            done.append(day.do("check_in", case_id="caso-0")["code"])
            day.gnss.stand()
            done.append(day.do("check_in", case_id="caso-0")["code"])
            done.append(day.do("answer", id="quien", value="titular")["code"])
            done.append(day.do("close", outcome="sin_acuerdo")["code"])
            done.append(day.do("shift_end")["code"])
        except PowerCut:
            pass
        board.reboot()
        day = Day(board)
        if day.visits.pending:
            assert day.do("resume", accept=False)["code"] == "interrupted", k
        ended = [f["ended"] for f in day.evidence()]
        # Once means once: whatever the cut, no attempt and no visit is there twice.
        assert ended.count(visit.REFUSED) <= 1 and len(ended) <= 2, (k, ended)
        assert len(done) < 1 or ended[0] == visit.REFUSED, (k, ended)
        assert len(done) < 3 or ended[1] in (visit.CLOSED, visit.INTERRUPTED), (k, ended)
        assert len(done) < 5 or ended[1] == visit.CLOSED, (k, ended)
        # The next visit goes on.
        if not day.visits.in_shift:
            day.do("shift_start")
        day.gnss.stand()
        day.visits.cases = day.visits.cases or cases(board)  # wiped with its round
        assert day.do("check_in", case_id="caso-0")["ok"], k
        assert day.do("close", outcome="ausente", answers={"quien": "nadie"})["ok"], k
        day.log.seal_track()
        there = {}
        for found in day.segments():
            for entry in found.entries():
                there.setdefault(entry[1], []).append(track.entry_digest(entry))
        for kind, number, digest in board.saved_entries:
            assert there.get(number) == [digest], (k, kind, number)
        if len(done) == 6:
            break
    print("cut points", k)


def test_erases_of_a_whole_visit():
    day = opened()
    day.do("close", outcome="ausente", answers={"quien": "nadie"})
    before = day.board.blocks.erases, day.board.blocks.programmed
    for _ in range(10):
        day.clock.now += 600000
        day.gnss.stand()
        assert day.do("check_in", case_id="caso-0")["ok"]
        day.do("answer", id="quien", value="titular")
        day.do("answer", id="tipologia", value="quiere_puede")
        assert day.do("close", outcome="sin_acuerdo")["ok"]
    erases = day.board.blocks.erases - before[0]
    print("10 visits: erases %d, bytes %d" % (erases, day.board.blocks.programmed - before[1]))
    print("a sealed visit: %d bytes" % len(day.log.read(day.log.head)))
    assert erases <= 60, erases
