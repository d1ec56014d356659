"""Where GPS and GLONASS satellites stand over a place, and how good the ones in use are together.

Circular orbits of the real constellations' size, tilt and number, so that satellites rise and
set as they do; which satellite is where on a given day is invented. No ephemeris, no atmosphere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

System = Literal["GP", "GL"]
"""By the talker of its GSV sentences: GPS, GLONASS."""

_EPOCH_UNIX = 1767225600  # 2026-01-01, when the angles below hold
_EARTH_TURN = 7.2921151e-5  # rad/s
_EARTH_M = 6378137.0
_FLAT = 0.00669438  # first eccentricity squared, WGS84
_HORIZON_DEG = 5.0
_EVERY_S = 60  # how long a view is used: satellites move half a degree in it


@dataclass(frozen=True)
class _Shell:
    """One constellation: planes spread evenly around the Earth, satellites evenly in each."""

    system: System
    radius_m: float
    tilt_deg: float
    period_s: float
    planes: int
    numbers: tuple[int, ...]  # as NMEA says them, plane after plane
    plane_shift_deg: float  # of the satellites of a plane against those of the one before


# IS-GPS-200: 26,560 km, 55 degrees, half a sidereal day; six planes.
# GLONASS ICD 5.1: 25,508 km, 64.8 degrees, 11 h 15 min 44 s; three planes; NMEA's 65 to 88.
_SHELLS = (
    _Shell("GP", 26_559_800, 55.0, 43_082, 6, tuple(range(1, 31)), 37.0),
    _Shell("GL", 25_508_000, 64.8, 40_544, 3, tuple(range(65, 89)), 15.0),
)


class Satellite(NamedTuple):
    """One satellite above the horizon: its number as NMEA says it, angles in degrees."""

    system: System
    number: int
    elevation: float
    azimuth: float


def in_view(lat_e7: int, lon_e7: int, unix: int) -> tuple[Satellite, ...]:
    """Satellites above 5 degrees at a place (1e-7 degrees), by system and number.

    The place is taken to the nearest hundredth of a degree and the time to the minute.
    """
    return _in_view(round(lat_e7, -5), round(lon_e7, -5), unix // _EVERY_S * _EVERY_S)


@lru_cache(maxsize=64)
def _in_view(lat_e7: int, lon_e7: int, unix: int) -> tuple[Satellite, ...]:
    lat, lon = math.radians(lat_e7 / 1e7), math.radians(lon_e7 / 1e7)
    up = (math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat))
    east = (-math.sin(lon), math.cos(lon), 0.0)
    north = (-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat))
    bend = _EARTH_M / math.sqrt(1 - _FLAT * math.sin(lat) ** 2)
    here = (bend * up[0], bend * up[1], bend * (1 - _FLAT) * up[2])
    found: list[Satellite] = []
    for shell in _SHELLS:
        for index, number in enumerate(shell.numbers):
            there = _position(shell, index, unix)
            sight = tuple(a - b for a, b in zip(there, here, strict=True))
            height = _dot(sight, up) / math.sqrt(_dot(sight, sight))
            elevation = math.degrees(math.asin(height))
            if elevation >= _HORIZON_DEG:
                azimuth = math.degrees(math.atan2(_dot(sight, east), _dot(sight, north))) % 360
                found.append(Satellite(shell.system, number, elevation, azimuth))
    return tuple(found)


def _position(shell: _Shell, index: int, unix: int) -> tuple[float, float, float]:
    """Metres, in axes that turn with the Earth."""
    in_plane = len(shell.numbers) // shell.planes
    plane, place = divmod(index, in_plane)
    since = unix - _EPOCH_UNIX
    along = math.radians(360 / in_plane * place + shell.plane_shift_deg * plane)
    along += 2 * math.pi * since / shell.period_s
    node = math.radians(360 / shell.planes * plane) - _EARTH_TURN * since
    tilt = math.radians(shell.tilt_deg)
    x, y = math.cos(along), math.sin(along) * math.cos(tilt)
    return (
        shell.radius_m * (x * math.cos(node) - y * math.sin(node)),
        shell.radius_m * (x * math.sin(node) + y * math.cos(node)),
        shell.radius_m * math.sin(along) * math.sin(tilt),
    )


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


class Geometry(NamedTuple):
    """Dilution of precision of a set of satellites, and how far their errors push the position."""

    hdop: float
    vdop: float
    north_m: float
    east_m: float


def solve(satellites: Sequence[Satellite], late_m: Sequence[float]) -> Geometry | None:
    """Least squares over four unknowns; `late_m` is how much too long each range was measured.

    None where the satellites cannot tell a position: fewer than four, or all on one cone.
    """
    rows: list[tuple[float, float, float, float]] = []
    for satellite in satellites:
        elevation, azimuth = math.radians(satellite.elevation), math.radians(satellite.azimuth)
        flat = math.cos(elevation)
        rows.append(
            (-flat * math.cos(azimuth), -flat * math.sin(azimuth), -math.sin(elevation), 1.0)
        )
    inverse = _inverse([[sum(r[i] * r[j] for r in rows) for j in range(4)] for i in range(4)])
    if len(rows) < 4 or inverse is None:
        return None
    push = [sum(r[i] * late for r, late in zip(rows, late_m, strict=True)) for i in range(4)]
    moved = [sum(inverse[i][j] * push[j] for j in range(4)) for i in range(2)]
    return Geometry(
        math.sqrt(inverse[0][0] + inverse[1][1]), math.sqrt(inverse[2][2]), moved[0], moved[1]
    )


def _inverse(matrix: list[list[float]]) -> list[list[float]] | None:
    """The inverse of a symmetric positive matrix by Gauss and Jordan; None if it has none."""
    size = len(matrix)
    rows = [[*row, *(float(i == k) for k in range(size))] for i, row in enumerate(matrix)]
    for i in range(size):
        best = max(range(i, size), key=lambda k: abs(rows[k][i]))
        rows[i], rows[best] = rows[best], rows[i]
        if abs(rows[i][i]) < 1e-9:
            return None
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for k in range(size):
            if k != i and rows[k][i]:
                part = rows[k][i]
                rows[k] = [a - part * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [row[size:] for row in rows]
