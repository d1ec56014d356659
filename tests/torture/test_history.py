"""The history checker: each invariant holds where it should, and is caught where it does not."""

from __future__ import annotations

import pytest
from history import INVARIANTS, FinalState, History, Violation, check, judge, read

ONE, TWO = "dev/aa/1", "dev/aa/2"


def good() -> tuple[History, FinalState]:
    """A run in which everything held and everything was looked at."""
    history = History()
    history.did("save", ONE, digest="d1")
    history.did("save", TWO, digest="d2")
    history.did("receipt", ONE, digest="d1")
    history.did("delete", ONE)
    history.did("confirm", ONE, digest="d1")
    history.did("recover", "gateway", took=1.5, limit=2)
    state = FinalState(
        flash={TWO: "d2"},
        stored=[(ONE, "d1"), (TWO, "d2")],
        sink=[(ONE, "d1"), (ONE, "d1"), (TWO, "d2")],
        signed={ONE: ["d1"], TWO: ["d2"]},
        chains={"dev/aa": [(1, "h1", "00"), (2, "h2", "h1")]},
        arrivals={"dev/aa": [1, 2, 1]},
        integrity={"integrity_check": "ok"},
        bounds={"heap": (10, 11)},
        recovered={"broker": (1.0, 30.0)},
    )
    return history, state


def caught(history: History, state: FinalState) -> set[str]:
    return {invariant for invariant, _ in judge(history, state).broken}


def test_a_run_in_which_all_holds_decides_all() -> None:
    history, state = good()
    verdict = judge(history, state)
    assert verdict.broken == []
    assert verdict.decided == set(INVARIANTS)
    check(history, state, must=INVARIANTS)


def test_what_was_not_looked_at_decides_nothing() -> None:
    history = History()
    assert judge(history, FinalState()).decided == set()
    with pytest.raises(ValueError, match="I1, I6"):
        check(history, FinalState(integrity={"x": "ok"}), must=("I1", "I5", "I6"))


def test_i1_an_acknowledged_record_that_is_nowhere() -> None:
    history, state = good()
    state.flash = {}
    state.stored = [(ONE, "d1")]
    assert "I1" in caught(history, state)
    with pytest.raises(Violation, match=f"I1: {TWO} was acknowledged and is nowhere") as raised:
        check(history, state, case="D1:torn:7")
    assert raised.value.case == "D1:torn:7"


def test_i1_an_acknowledged_record_with_other_content() -> None:
    history, state = good()
    state.flash, state.stored = {ONE: "d1", TWO: "dX"}, None
    assert caught(history, state) == {"I1"}


def test_i1_a_failed_or_unknown_save_may_be_missing() -> None:
    history = History()
    history.invoke("save", ONE).fail("flash full")
    history.invoke("save", TWO).unknown("cut")
    history.invoke("save", "dev/aa/3")
    assert caught(history, FinalState(flash={})) == set()


def test_i1_destroyed_records_must_be_declared() -> None:
    history, state = good()
    state.flash, state.stored, state.sink = {ONE: "d1"}, None, None
    state.destroyed = frozenset({TWO})
    assert "I1" in caught(history, state)
    state.declared = frozenset({TWO})
    assert "I1" not in caught(history, state)


def test_i1_a_receipt_without_a_row() -> None:
    history, state = good()
    history.did("receipt", "dev/aa/9", digest="d9")
    assert caught(history, state) == {"I1"}


def test_i1_a_receipt_for_other_content() -> None:
    history, state = good()
    state.receipted = {TWO: "dX"}
    assert caught(history, state) == {"I1"}


def test_i1_a_confirmed_event_that_never_arrived() -> None:
    history, state = good()
    state.confirmed = {"dev/aa/8": None}
    assert caught(history, state) == {"I1"}


def test_i2_one_number_acknowledged_for_two_contents() -> None:
    history, state = good()
    history.did("save", TWO, digest="d2")
    assert caught(history, state) == set()
    history.did("save", TWO, digest="other")
    assert "I2" in caught(history, state)


@pytest.mark.parametrize("digest", ["d1", "other"])
def test_i2_two_rows_of_one_record(digest: str) -> None:
    history, state = good()
    state.stored = [*(state.stored or ()), (ONE, digest)]
    state.signed = {ONE: ["d1", "other"], TWO: ["d2"]}
    assert caught(history, state) == {"I2"}
    state.forks = frozenset({("dev/aa", 1)})
    assert caught(history, state) == set()


def test_i2_one_event_with_two_contents_or_two_ids() -> None:
    history, state = good()
    state.sink = [(ONE, "d1"), (ONE, "dX")]
    assert caught(history, state) == {"I2"}
    state.sink = [(ONE, "d1"), ("dev/bb/1", "d1")]
    assert caught(history, state) == {"I2"}


@pytest.mark.parametrize(
    "links",
    [
        [(1, "h1", "00"), (3, "h3", "h2")],
        [(1, "h1", "00"), (2, "h2", "hX")],
        [(2, "h2", "h1")],
        [(1, "h1", "00"), (1, "hY", "00"), (2, "h2", "h1")],
    ],
)
def test_i3_a_chain_with_a_hole_a_break_or_a_fork(links: list[tuple[int, str, str]]) -> None:
    history, state = good()
    state.chains = {"dev/aa": links}
    assert caught(history, state) == {"I3"}


def test_i3_recorded_gaps_and_forks_are_no_break() -> None:
    history, state = good()
    state.chains = {"dev/aa": [(1, "h1", "00"), (1, "hY", "00"), (3, "h3", "h2")]}
    state.gaps = frozenset({("dev/aa", 2)})
    state.forks = frozenset({("dev/aa", 1)})
    assert caught(history, state) == set()


def test_i3_arrivals_out_of_order() -> None:
    history, state = good()
    state.arrivals = {"outbox": [1, 3, 2]}
    assert caught(history, state) == {"I3"}


@pytest.mark.parametrize("signed", [{ONE: ["d1"]}, {ONE: ["d1"], TWO: ["other"]}])
def test_i4_a_row_that_was_never_signed(signed: dict[str, list[str]]) -> None:
    history, state = good()
    state.signed = signed
    assert caught(history, state) == {"I4"}


def test_i5_a_check_that_says_otherwise() -> None:
    history, state = good()
    state.integrity = {"integrity_check": "row 7 missing from index"}
    assert caught(history, state) == {"I5"}


def test_i6_a_delete_without_or_before_its_receipt() -> None:
    history, state = good()
    history.did("delete", TWO)
    history.did("receipt", TWO, digest="d2")
    assert caught(history, state) == {"I6"}


def test_i7_a_bound_that_is_passed() -> None:
    history, state = good()
    state.bounds = {"heap": (12, 11)}
    assert caught(history, state) == {"I7"}


def test_i8_late_never_and_without_an_end() -> None:
    for spoil in ("late", "fail", "open", "never", "slow"):
        history, state = good()
        if spoil == "late":
            history.did("recover", "gateway", took=3, limit=2)
        elif spoil == "fail":
            history.invoke("recover", "gateway").fail("did not start")
        elif spoil == "open":
            history.invoke("recover", "gateway")
        else:
            state.recovered = {"broker": (None if spoil == "never" else 31.0, 30.0)}
        assert caught(history, state) == {"I8"}, spoil


def test_an_operation_ends_once() -> None:
    operation = History().invoke("save", ONE)
    operation.ok()
    with pytest.raises(ValueError, match="ended already"):
        operation.fail("again")


def test_a_history_is_read_back_as_it_was(tmp_path) -> None:
    history = History(tmp_path / "history.jsonl")
    history.did("save", ONE, digest="d1")
    history.invoke("cut", "3").unknown("power")
    history.close()
    assert read(tmp_path / "history.jsonl").steps == history.steps
