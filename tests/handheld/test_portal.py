"""Dwell, polygon places and check-ins upstairs of a registered portal, in the visit machine."""

import sys

import always_loaded  # noqa: F401
from handheld_board import FakeBoard
from ronda_protocol import fence, reading, segment, track, visit
from test_visits import DOOR, Day, Gnss

HEAP = "4m"

MINUTE = 60000
CLOSING = {"outcome": "ausente", "answers": {"quien": "nadie"}}
# Forty metres by forty around the first door; a second one behind it.
BLOCK = [DOOR[0] - 1810, DOOR[1] - 1840, 3620, 0, 0, 3680, -3620, 0]
BOW = [DOOR[0], DOOR[1], 3620, 3680, 0, -3680, -3620, 3680]


class Round:
    """Cases of one building, and one elsewhere."""

    version = 17
    expires_at = 1789473600 + 86400

    def __init__(self, *places):
        self.places = places or (
            [1, visit.CONFIRMED, 0, DOOR[0], DOOR[1], 400],
            [1, visit.CONFIRMED, 0, DOOR[0] + 90, DOOR[1], 400],
            [1, visit.CONFIRMED, 0, DOOR[0] + 90000, DOOR[1], 400],
        )

    def get(self, case_id):
        for i in range(len(self.places)):
            if case_id == "caso-%d" % i:
                return {
                    "case_id": case_id,
                    "portfolio": "banco-a",
                    "creditor": "banco",
                    "place": self.places[i],
                }


class Walk(Gnss):
    """A receiver that tells each fix to whoever watches, a second apart."""

    watch = None

    def stay(self, day, seconds, metres=0, east=0, flags=0):
        for _ in range(seconds):
            day.clock.now += 1000
            fixes = self.fixes
            self.stand(metres, east, flags=flags, count=1)
            fix = self.fixes[0]
            fix[2] = day.clock.ms()
            self.fixes = (fixes + [fix])[-8:]
            if self.watch:
                self.watch(fix[2], fix[3], fix[4], fix[5], flags)

    def indoors(self, day, seconds):
        day.clock.now += seconds * 1000
        self.fixes = []


def begun(board=None, *places):
    """A day with the shift begun, eight seconds at the first door."""
    day = Day(board, Round(*places))
    day.gnss = day.visits.gnss = Walk(day.clock)
    assert day.do("shift_start", gestor="g-07")["ok"] or day.visits.in_shift
    day.gnss.stay(day, 8)
    return day


def closed(day, **closing):
    closing.update(CLOSING)
    assert day.do("close", **closing)["code"] == "saved"
    facts = day.evidence()[-1]
    # What anybody recomputes from the evidence.
    judge = fence.Plane(facts["place"][2:])
    for moment in ("check_in", "close"):
        if moment + "_verdict" in facts:
            fixes = reading.unpack_window(facts[moment + "_fixes"], facts[moment][1])
            assert judge.verdict(fence.of_entries(fixes)) == facts[moment + "_verdict"]
    if "portal" in facts:
        stamp, window, verdict, _ = facts["portal"]
        fixes = reading.unpack_window(window, stamp[1])
        assert judge.verdict(fence.of_entries(fixes)) == verdict
    return facts


# --- dwell ---


def test_how_long_the_fixes_stayed():
    day = begun()
    assert day.do("check_in", case_id="caso-0")["code"] == "opened_inside"
    assert day.gnss.watch
    day.gnss.stay(day, 100)
    day.gnss.stay(day, 20, 100)
    day.gnss.stay(day, 50)
    day.gnss.indoors(day, 300)
    assert closed(day)["dwell"] == [7, 100]
    assert day.gnss.watch is None and day.visits.stay is None


def test_a_try_that_was_refused_begins_the_watch():
    day = begun()
    day.gnss.stay(day, 10, 90)
    assert day.do("check_in", case_id="caso-0")["code"] == "refused_outside"
    day.gnss.stay(day, 30)
    assert day.do("check_in", case_id="caso-0")["code"] == "opened_inside"
    assert closed(day, ask_fix=True)["dwell"] == [29, 0]
    assert day.evidence()[0]["dwell"] == [0, None]
    # Another case begins anew.
    day.do("check_in", case_id="caso-1")
    assert closed(day)["dwell"] == [7, 0]


def test_another_place_of_the_same_case_begins_anew():
    day = begun()
    day.do("check_in", case_id="caso-2")
    day.visits.cases = Round(*[[2, visit.CONFIRMED, 0, DOOR[0], DOOR[1], 400]] * 3)
    assert day.do("check_in", case_id="caso-2")["code"] == "opened_inside"
    assert closed(day)["place"][0] == 2


def test_an_agency_may_want_a_dwell():
    day = begun()
    day.visits.dwell_s = 30
    answer = day.do("check_in", case_id="caso-0", acknowledge=True)
    assert answer == {"ok": False, "code": "waiting_dwell", "remaining_s": 23}
    assert day.do("register_portal", case_id="caso-0") == answer
    assert day.visits.portal is None
    day.gnss.stay(day, 22)
    assert day.do("check_in", case_id="caso-0")["remaining_s"] == 1
    day.gnss.stay(day, 1)
    assert day.do("check_in", case_id="caso-0")["code"] == "opened_inside"
    assert closed(day)["dwell"] == [30, 0] and not day.evidence()[1:]
    # A portal without a case has the dwell of its fixes alone.
    assert day.do("register_portal")["code"] == "portal_registered"
    day.gnss.indoors(day, 60)
    assert day.do("check_in", case_id="caso-0")["code"] == "waiting_fix"
    day.visits.dwell_s = 7
    assert day.do("check_in", case_id="caso-0")["code"] == "opened_portal"


def test_an_interrupted_visit_has_no_dwell_after_its_check_in():
    day = begun()
    day.do("check_in", case_id="caso-0")
    day.gnss.stay(day, 100)
    day.board.reboot()
    day = Day(day.board, Round())
    assert day.do("resume", accept=False)["code"] == "interrupted"
    facts = day.evidence()[0]
    assert facts["ended"] == visit.INTERRUPTED and facts["dwell"] == [7, None]


# --- polygons ---


def test_a_polygon_opens_and_refuses():
    for name in list(sys.modules):
        if name == "ronda_protocol.polygon":
            del sys.modules[name]
    circle = [1, visit.CONFIRMED, 0, DOOR[0], DOOR[1], 400]
    day = begun(None, [1, visit.CONFIRMED, 1, BLOCK], circle, [1, visit.CONFIRMED, 1, BOW])
    day.do("check_in", case_id="caso-1")
    closed(day)
    assert "ronda_protocol.polygon" not in sys.modules
    assert day.do("check_in", case_id="caso-2")["code"] == "bad_place"
    assert day.do("register_portal", case_id="caso-2")["code"] == "bad_place"
    assert day.do("check_in", case_id="caso-0")["code"] == "opened_inside"
    facts = closed(day, ask_fix=True)
    assert facts["place"] == [1, visit.CONFIRMED, 1, BLOCK]
    assert facts["check_in_verdict"] == [fence.INSIDE, -200, 50, 8, 0], facts
    for north, east, direction in ((90, 0, 4), (-90, 0, 0), (0, 90, 6), (-70, -70, 1)):
        day.gnss.stay(day, 8, north, east)
        answer = day.do("check_in", case_id="caso-0")
        assert answer["code"] == "refused_outside" and answer["direction"] == direction
        assert 69 <= answer["metres"] <= 72, answer


# --- portals ---


def upstairs(board=None, **register):
    """A day whose gestor registered the portal, and went upstairs for five minutes."""
    day = begun(board)
    answer = day.do("register_portal", **register)
    assert answer["code"] == "portal_registered" and answer["good_s"] == 1200, answer
    day.gnss.indoors(day, 300)
    return day


def test_a_portal_opens_upstairs_and_closes_at_the_entrance():
    day = upstairs(case_id="caso-0")
    assert day.do("status")["portal_s"] == 900
    assert day.do("check_in", case_id="caso-0")["code"] == "opened_portal"
    day.do("answer", id="quien", value="nadie")
    day.gnss.indoors(day, 600)
    answer = day.do("close", outcome="ausente")
    assert answer["code"] == "ask_portal_fix" and not answer["ok"]
    assert answer["verdict"][4] == fence.NO_FIX and "metres" not in answer
    assert day.visits.case_id == "caso-0"
    day.gnss.stay(day, 8, 300)
    answer = day.do("close", outcome="ausente")
    assert answer["code"] == "ask_portal_fix" and answer["direction"] == 4, answer
    assert answer["metres"] == 260 or answer["metres"] == 261
    day.gnss.stay(day, 12)
    facts = closed(day)
    assert facts["opened"] == visit.OPENED_PORTAL and "no_signal" not in facts
    assert facts["check_in_verdict"] == [3, None, None, 0, fence.NO_FIX]
    assert facts["close_verdict"][0] == fence.INSIDE and facts["dwell"] == [0, 11]
    stamp, _, verdict, dwell = facts["portal"]
    assert verdict[0] == fence.INSIDE and dwell == 7
    assert facts["check_in"][1] - stamp[1] == 300000 and stamp[0] == facts["check_in"][0]


def test_no_signal_closes_it_too_and_is_told():
    day = upstairs(case_id="caso-0")
    day.do("check_in", case_id="caso-0")
    assert day.do("close", no_signal="yes", **CLOSING)["code"] == "ask_portal_fix"
    facts = closed(day, no_signal=True)
    assert facts["no_signal"] is True and facts["close_verdict"][4] == fence.NO_FIX
    assert facts["close_fixes"] == [0, b""]
    # Said for nothing, it is not told.
    day = upstairs(case_id="caso-0")
    day.do("check_in", case_id="caso-0")
    day.gnss.stay(day, 8)
    assert "no_signal" not in closed(day, no_signal=True)
    day.do("check_in", case_id="caso-0")
    facts = closed(day, no_signal=True)
    assert facts["opened"] == visit.OPENED_INSIDE and "no_signal" not in facts


def test_twenty_minutes_and_no_longer():
    for late, code in ((0, "opened_portal"), (100, "waiting_fix")):
        day = begun()
        day.do("register_portal", case_id="caso-0")
        day.gnss.indoors(day, 1200)
        day.clock.now += late
        assert day.do("check_in", case_id="caso-0")["code"] == code
    assert day.visits.portal is None
    day = upstairs()
    day.clock.now += 900 * 1000
    day.visits.tick()
    assert day.visits.portal is None and day.do("status")["portal_s"] == 0


def test_one_portal_for_a_building():
    day = upstairs()
    for case_id in ("caso-0", "caso-1"):
        assert day.do("check_in", case_id=case_id)["code"] == "opened_portal"
        facts = closed(day, no_signal=True)
        assert facts["case_id"] == case_id and facts["portal"][3] == 7
    assert day.do("check_in", case_id="caso-2")["code"] == "waiting_fix"
    # Registered for one of them, it is good for its neighbour.
    day = upstairs(case_id="caso-0")
    assert day.do("check_in", case_id="caso-1")["code"] == "opened_portal"


def test_the_sky_upstairs_comes_before_the_portal():
    day = upstairs(case_id="caso-0")
    day.gnss.stay(day, 8, 200)
    assert day.do("check_in", case_id="caso-0")["code"] == "refused_outside"
    day.gnss.stay(day, 8, 38)
    assert day.do("check_in", case_id="caso-0")["code"] == "opened_portal"
    closed(day, no_signal=True)
    day.gnss.stay(day, 8)
    assert day.do("check_in", case_id="caso-0")["code"] == "opened_inside"
    assert "portal" not in closed(day)


def test_where_no_portal_can_be_registered():
    day = begun()
    day.gnss.stay(day, 8, 90)
    answer = day.do("register_portal", case_id="caso-0")
    assert answer == {"ok": False, "code": "refused_outside", "metres": 51, "direction": 4}
    day.gnss.stay(day, 8, 38)
    answer = day.do("register_portal", case_id="caso-0")
    assert answer["code"] == "portal_unsure" and answer["verdict"][0] == fence.UNCERTAIN
    assert day.do("register_portal", case_id="caso-9")["code"] == "no_case"
    day.gnss.stay(day, 8, flags=track.FROZEN)
    assert day.do("register_portal")["code"] == "portal_no_fix"
    assert day.do("register_portal", case_id="caso-0")["code"] == "portal_no_fix"
    day.gnss.indoors(day, 10)
    assert day.do("register_portal")["code"] == "portal_no_fix"
    day.gnss.stand(hdop=255)
    assert day.do("register_portal")["code"] == "portal_no_fix"
    # Nothing of this is a refused attempt at the door.
    day.do("shift_end")
    assert day.visits.portal is None and not day.evidence()
    assert day.do("register_portal")["code"] == "no_shift"


def test_an_open_visit_and_the_end_of_the_shift():
    day = upstairs()
    day.do("check_in", case_id="caso-0")
    assert day.do("register_portal", case_id="caso-0")["code"] == "already_open"
    assert day.do("register_portal")["code"] == "already_open"
    closed(day, no_signal=True)
    day.do("shift_end")
    day.do("shift_start")
    assert day.do("check_in", case_id="caso-0")["code"] == "no_cases"  # they went with the shift
    day.visits.cases = Round()
    assert day.do("check_in", case_id="caso-0")["code"] == "waiting_fix"


def test_a_restart_ends_it_whatever_the_clock_says():
    day = upstairs(case_id="caso-0")
    day.board.reboot()
    day = Day(day.board, Round())
    day.gnss = day.visits.gnss = Walk(day.clock)
    assert day.visits.in_shift and day.do("status")["portal_s"] == 0
    assert day.do("check_in", case_id="caso-0")["code"] == "waiting_fix"


def test_a_power_cut_upstairs_keeps_what_was_registered():
    day = upstairs(FakeBoard(), case_id="caso-0")
    day.do("check_in", case_id="caso-0")
    day.board.reboot()
    day = Day(day.board, Round())
    assert day.do("resume", accept=False)["code"] == "interrupted"
    facts = day.evidence()[0]
    assert facts["ended"] == visit.INTERRUPTED and facts["opened"] == visit.OPENED_PORTAL
    assert facts["portal"][2][0] == fence.INSIDE and facts["dwell"] == [0, None]
    found = [s for s in Day(day.board, Round()).segments() if s.header.body == segment.VISIT_BODY]
    assert len(found) == 1
