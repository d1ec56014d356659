"""The gateway's own opinion of where fixes lie: geodesics (pyproj) and plane geometry (shapely).

Beside the verdict that the handheld and `ronda_protocol.fence` compute in integers, from the same
fixes and with another tool: a fault of the integer code would show. Decides nothing; floats are
kept here and leave as whole decimetres.
"""

import math
from statistics import median
from typing import Any, NamedTuple, cast

import shapely
from pyproj import Geod
from ronda_protocol import fence, polygon, track

# Making one costs more than a hundred visits.
_WGS84 = Geod(ellps="WGS84")
_ORIGIN = shapely.Point(0.0, 0.0)

TOLERANCE_DM = 10
_NEAR_DM = 20_000


class Opinion(NamedTuple):
    """`d_dm`: signed distance to the edge; `from_center_dm`: how far out that is, for a circle
    from its centre, for a polygon from its furthest corner."""

    d_dm: int
    from_center_dm: int

    def differs(self, d_dm: int) -> bool:
        """Whether the integer code's distance is another: by more than 1 m, or 0.1 % of the way.

        Beyond 2 km of the edge nothing depends on the metre, and the plane at the fence's centre
        is not promised to hold: there both need only be beyond.
        """
        if self.d_dm > _NEAR_DM and d_dm > _NEAR_DM:
            return False
        return abs(self.d_dm - d_dm) > max(TOLERANCE_DM, self.from_center_dm // 1000)


def opinion(place: list[Any], fixes: list[tuple[int, int, int, int]]) -> Opinion | None:
    """On a fence that was judged ([0, lat, lon, radius] or [1, corners]); None without a fix.

    `fixes` as `fence.verdict` takes them, of which the same ones count.
    """
    usable = [fix for fix in fixes if not fix[3] & track.DISQUALIFYING][-fence.MAX_FIXES :]
    if not usable:
        return None
    lat = median(fix[0] for fix in usable)
    # Longitudes may lie on both sides of 180 degrees: their median is taken around the first.
    first = usable[0][1]
    lon = first + median((fix[1] - first + 1.8e9) % 3.6e9 - 1.8e9 for fix in usable)
    if place[0] == 0:
        away = _metres(place[2] / 1e7, place[1] / 1e7, lon / 1e7, lat / 1e7)
        return Opinion(round(away * 10) - int(place[3]), round(away * 10))
    return _polygon(cast(list[int], place[1]), lat / 1e7, lon / 1e7)


def _metres(lon: float, lat: float, lon2: float, lat2: float) -> float:
    return float(_WGS84.inv(lon, lat, lon2, lat2)[2])


def _polygon(flat: list[int], lat: float, lon: float) -> Opinion:
    """By bearing and length of the geodesic from the position to each corner: the plane that is
    true to both around the position, where every distance to it is the geodesic's."""
    corners = polygon.corners(flat)
    count = len(corners)
    bearings, _, lengths = _WGS84.inv(
        [lon] * count,
        [lat] * count,
        [corner[1] / 1e7 for corner in corners],
        [corner[0] / 1e7 for corner in corners],
    )
    seen = [
        (length * math.sin(math.radians(bearing)), length * math.cos(math.radians(bearing)))
        for bearing, length in zip(bearings, lengths, strict=True)
    ]
    # Half the cost of shapely.Polygon(seen).
    ring = shapely.linearrings(seen)
    away = float(ring.distance(_ORIGIN))
    if shapely.polygons(ring).contains(_ORIGIN):
        away = -away
    return Opinion(round(away * 10), round(max(lengths) * 10))
