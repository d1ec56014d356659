"""Polygons, dwell, portals and the gateway's own opinion, in the judgement of a visit."""

from typing import Any

import pytest
from desk_device import MIRAFLORES, DeskDevice
from ronda_gateway import fences
from ronda_gateway.feed import describe
from ronda_gateway.judge import Judgement, judge
from ronda_gateway.opinion import Opinion, opinion
from ronda_gateway.pipeline import Accepted, Device, read
from ronda_protocol import fence, polygon, reading, track, visit

LAT, LON = MIRAFLORES
METRE = 90  # of latitude, in 1e-7 degrees; of longitude 92
CIRCLE = [1, visit.CONFIRMED, 0, LAT, LON, 500]
CHECK_IN_MS = 1_800_000


def block(*corners: tuple[int, int]) -> list[Any]:
    """A polygon place of corners in metres north and east of the door."""
    around = corners or ((-20, -20), (-20, 20), (20, 20), (20, -20))
    points = [[LAT + north * METRE, LON + east * 92] for north, east in around]
    return [1, visit.CONFIRMED, 1, polygon.steps(points)]


def fixes_at(metres: int, ms: int, *, hdop: int = 9, flags: int = 0, count: int = 8) -> list[Any]:
    """Fixes a second apart, the last one at `ms`."""
    quality = [0, 0, 100, None, None, None, flags] if flags else None
    return [
        [track.FIX, 0, ms - 1000 * i, LAT + metres * METRE, LON, hdop, 9, 3, quality]
        for i in reversed(range(count))
    ]


def at_ms(ms: int, boot: int = 1) -> list[Any]:
    return [boot, ms, 1789477200 + ms // 1000, 1, 1]


def verdict(place: list[Any], fixes: list[Any]) -> list[Any]:
    """The handheld's verdict."""
    return fence.verdict(place[2:], fence.of_entries(fixes))


def portal(age_s: int = 600, metres: int = 0, dwell: int = 7, **changed: Any) -> list[Any]:
    """A portal registered so long before the check-in."""
    ms = CHECK_IN_MS - age_s * 1000
    fixes = fixes_at(metres, ms)
    told = {
        "stamp": at_ms(ms),
        "fixes": visit.pack_window(fixes, ms),
        "verdict": verdict(CIRCLE, fixes),
        "dwell": dwell,
    } | changed
    return list(told.values())


def upstairs(**fields: Any) -> dict[str, Any]:
    """A visit opened indoors by the portal, closed at the entrance again."""
    close = fixes_at(0, 2_400_000)
    return {
        "fixes": [],
        "check_in": at_ms(CHECK_IN_MS),
        "opened": visit.OPENED_PORTAL,
        "portal": portal(),
        "dwell": [0, 7],
        "close": at_ms(2_400_000),
        "close_fixes": visit.pack_window(close, 2_400_000),
        "close_verdict": verdict(CIRCLE, close),
    } | fields


def judged(dwell_s: int = 0, **fields: Any) -> Judgement:
    device = DeskDevice()
    device.ms = CHECK_IN_MS
    last = {name: fields.pop(name) for name in ("place",) if name in fields}
    evidence = device.evidence(**fields) | last
    evidence = reading.decode_evidence(visit.encode_evidence(evidence))
    return judge(evidence, "linked", 50, 300, dwell_s)


def seen_at(metres: int, place: list[Any], **fields: Any) -> Judgement:
    """A visit whose check-in saw fixes so far north of the door."""
    fixes = fixes_at(metres, CHECK_IN_MS)
    return judged(place=place, check_in_verdict=verdict(place, fixes), fixes=fixes, **fields)


# --- polygons ---


def test_a_polygon_is_judged_like_a_circle() -> None:
    inside, outside = seen_at(5, block()), seen_at(80, block(), opened=visit.OPENED_INSIDE)
    assert inside.verdicts["overall"] == "unverified" and not inside.alarms
    found = inside.verdicts["fence"]
    assert (found["gateway"], found["d_dm"], found["agrees"]) == ("inside", -149, True)
    assert abs(found["own_d_dm"] - found["d_dm"]) <= 1 and found["own_agrees"]
    assert outside.verdicts["fence"]["gateway"] == "outside"
    assert set(outside.alarms) == {"policy_mismatch"}


@pytest.mark.parametrize(
    ("corners", "code"),
    [
        (((-20, -20), (20, 20), (-20, 20), (20, -20)), "crossing"),
        (((0, 0), (10, 10), (30, 30)), "flat"),
        (((3000, 0), (-3000, 0), (0, 100)), "size"),
    ],
)
def test_a_place_that_is_no_fence_is_an_alarm_and_no_crash(
    corners: tuple[tuple[int, int], ...], code: str
) -> None:
    found = judged(place=block(*corners), fixes=fixes_at(0, CHECK_IN_MS))
    assert found.alarms == {"bad_fence": {"why": code}}
    assert found.verdicts["overall"] == "exception" and "bad_fence" in found.verdicts["reasons"]
    told = found.verdicts["fence"]
    assert (told["gateway"], told["reason"], told["agrees"]) == ("uncertain", "bad_fence", False)
    assert told["d_dm"] is None and told["own_d_dm"] is None


def test_the_feed_tells_corners_and_portal() -> None:
    device = DeskDevice()
    device.ms = CHECK_IN_MS
    raw = device.seal_visit(**upstairs())
    told = told_of(device, raw)
    assert told["opened"] == "portal" and told["no_signal"] is False
    assert told["dwell"] == {"before_s": 0, "during_s": 7}
    assert told["portal"]["dwell_s"] == 7 and len(told["portal"]["fixes"]) == 8
    assert told["portal"]["verdict"][0] == fence.INSIDE and told["portal"]["utc"]
    raw = device.seal_visit(place=block())
    told = told_of(device, raw)
    assert told["place"]["shape"] == "polygon" and "lat_e7" not in told["place"]
    assert told["place"]["corners"] == polygon.corners(block()[3])
    assert told["portal"] is None and told["dwell"] is None


def told_of(device: DeskDevice, raw: bytes) -> dict[str, Any]:
    sealed = reading.parse(raw)
    header = sealed.header
    known = Device(device.id, "enabled", {device.signer.kid: device.public})
    accepted = Accepted(
        known,
        sealed.sign1.kid,
        header.log_id,
        header.seq,
        header.prev,
        sealed.chain_hash(),
        raw,
        header=header,
        sealed=sealed,
    )
    read(accepted)
    assert accepted.visit is not None
    return describe(accepted, accepted.visit, 1789480000)


# --- portals ---


def test_a_portal_opens_and_is_no_exception_by_that() -> None:
    found = judged(**upstairs())
    assert found.verdicts["overall"] == "unverified", found
    assert found.verdicts["reasons"] == ["portal", "law_not_evaluated"]
    assert found.verdicts["opened"] == "portal"
    assert found.verdicts["fence"]["gateway"] == "uncertain"
    assert found.verdicts["fence_at_portal"]["gateway"] == "inside"
    assert found.verdicts["fence_at_portal"]["agrees"] and not found.alarms


@pytest.mark.parametrize(
    "changed",
    [
        {"portal": portal(age_s=1201)},
        {"portal": portal(age_s=-10)},
        {"portal": portal(stamp=at_ms(CHECK_IN_MS - 600_000, boot=0))},
        {"portal": portal(metres=48)},
        {"portal": portal(metres=300)},
        {"fixes": fixes_at(300, CHECK_IN_MS)},
        {"fixes": fixes_at(0, CHECK_IN_MS)},
        {"close_fixes": [0, b""], "close_verdict": [3, None, None, 0, 1]},
        {"close_fixes": None, "close_verdict": None},
    ],
)
def test_what_no_portal_opens_or_closes_is_an_alarm(changed: dict[str, Any]) -> None:
    fields = upstairs(**changed)
    if "dwell" in fields and fields["fixes"]:
        fields["dwell"] = [7 if fields["fixes"][0][3] == LAT else 0, 7]
    if fields["portal"][2][0] != fence.INSIDE:
        fields["portal"][3] = 7 if fields["portal"][2][1] < 0 else 0
    found = judged(**fields)
    assert set(found.alarms) == {"policy_mismatch"}, found
    assert found.verdicts["overall"] == "exception"


def test_a_portal_of_twenty_minutes_is_still_good() -> None:
    assert judged(**upstairs(portal=portal(age_s=1200))).verdicts["overall"] == "unverified"


def test_closing_without_a_signal_is_told_and_closing_elsewhere_is_an_exception() -> None:
    blind = {"close_fixes": [0, b""], "close_verdict": [3, None, None, 0, 1], "no_signal": True}
    found = judged(**upstairs(**blind, dwell=[0, 0]))
    assert found.verdicts["overall"] == "unverified" and not found.alarms
    assert "portal_no_signal" in found.verdicts["reasons"]
    away = fixes_at(400, 2_400_000)
    left = {
        "close_fixes": visit.pack_window(away, 2_400_000),
        "close_verdict": verdict(CIRCLE, away),
        "no_signal": True,
        "dwell": [0, 0],
    }
    found = judged(**upstairs(**left))
    assert found.verdicts["overall"] == "exception" and not found.alarms
    assert "portal_close_outside" in found.verdicts["reasons"]


def test_interrupted_upstairs() -> None:
    gone = dict.fromkeys(("close", "close_fixes", "close_verdict", "outcome"))
    found = judged(**upstairs(**gone, ended=visit.INTERRUPTED, dwell=[0, None]))
    assert found.verdicts["reasons"] == ["interrupted", "portal", "law_not_evaluated"]


def test_a_portal_verdict_that_does_not_follow_from_its_fixes() -> None:
    found = judged(**upstairs(portal=portal(verdict=[1, -400, 50, 8, 0])))
    assert found.alarms["verdict_mismatch"]["moment"] == "portal"
    assert not found.verdicts["fence_at_portal"]["agrees"]


def test_disqualified_fixes_upstairs_or_at_the_portal_are_looked_at() -> None:
    frozen = fixes_at(0, CHECK_IN_MS, flags=1)
    found = judged(**upstairs(fixes=frozen))
    assert "fixes_disqualified" in found.verdicts["reasons"]
    ms = CHECK_IN_MS - 600_000
    mixed = fixes_at(0, ms)
    mixed[0][8] = [0, 0, 100, None, None, None, 1]
    window = visit.pack_window(mixed, ms)
    found = judged(**upstairs(portal=portal(fixes=window, verdict=verdict(CIRCLE, mixed))))
    assert "fixes_disqualified" in found.verdicts["reasons"]


# --- dwell ---


@pytest.mark.parametrize("told", [[7, 0], [8, 0], [250, 0]])
def test_a_dwell_that_the_fixes_allow(told: list[int]) -> None:
    found = judged(
        fixes=fixes_at(0, CHECK_IN_MS),
        check_in=at_ms(CHECK_IN_MS),
        close=at_ms(CHECK_IN_MS + 60_000),
        dwell=told,
    )
    assert not found.alarms and found.verdicts["overall"] == "unverified"


@pytest.mark.parametrize(
    "told", [[6, 0], [0, 0], [1801, 0], [7, 71], [7, 10], [7, 4_000_000_000]], ids=str
)
def test_a_dwell_that_contradicts_the_fixes_is_an_alarm(told: list[int]) -> None:
    fields: dict[str, Any] = {
        "fixes": fixes_at(0, CHECK_IN_MS),
        "check_in": at_ms(CHECK_IN_MS),
        "close": at_ms(CHECK_IN_MS + 60_000),
        "dwell": told,
    }
    if told == [7, 10]:
        late = fixes_at(0, CHECK_IN_MS + 60_000)
        late[0][2] -= 5_000
        fields["close_fixes"] = visit.pack_window(late, CHECK_IN_MS + 60_000)
        fields["close_verdict"] = verdict(CIRCLE, late)
    found = judged(**fields)
    assert found.alarms["verdict_mismatch"]["moment"] == "dwell", told
    assert "dwell_mismatch" in found.verdicts["reasons"]
    assert found.verdicts["overall"] == "exception"


def test_where_the_row_begins_within_the_fixes_dwell_is_exact() -> None:
    came = fixes_at(200, CHECK_IN_MS - 5_000, count=3) + fixes_at(0, CHECK_IN_MS, count=5)
    base: dict[str, Any] = {"check_in": at_ms(CHECK_IN_MS), "close": at_ms(CHECK_IN_MS + 9_000)}
    assert not judged(fixes=came, dwell=[4, 0], **base).alarms
    for told in (3, 5):
        assert "verdict_mismatch" in judged(fixes=came, dwell=[told, 0], **base).alarms
    # Eight unusable fixes may hide a usable one; no fix at all hides nothing.
    frozen = fixes_at(0, CHECK_IN_MS, flags=1)
    unconfirmed = {"opened": visit.OPENED_UNCONFIRMED, **base}
    assert not judged(fixes=frozen, dwell=[30, 0], **unconfirmed).alarms
    assert judged(fixes=frozen[1:], dwell=[30, 0], **unconfirmed).alarms
    assert judged(fixes=[], dwell=[30, 0], **unconfirmed).alarms


def test_an_agency_may_ask_for_a_dwell() -> None:
    near: dict[str, Any] = {"fixes": fixes_at(0, CHECK_IN_MS, count=5), "dwell": [4, 0]}
    assert judged(4, **near).verdicts["overall"] == "unverified"
    assert "dwell_short" in judged(5, **near).verdicts["reasons"]
    assert "dwell_short" in judged(1).verdicts["reasons"]  # not told
    assert "dwell_short" not in judged(7, **upstairs()).verdicts["reasons"]
    assert "dwell_short" in judged(8, **upstairs()).verdicts["reasons"]


# --- the opinion ---


def test_an_opinion_that_differs_is_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(_place: list[Any], _fixes: list[Any]) -> Opinion:
        return Opinion(-450, 50)

    monkeypatch.setattr(fences, "opinion", other)
    found = judged()
    assert "fence_opinion_differs" in found.verdicts["reasons"]
    assert found.verdicts["overall"] == "exception"
    assert found.verdicts["fence"]["own_d_dm"] == -450 and not found.alarms


def test_what_counts_as_another_distance() -> None:
    assert not Opinion(100, 600).differs(110) and Opinion(100, 600).differs(111)
    assert not Opinion(-100, 600).differs(-110) and Opinion(-100, 600).differs(-111)
    # Twenty metres of twenty kilometres and more: beyond is beyond.
    assert not Opinion(25_000, 30_000).differs(25_400)
    assert Opinion(25_000, 30_000).differs(15_000)
    assert not Opinion(15_000, 20_000).differs(15_020)


def test_no_opinion_without_a_usable_fix() -> None:
    assert opinion(CIRCLE[2:], []) is None
    assert opinion(CIRCLE[2:], [(LAT, LON, 9, 1)]) is None
    both = [(0, 1_799_999_990, 9, 0), (0, -1_799_999_990, 9, 0)]
    found = opinion([0, 0, 1_800_000_000, 100], both)
    assert found == Opinion(-100, 0)
