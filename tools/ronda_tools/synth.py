"""A gestor's way on foot through a day, leg by leg, and the NMEA that a receiver says on it.

A `Walk` is built of legs (walk, stand, go indoors, freeze, fall silent); `nmea` is what
`ronda_tools.receiver` makes of it, under an open sky or between the buildings that `around` tells
of. The same seed gives the same bytes.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from ronda_tools.metres import Point, bearing, distance_m, metres_per_degree, offset
from ronda_tools.receiver import Around, Canyon, Heard, Kind, Moment, Receiver, sentence

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

    def __init__(
        self, start: Point, start_unix: int, seed: int = 1, *, around: Around | None = None
    ) -> None:
        self.start_unix = start_unix
        self.heard = Heard(0, None, 0, 0, None, None)
        self._start = start
        self._seed = seed
        self._around = around
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
        """(simulated ms, the bytes said then): an epoch a second from 1000 ms to the end.

        `heard` is what the receiver said in the epoch last given.
        """
        receiver = Receiver(self._seed, self._around)
        index = 0
        for ms in range(1000, self.ms + 1, 1000):
            while self._legs[index].to_ms < ms:
                index += 1
            said = receiver.hear(self._moment(self._legs[index], ms))
            self.heard = receiver.heard
            if said:
                yield ms, said

    def _moment(self, leg: Leg, ms: int) -> Moment:
        where = leg.at(ms)
        speed, course = 0.0, None
        if leg.kind == "walk":
            speed = distance_m(leg.start, leg.end) * 1000 / max(1, leg.to_ms - leg.from_ms)
            course = bearing(leg.start, leg.end)
        return Moment(
            leg.kind,
            ms,
            self.start_unix + ms // 1000,
            where,
            leg.said or leg.start,
            leg.hdop,
            speed,
            course,
        )


__all__ = [
    "MIRAFLORES",
    "WALKING_M_S",
    "Around",
    "Canyon",
    "Kind",
    "Leg",
    "Point",
    "Walk",
    "distance_m",
    "metres_per_degree",
    "offset",
    "sentence",
]
