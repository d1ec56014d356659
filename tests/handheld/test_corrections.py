"""Corrections at the handheld: by the gestor of the visit, within the shift, and signed."""

import always_loaded
from handheld import visits
from ronda_protocol import correction, segment, track, visit
from test_visits import Day, opened

HEAP = "4m"


def closed():
    """A day with one closed visit: (day, its seq)."""
    day = opened()
    done = day.do("close", outcome="ausente", answers={"quien": "nadie"})
    assert done["code"] == "saved"
    return day, done["seq"]


def fix(day, seq, field="outcome", value="sin_acceso", **args):
    return day.do(
        "correct",
        **dict({"seq": seq, "field": field, "value": value, "reason": "me equivoqué"}, **args),
    )


def test_a_correction_is_an_entry_of_its_own():
    day, seq = closed()
    journal = len(day.board.saved_entries)
    done = fix(day, seq)
    named = visit.visit_id("prueba-01", day.log.log_id, seq)
    assert done["ok"] and done["code"] == "saved" and done["visit_id"] == named
    found = day.segments()[-1]
    assert found.header.seq == done["seq"] and found.header.body == segment.CORRECTION_BODY
    salt, fields = correction.decode(found.parts[segment.CORRECTION])
    assert fields == {
        "log_id": day.log.log_id,
        "seq": seq,
        "field": "outcome",
        "value": "sin_acceso",
        "reason": "me equivoqué",
        "gestor": "g-07",
    }
    kind, number, digest = day.board.saved_entries[journal]
    entry = found.entries()[0]
    assert (kind, number) == ("correction", entry[1]) and digest == track.entry_digest(entry)
    assert len(day.board.saved_entries) == journal + 1
    assert day.evidence()[0]["outcome"] == "ausente"
    assert fix(day, None, "answers.quien", "tercero", visit_id=named)["code"] == "saved"
    assert fix(day, seq, "answers.volver_el", None)["code"] == "saved"
    promise = {
        "currency": "PEN",
        "kind": 1,
        "pairs": [[100, 20260930]],
        "who": "titular",
        "limits": 0,
    }
    assert fix(day, seq, "promise", promise)["code"] == "saved"
    assert fix(day, seq, "promise", None)["code"] == "saved"
    assert len(day.segments()) == done["seq"] + 4


def test_what_cannot_be_corrected():
    day, seq = closed()
    head = day.log.head
    for field, value, wrong in (
        ("outcome", "inventado", "outcome"),
        ("outcome", None, "outcome"),
        ("check_in", [1], "field"),
        (None, 1, "field"),
        ("answers.quien", "perro", "value:quien"),
        ("answers.nada", "x", "unknown:nada"),
        ("answers.nada", None, "unknown:nada"),
        ("promise", {"currency": "PEN"}, "promise"),
        ("promise", 7, "promise"),
    ):
        assert fix(day, seq, field, value)["problems"] == [wrong], field
    for reason in (None, "", "x" * 161, 5, "a\x1b"):
        assert fix(day, seq, reason=reason)["problems"] == ["reason"]
    for named in (0, -1, True, "1", seq + 50, None):
        assert fix(day, named)["code"] == "unknown_visit", named
    log = day.log.log_id.hex()
    for named in ("otro-01/%s/%d" % (log, seq), "prueba-01/00/1", "x", 5, "prueba-01/zz/1"):
        assert fix(day, None, visit_id=named)["code"] == "unknown_visit", named
    assert day.log.head == head


def test_a_track_is_no_visit_and_a_refused_one_holds_nothing():
    day, seq = closed()
    track_seq = day.log.seal_track()
    assert fix(day, track_seq)["code"] == "unknown_visit"
    day.gnss.stand(3000)
    assert day.do("check_in", case_id="caso-2")["code"] == "refused_outside"
    day.visits.save("seal_refused")
    assert fix(day, day.log.head)["code"] == "nothing"
    assert fix(day, day.log.head, "answers.quien", "nadie")["code"] == "nothing"


def test_only_the_gestor_of_the_visit_within_the_shift():
    day, seq = closed()
    assert day.do("shift_end")["code"] == "shift_ended"
    assert fix(day, seq)["code"] == "no_shift"
    assert day.do("shift_start", gestor="g-07")["code"] == "shift_started"
    assert fix(day, seq)["code"] == "shift_over"
    day.visits.gestor = "g-08"
    day.visits.shift_file.clear()
    assert fix(day, seq)["code"] == "shift_over"


def test_another_gestor_in_the_same_shift():
    day, seq = closed()
    day.visits.gestor = "g-08"
    assert fix(day, seq)["code"] == "not_yours"


def test_the_shift_and_its_visits_outlast_a_reboot():
    day, seq = closed()
    again = Day(day.board)
    assert again.visits.in_shift
    assert fix(again, seq)["code"] == "saved"


def test_the_code_does_not_stay():
    import sys

    day, seq = closed()
    kept, visits.forget = visits.forget, always_loaded.forget
    fix(day, seq)
    visits.forget = kept
    for name in ("handheld.corrections", "ronda_protocol.correction", "ronda_protocol.reading"):
        assert name not in sys.modules, name
