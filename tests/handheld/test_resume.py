"""A visit that was open when the power went: offered at the same door, gone on with, or sealed."""

import always_loaded  # noqa: F401
from handheld_board import PowerCut
from ronda_protocol import fence, reading, segment, track, visit
from test_visits import Day, opened

HEAP = "6m"
START = 1789473600


def cut(away_s=120, metres=0, day=None):
    """A visit with an answer and a later fix, the power gone, and back `away_s` after that."""
    day = day or opened()
    day.do("answer", id="quien", value="titular")
    day.clock.now += 30000
    day.log.fix([track.FIX, 0, day.clock.ms(), -121200000, -770300000, 9, 12, 3, None])
    last = day.clock.utc()
    day.board.reboot()
    after = Day(day.board, utc=last + away_s - 20)  # a boot's clock begins at 20 s
    after.last = last
    after.gnss.stand(metres)
    return after


def words(day):
    """What the log says of it."""
    day.log.seal_track()
    found = []
    for part in day.segments():
        found += [e[4][1] for e in part.entries() if e[0] == 3 and e[3] == track.VISIT_RESUME]
    return found


def test_it_is_offered_inside_and_goes_on():
    day = cut()
    assert day.visits.case_id is None and not day.evidence()
    assert day.do("check_in", case_id="caso-0")["code"] == "ask_resume"
    assert day.do("close", outcome="ausente")["code"] == "no_visit"
    day.visits.tick()
    assert ("resume", {"case_id": "caso-0"}) in day.board.told
    day.clock.now += 15000
    day.gnss.stand()
    day.visits.tick()
    done = day.do("resume", accept=True)
    assert done == {"ok": True, "code": "resumed", "case_id": "caso-0", "answers": ["quien"]}
    assert day.do("resume", accept=True)["code"] == "no_resume"
    assert day.do("answer", id="volver_el", value=20260930)["ok"]
    day.clock.now += 60000
    assert day.do("close", outcome="sin_acuerdo")["code"] == "saved"
    facts = day.evidence()[0]
    times, away, stamp, window, verdict = facts["resumed"]
    assert (times, away, stamp[0]) == (1, 135, 2) and facts["ended"] == visit.CLOSED
    assert facts["check_in"][0] == 1 and facts["close"][0] == 2
    fixes = fence.of_entries(reading.unpack_window(window, stamp[1]))
    assert fence.verdict(facts["place"][2:], fixes, 50) == verdict and verdict[0] == fence.INSIDE
    found = [s for s in day.segments() if s.header.body == segment.VISIT_BODY]
    assert len(found) == 1
    answers = reading.decode_answers(found[0].parts[3])[1]
    assert answers == {"quien": "titular", "volver_el": 20260930}
    assert words(day) == ["offered", "resumed"]


def test_twice_is_told_as_twice():
    day = cut()
    assert day.do("resume", accept=True)["ok"]
    day = cut(60, day=day)
    assert day.visits.pending["answers"] == {"quien": "titular"}
    assert day.do("resume", accept=True)["ok"]
    assert day.do("close", outcome="sin_acuerdo")["ok"]
    times, away, stamp = day.evidence()[0]["resumed"][:3]
    assert (times, away, stamp[0]) == (2, 60, 3)


def test_else_it_is_interrupted():
    for away, metres, code, word in (
        (601, 0, "resume_late", "late"),
        (-100, 0, "resume_late", "late"),
        (120, 90, "resume_outside", "outside"),
    ):
        day = cut(away, metres)
        assert day.do("resume", accept=True)["code"] == code
        facts = day.evidence()
        assert len(facts) == 1 and facts[0]["ended"] == visit.INTERRUPTED, code
        assert "resumed" not in facts[0] and words(day) == [word]
        assert day.visits.pending is None and day.visits.in_shift
        # By itself too, without a word of the gestor.
        day = cut(away, metres)
        day.visits.tick()
        assert len(day.evidence()) == 1 and words(day) == [word]
    day = cut()
    done = day.do("resume", accept=False)
    assert done["ok"] and done["code"] == "interrupted" and words(day) == ["declined"]
    day = cut()
    assert day.do("shift_end")["ok"] and words(day) == ["shift_end"]
    assert [f["ended"] for f in day.evidence()] == [visit.INTERRUPTED]


def test_without_a_fix_or_the_time_it_waits_ten_minutes():
    day = cut()
    day.gnss.fixes = []
    wait = day.do("resume", accept=True)
    assert (wait["code"], wait["missing"], wait["remaining_s"]) == ("resume_wait", "fix", 480)
    day.visits.tick()
    assert not day.evidence() and not words(day)
    day.clock.now += 481000
    day.visits.tick()
    assert len(day.evidence()) == 1 and words(day) == ["late"]
    day = cut()
    day.clock._utc = None
    assert day.do("resume", accept=True)["missing"] == "time"
    day.clock.now = 599000
    day.visits.tick()
    assert not day.evidence()
    day.clock.now = 620000
    day.visits.tick()
    assert len(day.evidence()) == 1 and words(day) == ["no_time"]


def test_a_cut_at_any_operation_of_going_on():
    """Whatever is cut, the visit is there once, with its answer, pending or sealed."""
    kept = cut()
    board = kept.board
    kept.log.seal_track()
    blocks = dict((k, bytes(v)) for k, v in board.blocks.data.items())
    values, utc = dict(board.nv.values), kept.last + 100
    k, ended = 0, False
    while not ended:
        k += 1
        board.blocks.data = dict((n, bytearray(v)) for n, v in blocks.items())
        board.nv.values = dict(values)
        board.reboot()
        day = Day(board, utc=utc)
        day.gnss.stand()
        board.flash.operations, board.flash.cut_at, board.flash.torn = 0, k, bool(k & 1)
        done = []
        try:
            for name, args in (
                ("resume", {"accept": True}),
                ("answer", {"id": "volver_el", "value": 20260930}),
                ("close", {"outcome": "sin_acuerdo"}),
            ):
                done.append(day.do(name, **args)["ok"])
            ended = True
        except PowerCut:
            pass
        assert all(done), (k, done)
        board.reboot()
        day = Day(board, utc=utc + 60)
        if day.visits.pending:
            answers = day.visits.pending["answers"]
            assert answers["quien"] == "titular" and (len(done) < 2 or len(answers) == 2), k
            assert len(done) < 3 and (not done or day.visits.pending["fields"]["resumed"]), k
            assert day.do("resume", accept=False)["ok"]
        facts = day.evidence()
        assert len(facts) == 1, (k, facts)
        assert facts[0]["ended"] == (visit.CLOSED if len(done) == 3 else facts[0]["ended"]), k
    assert k > 6, k
