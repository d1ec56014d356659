"""Polygon fences: corners from and to the wire, what makes one unfit, distance to its edge.

Integers only and exact in the fence's local plane: nothing is rounded before the last step. Apart
from `fence`, which imports it where a polygon is judged: most places are circles.
"""

from ronda_protocol.bounds import is_corners
from ronda_protocol.fence import FenceError, root_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_CORNERS = 32
REACH_MM = 2000000
"""No corner is further than 2 km from the centre, as no circle is wider."""

MIN_AREA_M2 = 100
"""Less ground than ten metres by ten is no place where anybody can be told to be inside."""

_HALF_TURN = 1800000000
# Lengths in a plane are in 1e-7 mm: units of 1e-7 degrees times mm per degree.
_SQUARE_DM = 1000000000 * 1000000000


def _wrapped(lon_e7: int) -> int:
    return (lon_e7 + _HALF_TURN) % (2 * _HALF_TURN) - _HALF_TURN


def steps(corners: "list[list[int]]") -> "list[int]":
    """[[lat_e7, lon_e7]...] as the wire has it: the first corner, then the steps to the others."""
    found: list[int] = []
    last = [0, 0]
    for lat, lon in corners:
        found.append(lat - last[0])
        found.append(_wrapped(lon - last[1]) if len(found) > 1 else lon)
        last = [lat, lon]
    return found


def corners(flat: "list[int]") -> "list[list[int]]":
    """[[lat_e7, lon_e7]...] of what the wire has; FenceError("corners")."""
    if not is_corners(flat):
        raise FenceError("corners")
    lat = lon = 0
    found: list[list[int]] = []
    for i in range(0, len(flat), 2):
        lat += flat[i]
        lon += flat[i + 1]
        found.append([lat, _wrapped(lon)])
    return found


def relative(flat: "Any") -> "tuple[int, int, list[int]]":
    """(lat_e7, lon_e7, corners from there): the centre is the floor of the middle of the bounds.

    The corners are flat, latitude first. FenceError("corners").
    """
    if not is_corners(flat):
        raise FenceError("corners")
    center = [flat[0], flat[1]]
    for axis in (0, 1):
        low = high = at = 0
        for i in range(2 + axis, len(flat), 2):
            at += flat[i]
            low = min(low, at)
            high = max(high, at)
        center[axis] += (low + high) >> 1
    at = [flat[0] - center[0], flat[1] - center[1]]
    found = at[:]
    for i in range(2, len(flat)):
        at[i & 1] += flat[i]
        found.append(at[i & 1])
    return center[0], _wrapped(center[1]), found


def check(found: "list[int]", north: int, east: int) -> None:
    """FenceError unless relative corners are a simple polygon of the right size.

    `north` and `east` are millimetres per degree at the centre. Codes: size, repeated, crossing
    (edges that cross, touch or fold back), flat.
    """
    n = len(found)
    seen: set[tuple[int, int]] = set()
    area = 0
    for i in range(0, n, 2):
        y, x = found[i] * north, found[i + 1] * east
        if y * y + x * x > (REACH_MM * 10000000) ** 2:
            raise FenceError("size")
        if (y, x) in seen:
            raise FenceError("repeated")
        seen.add((y, x))
        area += found[i] * found[i - 1] - found[i - 2] * found[i + 1]
    _check_edges(found)
    # Twice the area in 1e-14 mm2, of which a square metre has 1e20.
    if abs(area) * north * east < 2 * MIN_AREA_M2 * 100000000000000000000:
        raise FenceError("flat")
    for i in range(0, n, 2):
        a, b, c = i - 4, i - 2, i
        y, x = found[a] - found[b], found[a + 1] - found[b + 1]
        v, u = found[c] - found[b], found[c + 1] - found[b + 1]
        if y * u == x * v and y * v + x * u > 0:
            raise FenceError("crossing")


def _check_edges(p: "list[int]") -> None:
    """FenceError("crossing") when two edges that share no corner have a point in common."""
    n = len(p)
    for i in range(0, n - 4, 2):
        y, v, x, u = p[i], p[i + 2], p[i + 1], p[i + 3]
        if y > v:
            y, v = v, y
        if x > u:
            x, u = u, x
        for j in range(i + 4, n if i else n - 2, 2):
            # Most pairs are apart on one axis.
            a, b = p[j], p[j + 2 - n]
            if a < y and b < y or a > v and b > v:
                continue
            a, b = p[j + 1], p[j + 3 - n]
            if a < x and b < x or a > u and b > u:
                continue
            if _meet(p, i, j):
                raise FenceError("crossing")


def _turn(p: "list[int]", a: int, b: int, c: int) -> int:
    """Above 0 when the way over corners a, b, c turns one way, below for the other."""
    u = (p[b] - p[a]) * (p[c + 1] - p[a + 1]) - (p[b + 1] - p[a + 1]) * (p[c] - p[a])
    return (u > 0) - (u < 0)


def _between(p: "list[int]", a: int, b: int, c: int) -> bool:
    """Whether c, on the line through a and b, lies between them."""
    for i in (0, 1):
        if not min(p[a + i], p[b + i]) <= p[c + i] <= max(p[a + i], p[b + i]):
            return False
    return True


def _meet(p: "list[int]", i: int, j: int) -> bool:
    """Whether the edges from corners i and j, which share none, have a point in common."""
    k, m = i + 2, (j + 2) % len(p)
    a, b, c, d = _turn(p, i, k, j), _turn(p, i, k, m), _turn(p, j, m, i), _turn(p, j, m, k)
    return (
        (a * b < 0 and c * d < 0)
        or (not a and _between(p, i, k, j))
        or (not b and _between(p, i, k, m))
        or (not c and _between(p, j, m, i))
        or (not d and _between(p, j, m, k))
    )


def edge_dm(found: "list[int]", north: int, east: int, dlat: int, dlon: int) -> int:
    """Signed distance in dm from a position to the polygon's edge, negative inside.

    Rounded toward the outside: up outside, toward 0 inside; 0 on the edge. Everything is relative
    to the centre; `north` and `east` as in `check`.
    """
    inside = False
    down = up = -1
    ay, ax = found[-2], found[-1]
    for i in range(0, len(found), 2):
        by, bx = found[i], found[i + 1]
        # The even-odd rule: does the edge cross the way east from the position?
        if (ay > dlat) != (by > dlat):
            side = (bx - ax) * (dlat - ay) - (dlon - ax) * (by - ay)
            if (side > 0) == (by > ay):
                inside = not inside
        vy, vx = (by - ay) * north, (bx - ax) * east
        py, px = (dlat - ay) * north, (dlon - ax) * east
        along, length = py * vy + px * vx, vy * vy + vx * vx
        # Past its end the edge's nearest point is where the next one begins.
        if along < length:
            if along <= 0:
                square, part = py * py + px * px, 1
            else:
                square, part = vx * py - vy * px, length
                square *= square
            here = square // (part * _SQUARE_DM)
            if down < 0 or here < down:
                down = here
            here = -(-square // (part * _SQUARE_DM))
            if up < 0 or here < up:
                up = here
        ay, ax = by, bx
    if not inside:
        return root_up(up)
    root = root_up(down)
    return -root if root * root == down else 1 - root
