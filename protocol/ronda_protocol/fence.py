"""Where fixes lie against a fence: inside, outside or uncertain, in whole decimetres, how long.

Integers only, alike on both VMs; a local plane at the fence's centre (WGS84), good to 0.1 % or
0.5 m up to 2 km. Circles; polygons are in `polygon`, imported when one is judged. Knows no policy
and reads no clock.
"""

from ronda_protocol.bounds import WireError, is_latlon, is_list, is_uint
from ronda_protocol.track import DISQUALIFYING, fix_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ronda_protocol.track import Entry

INSIDE = 1
OUTSIDE = 2
UNCERTAIN = 3
VERDICT_NAMES = ("", "inside", "outside", "uncertain")

# Why a verdict has no distance or accuracy.
OK = 0
NO_FIX = 1
DISQUALIFIED = 2
HDOP_UNKNOWN = 3
REASON_NAMES = ("ok", "no_fix", "disqualified", "hdop_unknown")

MAX_FIXES = 8
FLOOR_DM = 50
"""No receiver is believed to be better than 5 m."""

DWELL_GAP_MS = 10000
"""Two fixes further apart than this are not one stay."""

MIN_RADIUS_DM = 100
MAX_RADIUS_DM = 20000

# Beyond 80 degrees the plane at the centre is no longer good to 0.1 %.
_MAX_LAT = 800000000

# cos(0..90 degrees) * 65535, two bytes each; straight between them the error is below 4e-5.
_COS = bytes.fromhex(
    "fffffff5ffd7ffa5ff5fff06fe98fe17fd81fcd8fc1bfb4bfa67f96ff864f746f614f4cff377f20df08feefe"
    "ed5beba5e9dde803e616e418e208dfe6ddb3db6ed919d6b2d43bd1b3cf1bcc73c9bac6f2c41bc134be3ebb39"
    "b826b504b1d4ae97ab4ba7f3a48da11b9d9b9a10967992d58f278b6d87a883d980007c1c782f743870396c30"
    "681f64075fe65bbe578e53584f1b4ad9469042423dee3996353930d92c74280c23a11f331ac2165011db0d66"
    "08ef04780000"
)


def of_entries(fixes: "list[Entry]") -> "list[tuple[int, int, int, int]]":
    """What a verdict reads of fix entries: (lat_e7, lon_e7, hdop, detector flags)."""
    return [(fix[3], fix[4], fix[5], fix_flags(fix)) for fix in fixes]


class FenceError(WireError):
    """Codes: fence, radius, pole, fix, uere, corners, size, repeated, crossing, flat."""


def _cos(angle: int) -> int:
    """65535 times the cosine of an angle in 1e-4 degrees."""
    angle %= 3600000
    if angle > 1800000:
        angle = 3600000 - angle
    sign = 1
    if angle > 900000:
        angle = 1800000 - angle
        sign = -1
    at = angle // 10000 * 2
    here = _COS[at] << 8 | _COS[at + 1]
    if angle < 900000:
        here -= (here - (_COS[at + 2] << 8 | _COS[at + 3])) * (angle % 10000) // 10000
    return sign * here


def _scale(lat_e7: int) -> "tuple[int, int]":
    """Millimetres per degree of latitude and of longitude on WGS84 at a latitude."""
    a = abs(lat_e7) // 1000
    north = 111132953 - (559850 * _cos(2 * a) - 1175 * _cos(4 * a)) // 65535
    east = (111412878 * _cos(a) - 93504 * _cos(3 * a) + 118 * _cos(5 * a)) // 65535
    return north, east


def _wrapped(lon_e7: int) -> int:
    """A difference of longitudes, the short way round."""
    return (lon_e7 + 1800000000) % 3600000000 - 1800000000


def offset_dm(center: "Any", lat_e7: int, lon_e7: int) -> "tuple[int, int]":
    """(north, east) in dm, to the nearest, from a center (lat_e7, lon_e7)."""
    lat, lon = center
    north, east = _scale(lat)
    half = 500000000
    return (
        ((lat_e7 - lat) * north + half) // 1000000000,
        (_wrapped(lon_e7 - lon) * east + half) // 1000000000,
    )


def compass8(north: int, east: int) -> int:
    """The direction of an offset: 0 N, 1 NE, 2 E … 7 NW; 0 for no offset."""
    n, e = abs(north), abs(east)
    # tan 22.5 degrees is 408 / 985 to seven digits.
    if e * 985 <= n * 408:
        return 0 if north >= 0 else 4
    if n * 985 <= e * 408:
        return 2 if east > 0 else 6
    if north > 0:
        return 1 if east > 0 else 7
    return 3 if east > 0 else 5


def root_up(square: int) -> int:
    """The smallest integer whose square is not below `square`."""
    if square < 2:
        return square
    root = 1
    while root * root < square:
        root <<= 1
    while True:
        better = (root + square // root) >> 1
        if better >= root:
            return root if root * root >= square else root + 1
        root = better


def _median(values: "list[int]") -> int:
    """The middle one; of an even count the floor of the mean of the two middle ones."""
    values.sort()
    half = len(values) >> 1
    return values[half] if len(values) & 1 else (values[half - 1] + values[half]) >> 1


class Plane:
    """A fence that was checked, in the plane at its `center` (lat_e7, lon_e7). FenceError."""

    def __init__(self, fence: "Any") -> None:
        self._radius = 0
        self._polygon: Any = None
        self._corners: list[int] = []
        if is_list(fence, 2, 2) and is_uint(fence[0], 1, 1):
            from ronda_protocol import polygon

            self._polygon = polygon
            lat, lon, self._corners = polygon.relative(fence[1])
        elif is_list(fence, 4, 4) and is_uint(fence[0], 0) and is_latlon(fence[1], fence[2]):
            _, lat, lon, self._radius = fence
            if not is_uint(self._radius, MAX_RADIUS_DM, MIN_RADIUS_DM):
                raise FenceError("radius")
        else:
            raise FenceError("fence")
        if abs(lat) > _MAX_LAT:
            raise FenceError("pole")
        self.center = (lat, lon)
        self._north, self._east = _scale(lat)
        if self._polygon:
            self._polygon.check(self._corners, self._north, self._east)

    def edge_dm(self, dlat: int, dlon: int) -> int:
        """Signed distance to the edge in dm, negative inside, every rounding away from inside.

        The position is given by its differences from the centre, in units of 1e-7 degrees.
        """
        if self._polygon:
            return self._polygon.edge_dm(self._corners, self._north, self._east, dlat, dlon)
        north = -(-abs(dlat) * self._north // 10000000)
        east = -(-abs(dlon) * self._east // 10000000)
        return -(-root_up(north * north + east * east) // 100) - self._radius

    def verdict(self, fixes: "list[Any]", uere_dm: int = 50) -> "list[int | None]":
        """See `verdict`."""
        if not is_uint(uere_dm, 10000, 1):
            raise FenceError("uere")
        usable: list[Any] = []
        for fix in fixes:
            if not is_latlon(fix[0], fix[1]) or not is_uint(fix[2], 255, 1) or not is_uint(fix[3]):
                raise FenceError("fix")
            if not fix[3] & DISQUALIFYING:
                usable.append(fix)
        usable = usable[-MAX_FIXES:]
        used = len(usable)
        if not used:
            return [UNCERTAIN, None, None, 0, DISQUALIFIED if fixes else NO_FIX]
        lat, lon = self.center
        d = self.edge_dm(
            _median([fix[0] - lat for fix in usable]),
            _median([_wrapped(fix[1] - lon) for fix in usable]),
        )
        hdop = max([fix[2] for fix in usable])
        if hdop == 255:
            return [UNCERTAIN, d, None, used, HDOP_UNKNOWN]
        r = max(FLOOR_DM, -(-hdop * uere_dm // 10))
        if used < 3:
            r *= 2
        found = INSIDE if d + r <= 0 else OUTSIDE if d - r > 0 else UNCERTAIN
        return [found, d, r, used, OK]


def verdict(fence: "Any", fixes: "list[Any]", uere_dm: int = 50) -> "list[int | None]":
    """[verdict, d dm or None, r dm or None, fixes used, reason] of fixes against a fence.

    `fixes` are (lat_e7, lon_e7, hdop in tenths, detector flags), of the last 30 s, newest last;
    the last eight without a disqualifying flag count. d is the signed distance of their per-axis
    median to the edge, negative inside; r the accuracy: the largest HDOP times `uere_dm`, at
    least 5 m, doubled with fewer than three fixes. Inside if d + r <= 0, outside if d - r > 0;
    both are rounded away from inside. HDOP 255 (unknown) makes any verdict uncertain.
    """
    return Plane(fence).verdict(fixes, uere_dm)


class Dwell:
    """How long fixes stay inside a fence: the row that goes on, and the longest one so far.

    A row is usable fixes (HDOP known, no disqualifying flag) one after the other, each inside or
    on the edge by its own position, each at most 10 s after the one before; an unusable one
    neither counts nor ends it. `first` is the ms of the row's first fix, -1 after one outside.
    FenceError.
    """

    def __init__(self, fence: "Any") -> None:
        self.plane = Plane(fence)
        self.first = self._last = self._seen = self._best = -1

    def add(self, ms: int, lat_e7: int, lon_e7: int, hdop: int, flags: int) -> None:
        """The next fix; one that is not later than the last one added is passed over."""
        if ms <= self._seen or hdop == 255 or flags & DISQUALIFYING:
            return
        self._seen = ms
        lat, lon = self.plane.center
        if self.plane.edge_dm(lat_e7 - lat, _wrapped(lon_e7 - lon)) > 0:
            self.first = -1
            return
        if self.first < 0 or ms - self._last > DWELL_GAP_MS:
            self.first = ms
        self._last = ms
        self._best = max(self._best, ms - self.first)

    def going_on_s(self, ms: int) -> int:
        """Whole seconds of the row that still goes on at `ms`; 0 when none does."""
        if self.first < 0 or ms - self._last > DWELL_GAP_MS:
            return 0
        return (self._last - self.first) // 1000

    def longest_s(self) -> int:
        """Whole seconds of the longest row."""
        return max(0, self._best) // 1000

    def restart(self) -> None:
        """Forget what was: a row that goes on begins anew at its last fix."""
        self._best = -1
        if self.first >= 0:
            self.first = self._last
