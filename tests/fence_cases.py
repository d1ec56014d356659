"""The cases of protocol/vectors/fence.json, computed by wire_reference."""

from typing import Any

import wire_reference as ref
from track_cases import LAT, LON

Case = dict[str, Any]
DOOR = [0, LAT, LON, 300]


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
    return cases


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
        ("a polygon", [1, LAT, LON, 300], fix, 50, "fence"),
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
    return [
        {"name": name, "fence": fence, "fixes": fixes, "uere_dm": uere, "code": code}
        for name, fence, fixes, uere, code in table
    ]


def fence_vectors() -> Case:
    """protocol/vectors/fence.json."""
    return {
        "about": "Verdicts of circle fences (WIRE.md, Fence), with millimetres per degree, median "
        "(differences from the centre, 1e-7 degrees) and the plane's millimetres.",
        "made_by": "python tests/make_wire_vectors.py",
        "verdicts": verdicts(),
        "door": DOOR,
        "offsets": offsets(),
        "refused": refused(),
    }
