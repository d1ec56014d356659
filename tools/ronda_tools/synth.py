"""Synthesised NMEA of a gestor on foot: RMC, GGA and GSA at 1 Hz along waypoints, seeded noise.

A `Walk` is built leg by leg (walk, stand, go indoors, freeze, fall silent) and then says what a
receiver would have said. It imitates a receiver, not the sky: no GSV, no multipath model. The same
seed gives the same bytes.
"""

import math
import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Point = tuple[int, int]
"""Latitude and longitude in units of 1e-7 degrees (WGS84)."""

Kind = Literal["walk", "stand", "indoors", "frozen", "silent"]

# Points on pavements and at doors around the centre of Miraflores, Lima; no door is a real case's.
MIRAFLORES: dict[str, Point] = {
    "parque": (-121211000, -770297000),
    "larco": (-121232400, -770291500),
    "schell": (-121226800, -770279600),
    "porta": (-121243100, -770306800),
    "diez-canseco": (-121219300, -770274200),
    "berlin": (-121200600, -770329800),
    "bellavista": (-121188700, -770309100),
    "alcanfores": (-121247500, -770271000),
    "san-martin": (-121262900, -770317400),
    "tarata": (-121213900, -770284600),
}

WALKING_M_S = 1.3
_KNOTS = 1.943844
_NOISE_M = 1.6  # of the slow error, per axis, at HDOP 1
_NOISE_S = 90.0  # how slowly it moves
_ALTITUDE_M = 79.0
_SATELLITES = (2, 5, 6, 9, 12, 13, 17, 19, 20, 24, 25, 28)


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


def distance_m(a: Point, b: Point) -> float:
    """Metres between two points of the same district."""
    north, east = metres_per_degree(a[0])
    return math.hypot((b[0] - a[0]) / 1e7 * north, (b[1] - a[1]) / 1e7 * east)


@dataclass(frozen=True)
class Leg:
    """One stretch of a walk: [from_ms, to_ms), from where to where, and what is heard."""

    kind: Kind
    from_ms: int
    to_ms: int
    start: Point
    end: Point
    said: Point | None = None  # where a frozen receiver claims to be
    hdop: float = 0.9

    def at(self, ms: int) -> Point:
        """The true position at a time within the leg."""
        length = self.to_ms - self.from_ms
        part = min(max(ms - self.from_ms, 0), length) / length if length else 1.0
        return (
            self.start[0] + round((self.end[0] - self.start[0]) * part),
            self.start[1] + round((self.end[1] - self.start[1]) * part),
        )


class Walk:
    """A gestor's way through a day, from `start` at 0 ms = `start_unix` (UTC seconds).

    Each leg's method returns the simulated ms at which the leg ends, so that a script can say what
    happens there.
    """

    def __init__(self, start: Point, start_unix: int, seed: int = 1) -> None:
        self.start_unix = start_unix
        self._start = start
        self._seed = seed
        self._legs: list[Leg] = []

    @property
    def ms(self) -> int:
        """Where in simulated time the walk ends so far."""
        return self._legs[-1].to_ms if self._legs else 0

    @property
    def here(self) -> Point:
        """Where the walk ends so far."""
        return self._legs[-1].end if self._legs else self._start

    def _add(
        self,
        kind: Kind,
        seconds: float,
        to: Point | None = None,
        *,
        said: Point | None = None,
        hdop: float = 0.9,
    ) -> int:
        if seconds < 0:
            raise ValueError("a leg cannot end before it begins")
        start, length = self.here, round(seconds) * 1000
        end = start if to is None else to
        self._legs.append(Leg(kind, self.ms, self.ms + length, start, end, said, hdop))
        return self.ms

    def go(self, to: Point, m_s: float = WALKING_M_S, *, hdop: float = 0.9) -> int:
        """Walk straight to a point, m_s metres a second."""
        return self._add("walk", math.ceil(distance_m(self.here, to) / m_s), to, hdop=hdop)

    def stand(self, seconds: float, *, hdop: float = 0.9) -> int:
        """Stand still under the open sky."""
        return self._add("stand", seconds, hdop=hdop)

    def stand_until(self, ms: int) -> int:
        """Stand still until a simulated time; ValueError when it is over."""
        return self._add("stand", (ms - self.ms) / 1000)

    def indoors(self, seconds: float) -> int:
        """Inside a building: the receiver talks, without a fix (RMC V, GGA 0)."""
        return self._add("indoors", seconds)

    def frozen(self, seconds: float, said: Point | None = None) -> int:
        """A receiver that repeats one position to the last digit (here, or `said`), speed 0."""
        return self._add("frozen", seconds, said=said)

    def silent(self, seconds: float) -> int:
        """No bytes at all: unplugged."""
        return self._add("silent", seconds)

    def _leg_at(self, ms: int) -> Leg:
        if not self._legs:
            raise ValueError("a walk without legs is nowhere")
        index = bisect_left(self._legs, ms, key=lambda leg: leg.to_ms)
        return self._legs[min(index, len(self._legs) - 1)]

    def position_at(self, ms: int) -> Point:
        """Where the gestor truly is (a frozen receiver may say something else)."""
        return self._leg_at(ms).at(ms)

    def nmea(self) -> Iterator[tuple[int, bytes]]:
        """(simulated ms, the bytes said then): an epoch a second from 1000 ms to the end."""
        receiver = _Receiver(self._seed)
        for ms in range(1000, self.ms + 1, 1000):
            said = receiver.hear(self._leg_at(ms), ms, self.start_unix + ms // 1000)
            if said:
                yield ms, said


class _Receiver:
    """Noise with a memory, and the sentences."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._error = [self._random.gauss(0, _NOISE_M), self._random.gauss(0, _NOISE_M)]
        self._height = 0.0
        self._hdop = 0.0

    def hear(self, leg: Leg, ms: int, unix: int) -> bytes:
        """The epoch's sentences, or none."""
        # The noise moves on whatever is heard, so that legs do not depend on one another.
        keep = math.exp(-1 / _NOISE_S)
        push = math.sqrt(1 - keep * keep) * _NOISE_M
        for axis in (0, 1):
            self._error[axis] = self._error[axis] * keep + self._random.gauss(0, push)
        self._height = self._height * keep + self._random.gauss(0, push)
        self._hdop = self._hdop * keep + self._random.gauss(0, 0.03)
        jitter = self._random.gauss(0, 0.02)
        utc = datetime.fromtimestamp(unix, UTC)
        if leg.kind == "silent":
            return b""
        if leg.kind == "indoors":
            return _no_fix(utc)
        if leg.kind == "frozen":
            return self._frozen(leg, utc)
        hdop = max(0.5, leg.hdop + self._hdop)
        north, east = (error * leg.hdop for error in self._error)
        where = offset(leg.at(ms), north, east)
        speed, course = 0.0, None
        if leg.kind == "walk":
            speed, course = _motion(leg)
        knots = max(0.0, (speed + jitter) * _KNOTS)
        used = max(4, min(12, round(14 - 3 * hdop)))
        height = _ALTITUDE_M + self._height
        return _fix(utc, where, hdop, used, altitude_m=height, knots=knots, course=course)

    def _frozen(self, leg: Leg, utc: datetime) -> bytes:
        # Only the time moves on: what an injected position looks like.
        where = leg.said or leg.start
        return _fix(utc, where, 0.9, 9, altitude_m=_ALTITUDE_M, knots=0.0, course=None)


def _motion(leg: Leg) -> tuple[float, float]:
    """Speed in m/s and course in degrees along a leg."""
    north, east = metres_per_degree(leg.start[0])
    dy = (leg.end[0] - leg.start[0]) / 1e7 * north
    dx = (leg.end[1] - leg.start[1]) / 1e7 * east
    seconds = (leg.to_ms - leg.from_ms) / 1000
    if not seconds:
        return 0.0, 0.0
    return math.hypot(dx, dy) / seconds, math.degrees(math.atan2(dx, dy)) % 360


def sentence(body: str) -> str:
    """A sentence with its framing and checksum."""
    check = 0
    for letter in body.encode():
        check ^= letter
    return f"${body}*{check:02X}\r\n"


def _angle(value_e7: int, digits: int, letters: str) -> str:
    whole, rest = divmod(abs(value_e7), 10_000_000)
    # Minutes with five digits after the point: 1.8 cm, as u-blox receivers say it.
    minutes = rest * 60 // 100
    text = f"{whole:0{digits}d}{minutes // 100000:02d}.{minutes % 100000:05d}"
    return f"{text},{letters[value_e7 < 0]}"


def _fix(
    utc: datetime,
    where: Point,
    hdop: float,
    used: int,
    *,
    altitude_m: float,
    knots: float,
    course: float | None,
) -> bytes:
    time, date = utc.strftime("%H%M%S.00"), utc.strftime("%d%m%y")
    place = f"{_angle(where[0], 2, 'NS')},{_angle(where[1], 3, 'EW')}"
    heading = "" if course is None else f"{course:.2f}"
    satellites = ",".join(f"{n:02d}" for n in _SATELLITES[:used]) + "," * (12 - used)
    return "".join(
        [
            sentence(f"GNRMC,{time},A,{place},{knots:.3f},{heading},{date},,,A"),
            sentence(f"GNGGA,{time},{place},1,{used:02d},{hdop:.2f},{altitude_m:.1f},M,24.0,M,,"),
            sentence(f"GNGSA,A,3,{satellites},{hdop * 1.7:.2f},{hdop:.2f},{hdop * 1.4:.2f}"),
        ]
    ).encode()


def _no_fix(utc: datetime) -> bytes:
    time, date = utc.strftime("%H%M%S.00"), utc.strftime("%d%m%y")
    return "".join(
        [
            sentence(f"GNRMC,{time},V,,,,,,,{date},,,N"),
            sentence(f"GNGGA,{time},,,,,0,00,99.99,,,,,,"),
            sentence("GNGSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99"),
        ]
    ).encode()
