"""Verdicts on visits: what is an exception, what is merely unverified, what is an alarm."""

from typing import Any

import pytest
from desk_device import MIRAFLORES, DeskDevice
from ronda_gateway.judge import Judgement, judge
from ronda_protocol import fence, reading, track, visit

LAT, LON = MIRAFLORES
CONFIRMED = [1, visit.CONFIRMED, 0, LAT, LON, 500]
GEOCODED = [1, visit.GEOCODED, 0, LAT, LON, 500]
METRE = 90  # of latitude, in 1e-7 degrees


def judged(link: str = "linked", uere_dm: int = 50, **fields: Any) -> Judgement:
    evidence = DeskDevice().evidence(**fields)
    # As it travels: what does not encode is no evidence.
    evidence = reading.decode_evidence(visit.encode_evidence(evidence))
    return judge(evidence, link, uere_dm, 300)


def fixes_at(metres: int, hdop: int = 9, flags: int | None = None) -> list[list[Any]]:
    quality = None if flags is None else [0, 0, 100, None, None, None, flags]
    return [
        [track.FIX, 0, 1000 + 1000 * i, LAT + metres * METRE, LON, hdop, 9, 3, quality]
        for i in range(4)
    ]


def refused(**fields: Any) -> dict[str, Any]:
    """What a refused attempt leaves out."""
    return {
        "ended": visit.REFUSED,
        "opened": visit.OPENED_REFUSED,
        "close": None,
        "outcome": None,
        "attempts": 2,
    } | fields


def test_an_honest_visit_is_unverified_until_there_is_law() -> None:
    found = judged()
    assert found.verdicts["overall"] == "unverified"
    assert found.verdicts["reasons"] == ["law_not_evaluated"]
    assert found.verdicts["fence"]["agrees"] and found.verdicts["fence"]["handheld"] == "inside"
    assert found.verdicts["fence_at_close"] is None and not found.alarms


@pytest.mark.parametrize(
    ("fields", "overall", "reason"),
    [
        ({"fixes": [], "opened": 2}, "exception", "location_unconfirmed"),
        ({"fixes": [], "opened": 2}, "exception", "fence_uncertain"),
        ({"fixes": fixes_at(48), "opened": 2}, "exception", "fence_uncertain"),
        ({"fixes": fixes_at(0, hdop=255), "opened": 2}, "exception", "fence_uncertain"),
        ({"fixes": fixes_at(0, flags=1), "opened": 2}, "exception", "fixes_disqualified"),
        (
            {"fixes": fixes_at(200), "place": GEOCODED, "opened": 3},
            "exception",
            "address_to_confirm",
        ),
        (refused(fixes=fixes_at(200)), "unverified", "refused_at_door"),
        ({"ended": visit.INTERRUPTED, "outcome": None}, "unverified", "interrupted"),
    ],
)
def test_what_a_human_must_look_at(fields: dict[str, Any], overall: str, reason: str) -> None:
    found = judged(**fields)
    assert found.verdicts["overall"] == overall
    assert reason in found.verdicts["reasons"]
    assert not found.alarms, found.alarms


@pytest.mark.parametrize("link", ["gap", "broken"])
def test_the_chain_counts(link: str) -> None:
    found = judged(link)
    assert f"chain_{link}" in found.verdicts["reasons"]
    assert found.verdicts["overall"] == ("exception" if link == "broken" else "unverified")


@pytest.mark.parametrize("at", range(5))
def test_a_verdict_that_does_not_follow_from_its_fixes_is_an_alarm(at: int) -> None:
    honest = fence.verdict(CONFIRMED[2:], fence.of_entries(fixes_at(0)))
    changed = list(honest)
    changed[at] = {0: 3, 1: -100, 2: 60, 3: 2, 4: 1}[at]
    found = judged(fixes=fixes_at(0), check_in_verdict=changed)
    assert found.verdicts["overall"] == "exception"
    assert not found.verdicts["fence"]["agrees"]
    assert found.alarms["verdict_mismatch"]["moment"] == "check_in"
    assert found.alarms["verdict_mismatch"]["gateway"] == honest


def test_another_boards_receiver_error_is_a_setting() -> None:
    verdict = fence.verdict(CONFIRMED[2:], fence.of_entries(fixes_at(0, hdop=20)), 80)
    fields = {"fixes": fixes_at(0, hdop=20), "check_in_verdict": verdict}
    assert judged(**fields).alarms.keys() == {"verdict_mismatch"}
    assert not judged(uere_dm=80, **fields).alarms


def test_the_close_is_recomputed_too() -> None:
    fixes = fixes_at(200)
    wrong = fence.verdict(CONFIRMED[2:], fence.of_entries(fixes_at(0)))
    right = fence.verdict(CONFIRMED[2:], fence.of_entries(fixes))
    window = visit.pack_window(fixes, 5000)
    found = judged(close_fixes=window, close_verdict=right)
    assert found.verdicts["fence_at_close"]["gateway"] == "outside" and not found.alarms
    found = judged(close_fixes=window, close_verdict=wrong)
    assert found.alarms["verdict_mismatch"]["moment"] == "close"


@pytest.mark.parametrize(
    "fields",
    [
        {"fixes": fixes_at(200)},
        {"fixes": [], "opened": visit.OPENED_INSIDE},
        {"fixes": fixes_at(0), "opened": visit.OPENED_UNCONFIRMED},
        {"fixes": fixes_at(200), "opened": visit.OPENED_ADDRESS},
        {"fixes": fixes_at(900), "place": GEOCODED, "opened": visit.OPENED_ADDRESS},
        refused(fixes=fixes_at(0)),
        refused(fixes=fixes_at(200), place=GEOCODED),
    ],
)
def test_opening_against_the_policy_is_an_alarm(fields: dict[str, Any]) -> None:
    found = judged(**fields)
    assert "policy_mismatch" in found.alarms
    assert found.verdicts["overall"] == "exception"


def test_fixes_older_than_the_window() -> None:
    device = DeskDevice()
    device.ms = 100_000
    old = [[*fix[:2], 50_000 + i, *fix[3:]] for i, fix in enumerate(fixes_at(0))]
    old = [[f[0], 0, 50_000 + 1000 * i, *f[3:]] for i, f in enumerate(old)]
    evidence = device.evidence(fixes=old)
    found = judge(evidence, "linked", 50, 300)
    assert "fixes_stale" in found.verdicts["reasons"]
    assert found.verdicts["overall"] == "exception"
