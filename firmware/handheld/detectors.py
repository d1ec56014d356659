"""What does not fit in what a receiver says: the detector flags of a fix, in integers.

Sees one receiver alone: a coherent simulator near the antenna passes, and so does whatever only
the gateway could compare (other devices, earlier days). Drops nothing; only FROZEN disqualifies
(ronda_protocol.track, WIRE.md).
"""

from micropython import const
from ronda_protocol import track

_FROZEN_MS = const(60000)
_DAY_MS = const(86400000)
# Two fixes further apart in time say nothing of how it went between them.
_STEP_MS = const(5000)
_LEG_MS = const(30000)
_FASTEST = const(600)  # dm/s
_CLIMB = const(100)
# From knowing neither time nor satellite to a fix: subframes 1 to 3 alone take 18 s (IS-GPS-200).
_COLD_MS = const(12000)
_SAME = const(8)  # intervals in a row that make a rate
_FEW = const(6)  # satellites, of fewer no more is said
_LEAP_DB = const(6)


class Detectors:
    """`flags()` once for each fix, `lost()` for each epoch without, `silence()` for a quiet line.

    `clock` is the device's (handheld.clock).
    """

    def __init__(self, clock):
        self._clock = clock
        # The last fix: day (-1: none yet), ms of the day, dm/s (None unknown), dm of altitude.
        self._day = -1
        self._ms = self._lat = self._lon = 0
        self._hdop = self._satellites = 0
        self._speed = self._height = None
        self._still = 0  # since when, in device ms, nothing has stirred
        # Where and with what way (dm) a leg began, to compare with where it ends.
        self._from_lat = self._from_lon = self._leg = self._way = 0
        self._cold = None  # when, in device ms, the receiver last knew nothing
        self._errors = self._repeated = 0
        self._step = self._steps = self._rate = 0
        self._odd_rate = False
        self._mark = self._mean = self._spread = self._count = 0

    def silence(self):
        """The line has been quiet: the receiver may have been without power."""
        self._cold = None
        self._steps = 0

    def lost(self, p, ms):
        """An epoch without a fix was told at device time `ms`."""
        if self._day < 0 and not p.timed and not p.sky.count:
            self._cold = ms

    def flags(self, p, ms):
        """The flags of the fix that parser `p` tells at device time `ms`."""
        first = self._day < 0
        dt = (p.day - self._day) * _DAY_MS + p.ms - self._ms
        speed = None if p.speed is None else (p.speed * 463 + 45000) // 90000
        found = self._said(p, ms)
        if not first:
            if dt <= 0 or p.repeated != self._repeated:
                found |= track.TIME
            found |= self._moved(p, max(dt, 100), speed)
            self._interval(dt)
        if self._odd_rate:
            found |= track.RATE
        if first or self._stirs(p):
            self._still = ms
        elif ms - self._still >= _FROZEN_MS:
            found |= track.FROZEN
        self._mark = p.sky.mark
        self._repeated = p.repeated
        self._day = p.day
        self._ms = p.ms
        self._lat = p.lat
        self._lon = p.lon
        self._hdop = p.hdop
        self._satellites = p.satellites
        self._speed = speed
        self._height = p.altitude
        return found

    def _stirs(self, p):
        return (
            p.speed != 0  # not told is not zero
            or p.lat != self._lat
            or p.lon != self._lon
            or p.hdop != self._hdop
            or p.satellites != self._satellites
            or p.altitude != self._height
            or p.sky.mark != self._mark
        )

    def _said(self, p, ms):
        """What the sentences since the last fix show by themselves."""
        sky = p.sky
        found = 0
        if p.zda not in (-1, p.day) or self._clock.conflicts(
            p.day * 86400 + p.ms // 1000, ms - p.ms % 1000
        ):
            found |= track.CLOCK
        if self._cold is not None:
            if ms - self._cold < _COLD_MS:
                found |= track.EARLY
            self._cold = None
        lost = p.fed - p.used
        if p.checksum_errors - self._errors > 2 or lost > 128 and lost * 4 > p.fed:
            found |= track.GARBAGE
        self._errors = p.checksum_errors
        p.fed = p.used = 0
        if sky.odd:
            found |= track.SKY
            sky.odd = False
        if sky.fresh and sky.count >= _FEW:
            leap = sky.count == self._count and abs(sky.mean - self._mean) >= _LEAP_DB
            if not sky.spread or leap and abs(sky.spread - self._spread) < 3:
                found |= track.SIGNAL
        if sky.fresh:
            self._count = sky.count
            self._mean = sky.mean
            self._spread = sky.spread
        return found | track.ESTIMATED if p.quality > 5 else found

    def _interval(self, dt):
        """The receiver's own rate, and whether it is another than it was."""
        self._steps = self._steps + 1 if abs(dt - self._step) <= 50 else 0
        self._step = dt
        if self._steps >= _SAME:
            self._rate = self._rate or dt
            self._odd_rate = abs(dt - self._rate) * 4 > self._rate

    def _moved(self, p, dt, speed):
        """Where the last fix was and where this one is; dt ms lie between, speed is in dm/s."""
        north, east = _offset(self._lat, self._lon, p)
        far = _length(north, east)
        # Twice the accuracy (HDOP times 5 m, at least 5 m), one for each fix.
        noise = 10 * max(p.hdop, self._hdop, 10)
        found = 0
        if (far - noise) * 1000 > _FASTEST * dt:
            found |= track.JUMP
        if p.altitude is not None and self._height is not None:
            if (abs(p.altitude - self._height) - 3 * noise) * 1000 > _CLIMB * dt:
                found |= track.ALTITUDE
        if speed is None or self._speed is None or dt > _STEP_MS:
            self._leg = 0
            return found
        slow = min(speed, self._speed)
        way = max(speed, self._speed) * dt // 1000
        course = (p.course or 0) // 100
        if (
            far > 3 * way + noise
            or slow * dt // 1000 > 4 * far + noise
            # Over 90 degrees off: what the course has of the way is negative.
            or (
                slow >= 20
                and 2 * far > noise
                and north * _cos(course) + east * _cos(course - 90) < 0
            )
        ):
            self._leg = 0
            return found | track.MOTION
        return found | track.MOTION if self._strayed(p, dt, way, noise) else found

    def _strayed(self, p, dt, way, noise):
        """Whether a leg of 30 s ends much farther from its start than its speeds say."""
        if not self._leg:
            self._from_lat = self._lat
            self._from_lon = self._lon
            self._way = 0
        self._leg += dt
        self._way += way
        if self._leg < _LEG_MS:
            return False
        self._leg = 0
        north, east = _offset(self._from_lat, self._from_lon, p)
        return _length(north, east) > 2 * self._way + 2 * noise + 50


def _cos(angle):
    """1000 times the cosine of whole degrees, within 2 (Bhaskara's approximation)."""
    angle = abs(angle % 360 - 180)
    square = min(angle, 180 - angle) ** 2
    found = 1000 * (32400 - 4 * square) // (32400 + square)
    return found if angle > 90 else -found


def _offset(lat, lon, p):
    """(north, east) in dm from a place to the parser's, within 1 % where people live."""
    east = (p.lon - lon + 1800000000) % 3600000000 - 1800000000
    return (p.lat - lat) * 1111 // 10000, east * 1113 * _cos(lat // 10000000) // 10000000


def _length(north, east):
    """The length of an offset, within 7 %."""
    north = abs(north)
    east = abs(east)
    return max(north, east) + min(north, east) * 3 // 8
