"""What changes of a visit after it was told: never a second visit, always both versions."""

import base64
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Bench
from desk_device import DeskDevice, withhold
from ronda_gateway import schema
from ronda_protocol import segment, track, visit

PROMISE = {"currency": "PEN", "kind": 1, "pairs": [[500, 20260930]], "who": "titular", "limits": 1}


def changes(bench: Bench) -> list[dict[str, Any]]:
    """Data of the verdict events, in order."""
    return [e["data"] for e in bench.visits() if e["type"] == "ronda.visit.verdict"]


def test_a_correction_is_told_beside_the_visit(bench: Bench) -> None:
    device = bench.device()
    bench.send(device.id, device.seal_visit(promise=PROMISE))
    raw = device.seal_correction(1, "outcome", "sin_acuerdo")
    (receipt,) = bench.receipts(bench.send(device.id, raw))
    assert (receipt.upto, receipt.dispositions) == (2, [])
    told, change = bench.visits()
    assert told["data"]["outcome"] == "promesa"
    assert change["id"] == told["id"] + "/v1" and change["type"] == "ronda.visit.verdict"
    data = change["data"]
    assert (data["changed"], data["reason"], data["version"]) == ("correction", "corrected", 1)
    assert data["verdicts_before"] == told["data"]["verdicts"]
    assert data["verdicts"]["reasons"] == [*data["verdicts_before"]["reasons"], "corrected"]
    assert data["verdicts"]["overall"] == data["verdicts_before"]["overall"]
    found = data["correction"]
    assert (found["original"], found["value"]) == ("promesa", "sin_acuerdo")
    assert found["accepted"] is True and found["refused_for"] == []
    assert base64.b64decode(found["evidence"]) == raw
    assert (found["number"], found["seq"]) == (2, 2)
    assert bench.alerts() == [] and bench.counts()["corrections"] == 1
    # The same again: a receipt, and nothing new.
    bench.send(device.id, raw)
    assert len(bench.visits()) == 2
    bench.send(device.id, device.seal_correction(1, "promise", None))
    bench.send(device.id, device.seal_correction(1, "answers.who", "garante"))
    _, two, three = changes(bench)
    assert (two["correction"]["original"], two["correction"]["value"]) == (PROMISE, None)
    assert three["correction"]["original"] == "titular" and three["version"] == 3
    assert three["verdicts"]["reasons"].count("corrected") == 1


@pytest.mark.parametrize(
    ("seal", "why"),
    [
        (lambda d: d.seal_correction(1, "outcome", "x", gestor="G-08"), "other_gestor"),
        (lambda d: d.seal_correction(1, "outcome", "x", gestor=None), "other_gestor"),
        (lambda d: d.seal_correction(3, "outcome", "x"), "not_closed"),
        (lambda d: d.seal_correction(2, "outcome", "x"), "not_a_visit"),
        (lambda d: d.seal_correction(4, "outcome", "x"), "not_a_visit"),
    ],
)
def test_one_that_does_not_hold(
    bench: Bench, seal: Callable[[DeskDevice], bytes], why: str
) -> None:
    device = bench.device()
    refused = {"ended": visit.REFUSED, "opened": 0, "close": None, "outcome": None, "attempts": 1}
    day = [device.seal_visit(), device.seal_track(), device.seal_visit(**refused)]
    bench.send(device.id, *day, seal(device))
    assert "correction_refused" in bench.alerts()
    for change in changes(bench):
        assert change["reason"] == "correction_refused"
        assert change["verdicts"]["overall"] == "exception"
        assert "correction_refused" in change["verdicts"]["reasons"]
        assert change["correction"]["refused_for"] == [why]
    assert len(changes(bench)) == (0 if why == "not_a_visit" else 1)
    (row,) = bench.rows(schema.corrections)
    assert row.state == "refused"


def test_after_the_end_of_the_shift_it_does_not_hold(bench: Bench) -> None:
    device = bench.device()
    day = [device.seal_visit()]
    number = device.next_numbers(1)[0]
    end = [track.EVENT, number, device.ms, track.SHIFT_END, ["G-07"]]
    day += [device.seal_track([end]), device.seal_correction(1, "outcome", "ausente")]
    bench.send(device.id, *day)
    (change,) = changes(bench)
    assert change["correction"]["refused_for"] == ["after_shift"]
    assert bench.alerts() == ["correction_refused"]


def test_a_correction_may_come_before_its_visit(bench: Bench) -> None:
    device = bench.device()
    told, corrected = device.seal_visit(), device.seal_correction(1, "outcome", "ausente")
    track_after = device.seal_track()
    bench.send(device.id, corrected, track_after)
    assert bench.visits() == [] and "correction_unknown" in bench.alerts()
    assert [row.state for row in bench.rows(schema.corrections)] == ["waiting"]
    bench.recorder = bench.new_recorder()
    bench.send(device.id, told)
    first, change = bench.visits()
    assert first["type"] == "ronda.visit" and change["data"]["reason"] == "corrected"
    assert [row.state for row in bench.rows(schema.corrections)] == ["accepted"]
    assert not {"entries_missing", "entries_repeated"} & set(bench.alerts())


def test_a_withheld_correction_is_told_when_it_comes(bench: Bench) -> None:
    device = bench.device()
    bench.send(device.id, device.seal_visit())
    raw = device.seal_correction(1, "outcome", "ausente")
    bench.send(device.id, withhold(raw, segment.CORRECTION))
    assert len(bench.visits()) == 1 and bench.alerts() == ["parts_withheld"]
    bench.send(device.id, raw)
    assert [c["reason"] for c in changes(bench)] == ["corrected"]


def test_what_does_not_decode_is_held(bench: Bench) -> None:
    device = bench.device()
    bench.send(device.id, device.seal_visit())
    raw = device.seal(3, {segment.CORRECTION: bytes(20)}, device.next_numbers(1))
    (receipt,) = bench.receipts(bench.send(device.id, raw))
    assert receipt.dispositions == [[2, 1]] and bench.alerts() == ["unreadable"]


def test_a_later_fork_makes_exceptions_of_what_was_told(bench: Bench) -> None:
    device = bench.device()
    bench.send(device.id, device.seal_visit())
    twin = device.clone()
    bench.send(device.id, device.seal_visit(), device.seal_track(), device.seal_visit())
    before = len(bench.visits())
    bench.send(device.id, twin.seal_visit(case_id="C-otro"))
    told = changes(bench)
    assert [c["visit_id"].split("/")[-1] for c in told] == ["2", "4"] and before == 3
    for change in told:
        assert (change["changed"], change["reason"]) == ("chain", "fork_found")
        assert change["verdicts_before"]["chain"] == "linked"
        assert change["verdicts"]["chain"] == "forked"
        assert change["verdicts"]["reasons"][0] == "chain_forked"
        assert change["verdicts"]["overall"] == "exception"
    # Told once; and what comes after it is told so at once, by the next process too.
    bench.send(device.id, twin.sealed[-1])
    bench.recorder = bench.new_recorder()
    bench.send(device.id, device.seal_visit())
    assert changes(bench) == told
    assert bench.visits()[-1]["data"]["verdicts"]["chain"] == "forked"


def test_versions_count_on_over_a_restart_and_every_kind_of_change(bench: Bench) -> None:
    device = bench.device()
    lost = device.seal_track()
    whole = device.seal_visit()
    bench.send(device.id, whole)
    bench.take_out(2, segment.ANSWERS)
    bench.send(device.id, whole)
    bench.recorder = bench.new_recorder()
    bench.send(device.id, lost)
    bench.send(device.id, device.seal_correction(2, "answers.who", "garante"))
    found = changes(bench)
    assert [c["version"] for c in found] == [1, 2, 3]
    assert [c["reason"] for c in found] == ["parts_arrived", "gap_filled", "corrected"]
    for one, two in itertools.pairwise(found):
        assert one["verdicts"] == two["verdicts_before"]
    assert len({e["id"] for e in bench.visits()}) == len(bench.visits()) == 4
