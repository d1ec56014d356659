"""The check-in policy, row by row of protocol.md."""

from handheld.policy import decide
from ronda_protocol import fence, visit

INSIDE = [fence.INSIDE, -300, 60, 8, fence.OK]
NEAR = [fence.UNCERTAIN, -20, 60, 8, fence.OK]
NONE = [fence.UNCERTAIN, None, None, 0, fence.NO_FIX]
FROZEN = [fence.UNCERTAIN, None, None, 0, fence.DISQUALIFIED]
NO_HDOP = [fence.UNCERTAIN, -20, None, 3, fence.HDOP_UNKNOWN]


def outside(d):
    return [fence.OUTSIDE, d, 60, 8, fence.OK]


ROWS = (
    # verdict, quality, acknowledged, waited, code, opened
    (INSIDE, visit.CONFIRMED, False, 0, "opened_inside", visit.OPENED_INSIDE),
    (INSIDE, visit.GEOCODED, True, 500, "opened_inside", visit.OPENED_INSIDE),
    (NEAR, visit.CONFIRMED, False, 0, "ask_unconfirmed", None),
    (NEAR, visit.CONFIRMED, True, 0, "opened_unconfirmed", visit.OPENED_UNCONFIRMED),
    (NEAR, visit.GEOCODED, False, 0, "ask_unconfirmed", None),
    (FROZEN, visit.CONFIRMED, False, 0, "ask_unconfirmed", None),
    (FROZEN, visit.CONFIRMED, True, 0, "opened_unconfirmed", visit.OPENED_UNCONFIRMED),
    (NO_HDOP, visit.CORRECTED, True, 0, "opened_unconfirmed", visit.OPENED_UNCONFIRMED),
    (NONE, visit.CONFIRMED, False, 0, "waiting_fix", None),
    (NONE, visit.CONFIRMED, True, 119, "waiting_fix", None),
    (NONE, visit.CONFIRMED, False, 120, "ask_unconfirmed", None),
    (NONE, visit.CONFIRMED, True, 120, "opened_unconfirmed", visit.OPENED_UNCONFIRMED),
    (outside(61), visit.CONFIRMED, True, 999, "refused_outside", None),
    (outside(61), visit.CORRECTED, False, 0, "refused_outside", None),
    (outside(61), visit.GEOCODED, False, 0, "opened_address", visit.OPENED_ADDRESS),
    (outside(3000), visit.GEOCODED, False, 0, "opened_address", visit.OPENED_ADDRESS),
    (outside(3001), visit.GEOCODED, True, 999, "refused_outside", None),
)


def test_every_row():
    for verdict, quality, acknowledged, waited, code, opened in ROWS:
        assert decide(verdict, quality, acknowledged, waited) == (code, opened), (verdict, code)


def test_the_search_distance_is_a_setting():
    assert decide(outside(900), visit.GEOCODED, False, 0, 89)[0] == "refused_outside"
    assert decide(outside(900), visit.GEOCODED, False, 0, 90)[0] == "opened_address"


def test_the_wait_for_a_first_fix_is_a_setting():
    assert decide(NONE, visit.CONFIRMED, True, 29, 300, 30)[0] == "waiting_fix"
    assert decide(NONE, visit.CONFIRMED, True, 30, 300, 30)[0] == "opened_unconfirmed"


def test_a_portal_stands_in_for_uncertain_and_for_nothing_else():
    portal = [1]
    for verdict, quality, acknowledged, waited, code, opened in ROWS:
        found = decide(verdict, quality, acknowledged, waited, 300, 120, portal)
        if verdict[0] == fence.UNCERTAIN:
            assert found == ("opened_portal", visit.OPENED_PORTAL)
        else:
            assert found == (code, opened)
