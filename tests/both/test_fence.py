"""Circles and polygons in integers: the vectors, invariants, and refusals; alike on both VMs."""

import vectors
from ronda_protocol import cbor, fence, polygon
from ronda_protocol.bounds import is_corners, is_place

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
        if "center" in case:
            plane = fence.Plane(case["fence"])
            assert list(plane.center) == case["center"], case["name"]
            assert list(fence._scale(plane.center[0])) == case["mm_per_degree"], case["name"]
            assert plane.edge_dm(*case["median"]) == case["verdict"][1], case["name"]


def test_dwells():
    for case in vectors.load("fence")["dwells"]:
        stay = fence.Dwell(case["fence"])
        for ms, lat, lon, hdop, flags in case["fixes"]:
            stay.add(ms, lat, lon, hdop, flags)
        found = [stay.going_on_s(case["asked_ms"]), stay.longest_s()]
        assert found == [case["going_on_s"], case["longest_s"]], (case["name"], found)


def test_a_stay_begins_anew():
    stay = fence.Dwell([0, 0, 0, 300])
    stay.restart()
    assert stay.longest_s() == 0
    for i in range(10):
        stay.add(i * 1000, 0, 0, 9, 0)
    stay.restart()
    assert stay.longest_s() == 0 and stay.going_on_s(9000) == 0
    for i in range(10, 13):
        stay.add(i * 1000, 0, 0, 9, 0)
    assert stay.longest_s() == 3 and stay.going_on_s(12000) == 3
    stay.add(13000, 90000, 0, 9, 0)
    stay.restart()
    stay.add(14000, 0, 0, 9, 0)
    assert stay.longest_s() == 0 and code_of(fence.Dwell, None) == "fence"


def test_corners_on_the_wire_and_back():
    for case in vectors.load("fence")["encodings"]:
        assert cbor.encode(case["fence"]).hex() == case["hex"], case["name"]
    for case in vectors.load("fence")["verdicts"]:
        if case["fence"][0]:
            flat = case["fence"][1]
            assert is_corners(flat) and is_place([0, 0, 1, flat])
            assert polygon.steps(polygon.corners(flat)) == flat, case["name"]
    assert polygon.corners([0, 1799999999, 5, 5, 0, -9]) == [
        [0, 1799999999],
        [5, -1799999996],
        [5, 1799999995],
    ]
    assert code_of(polygon.corners, [0, 0]) == "corners"


def test_where_a_polygon_begins_does_not_matter():
    for case in vectors.load("fence")["verdicts"]:
        if case["fence"][0]:
            points = polygon.corners(case["fence"][1])
            for i in range(len(points)):
                turned = points[i:] + points[:i]
                for ring in (turned, list(reversed(turned))):
                    found = fence.verdict([1, polygon.steps(ring)], case["fixes"], case["uere_dm"])
                    assert found == case["verdict"], (case["name"], i)


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
        found = fence.offset_dm(fence.Plane(door).center, lat, lon)
        assert list(found) == case["offset"], case["name"]
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


def test_polygons_keep_their_promises():
    chance = vectors.Chance(63)
    judged = 0
    for _ in range(ROUNDS):
        lat, lon = chance.below(1600000000) - 800000000, chance.below(3600000000) - 1800000000
        reach = 200 + chance.below(9000)
        points = [
            [lat + chance.below(reach), (lon + chance.below(reach)) % 3600000000 - 1800000000]
            for _ in range(3 + chance.below(4))
        ]
        try:
            plane = fence.Plane([1, polygon.steps(points)])
        except fence.FenceError as error:
            assert error.code in ("repeated", "crossing", "flat", "corners", "pole", "size")
            continue
        judged += 1
        # Every corner is on the edge, a position no nearer to it than to the nearest corner.
        for i in range(len(points)):
            at = [points[i][0] - plane.center[0], fence._wrapped(points[i][1] - plane.center[1])]
            assert plane.edge_dm(*at) == 0
        dlat, dlon = chance.below(4 * reach) - 2 * reach, chance.below(4 * reach) - 2 * reach
        d = plane.edge_dm(dlat, dlon)
        # A step of one unit (a centimetre) changes the distance by a decimetre at most.
        assert abs(plane.edge_dm(dlat + 1, dlon) - d) <= 1
        assert abs(plane.edge_dm(dlat, dlon - 1) - d) <= 1
    assert judged > ROUNDS // 8, judged


def test_the_edges_of_a_verdict():
    """Exactly r inside of the edge is inside; exactly r outside of it is not yet outside."""
    lat, lon, radius = -121191427, -770349046, 1000
    seen = {}
    for step in range(7000, 12000):
        found, d, r, _, _ = fence.verdict([0, lat, lon, radius], [(lat + step, lon, 9, 0)] * 3)
        assert r == 50
        seen[d] = found
    assert seen[-50] == fence.INSIDE and seen[-49] == fence.UNCERTAIN
    assert seen[50] == fence.UNCERTAIN and seen[51] == fence.OUTSIDE
