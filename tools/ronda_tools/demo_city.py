"""The streets that the demo's gestores walk: Miraflores, Surquillo and Barranco, in Lima.

Avenues and streets as polylines, drawn by eye and true to some 50 m; widths and heights of the
buildings beside them; places without a mobile network. Finds the way from door to door along the
streets, and says where a point is. No door here is a real case's.
"""

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise
from typing import NamedTuple

from ronda_tools.metres import Point, metres_per_degree
from ronda_tools.receiver import Canyon

DISTRICTS = ("Miraflores", "Surquillo", "Barranco")

_CENTRE: Point = (-121330000, -770220000)
_NEAR_M = 45.0  # further from any street a point is in none
_WALL_M = 2.0  # nobody walks nearer to a wall
_LOT_M = 18.0  # a building's width; its neighbours are of other heights


class Metres(NamedTuple):
    """A point in metres east and north of the middle of the three districts."""

    x: float
    y: float


@dataclass(frozen=True)
class Street:
    """A polyline; `width_m` between the buildings, `height_m` of the usual one (0: open sky)."""

    name: str
    district: str
    points: tuple[Point, ...]
    width_m: float
    height_m: float

    @property
    def length_m(self) -> float:
        """Along its middle."""
        return sum(math.dist(to_metres(a), to_metres(b)) for a, b in pairwise(self.points))


@dataclass(frozen=True)
class DeadZone:
    """A circle without a network."""

    name: str
    centre: Point
    radius_m: float


class Spot(NamedTuple):
    """A point beside a street: how far along it, how far right of its middle, its bearing."""

    street: Street
    along_m: float
    right_m: float
    bearing: float


# Width and height in metres, then corners: the digits of 12.… south and of 77.… west.
_Rows = dict[str, tuple[float, float, str]]

_MIRAFLORES: _Rows = {
    "Av. Larco": (30, 26, "1189 0292, 1211 02925, 12324 02920, 1260 0296, 1290 0300, 1316 0303"),
    "Av. Diagonal": (28, 16, "1189 0292, 1211 0300, 1226 0308, 1256 0322"),
    "Av. José Pardo": (34, 30, "1189 0292, 1192 0310, 1196 0340, 1203 0390"),
    "Av. Ricardo Palma": (26, 18, "1189 0292, 1191 0270, 1193 0245"),
    "Av. Benavides": (28, 20, "1255 0335, 1258 0296, 1262 0268, 1267 0238"),
    "Av. La Paz": (16, 15, "1191 0272, 1216 0266, 1240 0263, 1262 0264, 1290 0272"),
    "Calle Alcanfores": (13, 18, "1217 0274, 1232 0272, 12475 02710, 1261 0273, 1288 0282"),
    "Calle Tarata": (11, 15, "1213 02925, 12139 02846, 1217 0274"),
    "Calle Diez Canseco": (13, 12, "1218 0293, 12193 02742, 1219 0266"),
    "Calle Schell": (13, 16, "1225 0292, 12268 02796, 1229 0264"),
    "Calle Porta": (12, 14, "1213 0301, 12243 0308, 1243 03068, 1260 0311, 1280 0318"),
    "Calle San Martín": (12, 12, "1259 0296, 12629 03174, 1267 0334"),
    "Calle Berlín": (12, 14, "1197 0297, 12006 03298, 1205 0356"),
    "Calle Bellavista": (11, 10, "1199 0307, 11887 03091, 1172 0316"),
    "Av. Reducto": (22, 10, "1193 0245, 1225 0246, 1267 0238, 1300 0232"),
}

_SURQUILLO: _Rows = {
    "Av. Angamos Este": (32, 14, "1132 0262, 1130 0215, 1127 0170, 1121 0115"),
    "Av. Paseo de la República": (45, 8, "1105 0262, 1132 0262, 1165 0252, 1193 0245"),
    "Av. República de Panamá": (30, 12, "1105 0192, 1130 0195, 1165 0201, 1210 0208, 1268 0213"),
    "Av. Tomás Marsano": (34, 12, "1130 0195, 1150 0160, 1170 0128, 1195 0090"),
    "Jr. Dante": (11, 8, "1164 0252, 1166 0225, 1168 0201, 1170 0170"),
    "Jr. San Agustín": (10, 7, "1146 0257, 1148 0228, 1149 0198, 1150 0160"),
    "Jr. Gonzales Prada": (10, 8, "1178 0249, 1180 0226, 1181 0204"),
    "Jr. Carmen": (9, 7, "1131 0238, 1147 0236, 1165 0235, 1179 0233, 1192 0230"),
    "Jr. Colina": (9, 7, "1131 0222, 1148 0222, 1166 0220, 1180 0219"),
    "Calle Manuel Irribarren": (12, 8, "1193 0245, 1195 0228, 1197 0206"),
    "Jr. Huáscar": (9, 6, "1149 0198, 1168 0182, 1169 0175"),
    "Jr. Domingo Orué": (14, 10, "1112 0262, 1110 0225, 1108 0192"),
    "Av. Villarán": (18, 9, "1197 0206, 1193 0160, 1190 0098"),
}

_BARRANCO: _Rows = {
    "Av. Grau": (22, 9, "1372 0226, 1400 0224, 1434 0220, 1470 0215, 1494 0212, 1520 0206"),
    "Av. San Martín": (18, 8, "1368 0262, 1400 0254, 1434 0244, 1465 0233, 1494 0222"),
    "Av. Pedro de Osma": (15, 8, "1494 0218, 1520 0224, 1550 0229, 1582 0233"),
    "Av. Sáenz Peña": (24, 7, "1433 0190, 1434 0220, 1434 0244, 1432 0270"),
    "Av. Bolognesi": (20, 7, "1372 0203, 1433 0198, 1470 0190, 1510 0184"),
    "Av. República de Panamá": (30, 8, "1268 0213, 1320 0212, 1372 0203"),
    "Av. El Sol": (20, 8, "1504 0235, 1506 0210, 1510 0184"),
    "Jr. Domeyer": (11, 7, "1480 0245, 1479 0228, 1478 0213"),
    "Jr. Unión": (10, 6, "1459 0195, 1461 0216, 1463 0234"),
    "Jr. Colina": (10, 7, "1446 0197, 1447 0218, 1449 0239"),
    "Jr. Batallón Ayacucho": (10, 6, "1486 0187, 1489 0213"),
    "Jr. Junín": (10, 7, "1447 0254, 1465 0246, 1480 0245, 1494 0240"),
    "Bajada de Baños": (7, 12, "1494 0222, 1494 0240, 1497 0256, 1500 0268"),
    "Circuito de Playas": (40, 0, "1432 0270, 1465 0272, 1500 0268, 1540 0262, 1582 0258"),
    "Jr. Sucre": (10, 6, "1550 0229, 1553 0246, 1540 0262"),
    "Av. Vasco Núñez de Balboa": (16, 12, "1316 0303, 1345 0268, 1368 0262"),
    "Av. Armendáriz": (30, 10, "1290 0300, 1300 0272, 1300 0232, 1320 0212"),
    "Jr. Tacna": (10, 6, "1400 0254, 1402 0226, 1404 0201"),
}

DEAD_ZONES = (
    DeadZone("Mercado N.º 1", (-121172000, -770240000), 110.0),
    DeadZone("Bajada de Baños", (-121497000, -770258000), 190.0),
    DeadZone("Circuito de Playas", (-121555000, -770262000), 480.0),
    DeadZone("Villarán", (-121193000, -770140000), 160.0),
    DeadZone("Malecón de la Reserva", (-121313000, -770305000), 120.0),
)


def _read(rows: _Rows, district: str) -> Iterator[Street]:
    for name, (width, height, text) in rows.items():
        corners = [tuple(pair.split()) for pair in text.split(",")]
        points = tuple((_degrees("12", lat), _degrees("77", lon)) for lat, lon in corners)
        yield Street(name, district, points, width, height)


def _degrees(whole: str, digits: str) -> int:
    """ "12" and "1211" are 12.1211 degrees south."""
    return -int((whole + digits).ljust(len(whole) + 7, "0"))


class City:
    """Streets as a graph: corners, crossings, and the ways between them."""

    def __init__(self, streets: Iterable[Street], dead_zones: Sequence[DeadZone] = ()) -> None:
        self.streets = tuple(streets)
        self.dead_zones = tuple(dead_zones)
        self._lines = [(street, [to_metres(p) for p in street.points]) for street in self.streets]
        self._boxes = [_box(line) for _, line in self._lines]
        self._graph = self._crossings()

    # ---- where ---------------------------------------------------------------------------

    def locate(self, point: Point) -> Spot | None:
        """The nearest street within 45 m, or None."""
        here = to_metres(point)
        best, found = _NEAR_M, None
        for (street, line), box in zip(self._lines, self._boxes, strict=True):
            if not (box[0] <= here.x <= box[1] and box[2] <= here.y <= box[3]):
                continue
            along = 0.0
            for a, b in pairwise(line):
                length = math.dist(a, b)
                part, right = _beside(here, a, b, length)
                foot = min(max(part, 0.0), length)
                far = math.hypot(right, part - foot)
                if far < best:
                    best = far
                    way = math.degrees(math.atan2(b.x - a.x, b.y - a.y)) % 360
                    found = Spot(street, along + foot, right, way)
                along += length
        return found

    def where(self, point: Point) -> str:
        """Street and district: "Av. Larco, Miraflores"; "" away from any street."""
        spot = self.locate(point)
        return f"{spot.street.name}, {spot.street.district}" if spot else ""

    def canyon(self, point: Point) -> Canyon | None:
        """The walls left and right of a point; None under an open sky."""
        spot = self.locate(point)
        if spot is None or not spot.street.height_m:
            return None
        street, lot = spot.street, int(spot.along_m / _LOT_M)
        half = street.width_m / 2
        if abs(spot.right_m) > half + _WALL_M:  # a park, a square
            return None
        right = min(max(spot.right_m, _WALL_M - half), half - _WALL_M)
        return Canyon(
            spot.bearing,
            half + right,
            street.height_m * _rough(street.name, -1 - lot),
            half - right,
            street.height_m * _rough(street.name, lot),
        )

    def covered(self, point: Point) -> bool:
        """Whether there is a mobile network."""
        here = to_metres(point)
        return all(
            math.dist(here, to_metres(zone.centre)) > zone.radius_m for zone in self.dead_zones
        )

    def door(self, name: str, district: str, along_m: float, side: int) -> Point:
        """A door on a street's right (1) or left (-1), so many metres along it."""
        for street, line in self._lines:
            if (street.name, street.district) == (name, district):
                at, way = _along(line, along_m)
                aside = side * (street.width_m / 2 - _WALL_M)
                return to_point(Metres(at.x + aside * way.y, at.y - aside * way.x))
        raise ValueError(f"no street {name} in {district}")

    # ---- ways ----------------------------------------------------------------------------

    def route(self, start: Point, end: Point) -> list[Point]:
        """The shortest way along the streets, without its start; straight where there is none."""
        a, b = self._joined(start), self._joined(end)
        if a is None or b is None:
            return [end]
        graph = dict(self._graph)
        ends: list[Metres] = []
        for foot, line, index in (a, b):
            ends.append(foot)
            near = self._neighbours(line, index, foot)
            graph[foot] = {**graph.get(foot, {}), **{n: math.dist(foot, n) for n in near}}
            for n in near:
                graph[n] = {**graph[n], foot: math.dist(foot, n)}
        if a[1:] == b[1:]:  # the same block
            for one, other in (ends, reversed(ends)):
                graph[one] = {**graph[one], other: math.dist(one, other)}
        way = _shortest(graph, ends[0], ends[1])
        # Who walks keeps to the middle; a crossing's corner is not cut.
        return [*(to_point(at) for at in way), end]

    def _joined(self, point: Point) -> tuple[Metres, int, int] | None:
        """Where a door meets its street: the foot, the line, the index of the stretch."""
        here = to_metres(point)
        best, found = 3 * _NEAR_M, None
        for number, (_, line) in enumerate(self._lines):
            for index, (a, b) in enumerate(pairwise(line)):
                length = math.dist(a, b)
                part = min(max(_beside(here, a, b, length)[0], 0.0), length) / length
                foot = Metres(a.x + (b.x - a.x) * part, a.y + (b.y - a.y) * part)
                if math.dist(here, foot) < best:
                    best, found = math.dist(here, foot), (foot, number, index)
        return found

    def _neighbours(self, line: int, index: int, foot: Metres) -> list[Metres]:
        """The two nodes of the graph between which a foot lies on its stretch."""
        a = self._lines[line][1][index]
        nodes = self._stretches[line, index]
        far = math.dist(a, foot)
        before = [n for n in nodes if math.dist(a, n) <= far] or nodes[:1]
        after = [n for n in nodes if math.dist(a, n) >= far] or nodes[-1:]
        return [before[-1], after[0]]

    def _crossings(self) -> dict[Metres, dict[Metres, float]]:
        """Every stretch cut where another meets it; nodes within a metre are one."""
        stretches: dict[tuple[int, int], list[Metres]] = {}
        for number, (_, line) in enumerate(self._lines):
            for index, (a, b) in enumerate(pairwise(line)):
                stretches[number, index] = [_snap(a), _snap(b)]
        for one, other in combinations(stretches, 2):
            met = _meet(*stretches[one][:2], *stretches[other][:2])
            if met is not None:
                stretches[one].append(_snap(met))
                stretches[other].append(_snap(met))
        graph: dict[Metres, dict[Metres, float]] = {}
        for key, nodes in stretches.items():
            first = nodes[0]
            nodes.sort(key=lambda n, first=first: math.dist(first, n))
            stretches[key] = list(dict.fromkeys(nodes))
            for a, b in pairwise(stretches[key]):
                graph.setdefault(a, {})[b] = graph.setdefault(b, {})[a] = math.dist(a, b)
        self._stretches = stretches
        return graph


@cache
def lima() -> City:
    """The three districts."""
    rows = zip((_MIRAFLORES, _SURQUILLO, _BARRANCO), DISTRICTS, strict=True)
    return City([s for named, district in rows for s in _read(named, district)], DEAD_ZONES)


# ---- the plane ---------------------------------------------------------------------------------

_NORTH, _EAST = metres_per_degree(_CENTRE[0])


def to_metres(point: Point) -> Metres:
    """Metres east and north of the middle of the three districts."""
    return Metres(
        (point[1] - _CENTRE[1]) / 1e7 * _EAST,
        (point[0] - _CENTRE[0]) / 1e7 * _NORTH,
    )


def to_point(at: Metres) -> Point:
    """The point at so many metres."""
    return _CENTRE[0] + round(at.y / _NORTH * 1e7), _CENTRE[1] + round(at.x / _EAST * 1e7)


def _snap(at: Metres) -> Metres:
    return Metres(round(at.x), round(at.y))


def _box(line: Sequence[Metres]) -> tuple[float, float, float, float]:
    xs, ys = [p.x for p in line], [p.y for p in line]
    return min(xs) - _NEAR_M, max(xs) + _NEAR_M, min(ys) - _NEAR_M, max(ys) + _NEAR_M


def _beside(here: Metres, a: Metres, b: Metres, length: float) -> tuple[float, float]:
    """How far along a stretch a point lies, and how far right of it."""
    dx, dy = (b.x - a.x) / length, (b.y - a.y) / length
    px, py = here.x - a.x, here.y - a.y
    return px * dx + py * dy, px * dy - py * dx


def _along(line: Sequence[Metres], along_m: float) -> tuple[Metres, Metres]:
    """The point so far along a line and the direction there, its last one's beyond its end."""
    for a, b in pairwise(line):
        length = math.dist(a, b)
        way = Metres((b.x - a.x) / length, (b.y - a.y) / length)
        if along_m <= length:
            return Metres(a.x + way.x * along_m, a.y + way.y * along_m), way
        along_m -= length
    raise ValueError("the street is shorter")


def _meet(a: Metres, b: Metres, c: Metres, d: Metres) -> Metres | None:
    """Where two stretches cross or touch (within 8 m beyond an end), or None."""
    ux, uy, vx, vy = b.x - a.x, b.y - a.y, d.x - c.x, d.y - c.y
    turn = ux * vy - uy * vx
    if abs(turn) < 1e-6:
        return None
    s = ((c.x - a.x) * vy - (c.y - a.y) * vx) / turn
    t = ((c.x - a.x) * uy - (c.y - a.y) * ux) / turn
    slack, give = 8 / math.hypot(ux, uy), 8 / math.hypot(vx, vy)
    if not (-slack <= s <= 1 + slack and -give <= t <= 1 + give):
        return None
    s = min(max(s, 0.0), 1.0)
    return Metres(a.x + ux * s, a.y + uy * s)


def _shortest(
    graph: dict[Metres, dict[Metres, float]], start: Metres, end: Metres
) -> list[Metres]:
    """Dijkstra's; an empty way where there is none."""
    best: dict[Metres, tuple[float, Metres | None]] = {start: (0.0, None)}
    queue = [(0.0, start)]
    while queue:
        far, at = heapq.heappop(queue)
        if at == end:
            way: list[Metres] = []
            step: Metres | None = at
            while step is not None:
                way.append(step)
                step = best[step][1]
            return way[::-1]
        if far > best[at][0]:
            continue
        for n, length in graph[at].items():
            if n not in best or far + length < best[n][0]:
                best[n] = (far + length, at)
                heapq.heappush(queue, (far + length, n))
    return []


def _rough(name: str, lot: int) -> float:
    """How high a building is beside its street's usual one: 0.5 to 1.3, the same each time."""
    mixed = sum(name.encode()) * 7919 + lot * 104_729
    return 0.5 + (mixed * mixed // 97 % 1000) / 1250
