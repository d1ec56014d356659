"""The circle fence in integers: the vectors, invariants, and refusals; alike on both VMs."""

import vectors
from ronda_protocol import fence

ROUNDS = 400


def code_of(call, *args):
    """The code of the FenceError raised by a call, or None."""
    try:
        call(*args)
    except fence.FenceError as error:
        assert str(error) == error.code
        return error.code
    return None


def test_verdicts():
    for case in vectors.load("fence")["verdicts"]:
        found = fence.verdict(case["fence"], case["fixes"], case["uere_dm"])
        assert found == case["verdict"], (case["name"], found)
        if "mm_per_degree" in case:
            assert list(fence._scale(case["fence"][1])) == case["mm_per_degree"], case["name"]


def test_the_order_of_eight_fixes_does_not_matter():
    chance = vectors.Chance(61)
    for case in vectors.load("fence")["verdicts"]:
        fixes = list(case["fixes"])
        if len(fixes) <= fence.MAX_FIXES:
            for i in range(len(fixes) - 1, 0, -1):
                j = chance.below(i + 1)
                fixes[i], fixes[j] = fixes[j], fixes[i]
            found = fence.verdict(case["fence"], fixes, case["uere_dm"])
            assert found == case["verdict"], case["name"]


def test_offsets_and_the_compass():
    content = vectors.load("fence")
    door = content["door"]
    for case in content["offsets"]:
        lat, lon = case["place"]
        found = fence.offset_dm(door, lat, lon)
        assert list(found) == case["offset"], case["name"]
        assert fence.offset_dm((door[1], door[2]), lat, lon) == found
        assert fence.compass8(*found) == case["compass"], case["name"]
    for point in range(8):
        north = (2, 2, 0, -2, -2, -2, 0, 2)[point]
        east = (0, 2, 2, 2, 0, -2, -2, -2)[point]
        assert fence.compass8(north, east) == point


def test_refused():
    for case in vectors.load("fence")["refused"]:
        code = code_of(fence.verdict, case["fence"], case["fixes"], case["uere_dm"])
        assert code == case["code"], (case["name"], code)


def test_names():
    assert fence.VERDICT_NAMES[fence.UNCERTAIN] == "uncertain"
    assert fence.REASON_NAMES[fence.HDOP_UNKNOWN] == "hdop_unknown"


def test_verdicts_keep_their_promises():
    chance = vectors.Chance(62)
    for _ in range(ROUNDS):
        lat, lon = chance.below(1600000000) - 800000000, chance.below(3600000000) - 1800000000
        radius = 100 + chance.below(19901)
        place = [0, lat, lon, radius]
        fixes = []
        for _ in range(1 + chance.below(10)):
            fix = (
                lat + chance.below(60000) - 30000,
                (lon + chance.below(60000) - 30000 + 1800000000) % 3600000000 - 1800000000,
                1 + chance.below(255),
                chance.below(3),
            )
            fixes.append(fix)
        found, d, r, used, reason = fence.verdict(place, fixes)
        usable = [fix for fix in fixes if not fix[3] & 1][-8:]
        assert used == len(usable)
        if not usable:
            assert (found, d, r, reason) == (3, None, None, 2)
            continue
        assert d >= -radius
        if reason == fence.HDOP_UNKNOWN:
            assert found == 3 and r is None
            continue
        assert r >= 50 and (found == 1) == (d + r <= 0) and (found == 2) == (d - r > 0)
        # A larger fence never turns inside into outside; a worse HDOP never makes it surer.
        if radius < 20000:
            wider = fence.verdict([0, lat, lon, radius + 1], fixes)
            assert wider[1] == d - 1 and (found != 1 or wider[0] == 1)
        worse = [(fix[0], fix[1], min(254, fix[2] + 5), fix[3]) for fix in fixes]
        if fence.verdict(place, worse)[0] != 3:
            assert fence.verdict(place, worse)[0] == found
