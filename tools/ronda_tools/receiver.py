"""A simulated GNSS receiver: what it makes of the satellites between buildings, as NMEA 0183.

Each second RMC, GGA and a GSA for GPS and for GLONASS, each fifth second GSV, as small receivers
are often set. Buildings hide satellites, weaken them, or let only their echo through, which pushes
the position; HDOP follows from the satellites that are left. The same seed gives the same bytes.
Leaves out the sky's own errors, which a slow noise stands for, and the signals themselves.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from ronda_tools.metres import Point, offset
from ronda_tools.satellites import Satellite, System, in_view, solve

Kind = Literal["walk", "stand", "indoors", "frozen", "silent"]

_KNOTS = 1.943844
_NOISE_M = 1.6  # of the slow error, per axis, at HDOP 1
_NOISE_S = 90.0  # how slowly it moves
_ALTITUDE_M = 79.0
_LISTEN_S = 5  # satellites are looked at, and told by GSV, every so many seconds
_TRACKED = 16  # dB-Hz from which a satellite's C/N0 is told
_USED = 26  # and from which it is used
_MOST_USED = 12
_BENT_DEG = 6.0  # below a roof's edge the signal still comes, bent and weaker
_PULL = 0.12  # of the way to where the echoes push, a second
_PUSH_M = 12.0
# Of an echo's detour so much is left: receivers trust weak signals less.
_ECHO = 0.3


@dataclass(frozen=True)
class Canyon:
    """Walls beside a street: its bearing in degrees, distance and height of each side."""

    bearing: float
    left_m: float
    left_height_m: float
    right_m: float
    right_height_m: float

    def _aside(self, azimuth: float) -> tuple[float, float, float]:
        """How much a direction goes aside (0..1), and the wall that it meets: distance, height."""
        aside = math.sin(math.radians(azimuth - self.bearing))
        if aside >= 0:
            return aside, self.right_m, self.right_height_m
        return -aside, self.left_m, self.left_height_m

    def roof(self, azimuth: float) -> float:
        """Elevation of the roof's edge in a direction, degrees."""
        aside, far, height = self._aside(azimuth)
        return math.degrees(math.atan2(height * aside, far))

    def detour(self, satellite: Satellite) -> float:
        """Metres that the echo from the opposite wall is longer than the straight way."""
        aside, _, _ = self._aside(satellite.azimuth)
        _, far, _ = self._aside(satellite.azimuth + 180)
        return 2 * far * aside * math.cos(math.radians(satellite.elevation))


Around = Callable[[Point], Canyon | None]
"""The buildings around a point; None under an open sky."""


class Moment(NamedTuple):
    """The truth at one second: where the receiver is, moving how (m/s, degrees), and its trouble.

    `said` is where a frozen receiver claims to be, `hdop` the least that it tells.
    """

    kind: Kind
    ms: int
    unix: int
    where: Point
    said: Point
    hdop: float
    speed: float
    course: float | None


class Heard(NamedTuple):
    """What the receiver last said: its position or None, satellites, HDOP, mean C/N0 in dB-Hz."""

    ms: int
    where: Point | None
    used: int
    in_view: int
    hdop: float | None
    cn0: int | None


class _Signal(NamedTuple):
    satellite: Satellite
    cn0: int | None
    late_m: float


class Receiver:
    """Noise with a memory, what is heard of the sky now, and the sentences."""

    def __init__(self, seed: int, around: Around | None = None) -> None:
        self._around = around
        self.heard = Heard(0, None, 0, 0, None, None)
        self._random = random.Random(seed)
        self._error = [self._random.gauss(0, _NOISE_M), self._random.gauss(0, _NOISE_M)]
        self._height = 0.0
        self._hdop = 0.0
        # Noise of each satellite's C/N0 that was ever in view; a generator of its own, so that
        # what was heard does not change the position's noise.
        self._fading: dict[int, float] = {}
        self._faded = random.Random(seed + 1)
        self._signals: list[_Signal] = []
        self._used: list[_Signal] = []
        self._numbers: list[str] = []
        self._canyon: tuple[Point, Canyon | None] | None = None
        self._dilution = 0.0
        self._push = (0.0, 0.0)
        self._pushed = [0.0, 0.0]
        self._before: Kind = "stand"

    def hear(self, moment: Moment) -> bytes:
        """The second's sentences, or none."""
        jitter = self._drift()
        utc = datetime.fromtimestamp(moment.unix, UTC)
        listens = moment.ms // 1000 % _LISTEN_S == 1
        if listens or moment.kind != self._before:
            self._listen(moment)
        self._before = moment.kind
        sky = _gsv(self._signals) if listens else ""
        if moment.kind == "silent":
            self.heard = Heard(moment.ms, None, 0, 0, None, None)
            return b""
        if moment.kind == "frozen":
            # Only the time moves on: what an injected position looks like.
            self._tell(moment.ms, moment.said, 0.9)
            return self._fix(
                utc, moment.said, 0.9, altitude_m=_ALTITUDE_M, knots=0.0, course=None, sky=sky
            )
        if moment.kind == "indoors" or len(self._used) < 4:
            self._tell(moment.ms, None, None)
            return (_no_fix(utc) + sky).encode()
        for axis in (0, 1):
            self._pushed[axis] += (self._push[axis] - self._pushed[axis]) * _PULL
        hdop = max(0.5, moment.hdop + self._hdop, self._dilution)
        north, east = (
            error * max(moment.hdop, self._dilution) + pushed
            for error, pushed in zip(self._error, self._pushed, strict=True)
        )
        where = offset(moment.where, north, east)
        knots = max(0.0, (moment.speed + jitter) * _KNOTS)
        self._tell(moment.ms, where, hdop)
        height = _ALTITUDE_M + self._height
        return self._fix(
            utc, where, hdop, altitude_m=height, knots=knots, course=moment.course, sky=sky
        )

    def _drift(self) -> float:
        """Move the noise on, whatever is heard, so that legs do not depend on one another."""
        keep = math.exp(-1 / _NOISE_S)
        push = math.sqrt(1 - keep * keep) * _NOISE_M
        for axis in (0, 1):
            self._error[axis] = self._error[axis] * keep + self._random.gauss(0, push)
        self._height = self._height * keep + self._random.gauss(0, push)
        self._hdop = self._hdop * keep + self._random.gauss(0, 0.03)
        return self._random.gauss(0, 0.02)

    def _tell(self, ms: int, where: Point | None, hdop: float | None) -> None:
        levels = [signal.cn0 for signal in self._signals if signal.cn0]
        mean = round(sum(levels) / len(levels)) if levels else None
        used = len(self._used) if where else 0
        self.heard = Heard(ms, where, used, len(self._signals), hdop, mean)

    # ---- satellites ----------------------------------------------------------------------

    def _listen(self, moment: Moment) -> None:
        """Which satellites are heard now, how well, and what position they are good for."""
        above = in_view(*moment.where, moment.unix)
        for satellite in above:
            noise = self._fading.get(satellite.number)
            if noise is None:
                noise = self._faded.gauss(0, 1.5)
            self._fading[satellite.number] = noise * 0.9 + self._faded.gauss(0, 0.5)
        if moment.kind == "frozen" and self._before == "frozen":
            return  # to the last digit, the satellites too
        canyon = self._walls(moment.where)
        self._signals = [self._signal(canyon, satellite) for satellite in above]
        if moment.kind == "indoors":
            self._signals = _weak(self._signals)
        # The fewer a leg's HDOP asks for, the more of the weakest are left out.
        most = max(4, min(_MOST_USED, round(14 - 3 * (moment.hdop - 0.3))))
        good = sorted(
            (s for s in self._signals if s.cn0 is not None and s.cn0 >= _USED),
            key=lambda s: -(s.cn0 or 0),
        )
        before, self._used = self._used, good[:most]
        self._numbers = [_listed("GP", self._used), _listed("GL", self._used)]
        if [(s.satellite, s.late_m) for s in before] == [
            (s.satellite, s.late_m) for s in self._used
        ]:
            return
        found = solve([s.satellite for s in self._used], [s.late_m for s in self._used])
        if found is None or found.hdop > 20:
            self._used = []
            return
        self._dilution = found.hdop
        size = max(1.0, math.hypot(found.north_m, found.east_m) / _PUSH_M)
        self._push = (found.north_m / size, found.east_m / size)

    def _walls(self, where: Point) -> Canyon | None:
        if self._around is None:
            return None
        if self._canyon is None or self._canyon[0] != where:
            self._canyon = (where, self._around(where))
        return self._canyon[1]

    def _signal(self, canyon: Canyon | None, satellite: Satellite) -> _Signal:
        """What comes of one satellite: straight, bent around a roof, as an echo, or not at all."""
        rise = math.sin(math.radians(satellite.elevation))
        cn0 = 31 + 16 * rise**0.8 + self._fading[satellite.number]
        late = 0.0
        roof = canyon.roof(satellite.azimuth) if canyon else 0.0
        if canyon and satellite.elevation < roof:
            if satellite.elevation > roof - _BENT_DEG:
                cn0, late = cn0 - 9, 1.0
            elif satellite.number % 3 == 0:  # there is a wall that returns it
                cn0, late = cn0 - 13, _ECHO * canyon.detour(satellite)
            else:
                return _Signal(satellite, None, 0.0)
        return _Signal(satellite, round(cn0) if cn0 >= _TRACKED else None, late)

    # ---- sentences -----------------------------------------------------------------------

    def _fix(
        self,
        utc: datetime,
        where: Point,
        hdop: float,
        *,
        altitude_m: float,
        knots: float,
        course: float | None,
        sky: str,
    ) -> bytes:
        time, date = utc.strftime("%H%M%S.00"), utc.strftime("%d%m%y")
        place = f"{_angle(where[0], 2, 'NS')},{_angle(where[1], 3, 'EW')}"
        heading = "" if course is None else f"{course:.2f}"
        dops = f"{hdop * 1.7:.2f},{hdop:.2f},{hdop * 1.4:.2f}"
        body = f"{place},1,{len(self._used):02d},{hdop:.2f},{altitude_m:.1f},M,24.0,M,,"
        return "".join(
            [
                sentence(f"GNRMC,{time},A,{place},{knots:.3f},{heading},{date},,,A"),
                sentence(f"GNGGA,{time},{body}"),
                *(sentence(f"GNGSA,A,3,{numbers},{dops}") for numbers in self._numbers),
                sky,
            ]
        ).encode()


def _listed(system: System, used: list[_Signal]) -> str:
    """Twelve fields of a GSA: a system's satellites in use, in order."""
    numbers = sorted(s.satellite.number for s in used if s.satellite.system == system)
    return ",".join(f"{n:02d}" for n in numbers) + "," * (12 - max(1, len(numbers)))


def _weak(signals: list[_Signal]) -> list[_Signal]:
    """Through walls: the highest few, too weak to be used."""
    highest = sorted(signals, key=lambda s: -s.satellite.elevation)[:4]
    return [
        signal._replace(
            cn0=max(_TRACKED, (signal.cn0 or 0) - 24) if signal in highest else None, late_m=0.0
        )
        for signal in signals
    ]


def _gsv(signals: list[_Signal]) -> str:
    """Every satellite above the horizon, four a sentence, for each system in turn."""
    return "".join(_gsv_of("GP", signals) + _gsv_of("GL", signals))


def _gsv_of(system: System, signals: list[_Signal]) -> list[str]:
    told = [
        f"{s.satellite.number:02d},{s.satellite.elevation:02.0f},"
        f"{round(s.satellite.azimuth) % 360:03d}," + ("" if s.cn0 is None else f"{s.cn0:02d}")
        for s in signals
        if s.satellite.system == system
    ]
    groups = [told[i : i + 4] for i in range(0, len(told), 4)]
    return [
        sentence(f"{system}GSV,{len(groups)},{number},{len(told):02d},{','.join(group)}")
        for number, group in enumerate(groups, 1)
    ]


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


def _no_fix(utc: datetime) -> str:
    time, date = utc.strftime("%H%M%S.00"), utc.strftime("%d%m%y")
    return "".join(
        [
            sentence(f"GNRMC,{time},V,,,,,,,{date},,,N"),
            sentence(f"GNGGA,{time},,,,,0,00,99.99,,,,,,"),
            sentence("GNGSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99"),
        ]
    )
