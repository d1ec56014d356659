"""The laboratory itself: ids, batches, reports, images; a lost record is really noticed."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path

import cut_device
import cut_truth
import flash_image
import lab
import laboratory
import pytest
import report
from flash_image import BLOCK, Cuts, Image, Trace
from history import Violation

Facts = list[tuple[str, bytes]]


def test_ids_and_batches_say_the_same_points() -> None:
    assert lab.batches("D1:torn", 25, 10) == ["D1:torn:0-9", "D1:torn:10-19", "D1:torn:20-24"]
    assert lab.batches("D1:torn", 25, 10, 2) == ["D1:torn:0-9", "D1:torn:20-24"]
    assert lab.points("D1:torn:10-19") == (["torn"], range(10, 20))
    assert lab.points("D1:torn:7") == (["torn"], range(7, 8))


def test_every_suite_is_what_its_file_says_and_plans_its_own_ids() -> None:
    suites = lab.discover()
    assert suites
    for name, suite in suites.items():
        for size in lab.SIZES:
            plan = suite.plan(size)
            assert plan and len(set(plan)) == len(plan)
            assert all(case.split(":")[0] == name for case in plan)
            assert plan == suite.plan(size)
            assert not any(lab.wrong_id(case, suite) for case in plan)


@pytest.mark.parametrize("case", ["D1", "D1:torn", "D1:torn:x", "D1:torn:5-2", "D1:none:3"])
def test_an_id_that_nothing_stands_behind_is_no_case_that_held(case: str) -> None:
    assert lab.wrong_id(case, lab.suite_of(case))
    with pytest.raises(SystemExit, match="2"):
        laboratory.main(["--id", case])


def test_results_of_a_run_that_was_killed_while_it_wrote(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(laboratory, "_RESULTS", tmp_path / "results.jsonl")
    monkeypatch.setattr(lab, "RESULTS", tmp_path)
    laboratory.Results("short").add({"case": "D99:a:0", "ok": True}, "D99")
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"case": "D99:a:')
    results = laboratory.Results("short")
    assert results.held("D99:a:0")
    results.add({"case": "D99:a:1", "ok": True}, "D99")
    assert laboratory.Results("short").held("D99:a:1")


def test_a_case_that_fails_says_what_repeats_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(lab, "RESULTS", tmp_path)

    def run(case: str, bench: lab.Bench) -> dict[str, int]:
        bench.history.did("save", "x", digest="1")
        if case.endswith("9"):
            raise Violation("I1", "x is gone", "D99:a:7")
        return {"points": 10}

    suite = lab.Suite("D99", "made up", lambda _: ["D99:a:0-8", "D99:a:0-9"], run)
    held, broken = lab.execute("D99:a:0-8", suite), lab.execute("D99:a:0-9", suite)
    assert held["ok"] and held["counts"] == {"points": 10}
    assert not Path(str(held["folder"])).exists()
    assert (broken["ok"], broken["invariant"], broken["id"]) == (False, "I1", "D99:a:7")
    assert (Path(str(broken["folder"])) / "history.jsonl").read_text().count("\n") == 2
    known = {str(r["case"]): {**r, "seconds": 1} for r in (held, broken)}
    text = report.write({"D99": suite}, known, {}, "full", tmp_path)
    assert "BROKEN" in text and "ronda-torture ID=D99:a:7" in text and "10 points" in text
    assert "make torture ID=D99:a:7" in (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["D99"]["violations"] == 1


# --- images ---


def _record(letter: str, data: bytes) -> bytes:
    return letter.encode() + struct.pack(">I", len(data)) + data


def _trace() -> Trace:
    raw = _record("E", struct.pack(">I", 1)) + _record("A", b"one")
    raw += _record("P", struct.pack(">IH", 1, 8) + b"abcdefgh") + _record("S", b"")
    raw += _record("N", struct.pack(">H", 4) + b"headnew")
    raw += _record("P", struct.pack(">IH", 2, 0) + b"xy") + _record("P", struct.pack(">IH", 0, 0))
    return Trace.of(raw + b"P\x00")


@pytest.mark.parametrize(
    ("k", "mode", "block", "at", "expected"),
    [
        (1, "clean", 1, 0, b"\x00" * 16),
        (1, "full", 1, 0, b"\xff" * 16),
        (1, "torn", 1, BLOCK // 2 - 2, b"\xff\xff\x00\x00"),
        (2, "clean", 1, 8, b"\xff" * 8),
        (2, "full", 1, 8, b"abcdefgh\xff"),
        (2, "torn", 1, 8, b"abcd\xff\xff\xff\xff"),
        (5, "ooo", 2, 0, b"\x00\x00"),
    ],
)
def test_an_image_is_what_a_cut_leaves(k: int, mode: str, block: int, at: int, expected) -> None:
    cuts = Cuts(Image(bytearray(4 * BLOCK), {"head": b"old"}), _trace())
    rng = random.Random(1) if mode != "ooo" else _Half()
    image = cuts.at(k, mode, rng)
    start = block * BLOCK + at
    assert bytes(image.blocks[start : start + len(expected)]) == expected


class _Half(random.Random):
    """Always draws 0.1: littlefs' own choice of what is put back."""

    def random(self) -> float:
        return 0.1


def test_noise_is_somewhere_else_each_time_and_nv_is_whole() -> None:
    cuts = Cuts(Image(bytearray(4 * BLOCK), {"head": b"old"}), _trace())
    noisy = [bytes(cuts.at(2, "noise", random.Random(i)).blocks) for i in range(3)]
    assert len(set(noisy)) == 3
    assert len(cuts.trace.facts) == 1 and cuts.trace.before(2) == [("A", b"one")]
    for mode, value in (("clean", b"old"), ("torn", b"old"), ("full", b"new"), ("noise", b"new")):
        assert cuts.at(3, mode, random.Random(1)).nv == {"head": value}
    assert cuts.upto(1).blocks == cuts.upto(1).blocks  # backward and forward again
    assert cuts.at(4, "full", random.Random(1)).blocks[2 * BLOCK :][:2] == b"xy"


def test_an_image_goes_to_a_folder_and_comes_back(tmp_path: Path) -> None:
    image = Image(bytearray(random.Random(1).randbytes(2 * BLOCK)), {"b": b"", "a": b"\x00\xff"})
    image.write(tmp_path)
    assert Image.read(tmp_path) == image


# --- the judgement, on what the real firmware recorded ---


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Facts, cut_truth.Reader]:
    """A small day of the real firmware with its dump at the end."""
    import suite_d01_every_cut as d01

    fresh = cut_device.fresh(64)
    steps = [["boot", 0], ["intent", "shift_start", {"gestor": "g"}], ["fix", 1], ["fix", 2]]
    steps += [*d01.visit_steps(0), ["seal"], ["release", 1], *d01.visit_steps(1), ["battery"]]
    steps += [*d01.visit_steps(2)[:3], ["dump", 0]]
    trace, _, _ = cut_device.record(fresh.image, steps, tmp_path_factory.mktemp("day"), 64)
    return trace.facts, cut_truth.Reader(fresh.public)


def _judge(facts: Facts, reader: cut_truth.Reader, dump: Callable[[Facts], Facts]) -> None:
    at = max(i for i, (letter, _) in enumerate(facts) if letter == "D")
    truth = cut_truth.Truth().take(facts[:at])
    cut_truth.judge(truth, cut_truth.Found.of(dump(facts[at:]), reader), "D1:clean:1")


def test_a_day_that_is_whole_is_judged_so(seen: tuple[Facts, cut_truth.Reader]) -> None:
    _judge(*seen, lambda dump: dump)


def _without(letter: str, nth: int) -> Callable[[Facts], Facts]:
    def drop(dump: Facts) -> Facts:
        which = [i for i, (found, _) in enumerate(dump) if found == letter][nth]
        return dump[:which] + dump[which + 1 :]

    return drop


def _other(letter: str, change: Callable[[bytes], bytes]) -> Callable[[Facts], Facts]:
    return lambda dump: [(x, change(data) if x == letter else data) for x, data in dump]


@pytest.mark.parametrize(
    ("spoil", "invariant"),
    [
        (_without("R", 0), "I1|I3"),  # the first segment
        (_without("R", -1), "I3"),  # the newest one: head says that it is there
        (_without("O", -1), "I1"),  # a reading that was not sealed yet
        (_without("V", 0), "I1"),  # shift and open visit
        (_other("D", lambda log: bytes(8)), "I3"),  # another log was begun
        (_other("H", lambda d: d[:12] + bytes(4) + d[16:]), "I6"),  # the cursor at 0 again
        (_other("H", lambda d: d[:12] + b"\0\0\0\x09" + d[16:]), "I6"),  # released unasked
        (_other("O", lambda d: d[:-1] + bytes([d[-1] ^ 1])), "I1"),  # one bit of an open entry
        (lambda dump: [*dump[:-1], ("r", struct.pack(">I", 1) + bytes(8)), dump[-1]], "I1"),
    ],
)
def test_what_is_missing_or_changed_is_noticed(
    seen: tuple[Facts, cut_truth.Reader], spoil: Callable[[Facts], Facts], invariant: str
) -> None:
    with pytest.raises(Violation, match=f"^({invariant})"):
        _judge(*seen, spoil)


def test_a_number_told_for_other_content_is_noticed(
    seen: tuple[Facts, cut_truth.Reader],
) -> None:
    facts, reader = seen
    told = next(data for letter, data in facts if letter == "A")
    again = ("A", told[:12] + bytes(32))
    with pytest.raises(Violation, match=r"^I\d"):
        _judge([*facts[:1], again, *facts[1:]], reader, lambda dump: dump)


def test_a_segment_with_a_flipped_bit_is_not_the_devices(
    seen: tuple[Facts, cut_truth.Reader],
) -> None:
    facts, reader = seen
    raw = next(data for letter, data in facts if letter == "R")[12:]
    for at in (10, len(raw) // 2, len(raw) - 1):
        changed = bytearray(raw)
        changed[at] ^= 1
        with pytest.raises((Violation, ValueError)):
            reader.read(bytes(changed))


def test_records_cut_short_are_left_out() -> None:
    raw = _record("A", b"one") + _record("B", b"two")
    assert flash_image.records(raw[:-1]) == [("A", b"one")]
