"""The fence's integer plane against the ellipsoid: WGS84 distances from earth-centred coordinates.

Chords of the ellipsoid stand for geodesics: over 3 km they differ by 3e-5 m.
"""

import math
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ronda_protocol import fence

A, F = 6378137.0, 1 / 298.257223563
E2 = F * (2 - F)

# Peru, Colombia, Mexico, Ecuador: every degree of latitude of theirs, and the equator.
LATITUDES = st.integers(-184_000_000, 327_000_000)
LIMA, BOGOTA, TIJUANA, QUITO, IQUIQUE = (
    -121_191_000,
    46_100_000,
    325_149_000,
    -1_807_000,
    -202_141_000,
)


def earth_centred(lat_e7: int, lon_e7: int) -> tuple[float, float, float]:
    """Metres on the WGS84 ellipsoid."""
    lat, lon = math.radians(lat_e7 / 1e7), math.radians(lon_e7 / 1e7)
    normal = A / math.sqrt(1 - E2 * math.sin(lat) ** 2)
    return (
        normal * math.cos(lat) * math.cos(lon),
        normal * math.cos(lat) * math.sin(lon),
        normal * (1 - E2) * math.sin(lat),
    )


def metres(a: Sequence[int], b: Sequence[int]) -> float:
    """Distance of two positions (lat_e7, lon_e7) less than some kilometres apart."""
    chord = math.dist(earth_centred(*a), earth_centred(*b))
    return 2 * A * math.asin(chord / 2 / A)


def away(lat: int, lon: int, dlat: int, dlon: int) -> float:
    """What the fence calls the distance of a fix, in metres."""
    place = [0, lat, lon, 1000]
    fixes = [(lat + dlat, (lon + dlon + 1_800_000_000) % 3_600_000_000 - 1_800_000_000, 9, 0)]
    verdict = fence.verdict(place, fixes)
    assert verdict[1] is not None
    return (verdict[1] + 1000) / 10


@settings(max_examples=3000, deadline=None)
@given(
    LATITUDES,
    st.integers(-1_800_000_000, 1_800_000_000),
    st.integers(-181_000, 181_000),
    st.integers(-215_000, 215_000),
)
@example(LIMA, -770_282_000, 0, 0)
@example(LIMA, -770_282_000, 1, 0)
@example(TIJUANA, -1_170_382_000, 180_000, 0)
@example(TIJUANA, -1_170_382_000, 0, 213_000)
@example(QUITO, -784_678_000, 180_000, 180_000)
@example(BOGOTA, -740_817_000, -127_000, 127_000)
@example(IQUIQUE, -701_520_000, 127_000, -127_000)
def test_distances_up_to_two_kilometres(lat: int, lon: int, dlat: int, dlon: int) -> None:
    """Error at most 0.1 % or 0.5 m, and nearer than true by no more than the plane's error."""
    true = metres((lat, lon), (lat + dlat, lon + dlon))
    if true > 2000:
        return
    found = away(lat, lon, dlat, dlon)
    assert abs(found - true) <= max(0.5, 0.001 * true)
    # Rounded away from inside: what is missing is the plane's error alone, a quarter of the limit.
    assert found >= true - max(0.02, 0.00025 * true)


@settings(max_examples=500, deadline=None)
@given(st.integers(-350_000_000, 350_000_000), st.integers(-181_000, 181_000))
def test_offsets(lat: int, step: int) -> None:
    """North and east of a fix to half a decimetre more than the distance may be wrong."""
    for dlat, dlon in ((step, 0), (0, step)):
        north, east = fence.offset_dm((lat, 0), lat + dlat, dlon)
        true = metres((lat, 0), (lat + dlat, dlon))
        assert abs(math.hypot(north, east) / 10 - true) <= max(0.5, 0.001 * true) + 0.05
        assert (north > 0) == (dlat > 0 and north != 0)
        assert (east > 0) == (dlon > 0 and east != 0)


@settings(max_examples=500, deadline=None)
@given(st.integers(-800_000_000, 800_000_000), st.integers(-100_000, 100_000))
def test_up_to_eighty_degrees(lat: int, step: int) -> None:
    """Half a kilometre from a fence anywhere it may stand: 0.1 % or 0.5 m too."""
    dlon = int(step * 0.4)
    true = metres((lat, 0), (lat + dlon, step))
    if true < 500:
        assert abs(away(lat, 0, dlon, step) - true) <= max(0.5, 0.001 * true)


@pytest.mark.parametrize("degree", range(0, 81, 5))
def test_metres_per_degree(degree: int) -> None:
    """The series against the ellipsoid's radii of curvature: 0.02 %."""
    north, east = fence._scale(degree * 10_000_000)  # pyright: ignore[reportPrivateUsage]
    lat = math.radians(degree)
    w = 1 - E2 * math.sin(lat) ** 2
    assert north / 1000 == pytest.approx(math.radians(A * (1 - E2) / w**1.5), rel=2e-4)
    assert east / 1000 == pytest.approx(math.radians(A * math.cos(lat) / w**0.5), rel=2e-4)


def test_every_degree_of_the_cosine_table() -> None:
    """The table is cos times 65535; between two degrees the line is good to 4e-5."""
    for angle in range(0, 3_600_001, 7_777):
        exact = math.cos(math.radians(angle / 10_000))
        assert fence._cos(angle) / 65535 == pytest.approx(exact, abs=6e-5)  # pyright: ignore[reportPrivateUsage]


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 10**30))
def test_the_square_root_is_rounded_up(square: int) -> None:
    """The smallest integer whose square is not below."""
    root = fence.root_up(square)
    assert root == (0 if square == 0 else math.isqrt(square - 1) + 1)


@settings(max_examples=500, deadline=None)
@given(st.integers(-10_000, 10_000), st.integers(-10_000, 10_000))
def test_the_compass(north: int, east: int) -> None:
    """The nearest of eight directions, away from their borders."""
    turn = (math.degrees(math.atan2(east, north)) % 360) / 45
    if (north or east) and abs(turn - math.floor(turn) - 0.5) > 1e-6:
        assert fence.compass8(north, east) == round(turn) % 8
