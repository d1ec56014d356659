"""Metres and degrees within a district: integers of 1e-7 degrees in and out, WGS84 series inside.

For simulated walks only. A verdict's geometry is `ronda_protocol.fence`, in integers.
"""

import math

Point = tuple[int, int]
"""Latitude and longitude in units of 1e-7 degrees (WGS84)."""


def metres_per_degree(lat_e7: int) -> tuple[float, float]:
    """Metres in a degree of latitude and of longitude at a latitude (WGS84 series)."""
    lat = math.radians(lat_e7 / 1e7)
    north = 111132.954 - 559.822 * math.cos(2 * lat) + 1.175 * math.cos(4 * lat)
    east = 111412.84 * math.cos(lat) - 93.5 * math.cos(3 * lat) + 0.118 * math.cos(5 * lat)
    return north, east


def offset(point: Point, north_m: float, east_m: float) -> Point:
    """The point so many metres north and east of another."""
    north, east = metres_per_degree(point[0])
    return (
        point[0] + round(north_m / north * 1e7),
        point[1] + round(east_m / east * 1e7),
    )


def away(a: Point, b: Point) -> tuple[float, float]:
    """Metres north and east from one point to another of the same district."""
    north, east = metres_per_degree(a[0])
    return (b[0] - a[0]) / 1e7 * north, (b[1] - a[1]) / 1e7 * east


def distance_m(a: Point, b: Point) -> float:
    """Metres between two points of the same district."""
    return math.hypot(*away(a, b))


def bearing(a: Point, b: Point) -> float:
    """Degrees from north, clockwise, from one point to another; 0 where they are the same."""
    north, east = away(a, b)
    return math.degrees(math.atan2(east, north)) % 360
