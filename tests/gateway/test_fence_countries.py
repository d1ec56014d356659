"""The integer fence and the gateway's opinion against WGS84 geodesics (pyproj), over the whole of
Peru, Colombia, Mexico and Ecuador: at most 0.1 % or 0.5 m wrong up to 2 km from the centre.

Islands have boxes of their own, or an example in a hundred would land near them.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod
from ronda_gateway.opinion import opinion
from ronda_protocol import fence, polygon

WGS84 = Geod(ellps="WGS84")

# south, north, west, east
BOXES = {
    "Peru": (-18.4, 0.1, -81.4, -68.6),
    "Colombia": (-4.3, 13.5, -82.0, -66.8),
    "Mexico": (14.5, 32.8, -118.5, -86.7),
    "Ecuador": (-5.1, 1.7, -92.1, -75.1),
    "Galápagos": (-1.5, 1.7, -92.1, -89.2),
    "San Andrés y Providencia": (12.4, 13.5, -81.8, -81.3),
    "Revillagigedo": (18.3, 19.4, -114.8, -110.9),
}
EVERYWHERE = pytest.mark.parametrize("box", BOXES.values(), ids=BOXES.keys())
EXAMPLES = settings(max_examples=150, deadline=None)

Place = tuple[int, int]


def place_in(data: st.DataObject, box: Sequence[float]) -> Place:
    """A position in a box, in units of 1e-7 degrees."""
    south, north, west, east = (round(degrees * 1e7) for degrees in box)
    return data.draw(st.integers(south, north)), data.draw(st.integers(west, east))


def gone(place: Place, bearing: float, metres: float) -> Place:
    """The end of a geodesic."""
    lon, lat, _ = WGS84.fwd(place[1] / 1e7, place[0] / 1e7, bearing, metres)
    return round(lat * 1e7), round(lon * 1e7)


def metres(a: Place, b: Place) -> float:
    """The length of the geodesic between two positions."""
    return WGS84.inv(a[1] / 1e7, a[0] / 1e7, b[1] / 1e7, b[0] / 1e7)[2]


def metres_to_edge(corners: list[Place], place: Place) -> float:
    """From a position to the nearest point of any edge: geodesics between corners, each searched
    for its nearest point by thirds, all edges at once."""
    lat, lon = (np.array([c[axis] for c in corners]) / 1e7 for axis in (0, 1))
    bearing, _, length = WGS84.inv(lon, lat, np.roll(lon, -1), np.roll(lat, -1))
    here = np.full(len(corners), place[1] / 1e7), np.full(len(corners), place[0] / 1e7)

    def away(part: np.ndarray) -> np.ndarray:
        on, at, _ = WGS84.fwd(lon, lat, bearing, length * part)
        return WGS84.inv(*here, on, at)[2]

    low, high = np.zeros(len(corners)), np.ones(len(corners))
    for _ in range(40):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        nearer = away(a) < away(b)
        low, high = np.where(nearer, low, a), np.where(nearer, b, high)
    return float(min(away(low)))


def allowed(from_center_m: float) -> float:
    """What a distance may be wrong by, in metres; a decimetre is its unit."""
    return max(0.5, 0.001 * from_center_m) + 0.1


@EVERYWHERE
@EXAMPLES
@given(st.data(), st.floats(0, 360), st.floats(0, 2000), st.integers(100, 20000))
def test_circles(
    box: Sequence[float], data: st.DataObject, bearing: float, away: float, radius: int
) -> None:
    """A fix at the end of a geodesic from the centre."""
    center = place_in(data, box)
    fix = gone(center, bearing, away)
    true = metres(center, fix) - radius / 10
    circle = [0, *center, radius]
    fixes = [(*fix, 9, 0)]
    found = fence.verdict(circle, fixes)[1]
    own = opinion(circle, fixes)
    assert found is not None and own is not None
    assert abs(found / 10 - true) <= allowed(away)
    assert abs(own.d_dm / 10 - true) <= 0.06
    assert not own.differs(found)


@EVERYWHERE
@EXAMPLES
@given(
    st.data(),
    st.lists(st.floats(15, 1990), min_size=3, max_size=32),
    st.floats(0, 360),
    st.floats(0, 2000),
)
def test_polygons(
    box: Sequence[float],
    data: st.DataObject,
    reaches: list[float],
    bearing: float,
    away: float,
) -> None:
    """Corners all around a middle, near and far; a fix anywhere up to 2 km from the centre."""
    middle = place_in(data, box)
    turn = 360 / len(reaches)
    corners = [gone(middle, i * turn, reach) for i, reach in enumerate(reaches)]
    shape: list[Any] = [1, polygon.steps([list(corner) for corner in corners])]
    try:
        center = fence.Plane(shape).center
    except fence.FenceError as error:
        assert error.code in ("flat", "size", "repeated")
        return
    fix = gone(center, bearing, away)
    fixes = [(*fix, 9, 0)]
    found = fence.verdict(shape, fixes)[1]
    own = opinion(shape, fixes)
    assert found is not None and own is not None
    true = metres_to_edge(corners, fix)
    if shapely.Polygon([(lon, lat) for lat, lon in corners]).contains(shapely.Point(fix[::-1])):
        true = -true
    # Within the error of an edge even its side may be told wrongly.
    assert abs(found / 10 - true) <= allowed(away)
    # Not a plane at the centre but one at the fix: only where an edge runs differs, by its
    # deviation from the geodesic.
    assert abs(own.d_dm / 10 - true) <= 0.3
    assert not own.differs(found)


@settings(max_examples=1500, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=9, unique=True),
    st.sampled_from([1, 997, 4000]),
)
def test_what_is_simple(points: list[tuple[int, int]], unit: int) -> None:
    """Shapely's word on the same corners, many of them in line or on another's edge."""
    corners = [[-121200000 + y * unit, -770300000 + x * unit] for y, x in points]
    ring = shapely.LinearRing([(x, y) for y, x in points])
    try:
        fence.Plane([1, polygon.steps(corners)])
        code = ""
    except fence.FenceError as error:
        code = error.code
    if code == "flat":
        square = metres((-121200000, -770300000), (-121200000 + unit, -770300000)) * metres(
            (-121200000, -770300000), (-121200000, -770300000 + unit)
        )
        area = shapely.Polygon(ring).area * square
        assert area < 100.5 or not ring.is_simple
    else:
        assert (code == "crossing") == (not ring.is_simple), code


@settings(max_examples=300, deadline=None)
@given(
    st.integers(-800_000_000, 800_000_000),
    st.lists(st.floats(20, 1900), min_size=3, max_size=12),
    st.integers(-60_000, 60_000),
    st.integers(-60_000, 60_000),
)
def test_rounding_is_away_from_inside(
    lat: int, reaches: list[float], dlat: int, dlon: int
) -> None:
    """In the plane itself, by shapely's floats: never nearer to inside than it is, less than a
    decimetre further."""
    turn = 360 / len(reaches)
    corners = [gone((lat, 0), i * turn, reach) for i, reach in enumerate(reaches)]
    try:
        plane = fence.Plane([1, polygon.steps([list(corner) for corner in corners])])
    except fence.FenceError:
        return
    north, east = (size / 1e9 for size in fence._scale(plane.center[0]))  # pyright: ignore[reportPrivateUsage]
    points = [
        ((lon - plane.center[1]) * east, (at - plane.center[0]) * north) for at, lon in corners
    ]
    shape, here = shapely.Polygon(points), shapely.Point(dlon * east, dlat * north)
    true = shape.exterior.distance(here) * (-1 if shape.contains(here) else 1)
    found = plane.edge_dm(dlat, dlon)
    assert true - 1e-5 <= found < true + 1 + 1e-5
    assert math.copysign(1, found) == math.copysign(1, true) or abs(true) < 1 + 1e-5
