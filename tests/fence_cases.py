"""The cases of protocol/vectors/fence.json, computed by wire_reference."""

import math
from typing import Any

import wire_reference as ref
from track_cases import LAT, LON

Case = dict[str, Any]
DOOR = [0, LAT, LON, 300]

# Metres north and east of the door, corner by corner.
BLOCK = [(-20, -25), (-20, 25), (20, 25), (20, -25)]
ELL = [(-30, -30), (-30, 30), (0, 30), (0, 0), (30, 0), (30, -30)]
STAR = [(40, 0), (8, 10), (-30, 25), (-5, 0), (-30, -25), (8, -10)]


def outline(points: list[tuple[int, int]], lat: int = LAT, lon: int = LON) -> list[int]:
    """Corners as the wire has them: the first, then steps."""
    flat: list[int] = []
    last = (0, 0)
    for north, east in points:
        here = (north * 904 // 10, east * 918 // 10)
        if flat:
            flat += [here[0] - last[0], here[1] - last[1]]
        else:
            flat = [lat + here[0], ref.short_way(lon + here[1])]
        last = here
    return flat


def ring(count: int, reach: int) -> list[tuple[int, int]]:
    """As many points around the door, so many metres from it."""
    turn = [2 * math.pi * i / count for i in range(count)]
    return [(round(reach * math.cos(a)), round(reach * math.sin(a))) for a in turn]


def at(north_m: int, east_m: int, hdop: int = 9, flags: int = 0) -> list[int]:
    """A fix some metres from the door in Lima, nearly."""
    return [LAT + north_m * 904 // 10, LON + east_m * 918 // 10, hdop, flags]


def verdicts() -> list[Case]:
    """Verdicts with their intermediates."""
    near = [at(i % 3, -i % 5) for i in range(8)]
    poles = [[0, 800000000, 10, 500], [[800000100, 20, 9, 0]] * 3]
    wrap = [[0, -170000000, 1799999000, 1000], [[-170000000, -1799999500, 9, 0]] * 3]
    jump = [at(0, 0), at(0, 0), at(2000, 2000), at(1, 0), at(0, 1)]
    table: list[tuple[str, list[int], list[list[int]], int]] = [
        ("eight fixes at the door", DOOR, near, 50),
        ("no fix", DOOR, [], 50),
        ("on the very centre", DOOR, [[LAT, LON, 9, 0]] * 3, 50),
        ("one fix: r doubled", DOOR, [at(0, 0)], 50),
        ("two fixes: floor of the mean", DOOR, [[LAT, LON, 9, 0], [LAT + 1, LON - 1, 9, 0]], 50),
        (
            "the floor of the mean south and west",
            DOOR,
            [[LAT - 2, LON, 9, 0], [LAT - 5, LON - 3, 9, 0]],
            50,
        ),
        ("across the street", DOOR, [at(60, 0)] * 5, 50),
        ("uncertain: near the edge", DOOR, [at(28, 0)] * 5, 50),
        ("inside by a decimetre", [0, LAT, LON, 320], [at(26, 0)] * 3, 50),
        ("HDOP counts above 1.0", DOOR, [at(0, 0, 21), at(0, 0, 9), at(0, 0, 9)], 50),
        ("the accuracy is rounded up", DOOR, [at(0, 0, 11)] * 3, 51),
        ("HDOP unknown", DOOR, [at(0, 0, 255), at(0, 0, 9), at(0, 0, 9)], 50),
        ("an old unknown HDOP is pushed out", DOOR, [at(0, 0, 255), *near], 50),
        ("frozen fixes only", DOOR, [at(0, 0, 9, 1)] * 8, 50),
        (
            "frozen fixes left out",
            DOOR,
            [*[at(90, 0, 9, 1)] * 8, at(0, 0), at(0, 0), at(0, 0)],
            50,
        ),
        ("a flag that does not disqualify", DOOR, [at(0, 0, 9, 2)] * 3, 50),
        ("one jump of five", DOOR, jump, 50),
        ("the ninth fix back does not count", DOOR, [*[at(500, 500)] * 9, *near], 50),
        ("across the antimeridian", *wrap, 50),
        ("at 80 degrees", *poles, 50),
        ("the other side of the globe", DOOR, [[-LAT, LON + 1800000000, 9, 0]] * 3, 50),
        ("from pole to pole", [0, -800000000, 0, 20000], [[900000000, -1800000000, 9, 0]] * 3, 50),
        ("the smallest fence", [0, LAT, LON, 100], [at(1, 1)] * 3, 50),
        ("the largest fence", [0, LAT, LON, 20000], [at(1400, 1400)] * 3, 50),
        ("a poor receiver", DOOR, [at(0, 0, 254)] * 3, 10000),
    ]
    cases = [ref.fence_case(*row) for row in table]
    for lat in (0, 4, -25, 90, -120, -164, 190, 256, -350, 350, 600):
        center = [0, lat * 1000000 + 12345, -700000000, 1000]
        fixes = [[center[1] + 7000 * i, center[2] - 9000 * i, 12, 0] for i in range(3)]
        cases.append(ref.fence_case(f"at latitude {lat}/10", center, fixes))
    return cases + polygons()


def polygons() -> list[Case]:
    """Verdicts of polygons."""
    block, ell, star = [1, outline(BLOCK)], [1, outline(ELL)], [1, outline(STAR)]
    near = [at(i % 3, -i % 5) for i in range(8)]
    corner = [block[1][0], block[1][1], 9, 0]
    wrap = [1, outline(BLOCK, -170000000, 1800000000)]
    away = [[-170000000, -1800000000 + 918, 9, 0]] * 3
    table: list[tuple[str, list[Any], list[list[int]], int]] = [
        ("a block: eight fixes at the door", block, near, 50),
        ("a block: no fix", block, [], 50),
        ("a block: frozen fixes only", block, [at(0, 0, 9, 1)] * 8, 50),
        ("a block: HDOP unknown", block, [at(0, 0, 255)] * 3, 50),
        ("a block: one fix, r doubled", block, [at(0, 0)], 50),
        ("a block: near the edge", block, [at(18, 0)] * 3, 50),
        ("a block: across the street", block, [at(40, 0)] * 3, 50),
        ("a block: off a corner", block, [at(30, 40)] * 3, 50),
        ("a block: on a corner", block, [corner] * 3, 50),
        ("a block: a hair inside that corner", block, [[corner[0] + 1, corner[1] + 1, 9, 0]], 50),
        ("a block: a hair outside it", block, [[corner[0] - 1, corner[1] - 1, 9, 0]], 50),
        ("a block: on its south edge", block, [[corner[0], corner[1] + 999, 9, 0]], 50),
        ("the same, the other way round", [1, outline(BLOCK[::-1])], near, 50),
        ("the same, from another corner", [1, outline(BLOCK[2:] + BLOCK[:2])], near, 50),
        ("with a corner on an edge", [1, outline([*BLOCK, (0, -25)])], near, 50),
        ("an L: in its arm", ell, [at(20, -15)] * 3, 50),
        ("an L: in its notch", ell, [at(12, 12)] * 3, 50),
        ("an L: at its inner corner", ell, [at(1, 1)] * 3, 50),
        ("a star: between two arms", star, [at(-25, 0)] * 3, 50),
        ("a star: in an arm", star, [at(25, 0)] * 3, 50),
        ("a triangle", [1, outline([(0, 0), (90, 0), (0, 90)])], [at(30, 30)] * 3, 50),
        ("thirty-two corners", [1, outline(ring(32, 100))], near, 50),
        ("the widest", [1, outline([(1990, 0), (-1990, 0), (0, 150)])], [at(0, 50)] * 3, 50),
        ("ten metres by ten", [1, outline([(-5, -5), (-5, 6), (6, 6), (6, -5)])], near, 50),
        ("a block across the antimeridian", wrap, away, 50),
        ("a block on the equator", [1, outline(BLOCK, 0, 0)], [[5, -5, 9, 0]] * 3, 50),
        ("a block at 80 degrees", [1, outline(BLOCK, 799990000)], [[799990100, LON, 9, 0]], 50),
        ("the other side of the globe", block, [[-LAT, LON + 1800000000, 9, 0]] * 3, 50),
    ]
    return [ref.fence_case(*row) for row in table]


def encodings() -> list[Case]:
    """Fences as the wire has them."""
    table = [("a block", [1, outline(BLOCK)]), ("a circle", DOOR), ("an L", [1, outline(ELL)])]
    return [{"name": name, "fence": fence, "hex": ref.dumps(fence).hex()} for name, fence in table]


def dwells() -> list[Case]:
    """How long fixes [ms, lat, lon, hdop, flags] stay inside, asked at a time."""

    def row(first_ms: int, count: int, *place: int) -> list[list[int]]:
        return [[first_ms + 1000 * i, *at(*place)] for i in range(count)]

    block = [1, outline(BLOCK)]
    table: list[tuple[str, list[Any], list[list[int]], int]] = [
        ("nothing heard", DOOR, [], 5000),
        ("one fix", DOOR, row(1000, 1, 0, 0), 1000),
        ("eight seconds", DOOR, row(1000, 9, 0, 0), 9500),
        ("just under nine", DOOR, [[1000, *at(0, 0)], [9900, *at(0, 0)]], 9900),
        ("on the edge is inside, past it is not", DOOR, row(0, 5, 29, 0) + row(5000, 3, 31, 0), 0),
        ("outside all the time", DOOR, row(1000, 9, 90, 0), 9000),
        ("in, out, in", DOOR, row(0, 6, 0, 0) + row(6000, 1, 60, 0) + row(7000, 3, 0, 0), 9000),
        ("a gap of ten seconds", DOOR, row(0, 3, 0, 0) + row(12000, 3, 0, 0), 14000),
        ("a gap of more", DOOR, row(0, 3, 0, 0) + row(12100, 3, 0, 0), 14100),
        ("asked ten seconds later", DOOR, row(0, 5, 0, 0), 14000),
        ("asked later still", DOOR, row(0, 5, 0, 0), 14100),
        ("frozen ones neither count nor end it", DOOR, near_and_frozen(), 9000),
        ("nor do those of unknown HDOP", DOOR, row(0, 3, 0, 0) + row(3000, 6, 0, 0, 255), 8000),
        ("one that jumps with a flag", DOOR, row(0, 3, 0, 0) + row(3000, 2, 90, 0, 9, 1), 4000),
        ("the same ones again", DOOR, row(0, 5, 0, 0) + row(2000, 5, 0, 0), 6000),
        ("a block", block, row(0, 5, 15, 20) + row(5000, 5, 19, 24), 9000),
        ("a block and its corner's outside", block, row(0, 5, 0, 0) + row(5000, 5, 21, 26), 9000),
    ]
    return [ref.dwell_case(*row) for row in table]


def near_and_frozen() -> list[list[int]]:
    """Ten seconds at the door, the middle ones flagged."""
    return [[1000 * i, *at(0, 0, 9, 1 if 3 <= i <= 6 else 0)] for i in range(10)]


def offsets() -> list[Case]:
    """North and east to the nearest decimetre, and the point of the compass."""
    out: list[Case] = []
    table = [
        ("here", 0, 0, 0),
        ("north", 9000, 0, 0),
        ("just north of north-east", 9000, 3700, 0),
        ("north-east", 9000, 9000, 1),
        ("just north of east-north-east", 3700, 9000, 1),
        ("just south of east-north-east", 3600, 9000, 2),
        ("east", 0, 9000, 2),
        ("south-east", -9000, 9000, 3),
        ("south", -9000, -100, 4),
        ("south-west", -9000, -9000, 5),
        ("west", 1, -9000, 6),
        ("north-west", 9000, -9000, 7),
        ("a hair", 1, -1, 0),
    ]
    north, east = ref.scale(LAT)
    for name, dlat, dlon, point in table:
        n = (dlat * north + 5 * 10**8) // 10**9
        e = (dlon * east + 5 * 10**8) // 10**9
        out.append(
            {
                "name": name,
                "place": [LAT + dlat, LON + dlon],
                "offset": [n, e],
                "compass": point,
            }
        )
    return out


def refused() -> list[Case]:
    """Fences and fixes that verdict refuses."""
    fix = [[LAT, LON, 9, 0]]
    table: list[tuple[str, Any, list[list[Any]], int, str]] = [
        ("no fence", None, fix, 50, "fence"),
        ("an empty fence", [], fix, 50, "fence"),
        ("a circle that says polygon", [1, LAT, LON, 300], fix, 50, "fence"),
        ("a polygon that says circle", [0, outline(BLOCK)], fix, 50, "fence"),
        ("a shape of 2", [2, outline(BLOCK)], fix, 50, "fence"),
        ("five items", [*DOOR, 0], fix, 50, "fence"),
        ("a shape that is false", [False, *DOOR[1:]], fix, 50, "fence"),
        ("latitude 91", [0, 910000000, LON, 300], fix, 50, "fence"),
        ("longitude of text", [0, LAT, "x", 300], fix, 50, "fence"),
        ("a radius of 9.9 m", [0, LAT, LON, 99], fix, 50, "radius"),
        ("a radius of 2000.1 m", [0, LAT, LON, 20001], fix, 50, "radius"),
        ("no radius", [0, LAT, LON, None], fix, 50, "radius"),
        ("north of 80", [0, 800000001, LON, 300], fix, 50, "pole"),
        ("south of 80", [0, -800000001, LON, 300], fix, 50, "pole"),
        ("a fix at latitude 91", DOOR, [[910000000, LON, 9, 0]], 50, "fix"),
        ("a fix of HDOP 0", DOOR, [[LAT, LON, 0, 0]], 50, "fix"),
        ("a fix with no flags", DOOR, [[LAT, LON, 9, None]], 50, "fix"),
        ("an error of 0", DOOR, fix, 0, "uere"),
        ("an error of a kilometre and more", DOOR, fix, 10001, "uere"),
    ]
    table += [(name, [1, corners], fix, 50, code) for name, corners, code in unfit()]
    return [
        {"name": name, "fence": fence, "fixes": fixes, "uere_dm": uere, "code": code}
        for name, fence, fixes, uere, code in table
    ]


def unfit() -> list[tuple[str, Any, str]]:
    """Corners that make no polygon that could be judged."""
    block = outline(BLOCK)
    bow = [(-20, -25), (20, 25), (-20, 25), (20, -25)]
    touch = [(-20, -25), (-20, 25), (20, 25), (-20, 0), (20, -25)]
    spike = [*BLOCK, (20, -40), (20, -30)]
    back = [(-20, -25), (-20, 25), (20, 25), (20, -25), (20, -60)]
    wide = ring(8, 1900)
    return [
        ("no corners", [], "corners"),
        ("two corners", block[:4], "corners"),
        ("thirty-three corners", outline(ring(33, 100)), "corners"),
        ("half a corner", block[:-1], "corners"),
        ("corners that are a text", "x", "corners"),
        ("a corner of text", [*block[:-1], "x"], "corners"),
        ("a corner that is true", [*block[:-1], True], "corners"),
        ("pairs", [[LAT, LON], [LAT + 900, LON], [LAT, LON + 900]], "corners"),
        ("a step of 2^21", [*block[:2], 1 << 21, *block[3:]], "corners"),
        ("a first corner at latitude 91", [910000000, *block[1:]], "corners"),
        ("a first corner beyond 80", [800000001, *block[1:]], "corners"),
        ("a centre beyond 80", [800000000, LON, 9000, 0, 0, 60000], "pole"),
        ("a corner twice", outline([*BLOCK, BLOCK[3]]), "repeated"),
        ("the first corner again at the end", outline([*BLOCK, BLOCK[0]]), "repeated"),
        ("a corner passed twice", outline([*ELL[:3], ELL[0], *ELL[3:]]), "repeated"),
        ("a bow tie", outline(bow), "crossing"),
        ("a corner that touches another edge", outline(touch), "crossing"),
        ("a spike along an edge", outline(spike), "crossing"),
        ("an edge that folds back", outline([*back[:4], (20, -60), (20, -40)]), "crossing"),
        ("five points of a star in their order", outline(star()), "crossing"),
        ("three in a line", outline([(0, 0), (10, 10), (30, 30)]), "flat"),
        ("four in a line", outline([(0, 0), (10, 10), (40, 40), (20, 20)]), "crossing"),
        ("nine metres by eleven", outline([(0, 0), (0, 11), (9, 11), (9, 0)]), "flat"),
        ("a corner 2.1 km away", outline([(2100, 0), (-2100, 0), (0, 100)]), "size"),
        ("a square of four kilometres", outline([(b * 90, a * 90) for a, b in BLOCK]), "size"),
        ("as wide, but round", [wide[0][0] * 1000000, *outline(wide)[1:]], "corners"),
    ]


def star() -> list[tuple[int, int]]:
    """A pentagram."""
    five = ring(5, 50)
    return [five[2 * i % 5] for i in range(5)]


def fence_vectors() -> Case:
    """protocol/vectors/fence.json."""
    return {
        "about": "Verdicts of fences (WIRE.md, Fence), with the centre, millimetres per degree, "
        "median (differences from the centre, 1e-7 degrees) and a circle's plane in millimetres; "
        "how long fixes [ms, lat, lon, hdop, flags] stay inside; fences that are refused.",
        "made_by": "python tests/make_wire_vectors.py",
        "encodings": encodings(),
        "verdicts": verdicts(),
        "dwells": dwells(),
        "door": DOOR,
        "offsets": offsets(),
        "refused": refused(),
    }
